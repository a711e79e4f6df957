package store

import (
	"github.com/cockroachdb/pebble/v2"

	setsync "github.com/notarynet/notaryd/node/sync"
	"github.com/notarynet/notaryd/proto/domain"
)

// FinalSet is the ids of what is final here, to be compared with those of other nodes (node/sync). The first use goes
// through all of them once; from then on they are kept count of in memory. Safe for concurrent use.
type FinalSet struct{ s *Store }

// FinalSet is that of this store.
func (s *Store) FinalSet() FinalSet { return FinalSet{s} }

// Fingerprint implements sync.Set.
func (f FinalSet) Fingerprint(b setsync.Bounds) (sum setsync.Fingerprint, err error) {
	s := f.s
	if err := s.enter(); err != nil {
		return sum, err
	}
	defer s.leave()
	s.setMu.Lock()
	defer s.setMu.Unlock()
	if err := s.countFinals(); err != nil {
		return sum, err
	}
	sum, rest := s.set.Inner(b)
	if len(rest) > 0 {
		if err := s.bringUp(); err != nil {
			return sum, err
		}
	}
	for _, part := range rest {
		if err := s.eachFinal(s.db, part, func(id domain.Hash) bool { sum.Add(id); return true }); err != nil {
			return sum, err
		}
	}
	return sum, nil
}

// IDs implements sync.Set.
func (f FinalSet) IDs(b setsync.Bounds, limit int) (ids []domain.Hash, err error) {
	s := f.s
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.leave()
	if err := s.bringUp(); err != nil {
		return nil, err
	}
	err = s.eachFinal(s.db, b, func(id domain.Hash) bool {
		ids = append(ids, id)
		return len(ids) < limit
	})
	return ids, err
}

// maxNewFinals bounds the ids that wait to be counted. Beyond it they are counted anew when somebody asks.
const maxNewFinals = 1 << 20

// countFinals brings the table up to date, and makes it where there is none. The caller holds setMu.
func (s *Store) countFinals() error {
	s.mu.Lock()
	if !s.setWanted {
		s.set = nil
	}
	added := s.newFinals
	s.newFinals = nil
	s.mu.Unlock()
	if s.set == nil {
		var err error
		s.set, err = s.countAll()
		return err
	}
	for _, id := range added {
		s.set.Add(id)
	}
	return nil
}

// countAll makes the table; what becomes final from then on waits in newFinals.
func (s *Store) countAll() (*setsync.Table, error) {
	var snapshot *pebble.Snapshot
	if _, err := s.still(func() {
		snapshot = s.db.NewSnapshot()
		s.setWanted, s.newFinals = true, nil
	}); err != nil {
		return nil, err
	}
	table := setsync.NewTable()
	err := s.eachFinal(snapshot, setsync.Bounds{}, func(id domain.Hash) bool { table.Add(id); return true })
	if e := snapshot.Close(); err == nil && e != nil {
		err = s.fail(e)
	}
	if err != nil {
		return nil, err
	}
	return table, nil
}

// noteFinals keeps the ids of a batch that was handed to pebble until they are counted. The caller holds mu.
func (s *Store) noteFinals(finals []Final) {
	if s.setWanted && len(s.newFinals) >= maxNewFinals {
		s.setWanted, s.newFinals = false, nil
	}
	if s.setWanted {
		for i := range finals {
			s.newFinals = append(s.newFinals, finals[i].Tx.ID)
		}
	}
}

// eachFinal goes through the ids within bounds, ascending, until yield returns false.
func (s *Store) eachFinal(r pebble.Reader, b setsync.Bounds, yield func(domain.Hash) bool) error {
	upper := []byte{byte(ClassFinal) + 1}
	if !b.To.IsZero() {
		upper = appendHashKey(nil, ClassFinal, b.To)
	}
	it, err := r.NewIter(&pebble.IterOptions{LowerBound: appendHashKey(nil, ClassFinal, b.From), UpperBound: upper})
	if err != nil {
		return s.fail(err)
	}
	for valid := it.First(); valid; valid = it.Next() {
		id, err := parseHashKey(ClassFinal, it.Key())
		if err != nil {
			_ = it.Close()
			return s.fail(err)
		}
		if !yield(id) {
			break
		}
	}
	if err := it.Close(); err != nil {
		return s.fail(err)
	}
	return nil
}
