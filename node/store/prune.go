package store

import (
	"encoding/binary"
	"errors"

	"github.com/cockroachdb/pebble/v2"

	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
)

// SaveProof keeps a canonical acceptance proof beyond the observations that it was made of. It does not wait
// for the disk: what is pruned because of it is gone only after it is there.
func (s *Store) SaveProof(tx domain.Hash, proof []byte) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.scratch.reset()
	s.scratch.set(appendHashKey(nil, ClassProof, tx), appendBytes(nil, proof))
	_, err := s.commit(&s.scratch, false)
	return err
}

// Proof is a proof that was kept.
func (s *Store) Proof(tx domain.Hash) (proof []byte, ok bool, err error) {
	if err := s.enter(); err != nil {
		return nil, false, err
	}
	defer s.leave()
	value, ok, err := s.get(s.db, appendHashKey(nil, ClassProof, tx))
	if err != nil || !ok {
		return nil, false, err
	}
	if proof, err = decodeBytes(value); err != nil {
		return nil, false, s.fail(err)
	}
	return proof, true, nil
}

// PrunedMS is the time before which observations may be gone, Unix milliseconds; 0 where none are.
func (s *Store) PrunedMS() (ms uint64, err error) {
	if err := s.enter(); err != nil {
		return 0, err
	}
	defer s.leave()
	return s.prunedMS()
}

func (s *Store) prunedMS() (uint64, error) {
	value, ok, err := s.get(s.db, appendMetaKey(nil, metaPruned))
	if err != nil || !ok {
		return 0, err
	}
	r := read(value)
	ms := r.uint64()
	if err := r.done("time of pruning"); err != nil {
		return 0, s.fail(err)
	}
	return ms, nil
}

// clocksOff is how far clocks of honest nodes may be ahead, in milliseconds: what a signer states beyond that says nothing.
const clocksOff = 24 * 60 * 60 * 1000

// Cuts are, by chain, the lowest height that stays when it is pruned. Chains that are kept whole are not among them.
type Cuts map[observation.ChainID]uint64

// Walk says what of chains an epoch that goes on may still be walked (conflict.Handover): all of them under its link and
// later ones, but for what is clear (SaveClear).
type Walk struct {
	// Link is that of the epoch.
	Link domain.Hash
	// Past reports whether a link is of an epoch before.
	Past func(link domain.Hash) bool
}

// Prunable is what may go of each chain: a row from its beginning that was sealed before a time, Unix milliseconds, less
// the newest of these, and the head. A row ends where the chain states a time that is not before, whatever it states
// later, since a clock may be set back; and where it may still be walked. nowMS is the present time.
func (s *Store) Prunable(beforeMS, nowMS uint64, walk Walk) (Cuts, error) {
	chains, err := s.chains()
	if err != nil {
		return nil, err
	}
	clear, _, err := s.Clear()
	if err != nil {
		return nil, err
	}
	if clear.Link != walk.Link {
		clear.Heights = nil
	}
	cuts := Cuts{}
	for _, id := range chains {
		cut := uint64(0)
		for o, err := range s.Observations(id, 0, s.Head(id).Height) {
			if err != nil {
				return nil, err
			}
			h := &o.Header
			if !walk.Past(h.Link) && (h.Link != walk.Link || h.Height > clear.Heights[id]) {
				break
			}
			if h.TimeMS < beforeMS {
				cut = h.Height
			} else if h.TimeMS <= nowMS+clocksOff {
				break
			}
		}
		if cut > 1 {
			cuts[id] = cut
		}
	}
	return cuts, nil
}

// PruneObservations drops what is prunable before a time (Prunable), with its forks. It returns an estimate of the bytes
// that are free once the space is reclaimed, which goes on in the background.
//
// Proofs that refer to them can be made no more (SaveProof), and nobody can be served them. It works on a
// full disk.
func (s *Store) PruneObservations(beforeMS uint64, cuts Cuts) (bytes uint64, err error) {
	if err := s.enter(); err != nil {
		return 0, err
	}
	defer s.leave()
	for id, cut := range cuts {
		n, err := s.pruneChain(id, cut)
		if err != nil {
			return bytes, err
		}
		bytes += n
	}
	before, err := s.prunedMS()
	if err != nil {
		return bytes, err
	}
	value := binary.BigEndian.AppendUint64([]byte{version1}, max(before, beforeMS))
	if err := s.db.Set(appendMetaKey(nil, metaPruned), value, pebble.Sync); err != nil {
		return bytes, s.fail(err)
	}
	if _, err := s.db.AsyncFlush(); err != nil { // tables are dropped once the deletions are in one
		return bytes, s.fail(err)
	}
	return bytes, s.failed()
}

// pruneChain drops what lies below a height of one chain.
func (s *Store) pruneChain(id observation.ChainID, cut uint64) (bytes uint64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.db.NewBatch()
	for _, class := range []Class{ClassObservation, ClassFork} {
		from := appendChain(nil, class, id)
		to := binary.BigEndian.AppendUint64(appendChain(nil, class, id), cut)
		n, err := s.db.EstimateDiskUsage(from, to)
		if err = errors.Join(err, b.DeleteRange(from, to, nil)); err != nil {
			return 0, errors.Join(s.fail(err), b.Close())
		}
		bytes += n
	}
	if err := s.db.Apply(b, pebble.NoSync); err != nil {
		return 0, s.fail(err)
	}
	return bytes, s.closeBatch(b)
}
