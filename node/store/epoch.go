package store

import (
	"encoding/binary"

	"github.com/notarynet/notaryd/conflict"
	"github.com/notarynet/notaryd/proto/domain"
)

// Entered is the newest epoch that this node has entered, what it is bound to state when it closes it, and what those of these
// transactions spend that it took over from others.
type Entered struct {
	Epoch  uint64
	Link   domain.Hash
	Stated []conflict.Lock
	Bonds  []conflict.Bond
}

// EnterEpoch writes that this node has entered an epoch, with the locks that it inherited on the way: one synced batch.
// Only then may it sign anything under that epoch's link. Epochs are entered one after the other: else ErrInconsistent.
func (s *Store) EnterEpoch(e Entered, inherited []conflict.Record) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	wait, err := s.startEpoch(&e, inherited)
	if err != nil {
		return err
	}
	return wait()
}

func (s *Store) startEpoch(e *Entered, inherited []conflict.Record) (wait func() error, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before, _, err := s.entered()
	if err != nil {
		return nil, err
	}
	if e.Epoch != before.Epoch+1 {
		return nil, inconsistent("epoch %d entered after %d", e.Epoch, before.Epoch)
	}
	if inherited, err = s.standing(inherited); err != nil {
		return nil, err
	}
	w := &s.scratch
	w.reset()
	for i := range inherited {
		value := inherited[i].Value()
		w.key = appendVoteKey(w.key[:0], &inherited[i])
		w.set(w.key, value[:])
	}
	w.key = appendMetaKey(w.key[:0], metaEntered)
	w.value = e.append(w.value[:0])
	w.set(w.key, w.value)
	if wait, err = s.commit(w, true); err != nil {
		return nil, err
	}
	for i := range inherited {
		s.votes.add(&inherited[i], false, 0)
	}
	return wait, nil
}

// standing leaves out locks that yield to one on record: a restart must find the lock that the guard holds.
func (s *Store) standing(inherited []conflict.Record) ([]conflict.Record, error) {
	var out []conflict.Record
	for i := range inherited {
		key := appendVoteKey(nil, &inherited[i])
		value, found, err := s.get(s.db, key)
		if err != nil {
			return nil, err
		}
		if found {
			old, err := decodeVote(key, value)
			if err != nil {
				return nil, s.fail(err)
			}
			if inherited[i].YieldsTo(&old) {
				continue
			}
		}
		out = append(out, inherited[i])
	}
	return out, nil
}

// Entered is the newest epoch that this node has entered; false where it never left epoch 0.
func (s *Store) Entered() (Entered, bool, error) {
	if err := s.enter(); err != nil {
		return Entered{}, false, err
	}
	defer s.leave()
	return s.entered()
}

func (s *Store) entered() (e Entered, ok bool, err error) {
	value, ok, err := s.get(s.db, appendMetaKey(nil, metaEntered))
	if err != nil || !ok {
		return Entered{}, false, err
	}
	if e, err = decodeEntered(value); err != nil {
		return Entered{}, false, s.fail(err)
	}
	return e, true, nil
}

// lockBytes is a lock as it is written: transaction 32 | link 32 | round 4.
const lockBytes = 32 + 32 + 4

// append writes version 2 | epoch 8 | link 32 | number of locks 8 | locks | number of bonds 8 | bonds, each of them transaction 32 |
// number of outpoints 8 | outpoints. Version 1 ends with the locks and is read still.
func (e *Entered) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(append(b, version2), e.Epoch)
	b = append(b, e.Link[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(len(e.Stated)))
	for i := range e.Stated {
		l := &e.Stated[i]
		b = append(append(b, l.Tx[:]...), l.Link[:]...)
		b = binary.BigEndian.AppendUint32(b, l.Round)
	}
	b = binary.BigEndian.AppendUint64(b, uint64(len(e.Bonds)))
	for i := range e.Bonds {
		b = append(b, e.Bonds[i].Tx[:]...)
		b = binary.BigEndian.AppendUint64(b, uint64(len(e.Bonds[i].Spends)))
		for _, o := range e.Bonds[i].Spends {
			b = appendOutpoint(b, o)
		}
	}
	return b
}

func decodeEntered(value []byte) (e Entered, err error) {
	r := reader{rest: value}
	version := r.byte()
	r.bad = r.bad || version != version1 && version != version2
	e.Epoch, e.Link = r.uint64(), r.hash()
	for n := r.uint64(); n > 0 && !r.bad; n-- {
		if b := r.take(lockBytes); b != nil {
			e.Stated = append(e.Stated, conflict.Lock{
				Tx: domain.Hash(b[:32]), Link: domain.Hash(b[32:64]), Round: binary.BigEndian.Uint32(b[64:]),
			})
		}
	}
	if version == version2 {
		for n := r.uint64(); n > 0 && !r.bad; n-- {
			e.Bonds = append(e.Bonds, r.bond())
		}
	}
	return e, r.done("epoch entered")
}

func (r *reader) bond() (b conflict.Bond) {
	b.Tx = r.hash()
	for n := r.uint64(); n > 0 && !r.bad; n-- {
		if raw := r.take(outpointLen); raw != nil {
			b.Spends = append(b.Spends, outpointAt(raw))
		}
	}
	return b
}
