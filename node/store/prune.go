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

// PruneObservations drops the observations that were sealed before a time, Unix milliseconds, each chain's
// newest one of these and its head excepted, with their forks. It returns an estimate of the bytes that are
// free once the space is reclaimed, which goes on in the background.
//
// Proofs that refer to them can be made no more (SaveProof), and nobody can be served them. It works on a
// full disk.
func (s *Store) PruneObservations(beforeMS uint64) (bytes uint64, err error) {
	chains, err := s.chains()
	if err != nil {
		return 0, err
	}
	for _, id := range chains {
		n, err := s.pruneChain(id, beforeMS)
		if err != nil {
			return bytes, err
		}
		bytes += n
	}
	if err := s.enter(); err != nil {
		return bytes, err
	}
	defer s.leave()
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

// pruneChain drops the old observations of one chain.
func (s *Store) pruneChain(id observation.ChainID, beforeMS uint64) (bytes uint64, err error) {
	since, err := s.firstSince(id, beforeMS)
	if err != nil || since < 2 {
		return 0, err
	}
	if err := s.enter(); err != nil {
		return 0, err
	}
	defer s.leave()
	s.mu.Lock()
	defer s.mu.Unlock()
	end := min(since-1, s.heads[id].Height)
	if end == 0 {
		return 0, nil // all of it lies beyond a gap
	}
	b := s.db.NewBatch()
	for _, class := range []Class{ClassObservation, ClassFork} {
		from := appendChain(nil, class, id)
		to := binary.BigEndian.AppendUint64(appendChain(nil, class, id), end)
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
