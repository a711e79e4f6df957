package store

import (
	"cmp"
	"encoding/binary"
	"slices"

	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
)

// Clear says how far the chains of an epoch bind nobody any more (conflict.Handover.Clear): after a restart the node
// need not walk them from the epoch's first observation, which may be millions ago.
type Clear struct {
	// Link is that of the epoch.
	Link domain.Hash
	// Heights are the highest observations that do not matter, of those chains that have any.
	Heights map[observation.ChainID]uint64
}

// SaveClear writes how far chains are clear, in place of what was written before. It does not wait for the disk: what
// made them clear was written before it, and a crash that takes it takes nothing that cannot be walked again. ErrFull
// means that nothing was written.
func (s *Store) SaveClear(c Clear) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	if err := s.room(s.options.ReserveBytes); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	w := &s.scratch
	w.reset()
	w.key = appendMetaKey(w.key[:0], metaClear)
	w.value = c.append(w.value[:0])
	w.set(w.key, w.value)
	_, err := s.commit(w, false)
	return err
}

// Clear is what SaveClear wrote last; false where it never did.
func (s *Store) Clear() (c Clear, ok bool, err error) {
	if err := s.enter(); err != nil {
		return Clear{}, false, err
	}
	defer s.leave()
	value, ok, err := s.get(s.db, appendMetaKey(nil, metaClear))
	if err != nil || !ok {
		return Clear{}, false, err
	}
	if c, err = decodeClear(value); err != nil {
		return Clear{}, false, s.fail(err)
	}
	return c, true, nil
}

// append writes version 1 | link 32 | number of chains 8 | for each chain, ascending: chain 36 | height 8.
func (c *Clear) append(b []byte) []byte {
	b = append(append(b, version1), c.Link[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(len(c.Heights)))
	chains := make([]observation.ChainID, 0, len(c.Heights))
	for id := range c.Heights {
		chains = append(chains, id)
	}
	slices.SortFunc(chains, func(a, b observation.ChainID) int {
		return cmp.Or(slices.Compare(a.Key[:], b.Key[:]), cmp.Compare(a.SigningEpoch, b.SigningEpoch))
	})
	for _, id := range chains {
		b = binary.BigEndian.AppendUint32(append(b, id.Key[:]...), id.SigningEpoch)
		b = binary.BigEndian.AppendUint64(b, c.Heights[id])
	}
	return b
}

func decodeClear(value []byte) (c Clear, err error) {
	r := read(value)
	c.Link, c.Heights = r.hash(), make(map[observation.ChainID]uint64)
	for n := r.uint64(); n > 0 && !r.bad; n-- {
		if b := r.take(chainLen + 8); b != nil {
			c.Heights[chainAt(b)] = binary.BigEndian.Uint64(b[chainLen:])
		}
	}
	return c, r.done("clear chains")
}
