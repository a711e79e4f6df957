package store

import (
	"iter"

	"github.com/cockroachdb/pebble/v2"

	"github.com/notarynet/notaryd/conflict"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
)

// Transaction is what the store knows of one.
type Transaction struct {
	ID domain.Hash
	// Raw are the exact bytes; nil for one that was rejected without having been voted on.
	Raw []byte
	// Pending says that this node voted on it and that it is not decided, VotedMS when it first did, by
	// its observation, Unix milliseconds.
	Pending bool
	VotedMS uint64
	// Final is how it became final; nil where it is not.
	Final *FinalInfo
	// Rejection is why it was refused; nil where it was not. A transaction is never final and rejected.
	Rejection *Rejection
}

// Transaction looks a transaction up.
func (s *Store) Transaction(id domain.Hash) (*Transaction, bool, error) {
	if err := s.enter(); err != nil {
		return nil, false, err
	}
	defer s.leave()
	pending, voted := s.pending.get(id) // first: what was decided since is decided in what is read
	t, ok, err := s.finalTransaction(id)
	if ok || err != nil {
		return t, ok, err
	}
	snapshot := s.db.NewSnapshot()
	t, ok, err = s.undecided(snapshot, id, pending, voted && pending.Sheaf != 0)
	if e := snapshot.Close(); e != nil && err == nil {
		return nil, false, s.fail(e)
	}
	if ok || err != nil {
		return t, ok, err
	}
	if f, ok, err := s.finalTransaction(id); ok || err != nil { // since it was looked for
		return f, ok, err
	}
	return t, false, nil
}

func (s *Store) finalTransaction(id domain.Hash) (*Transaction, bool, error) {
	f, ok, err := s.final(s.now(), id)
	if err != nil || !ok {
		return nil, false, err
	}
	t := &Transaction{ID: id, Final: &f.FinalInfo}
	if len(f.Raw) > 0 {
		t.Raw = f.Raw
	}
	return t, true, nil
}

// undecided reads what is known of one that is not final; pending and inSheaf are what a sheaf said of it no later than the view.
func (s *Store) undecided(r pebble.Reader, id domain.Hash, pending pendingTx, inSheaf bool) (t *Transaction, ok bool, err error) {
	t = &Transaction{ID: id}
	if t.VotedMS, t.Pending, err = s.votedMS(r, id); err != nil {
		return nil, false, err
	}
	value, rejected, err := s.get(r, appendHashKey(nil, ClassRejected, id))
	if err != nil {
		return nil, false, err
	}
	if rejected {
		v, err := decodeRejected(id, value)
		if err != nil {
			return nil, false, s.fail(err)
		}
		t.Rejection = &v.Rejection
	}
	if t.Pending || rejected {
		t.Raw, err = s.rawTx(r, id)
		if t.Pending && t.Raw == nil && err == nil {
			err = s.fail(corrupt("no bytes of pending transaction %s", id))
		}
		return t, err == nil, err
	}
	if inSheaf {
		if t.Raw, t.Pending, err = s.inSheaf(r, pending); t.Pending {
			t.VotedMS = pending.VotedMS
		}
	}
	return t, t.Pending, err
}

// rawTx reads a record of ClassTx; nil where there is none.
func (s *Store) rawTx(r pebble.Reader, id domain.Hash) ([]byte, error) {
	value, ok, err := s.get(r, appendHashKey(nil, ClassTx, id))
	if err != nil || !ok {
		return nil, err
	}
	raw, err := decodeBytes(value)
	if err != nil {
		return nil, s.fail(err)
	}
	return raw, nil
}

func (s *Store) votedMS(r pebble.Reader, id domain.Hash) (ms uint64, pending bool, err error) {
	value, ok, err := s.get(r, appendHashKey(nil, ClassPending, id))
	if err != nil || !ok {
		return 0, false, err
	}
	if ms, err = decodeTime(value); err != nil {
		return 0, false, s.fail(err)
	}
	return ms, true, nil
}

// IsFinal reports whether a transaction is final here.
func (s *Store) IsFinal(id domain.Hash) (bool, error) {
	if err := s.enter(); err != nil {
		return false, err
	}
	defer s.leave()
	_, ok, err := s.placeOf(s.now(), id)
	return ok, err
}

