package store

import (
	"fmt"
	"slices"

	"github.com/notarynet/notaryd/conflict"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/utxo"
)

// voteIndex knows which vote records an outpoint has, so that they can be dropped without a search
// when it is spent. It holds what is undecided or was contested, and no more.
type voteIndex map[utxo.Outpoint][]voteSlot

type voteSlot struct {
	Round uint32
	State observation.State
	Tx    domain.Hash
	// Once says that the record is known to have been written no more than once (writes.take).
	Once bool
}

func (s voteSlot) holds(r *conflict.Record) bool { return s.Round == r.Round && s.State == r.State }

// add enters a record; written says that it was written just now.
func (v voteIndex) add(r *conflict.Record, written bool) {
	slots := v[r.Outpoint]
	if i := slices.IndexFunc(slots, func(s voteSlot) bool { return s.holds(r) }); i >= 0 {
		slots[i].Tx, slots[i].Once = r.Tx, false
		return
	}
	v[r.Outpoint] = append(slots, voteSlot{r.Round, r.State, r.Tx, written})
}

// rewritten notes that a record is written again, and reports whether there is one.
func (v voteIndex) rewritten(r *conflict.Record) bool {
	slots := v[r.Outpoint]
	i := slices.IndexFunc(slots, func(s voteSlot) bool { return s.holds(r) })
	if i >= 0 {
		slots[i].Once = false
	}
	return i >= 0
}

// contested reports whether this node has voted on an outpoint for anything but the transaction that
// spends it for good.
func (v voteIndex) contested(o utxo.Outpoint, winner domain.Hash) bool {
	return slices.ContainsFunc(v[o], func(s voteSlot) bool { return s.Tx != winner })
}

// dropVotes plans the removal of an outpoint's vote records, now that it is spent for good. Where this
// node has voted for a rival they stay: it may go on supporting the winner in rounds in which it voted
// for the rival before (rules N1 and N4).
func (p *plan) dropVotes(o utxo.Outpoint, winner domain.Hash) {
	if p.s.votes.contested(o, winner) {
		return
	}
	for _, slot := range p.s.votes[o] {
		p.w.key = appendVoteKey(p.w.key[:0], &conflict.Record{Outpoint: o, Round: slot.Round, State: slot.State})
		if slot.Once {
			p.w.take(p.w.key)
		} else {
			p.w.delete(p.w.key)
		}
	}
}

// VoteBatch is what must be on disk before an observation of this node leaves it (rule N5).
type VoteBatch struct {
	// Records are those of the guard for the votes in the observation.
	Records []conflict.Record
	// Transactions are those voted on. They are pending from now on, unless they are final.
	Transactions []*utxo.Tx
	// Observation holds the votes. It follows the newest one of this node's chain.
	Observation *observation.Observation
}

// SaveVotes writes vote records, the transactions voted on, the observation and the new head of this
// node's chain: one synced batch. Only then may the observation leave the node.
//
// The observation must be of this store's key, and follow the head without a gap: else ErrInconsistent; and
// of the signing epoch in which this store signs: else ErrMayNotSign. ErrFull means that nothing was written and
// that the vote must not be cast.
func (s *Store) SaveVotes(b VoteBatch) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	if err := s.room(s.options.ReserveBytes); err != nil {
		return err
	}
	wait, err := s.startVotes(&b)
	if err != nil {
		return err
	}
	if err := wait(); err != nil {
		return err
	}
	s.nowSigned(b.Observation.Head())
	return nil
}

// nowSigned moves the head of an own chain that readers may see. Pebble shows a batch before it is on disk,
// and whoever reads this node's votes may pass them on (rule N5).
func (s *Store) nowSigned(h observation.Head) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := observation.ChainID{Key: h.Key, SigningEpoch: h.SigningEpoch}
	if h.Height > s.signed[id].Height {
		s.signed[id] = headValue{h.Height, h.Hash}
	}
}

