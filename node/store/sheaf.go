package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"

	"github.com/notarynet/notaryd/conflict"
	"github.com/notarynet/notaryd/proto/domain"
)

// A sheaf is one record that holds what one batch of votes adds: vote records, and transactions that are pending from
// then on. Nearly all of it is decided a moment later, and then the sheaf goes as a whole; the same in a record each would be three
// records more for every vote, and three deletions.
//
// What is in force is what is in the records of ClassVote and ClassPending, and of the sheaves that are stored:
//
//   - each vote record on an outpoint that is not spent, unless ClassVote has one under the same key;
//   - each transaction that is neither final nor rejected here, and of which there are bytes.
//
// So finality and rejection take entries out of sheaves by what they write anyway. For this to be true nothing may be in a sheaf
// that stays in force beyond that: when a contested outpoint is spent, its vote records are copied into ClassVote in
// the batch that spends it, a vote on an outpoint that is spent is written there at once, and a transaction that was
// rejected and is voted on again is written to ClassPending. A sheaf is deleted in the batch after which none of it is in force,
// and never before.
type sheaf struct {
	TimeMS  uint64 // of the observation: when this node first voted on what is pending
	Pending []domain.Hash
	Records []conflict.Record
}

// voteKey is the key of a vote record less its class.
type voteKey = [conflict.RecordKeySize]byte

const sheafEntry = conflict.RecordKeySize + conflict.RecordValueSize

// append writes version 1 | time 8 | uv number of transactions | ids | uv number of vote records | key and value of each.
func (f *sheaf) append(b []byte) []byte {
	b = appendTime(b, f.TimeMS)
	b = binary.AppendUvarint(b, uint64(len(f.Pending)))
	for i := range f.Pending {
		b = append(b, f.Pending[i][:]...)
	}
	b = binary.AppendUvarint(b, uint64(len(f.Records)))
	for i := range f.Records {
		key, value := f.Records[i].Key(), f.Records[i].Value()
		b = append(append(b, key[:]...), value[:]...)
	}
	return b
}

func decodeSheaf(value []byte) (f sheaf, err error) {
	r := read(value)
	f.TimeMS = r.uint64()
	n := r.uvarint()
	if r.bad || n > uint64(len(r.rest))/domain.Size {
		return f, corrupt("sheaf of votes")
	}
	for range n {
		f.Pending = append(f.Pending, r.hash())
	}
	if n = r.uvarint(); r.bad || n > uint64(len(r.rest))/sheafEntry {
		return f, corrupt("sheaf of votes")
	}
	for range n {
		b := r.take(sheafEntry)
		record, err := conflict.DecodeRecord(b[:conflict.RecordKeySize], b[conflict.RecordKeySize:])
		if err != nil {
			return f, corrupt("sheaf of votes: %v", err)
		}
		f.Records = append(f.Records, record)
	}
	return f, r.done("sheaf of votes")
}

// readSheaf reads one that must be there.
func (s *Store) readSheaf(probe *probe, number uint64) (f sheaf, err error) {
	value, ok, err := probe.get(appendSequenceKey(nil, ClassSheaf, number))
	if err != nil {
		return f, err
	}
	if !ok {
		return f, s.fail(corrupt("no sheaf %d", number))
	}
	if f, err = decodeSheaf(value); err != nil {
		return f, s.fail(err)
	}
	return f, nil
}

// leaving are the entries that a batch takes out of sheaves: how many of each, and which of them get records of their own.
type leaving struct {
	s     *Store
	gone  map[uint64]int
	alone map[voteKey]struct{}
	read  map[uint64]sheaf // that were looked into
}

func (s *Store) newLeaving() leaving {
	return leaving{s: s, gone: map[uint64]int{}, alone: map[voteKey]struct{}{}, read: map[uint64]sheaf{}}
}

// record is that of a slot which is in a sheaf.
func (l *leaving) record(probe *probe, slot *voteSlot, key voteKey) (*conflict.Record, error) {
	f, ok := l.read[slot.Sheaf]
	if !ok {
		var err error
		if f, err = l.s.readSheaf(probe, slot.Sheaf); err != nil {
			return nil, err
		}
		l.read[slot.Sheaf] = f
	}
	i := slices.IndexFunc(f.Records, func(r conflict.Record) bool { return r.Key() == key })
	if i < 0 {
		return nil, l.s.fail(corrupt("vote %x is not in sheaf %d", key, slot.Sheaf))
	}
	return &f.Records[i], nil
}

// stands reports whether a vote record is in ClassVote by what this batch has planned so far.
func (l *leaving) stands(slot *voteSlot, key voteKey) bool {
	_, alone := l.alone[key]
	return slot.Sheaf == 0 || alone
}

// stand plans that a record gets one of its own, which the caller writes.
func (l *leaving) stand(slot *voteSlot, key voteKey) {
	if !l.stands(slot, key) {
		l.alone[key] = struct{}{}
		l.gone[slot.Sheaf]++
	}
}