// PendingTransactions are those that this node voted on and that are not decided, by id: what a node
// takes up again when it starts. One that is decided meanwhile is left out. The sequence ends with the
// first error.
func (s *Store) PendingTransactions() iter.Seq2[*Transaction, error] {
	return func(yield func(*Transaction, error) bool) {
		if err := s.enter(); err != nil {
			yield(nil, err)
			return
		}
		defer s.leave()
		for _, id := range s.pending.ids() {
			t, ok, err := s.Transaction(id)
			if err != nil {
				yield(nil, err)
				return
			}
			if ok && t.Pending && !yield(t, nil) {
				return
			}
		}
	}
}

// GuardRecords are this node's votes on what is not spent yet, by outpoint, round and state: what
// conflict.Guard.Restore takes before the node votes again. The sequence ends with the first error.
func (s *Store) GuardRecords() iter.Seq2[conflict.Record, error] {
	return func(yield func(conflict.Record, error) bool) {
		if err := s.enter(); err != nil {
			yield(conflict.Record{}, err)
			return
		}
		defer s.leave()
		list, err := s.guardRecords()
		if err != nil {
			yield(conflict.Record{}, err)
			return
		}
		for i := range list {
			if !yield(list[i], nil) {
				return
			}
		}
	}
}

// ObservationsSince are the stored observations that were sealed at sinceMS or later, Unix milliseconds
// by their signers' clocks, chain by chain and ascending in each, forks included: what votes on
// undecided transactions are counted from again after a restart. In each chain it goes back to the
// last observation that is older and takes everything after it, and the last few of each chain whatever time they
// state: clocks may be off by a day. The sequence ends with the first error.
func (s *Store) ObservationsSince(sinceMS, few uint64) iter.Seq2[*observation.Observation, error] {
	return func(yield func(*observation.Observation, error) bool) {
		chains, err := s.chains()
		if err != nil {
			yield(nil, err)
			return
		}
		for _, id := range chains {
			from, err := s.firstSince(id, sinceMS)
			if err != nil {
				yield(nil, err)
				return
			}
			if few > 0 {
				head := s.Head(id).Height
				from = min(from, head+1-min(head, few))
			}
			for _, list := range []iter.Seq2[*observation.Observation, error]{
				s.Observations(id, from, ^uint64(0)),
				observationsOf(s, appendForkPrefix(nil, id, from), after(appendChain(nil, ClassFork, id))),
			} {
				for o, err := range list {
					if !yield(o, err) || err != nil {
						return
					}
				}
			}
		}
	}
}

// chains are all chains of which anything is stored, also above a gap, in order.
func (s *Store) chains() (ids []observation.ChainID, err error) {
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.leave()
	it, err := s.db.NewIter(&pebble.IterOptions{
		LowerBound: []byte{byte(ClassObservation)}, UpperBound: []byte{byte(ClassObservation) + 1},
	})
	if err != nil {
		return nil, s.fail(err)
	}
	for valid := it.First(); valid; {
		id, _, err := parseObservationKey(it.Key())
		if err != nil {
			_ = it.Close()
			return nil, s.fail(err)
		}
		ids = append(ids, id)
		valid = it.SeekGE(after(appendChain(nil, ClassObservation, id)))
	}
	if err := it.Close(); err != nil {
		return nil, s.fail(err)
	}
	return ids, nil
}

// firstSince is the height after the newest observation of a chain that is older than sinceMS.
func (s *Store) firstSince(id observation.ChainID, sinceMS uint64) (height uint64, err error) {
	if err := s.enter(); err != nil {
		return 0, err
	}
	defer s.leave()
	prefix := appendChain(nil, ClassObservation, id)
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: after(prefix)})
	if err != nil {
		return 0, s.fail(err)
	}
	defer func() {
		if e := it.Close(); e != nil && err == nil {
			height, err = 0, s.fail(e)
		}
	}()
	for valid := it.Last(); valid; valid = it.Prev() {
		value, err := it.ValueAndErr()
		if err != nil {
			return 0, s.fail(err)
		}
		o, err := s.decodeObservation(value)
		if err != nil {
			return 0, err
		}
		if o.Header.TimeMS < sinceMS {
			return o.Header.Height + 1, nil
		}
	}
	return 0, nil
}
