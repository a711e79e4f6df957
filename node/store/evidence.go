package store

import (
	"iter"

	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
)

// SaveEvidence keeps evidence that was verified, for ever, by its hash. It is on disk when the call returns.
// added is false for evidence that is known.
func (s *Store) SaveEvidence(e *observation.Evidence) (added bool, err error) {
	if err := s.enter(); err != nil {
		return false, err
	}
	defer s.leave()
	if e.Hash != domain.Sum(domain.TagEvidence, e.Raw) {
		return false, inconsistent("evidence that does not hash to %s", e.Hash)
	}
	wait, err := s.startEvidence(e)
	if wait == nil || err != nil {
		return false, err
	}
	return true, wait()
}

// startEvidence hands evidence to pebble; a nil wait says that it is known.
func (s *Store) startEvidence(e *observation.Evidence) (wait func() error, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := appendHashKey(nil, ClassEvidence, e.Hash)
	if _, known, err := s.get(s.db, key); known || err != nil {
		return nil, err
	}
	if err := s.room(s.options.ReserveBytes / 2); err != nil {
		return nil, err
	}
	s.scratch.reset()
	s.scratch.set(key, appendBytes(nil, e.Raw))
	return s.commit(&s.scratch, true)
}

// Evidence is a piece of evidence by its hash.
func (s *Store) Evidence(hash domain.Hash) (*observation.Evidence, bool, error) {
	if err := s.enter(); err != nil {
		return nil, false, err
	}
	defer s.leave()
	key := appendHashKey(nil, ClassEvidence, hash)
	value, ok, err := s.get(s.db, key)
	if err != nil || !ok {
		return nil, false, err
	}
	e, err := s.decodeEvidence(key, value)
	return e, err == nil, err
}

// EvidenceAfter is all evidence kept whose hash is above one, by hash; the zero hash is below all. The
// sequence ends with the first error.
func (s *Store) EvidenceAfter(hash domain.Hash) iter.Seq2[*observation.Evidence, error] {
	lower := append(appendHashKey(nil, ClassEvidence, hash), 0)
	return scan(s, lower, []byte{byte(ClassEvidence) + 1}, s.decodeEvidence)
}

func (s *Store) decodeEvidence(key, value []byte) (*observation.Evidence, error) {
	hash, err := parseHashKey(ClassEvidence, key)
	if err != nil {
		return nil, s.fail(err)
	}
	raw, err := decodeBytes(append([]byte(nil), value...))
	if err != nil {
		return nil, s.fail(err)
	}
	e, err := observation.DecodeEvidence(raw)
	if err != nil {
		return nil, s.fail(corrupt("evidence: %v", err))
	}
	if e.Hash != hash {
		return nil, s.fail(corrupt("evidence under the hash of another"))
	}
	return e, nil
}
