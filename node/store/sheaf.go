package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/notarynet/notaryd/conflict"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/utxo"
)

// A sheaf is one record that holds what one batch of votes adds: vote records, and transactions that are pending from
// then on. Nearly all of it is decided a moment later, and then the sheaf goes as a whole; the same in a record each would be three
// records more for every vote, and three deletions.
//
// What is in force is what is in the records of ClassVote and ClassPending, and of the sheaves that are stored:
//
//   - each vote record on an outpoint that is not spent, unless ClassVote has one under the same key;
//   - each transaction that is neither final nor rejected here.
//
// So finality and rejection take entries out of sheaves by what they write anyway. For this to be true nothing may be in a sheaf
// that stays in force beyond that: when a contested outpoint is spent, its vote records are copied into ClassVote in
// the batch that spends it, a vote on an outpoint that is spent is written there at once, and a transaction that was
// rejected and is voted on again is written to ClassPending. A sheaf is deleted in the batch after which none of it is in force,
// and never before. Only the newest rejections are remembered: with one that took something out of a sheaf, the sheaf goes, and what is left
// of it gets records of its own.
type sheaf struct {
	TimeMS  uint64 // of the observation: when this node first voted on what is pending
	Pending []sheafTx
	Records []conflict.Record
}

// sheafTx is a transaction in a sheaf, its bytes being at a place in it.
type sheafTx struct {
	ID  domain.Hash
	Raw []byte
	At  uint32
}

// voteKey is the key of a vote record less its class.
type voteKey = [conflict.RecordKeySize]byte

const sheafEntry = conflict.RecordKeySize + conflict.RecordValueSize

// append writes version 1 | time 8 | uv number of transactions | of each id 32 | uv length | bytes | uv number of vote records | of each key
// and value. It says where in the result, which begins with b, the bytes are.
func (f *sheaf) append(b []byte) []byte {
	b = appendTime(b, f.TimeMS)
	b = binary.AppendUvarint(b, uint64(len(f.Pending)))
	for i := range f.Pending {
		tx := &f.Pending[i]
		b = append(b, tx.ID[:]...)
		b = binary.AppendUvarint(b, uint64(len(tx.Raw)))
		tx.At = uint32(len(b))
		b = append(b, tx.Raw...)
	}
	b = binary.AppendUvarint(b, uint64(len(f.Records)))
	for i := range f.Records {
		key, value := f.Records[i].Key(), f.Records[i].Value()
		b = append(append(b, key[:]...), value[:]...)
	}
	return b
}