// shown is how far readers may see a chain.
func (s *Store) shown(id observation.ChainID) uint64 {
	if !s.mine(id) {
		return ^uint64(0)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.signed[id].Height
}

func (s *Store) startVotes(b *VoteBatch) (wait func() error, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.checkOwn(b.Observation); err != nil {
		return nil, err
	}
	probe, err := s.newProbe()
	if err != nil {
		return nil, err
	}
	w := &s.scratch
	w.reset()
	added, kept, err := s.planVotes(w, probe, b)
	if err = probe.close(err); err != nil {
		return nil, err
	}
	o := b.Observation
	id, head := o.Header.Chain(), headValue{o.Header.Height, o.Hash}
	w.key = appendObservationKey(w.key[:0], id, o.Header.Height)
	w.value = appendObservation(w.value[:0], o.Hash, o.Raw)
	w.set(w.key, w.value)
	setHead(w, id, head)
	if wait, err = s.commit(w, true); err != nil {
		return nil, err
	}
	s.heads[id] = head
	for _, tx := range added {
		s.pending[tx] = struct{}{}
	}
	for _, r := range kept {
		s.votes.add(r, true)
	}
	return wait, nil
}

// checkOwn refuses an observation that would fork this node's own chain.
func (s *Store) checkOwn(o *observation.Observation) error {
	if o == nil || len(o.Raw) == 0 {
		return inconsistent("votes without an observation")
	}
	h := &o.Header
	if h.Key != s.options.Key || h.Network != s.options.Network {
		return inconsistent("own observation of key %s on network %s", h.Key, h.Network)
	}
	if !s.mine(h.Chain()) {
		return fmt.Errorf("%w: %d; %s", ErrMayNotSign, h.SigningEpoch, s.signing)
	}
	head := s.heads[h.Chain()]
	if h.Height != head.Height+1 || h.Previous != head.Hash {
		return inconsistent("own observation at height %d on %s, the head is %d, %s", h.Height, h.Previous, head.Height, head.Hash)
	}
	return nil
}

// planVotes plans transactions and records, and returns those that are new here. What is decided
// already leaves nothing behind, unless it was voted against: a node goes on supporting what it holds
// final.
func (s *Store) planVotes(w *writes, probe *probe, b *VoteBatch) (added []domain.Hash, kept []*conflict.Record, err error) {
	batch := make(map[domain.Hash]struct{}, len(b.Transactions))
	for _, tx := range b.Transactions {
		if s.isPending(tx.ID, batch) {
			continue
		}
		if !slices.ContainsFunc(tx.Spends(), s.recent.live) {
			w.key = appendHashKey(w.key[:0], ClassFinal, tx.ID)
			final, err := probe.has(w.key)
			if err != nil {
				return nil, nil, err
			}
			if final {
				continue
			}
		}
		w.key = appendHashKey(w.key[:0], ClassTx, tx.ID)
		w.value = appendBytes(w.value[:0], tx.Raw)
		w.set(w.key, w.value)
		w.key = appendHashKey(w.key[:0], ClassPending, tx.ID)
		w.value = appendTime(w.value[:0], b.Observation.Header.TimeMS)
		w.set(w.key, w.value)
		batch[tx.ID] = struct{}{}
		added = append(added, tx.ID)
	}
	for i := range b.Records {
		r := &b.Records[i]
		// Where a record is known, the outpoint is not spent, or was contested.
		if len(s.votes[r.Outpoint]) == 0 && !s.recent.live(r.Outpoint) {
			idle, err := s.needless(w, probe, r)
			if err != nil {
				return nil, nil, err
			}
			if idle && !slices.ContainsFunc(kept, func(k *conflict.Record) bool { return k.Outpoint == r.Outpoint }) {
				continue
			}
		}
		value := r.Value()
		w.key = appendVoteKey(w.key[:0], r)
		w.set(w.key, value[:])
		kept = append(kept, r)
	}
	return added, kept, nil
}

// needless reports whether the outpoint of a record is spent by its own transaction. Where a rival spent it
// while the vote was on its way here, the record counts: this node may yet be asked to support the rival.
func (s *Store) needless(w *writes, probe *probe, r *conflict.Record) (bool, error) {
	w.key = appendOutpointKey(w.key[:0], ClassSpent, r.Outpoint)
	value, spent, err := probe.get(w.key)
	if err != nil || !spent {
		return false, err
	}
	v, err := decodeSpent(value)
	if err != nil {
		return false, s.fail(err)
	}
	return v.By == r.Tx, nil
}

func (s *Store) isPending(id domain.Hash, batch map[domain.Hash]struct{}) bool {
	if _, ok := batch[id]; ok {
		return true
	}
	_, ok := s.pending[id]
	return ok
}

func setHead(w *writes, id observation.ChainID, head headValue) {
	w.key = appendChain(w.key[:0], ClassHead, id)
	w.value = head.append(w.value[:0])
	w.set(w.key, w.value)
}
