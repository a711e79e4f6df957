package store

import (
	"cmp"
	"iter"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
)

// SaveObservations keeps observations of others that were checked. It does not wait for the disk:
// what is lost in a crash is pulled again, and a final that refers to them is synced after them.
//
// One that is known is skipped. A second one at a height, which only a liar makes, is kept beside the
// first (Forks): its votes count too. Observations of this node's own key in the epoch in which it signs
// are refused with ErrInconsistent: they come through SaveVotes alone. Those of other epochs are what an
// earlier life signed, which a restored store may have forgotten.
func (s *Store) SaveObservations(list []*observation.Observation) error {
	if len(list) == 0 {
		return nil
	}
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	if err := s.room(s.options.ReserveBytes); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	probe, err := s.newProbe()
	if err != nil {
		return err
	}
	s.scratch.reset()
	p := chainPlan{s: s, w: &s.scratch, probe: probe, heads: map[observation.ChainID]headValue{}, added: map[place]domain.Hash{}}
	err = p.add(list)
	if err == nil {
		err = p.advance()
	}
	if err = probe.close(err); err != nil {
		return err
	}
	if _, err = s.commit(p.w, false); err != nil {
		return err
	}
	for id, head := range p.heads {
		s.heads[id] = head
	}
	return nil
}

// place is a height of a chain.
type place struct {
	Chain  observation.ChainID
	Height uint64
}

// chainPlan is a batch of observations in the making.
type chainPlan struct {
	s     *Store
	w     *writes
	probe *probe
	added map[place]domain.Hash
	heads map[observation.ChainID]headValue // those that change
}

func (p *chainPlan) add(list []*observation.Observation) error {
	w := p.w
	for _, o := range list {
		if p.s.mine(o.Header.Chain()) || o.Header.Network != p.s.options.Network {
			return inconsistent("observation of key %s on network %s among those of others", o.Header.Key, o.Header.Network)
		}
		at := place{o.Header.Chain(), o.Header.Height}
		known, found, err := p.hash(at)
		if err != nil {
			return err
		}
		switch {
		case !found:
			w.key = appendObservationKey(w.key[:0], at.Chain, at.Height)
			p.added[at] = o.Hash
		case known != o.Hash:
			w.key = appendForkKey(w.key[:0], at.Chain, at.Height, o.Hash)
		default:
			continue
		}
		w.value = appendObservation(w.value[:0], o.Hash, o.Raw)
		w.set(w.key, w.value)
	}
	return nil
}

// hash is that of the observation at a place, in this batch or stored.
func (p *chainPlan) hash(at place) (domain.Hash, bool, error) {
	if h, ok := p.added[at]; ok {
		return h, true, nil
	}
	var buf [observationKeyLen]byte
	value, ok, err := p.probe.get(appendObservationKey(buf[:0], at.Chain, at.Height))
	if err != nil || !ok {
		return domain.Hash{}, false, err
	}
	h, _, err := decodeObservation(value)
	if err != nil {
		return domain.Hash{}, false, p.s.fail(err)
	}
	return h, true, nil
}

// advance moves the heads of the chains that grew, over what was stored beyond a gap too.
func (p *chainPlan) advance() error {
	for at := range p.added {
		head, moved := p.heads[at.Chain]
		if moved {
			continue
		}
		head = p.s.heads[at.Chain]
		from := head.Height
		for {
			h, ok, err := p.hash(place{at.Chain, head.Height + 1})
			if err != nil {
				return err
			}
			if !ok {
				break
			}
			head = headValue{head.Height + 1, h}
		}
		if head.Height > from {
			p.heads[at.Chain] = head
			setHead(p.w, at.Chain, head)
		}
	}
	return nil
}

// Head is the newest observation up to which the store holds a chain without a gap, from height 1 on.
// Where it holds none, the head is that of a chain before its first observation. Of this node's own
// chain, what is not on disk yet is shown by no call that reads.
func (s *Store) Head(id observation.ChainID) observation.Head {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mine(id) {
		return headOf(id, s.signed[id])
	}
	return headOf(id, s.heads[id])
}

// Heads are those of all chains, this node's own included, by key and signing epoch.
func (s *Store) Heads() []observation.Head {
	s.mu.Lock()
	defer s.mu.Unlock()
	heads := make([]observation.Head, 0, len(s.heads))
	for id, v := range s.heads {
		if s.mine(id) {
			if v = s.signed[id]; v.Height == 0 {
				continue
			}
		}
		heads = append(heads, headOf(id, v))
	}
	slices.SortFunc(heads, func(a, b observation.Head) int {
		return cmp.Or(a.Key.Compare(b.Key), cmp.Compare(a.SigningEpoch, b.SigningEpoch))
	})
	return heads
}

func headOf(id observation.ChainID, v headValue) observation.Head {
	return observation.Head{Key: id.Key, SigningEpoch: id.SigningEpoch, Height: v.Height, Hash: v.Hash}
}