// decodeSheaf shares memory with value.
func decodeSheaf(value []byte) (f sheaf, err error) {
	r := read(value)
	f.TimeMS = r.uint64()
	n := r.uvarint()
	if r.bad || n > uint64(len(r.rest))/(domain.Size+1) {
		return f, corrupt("sheaf of votes")
	}
	f.Pending = make([]sheafTx, n)
	for i := range f.Pending {
		tx := &f.Pending[i]
		tx.ID = r.hash()
		size := r.uvarint()
		tx.At = uint32(len(value) - len(r.rest))
		if tx.Raw = r.take(int(min(size, uint64(len(value))+1))); r.bad {
			return f, corrupt("sheaf of votes")
		}
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

// raw are the bytes of a transaction that is in the sheaf.
func (f *sheaf) raw(id domain.Hash) ([]byte, error) {
	i := slices.IndexFunc(f.Pending, func(tx sheafTx) bool { return tx.ID == id })
	if i < 0 {
		return nil, corrupt("transaction %s is not in its sheaf", id)
	}
	return f.Pending[i].Raw, nil
}

// inSheaf reads the bytes of a pending transaction; false where its sheaf is gone.
func (s *Store) inSheaf(r pebble.Reader, tx pendingTx) (raw []byte, ok bool, err error) {
	value, closer, err := r.Get(appendSequenceKey(nil, ClassSheaf, tx.Sheaf))
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, s.fail(err)
	}
	if end := uint64(tx.At) + uint64(tx.Size); end <= uint64(len(value)) {
		raw = bytes.Clone(value[tx.At:end])
	} else {
		err = corrupt("sheaf %d of %d bytes", tx.Sheaf, len(value))
	}
	if err = errors.Join(err, closer.Close()); err != nil {
		return nil, false, s.fail(err)
	}
	return raw, true, nil
}

// readSheaf reads one that must be there. It is valid until the probe is used again.
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

// sheaf is one that the batch looks into, read once.
func (l *leaving) sheaf(probe *probe, number uint64) (f sheaf, err error) {
	f, ok := l.read[number]
	if ok {
		return f, nil
	}
	if f, err = l.s.readSheaf(probe, number); err != nil {
		return f, err
	}
	for i := range f.Pending {
		f.Pending[i].Raw = bytes.Clone(f.Pending[i].Raw)
	}
	l.read[number] = f
	return f, nil
}

// record is that of a slot which is in a sheaf.
func (l *leaving) record(probe *probe, slot *voteSlot, key voteKey) (*conflict.Record, error) {
	f, err := l.sheaf(probe, slot.Sheaf)
	if err != nil {
		return nil, err
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
		slots := l.s.votes.of(outpointAt(key[:]))
		for i := range slots {
			if slots[i].key(outpointAt(key[:])) == key {
				slots[i].Sheaf, slots[i].Once = 0, false
			}
		}
	}
	for number, n := range l.gone {
		if l.s.sheaves[number] -= n; l.s.sheaves[number] == 0 {
			delete(l.s.sheaves, number)
			delete(l.s.taken, number)
		}
	}
}

// takenAt notes the place of a rejection that takes a transaction out of a sheaf.
func (s *Store) takenAt(sheaf, seq uint64) {
	if _, stored := s.sheaves[sheaf]; !stored {
		return
	}
	if first, known := s.taken[sheaf]; !known || seq < first {
		s.taken[sheaf] = seq
	}
}

// oldestSheaf is the one with the lowest number.
func (s *Store) oldestSheaf() uint64 {
	oldest := ^uint64(0)
	for number := range s.sheaves {
		oldest = min(oldest, number)
	}
	return oldest
}

// spread plans records of their own for all that is left of a sheaf but for transactions that the batch decides, and the votes on outpoints
// that it drops. It returns the transactions.
func (s *Store) spread(
	w *writes, probe *probe, l *leaving, number uint64, decides func(domain.Hash) bool, drops func(utxo.Outpoint) bool,
) (pending []domain.Hash, err error) {
	f, err := l.sheaf(probe, number)
	if err != nil {
		return nil, err
	}
	l.gone[number] += 0 // it goes, even if nothing of it was in force when the store was opened
	for i := range f.Records {
		r := &f.Records[i]
		slot := s.votes.find(r)
		if slot == nil || slot.Sheaf != number || l.stands(slot, r.Key()) || drops(r.Outpoint) {
			continue
		}
		value := r.Value()
		w.key = appendVoteKey(w.key[:0], r)
		w.set(w.key, value[:])
		l.stand(slot, r.Key())
	}
	for _, tx := range f.Pending {
		if p, ok := s.pending.get(tx.ID); !ok || p.Sheaf != number || decides(tx.ID) {
			continue
		}
		w.pending(tx.ID, f.TimeMS, tx.Raw)
		l.gone[number]++
		pending = append(pending, tx.ID)
	}
	return pending, nil
}

// pending sets the records of a transaction that is pending by none of a sheaf.
func (w *writes) pending(id domain.Hash, votedMS uint64, raw []byte) {
	w.key = appendHashKey(w.key[:0], ClassPending, id)
	w.value = appendTime(w.value[:0], votedMS)
	w.set(w.key, w.value)
	w.key = appendHashKey(w.key[:0], ClassTx, id)
	w.value = appendBytes(w.value[:0], raw)
	w.set(w.key, w.value)
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
	for _, at := range s.votes.at {
		for i := range at.list {
			if number := at.list[i].Sheaf; number != 0 {
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
		if _, spent, err := s.spentBy(probe, r.Outpoint); spent || err != nil {
			if err != nil {
				return err
			}
			continue
		}
		s.votes.add(r, false, number)
	}
	for i := range f.Pending {
		if err := s.loadSheafTx(probe, f.TimeMS, number, &f.Pending[i]); err != nil {
			return err
		}
	}
	return nil
}

// loadSheafTx finds whether a transaction in a sheaf is pending by it.
func (s *Store) loadSheafTx(probe *probe, votedMS, number uint64, tx *sheafTx) error {
	if final, err := s.isFinal(probe, tx.ID); final || err != nil {
		return err
	}
	value, rejected, err := probe.get(appendHashKey(nil, ClassRejected, tx.ID))
	if err != nil {
		return err
	}
	if rejected {
		v, err := decodeRejected(tx.ID, value)
		if err != nil {
			return err
		}
		s.takenAt(number, v.Seq)
		return nil
	}
	if p, ok := s.pending.get(tx.ID); !ok || p.Sheaf != 0 {
		s.pending.set(tx.ID, pendingTx{votedMS, number, tx.At, uint32(len(tx.Raw))})
	}
	return nil
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
