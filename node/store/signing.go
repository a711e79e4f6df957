package store

import (
	"encoding/binary"
	"fmt"

	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
)

// Signing says in which signing epoch of its key this store signs. In every other one somebody may have
// signed what is not on record here: another machine, or this one after the backup was made that this
// store comes from.
type Signing struct {
	// Epoch is the only one.
	Epoch uint32
	// Backup says that the store is a backup that was not restored. It signs in no epoch.
	Backup bool
	// RestoredMS is when the store was restored, or its votes were lost, Unix milliseconds; 0 for a store
	// that holds every vote of its epoch.
	RestoredMS uint64
}

// String says it in half a sentence.
func (s Signing) String() string {
	if s.Backup {
		return "it is a backup that was not restored"
	}
	return fmt.Sprintf("it signs in epoch %d alone", s.Epoch)
}

const flagBackup = 1

func (s Signing) append(b []byte) []byte {
	flags := byte(0)
	if s.Backup {
		flags = flagBackup
	}
	b = append(b, version1, flags)
	b = binary.BigEndian.AppendUint32(b, s.Epoch)
	return binary.BigEndian.AppendUint64(b, s.RestoredMS)
}

func decodeSigning(value []byte) (Signing, error) {
	r := read(value)
	flags := r.byte()
	if flags > flagBackup {
		r.bad = true
	}
	var s Signing
	s.Backup = flags == flagBackup
	if b := r.take(4); b != nil {
		s.Epoch = binary.BigEndian.Uint32(b)
	}
	s.RestoredMS = r.uint64()
	return s, r.done("signing epoch")
}

// Signing is in which epoch this store signs.
func (s *Store) Signing() Signing { return s.signing }

// mine reports whether a chain is the one that this store signs.
func (s *Store) mine(id observation.ChainID) bool {
	return id.Key == s.options.Key && id.SigningEpoch == s.signing.Epoch && !s.signing.Backup
}

// Signed reports whether this node has signed an observation, by its own record: the one that is stored at that height
// of its chain. Below its head one can be missing only because it was pruned; what anybody says was there is believed.
func (s *Store) Signed(id observation.ChainID, height uint64, hash domain.Hash) (bool, error) {
	if err := s.enter(); err != nil {
		return false, err
	}
	defer s.leave()
	if !s.mine(id) || height == 0 || height > s.shown(id) {
		return false, nil
	}
	value, ok, err := s.get(s.db, appendObservationKey(nil, id, height))
	if err != nil || !ok {
		return err == nil, err
	}
	known, _, err := decodeObservation(value)
	if err != nil {
		return false, s.fail(err)
	}
	return known == hash, nil
}

// loadSigning reads the epoch. A store that was made before there was a record of it signs in the highest
// that it has signed in.
func (s *Store) loadSigning() error {
	value, ok, err := s.get(s.db, appendMetaKey(nil, metaSigning))
	if err != nil {
		return err
	}
	if ok {
		if s.signing, err = decodeSigning(value); err != nil {
			return s.fail(err)
		}
		return nil
	}
	s.signing, err = s.lastSigned()
	return err
}

// lastSigned is the highest epoch in which the key has signed, by what is stored.
func (s *Store) lastSigned() (last Signing, err error) {
	for id, err := range scanClass(s, ClassHead, func(key, _ []byte) (observation.ChainID, error) { return parseHeadKey(key) }) {
		if err != nil {
			return last, s.fail(err)
		}
		if id.Key == s.options.Key {
			last.Epoch = max(last.Epoch, id.SigningEpoch)
		}
	}
	return last, nil
}