// plan deletes the sheaves of which nothing is left.
func (l *leaving) plan(w *writes) {
	for number, n := range l.gone {
		if l.s.sheaves[number] == n {
			w.key = appendSequenceKey(w.key[:0], ClassSheaf, number)
			w.take(w.key)
		}
	}
}

// settle makes known what was planned, before anything is dropped from the index.
func (l *leaving) settle() {
	for key := range l.alone {
		slots := l.s.votes[outpointAt(key[:])]
		for i := range slots {
			if slots[i].key(outpointAt(key[:])) == key {
				slots[i].Sheaf, slots[i].Once = 0, false
			}
		}
	}
	for number, n := range l.gone {
		if l.s.sheaves[number] -= n; l.s.sheaves[number] == 0 {
			delete(l.s.sheaves, number)
		}
	}
}

// spread plans records of their own for all that is left of the oldest sheaf.
func (s *Store) spread(w *writes, probe *probe, l *leaving) (pending []domain.Hash, err error) {
	oldest := ^uint64(0)
	for number := range s.sheaves {
		oldest = min(oldest, number)
	}
	f, err := s.readSheaf(probe, oldest)
	if err != nil {
		return nil, err
	}
	l.gone[oldest] += 0 // it goes, even if nothing of it was in force when the store was opened
	for i := range f.Records {
		r := &f.Records[i]
		slot := s.votes.find(r)
		if slot == nil || slot.Sheaf != oldest {
			continue
		}
		value := r.Value()
		w.key = appendVoteKey(w.key[:0], r)
		w.set(w.key, value[:])
		l.stand(slot, r.Key())
	}
	for _, id := range f.Pending {
		if p, ok := s.pending.get(id); !ok || p.Sheaf != oldest {
			continue
		}
		w.key = appendHashKey(w.key[:0], ClassPending, id)
		w.value = appendTime(w.value[:0], f.TimeMS)
		w.set(w.key, w.value)
		l.gone[oldest]++
		pending = append(pending, id)
	}
	return pending, nil
}

// loadSheaves finds what is in force of the sheaves, after ClassVote and ClassPending are loaded.
func (s *Store) loadSheaves() error {
	probe, err := s.newProbe()
	if err != nil {
		return err
	}
	for number, err := range scanClass(s, ClassSheaf, func(key, _ []byte) (uint64, error) { return parseSequenceKey(ClassSheaf, key) }) {
		if err == nil {
			err = s.loadSheaf(probe, number)
		}
		if err != nil {
			return probe.close(s.fail(err))
		}
	}
	for _, slots := range s.votes {
		for i := range slots {
			if number := slots[i].Sheaf; number != 0 {
				s.sheaves[number]++
			}
		}
	}
	for _, p := range s.pending.txs {
		if p.Sheaf != 0 {
			s.sheaves[p.Sheaf]++
		}
	}
	return probe.close(nil)
}

func (s *Store) loadSheaf(probe *probe, number uint64) error {
	f, err := s.readSheaf(probe, number)
	if err != nil {
		return err
	}
	s.lastSheaf = number
	s.sheaves[number] = 0
	for i := range f.Records {
		r := &f.Records[i]
		slot := s.votes.find(r)
		if slot != nil && slot.Sheaf == 0 {
			continue
		}
		if spent, err := probe.has(appendOutpointKey(nil, ClassSpent, r.Outpoint)); spent || err != nil {
			if err != nil {
				return err
			}
			continue
		}
		s.votes.add(r, false, number)
	}
	for _, id := range f.Pending {
		if p, ok := s.pending.get(id); ok && p.Sheaf == 0 {
			continue
		}
		open, err := undecided(probe, id)
		if err != nil {
			return err
		}
		if open {
			s.pending.set(id, pendingTx{f.TimeMS, number})
		}
	}
	return nil
}

// undecided reports whether a transaction that is in a sheaf is pending.
func undecided(probe *probe, id domain.Hash) (bool, error) {
	for _, c := range []Class{ClassFinal, ClassRejected} {
		if decided, err := probe.has(appendHashKey(nil, c, id)); decided || err != nil {
			return false, err
		}
	}
	return probe.has(appendHashKey(nil, ClassTx, id))
}

// guardRecords are all vote records in force, in key order.
func (s *Store) guardRecords() (list []conflict.Record, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for r, err := range scanClass(s, ClassVote, decodeVote) {
		if err != nil {
			return nil, s.fail(err)
		}
		list = append(list, r)
	}
	probe, err := s.newProbe()
	if err != nil {
		return nil, err
	}
	for number := range s.sheaves {
		f, err := s.readSheaf(probe, number)
		if err != nil {
			return nil, errors.Join(err, probe.close(nil))
		}
		for i := range f.Records {
			if slot := s.votes.find(&f.Records[i]); slot != nil && slot.Sheaf == number {
				list = append(list, f.Records[i])
			}
		}
	}
	slices.SortFunc(list, func(a, b conflict.Record) int {
		x, y := a.Key(), b.Key()
		return bytes.Compare(x[:], y[:])
	})
	return list, probe.close(nil)
}