// Observation is the one at a height of a chain: the first that came, where there are several.
func (s *Store) Observation(id observation.ChainID, height uint64) (*observation.Observation, bool, error) {
	if err := s.enter(); err != nil {
		return nil, false, err
	}
	defer s.leave()
	if height > s.shown(id) {
		return nil, false, nil
	}
	value, ok, err := s.get(s.db, appendObservationKey(nil, id, height))
	if err != nil || !ok {
		return nil, false, err
	}
	o, err := s.decodeObservation(value)
	return o, err == nil, err
}

func (s *Store) decodeObservation(value []byte) (*observation.Observation, error) {
	_, raw, err := decodeObservation(value)
	if err != nil {
		return nil, s.fail(err)
	}
	o, err := observation.Decode(raw, observation.Rules{Network: s.options.Network})
	if err != nil {
		return nil, s.fail(corrupt("observation: %v", err))
	}
	return o, nil
}

// Observations are those of a chain from one height to another, both included, ascending; heights
// that are missing are left out. The sequence ends with the first error.
func (s *Store) Observations(id observation.ChainID, from, to uint64) iter.Seq2[*observation.Observation, error] {
	to = min(to, s.shown(id))
	lower := appendObservationKey(nil, id, from)
	upper := after(appendChain(nil, ClassObservation, id))
	if to < ^uint64(0) {
		upper = appendObservationKey(nil, id, to+1)
	}
	return observationsOf(s, lower, upper)
}

// Forks are the further observations at a height of a chain, in no particular order. They convict the
// signer, and their votes count like those of the first.
func (s *Store) Forks(id observation.ChainID, height uint64) iter.Seq2[*observation.Observation, error] {
	prefix := appendForkPrefix(nil, id, height)
	return observationsOf(s, prefix, after(prefix))
}

// HasFork reports whether an observation is one of Forks, without reading them: there may be many.
func (s *Store) HasFork(id observation.ChainID, height uint64, hash domain.Hash) (bool, error) {
	if err := s.enter(); err != nil {
		return false, err
	}
	defer s.leave()
	_, ok, err := s.get(s.db, appendForkKey(nil, id, height, hash))
	return ok, err
}

func observationsOf(s *Store, lower, upper []byte) iter.Seq2[*observation.Observation, error] {
	return scan(s, lower, upper, func(_, value []byte) (*observation.Observation, error) {
		return s.decodeObservation(append([]byte(nil), value...))
	})
}

// EdgeObservation is the observation that an edge refers to: of those at its height, the one under a link whose
// leaf at the edge's position is the ACCEPTED vote on tx in the round.
func (s *Store) EdgeObservation(e EdgeRef, tx, link domain.Hash, round uint32) (*observation.Observation, bool, error) {
	id := observation.ChainID{Key: e.Key, SigningEpoch: e.SigningEpoch}
	o, ok, err := s.Observation(id, e.Height)
	if err != nil || ok && Holds(o, e.Leaf, tx, link, round) {
		return o, ok, err
	}
	for o, err := range s.Forks(id, e.Height) {
		if err != nil {
			return nil, false, err
		}
		if Holds(o, e.Leaf, tx, link, round) {
			return o, true, nil
		}
	}
	return nil, false, nil
}

// Holds reports whether a leaf of an observation is the ACCEPTED vote on tx in the round, under a link: two branches of
// a fork may say the same at one place, and count in two epochs.
func Holds(o *observation.Observation, leaf uint32, tx, link domain.Hash, round uint32) bool {
	if uint64(leaf) >= uint64(o.Len()) || o.Header.Link != link {
		return false
	}
	l := o.Leaf(int(leaf))
	return l.Subject == tx && l.State == observation.Accepted && l.Round == round
}

// scan decodes every record from lower up to, not including, upper, in one view of the store. Calls
// from within the loop are allowed, but for Close. What decode keeps of its arguments it must copy.
func scan[T any](s *Store, lower, upper []byte, decode func(key, value []byte) (T, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var zero T
		if err := s.enter(); err != nil {
			yield(zero, err)
			return
		}
		defer s.leave()
		it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
		if err != nil {
			yield(zero, s.fail(err))
			return
		}
		defer func() { _ = it.Close() }() // its error is that of Error, below
		for valid := it.First(); valid; valid = it.Next() {
			value, err := it.ValueAndErr()
			if err != nil {
				yield(zero, s.fail(err))
				return
			}
			v, err := decode(it.Key(), value)
			if !yield(v, err) || err != nil {
				return
			}
		}
		if err := it.Error(); err != nil {
			yield(zero, s.fail(err))
		}
	}
}

// scanClass decodes every record of a class.
func scanClass[T any](s *Store, c Class, decode func(key, value []byte) (T, error)) iter.Seq2[T, error] {
	return scan(s, []byte{byte(c)}, []byte{byte(c) + 1}, decode)
}
