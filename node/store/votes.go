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
type voteIndex struct {
	at   map[utxo.Outpoint]*voteSlots
	idle []*voteSlots // to be used again, what was used last first: its memory is at hand
}

// maxIdleSlots is how many are kept to be used again.
const maxIdleSlots = 1 << 12

func newVoteIndex() voteIndex { return voteIndex{at: map[utxo.Outpoint]*voteSlots{}} }

// voteSlots are the records of one outpoint, mostly PENDING and ACCEPTED.
type voteSlots struct {
	list []voteSlot
	room [2]voteSlot
}

type voteSlot struct {
	Round uint32
	State observation.State
	Tx    domain.Hash
	// Sheaf is the number of the one that holds the record; 0 for a record of ClassVote.
	Sheaf uint64
	// Once says that the record of ClassVote is known to have been written no more than once (writes.take).
	Once bool
}

func (s *voteSlot) holds(r *conflict.Record) bool { return s.Round == r.Round && s.State == r.State }

func (s *voteSlot) key(o utxo.Outpoint) voteKey {
	return (&conflict.Record{Outpoint: o, Round: s.Round, State: s.State}).Key()
}

// of are the records of an outpoint.
func (v *voteIndex) of(o utxo.Outpoint) []voteSlot {
	if at := v.at[o]; at != nil {
		return at.list
	}
	return nil
}

// find is where a record under the same key is; nil where there is none.
func (v *voteIndex) find(r *conflict.Record) *voteSlot { return findSlot(v.of(r.Outpoint), r) }

func findSlot(slots []voteSlot, r *conflict.Record) *voteSlot {
	for i := range slots {
		if slots[i].holds(r) {
			return &slots[i]
		}
	}
	return nil
}

// add enters a record. It was written just now, or may have been before.
func (v *voteIndex) add(r *conflict.Record, now bool, sheaf uint64) {
	at := v.at[r.Outpoint]
	if at == nil {
		if n := len(v.idle); n > 0 {
			at, v.idle = v.idle[n-1], v.idle[:n-1]
		} else {
			at = new(voteSlots)
		}
		at.list = at.room[:0]
		v.at[r.Outpoint] = at
	}
	if slot := findSlot(at.list, r); slot != nil {
		slot.Tx, slot.Sheaf, slot.Once = r.Tx, sheaf, false
		return
	}
	at.list = append(at.list, voteSlot{r.Round, r.State, r.Tx, sheaf, now})
}

// contested reports whether this node has voted on an outpoint for anything but the transaction that
// spends it for good.
func (v *voteIndex) contested(o utxo.Outpoint, winner domain.Hash) bool {
	return contested(v.of(o), winner)
}

// decide drops the records of an outpoint that is spent for good, unless this node has voted for a rival.
func (v *voteIndex) decide(o utxo.Outpoint, winner domain.Hash) {
	at := v.at[o]
	if at == nil || contested(at.list, winner) {
		return
	}
	delete(v.at, o)
	if at.list = nil; len(v.idle) < maxIdleSlots {
		v.idle = append(v.idle, at)
	}
}

func contested(slots []voteSlot, winner domain.Hash) bool {
	for i := range slots {
		if slots[i].Tx != winner {
			return true
		}
	}
	return false
}

// dropVotes plans the removal of an outpoint's vote records, now that it is spent for good. Where this
// node has voted for a rival they stay: it may go on supporting the winner in rounds in which it voted
// for the rival before (rules N1 and N4).
func (p *plan) dropVotes(o utxo.Outpoint, winner domain.Hash) error {
	slots := p.s.votes.of(o)
	contested := contested(slots, winner)
	for i := range slots {
		slot, key := &slots[i], slots[i].key(o)
		stands := p.leaving.stands(slot, key)
		switch {
		case contested && stands:
		case contested:
			r, err := p.leaving.record(p.probe, slot, key)
			if err != nil {
				return err
			}
			value := r.Value()
			p.w.key = appendVoteKey(p.w.key[:0], r)
			p.w.set(p.w.key, value[:])
			p.leaving.stand(slot, key)
		case !stands:
			p.leaving.gone[slot.Sheaf]++
		default:
			p.w.key = append(append(p.w.key[:0], byte(ClassVote)), key[:]...)
			if slot.Once {
				p.w.take(p.w.key)
			} else {
				p.w.delete(p.w.key)
			}
		}
	}
	return nil
}

// VoteBatch is what must be on disk before an observation of this node leaves it (rule N5).
type VoteBatch struct {
	// Records are those of the guard for the votes in the observation.
	Records []conflict.Record
	// Transactions are those voted on. They are pending from now on, unless they are final.
	Transactions []*utxo.Tx
	// Coins are, for each of these, where what it spends was found (Final.Coins), as far as that is known.
	Coins [][]Coin
	// Observations hold the votes. They follow each other, and the first the newest one of this node's chain.
	Observations []*observation.Observation
}

// SaveVotes writes vote records, the transactions voted on, the observations and the new head of this
// node's chain: one synced batch. Only then may they leave the node.
//
// Observations must be of this store's key, and follow the head without a gap: else ErrInconsistent; and
// of the signing epoch in which this store signs: else ErrMayNotSign. ErrFull means that nothing was written and
// that the votes must not be cast.
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
	s.nowSigned(b.Observations[len(b.Observations)-1].Head())
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
	id, head, err := s.checkOwn(b.Observations)
	if err != nil {
		return nil, err
	}
	probe, err := s.newProbe()
	if err != nil {
		return nil, err
	}
	w := &s.scratch
	w.reset()
	p := votePlan{s: s, w: w, probe: probe, leaving: s.newLeaving(), number: s.lastSheaf + 1}
	if err = probe.close(p.add(b)); err != nil {
		return nil, err
	}
	for _, o := range b.Observations {
		w.key = appendObservationKey(w.key[:0], id, o.Header.Height)
		w.value = appendObservation(w.value[:0], o.Hash, o.Raw)
		w.set(w.key, w.value)
	}
	setHead(w, id, head)
	if wait, err = s.commit(w, true); err != nil {
		return nil, err
	}
	s.heads[id] = head
	p.settle()
	return wait, nil
}

// checkOwn refuses observations that would fork this node's own chain, and returns the chain and its head after them.
func (s *Store) checkOwn(list []*observation.Observation) (id observation.ChainID, head headValue, err error) {
	for i, o := range list {
		if o == nil || len(o.Raw) == 0 {
			return id, head, inconsistent("votes without an observation")
		}
		h := &o.Header
		if h.Key != s.options.Key || h.Network != s.options.Network {
			return id, head, inconsistent("own observation of key %s on network %s", h.Key, h.Network)
		}
		if !s.mine(h.Chain()) {
			return id, head, fmt.Errorf("%w: %d; %s", ErrMayNotSign, h.SigningEpoch, s.signing)
		}
		if i == 0 {
			id = h.Chain()
			head = s.heads[id]
		}
		if h.Chain() != id || h.Height != head.Height+1 || h.Previous != head.Hash {
			return id, head, inconsistent("own observation at height %d on %s, the head is %d, %s", h.Height, h.Previous, head.Height, head.Hash)
		}
		head = headValue{h.Height, o.Hash}
	}
	if len(list) == 0 {
		return id, head, inconsistent("votes without an observation")
	}
	return id, head, nil
}

// votePlan is what a batch of votes adds, in the making.
type votePlan struct {
	s       *Store
	w       *writes
	probe   *probe
	leaving leaving
	number  uint64 // of the sheaf
	sheaf   sheaf
	at      map[voteKey]int    // places of vote records in the sheaf
	alone   []*conflict.Record // vote records of ClassVote
	again   []domain.Hash      // pending by ClassPending
	spread  []domain.Hash      // pending by ClassPending from now on
	of      int                // the transaction of the batch that the record before was of
}

// coins are where what a transaction of the batch spends was found.
func (b *VoteBatch) coins(i int) []Coin {
	if i < len(b.Coins) {
		return b.Coins[i]
	}
	return nil
}

// coin is where what a record speaks of was found: records come in the order of the transactions, mostly.
func (p *votePlan) coin(b *VoteBatch, r *conflict.Record) Coin {
	for ; p.of < len(b.Transactions); p.of++ {
		if tx := b.Transactions[p.of]; tx.ID == r.Tx {
			return CoinAt(b.coins(p.of), slices.Index(tx.Spends(), r.Outpoint))
		}
	}
	p.of = 0
	return Coin{}
}

// add plans transactions and records. What is decided already leaves nothing behind, unless it was voted against: a node goes
// on supporting what it holds final.
func (p *votePlan) add(b *VoteBatch) (err error) {
	if len(p.s.sheaves) >= p.s.options.maxSheaves {
		none := func(domain.Hash) bool { return false }
		kept := func(utxo.Outpoint) bool { return false }
		if p.spread, err = p.s.spread(p.w, p.probe, &p.leaving, p.s.oldestSheaf(), none, kept); err != nil {
			return err
		}
	}
	lent := &p.s.lent
	p.at = lent.places.empty(len(b.Records))
	p.sheaf = sheaf{
		TimeMS: b.Observations[0].Header.TimeMS, Pending: lentList(&lent.pending, len(b.Transactions)),
		Records: lentList(&lent.records, len(b.Records)),
	}
	batch := lent.voted.empty(len(b.Transactions))
	for i, tx := range b.Transactions {
		if p.s.isPending(tx.ID, batch) {
			continue
		}
		if err := p.transaction(tx, b.coins(i), batch); err != nil {
			return err
		}
	}
	for i := range b.Records {
		if err := p.record(&b.Records[i], p.coin(b, &b.Records[i])); err != nil {
			return err
		}
	}
	if len(p.sheaf.Pending)+len(p.sheaf.Records) > 0 {
		p.w.key = appendSequenceKey(p.w.key[:0], ClassSheaf, p.number)
		p.w.value = p.sheaf.append(p.w.value[:0])
		p.w.set(p.w.key, p.w.value)
	}
	p.leaving.plan(p.w)
	return nil
}

// transaction plans one that is not pending.
func (p *votePlan) transaction(tx *utxo.Tx, coins []Coin, batch map[domain.Hash]struct{}) error {
	w := p.w
	if !p.s.anyLiveInMemory(tx.Spends(), coins) {
		if final, err := p.s.isFinal(p.probe, tx.ID); final || err != nil {
			return err
		}
	}
	batch[tx.ID] = struct{}{}
	if p.s.counts.Rejected > 0 {
		w.key = appendHashKey(w.key[:0], ClassRejected, tx.ID)
		rejected, err := p.probe.has(w.key)
		if err != nil {
			return err
		}
		if rejected {
			w.pending(tx.ID, p.sheaf.TimeMS, tx.Raw)
			p.again = append(p.again, tx.ID)
			return nil
		}
	}
	p.sheaf.Pending = append(p.sheaf.Pending, sheafTx{ID: tx.ID, Raw: tx.Raw})
	return nil
}

// record plans a vote record: in the sheaf where its outpoint is known not to be spent, and there is none under its key.
func (p *votePlan) record(r *conflict.Record, c Coin) error {
	key, slots := r.Key(), p.s.votes.of(r.Outpoint)
	known := findSlot(slots, r)
	inSheaf := func(s voteSlot) bool { return s.Sheaf != 0 }
	live := known == nil && (slices.ContainsFunc(slots, inSheaf) || len(slots) == 0 && p.s.liveInMemory(r.Outpoint, c))
	if !live && len(slots) == 0 {
		by, spent, err := p.s.spentBy(p.probe, r.Outpoint)
		if err != nil {
			return err
		}
		// Where a rival spent it while the vote was on its way here, the record counts: this node may yet be asked
		// to support the rival.
		at := func(k *conflict.Record) bool { return k.Outpoint == r.Outpoint }
		if spent && by == r.Tx && !slices.ContainsFunc(p.alone, at) {
			return nil
		}
		live = !spent
	}
	if live {
		i, twice := p.at[key]
		if !twice {
			i = len(p.sheaf.Records)
			p.at[key], p.sheaf.Records = i, append(p.sheaf.Records, *r)
		}
		p.sheaf.Records[i] = *r
		return nil
	}
	value := r.Value()
	p.w.key = appendVoteKey(p.w.key[:0], r)
	p.w.set(p.w.key, value[:])
	if known != nil {
		p.leaving.stand(known, key)
	}
	p.alone = append(p.alone, r)
	return nil
}

// isFinal reports whether a transaction is final. The store's lock is held.
func (s *Store) isFinal(probe *probe, id domain.Hash) (bool, error) {
	if _, ok := s.index.place(id); ok {
		return true, nil
	}
	return probe.has(appendHashKey(nil, ClassFinal, id))
}

// anyLiveInMemory reports whether one of some outputs is in memory and not spent (liveInMemory).
func (s *Store) anyLiveInMemory(spends []utxo.Outpoint, coins []Coin) bool {
	for i, o := range spends {
		if s.liveInMemory(o, CoinAt(coins, i)) {
			return true
		}
	}
	return false
}

// spentBy is what spent an outpoint. The store's lock is held.
func (s *Store) spentBy(probe *probe, o utxo.Outpoint) (by domain.Hash, spent bool, err error) {
	if e, _, ok := s.index.entry(o); ok {
		return e.SpentBy, !e.SpentBy.IsZero(), nil
	}
	if by, spent = s.index.spender(o); spent {
		return by, true, nil
	}
	var buf [outpointKeyLen]byte
	value, spent, err := probe.get(appendOutpointKey(buf[:0], ClassSpent, o))
	if err != nil || !spent {
		return by, false, err
	}
	v, err := decodeSpent(value)
	if err != nil {
		return by, false, s.fail(err)
	}
	return v.By, true, nil
}

// settle makes the batch known, once it was handed to pebble.
func (p *votePlan) settle() {
	s := p.s
	p.leaving.settle()
	for _, id := range p.spread {
		s.pending.alone(id)
	}
	for _, id := range p.again {
		s.pending.set(id, pendingTx{VotedMS: p.sheaf.TimeMS})
	}
	for _, r := range p.alone {
		s.votes.add(r, true, 0)
	}
	n := len(p.sheaf.Pending) + len(p.sheaf.Records)
	if n == 0 {
		return
	}
	for i := range p.sheaf.Pending {
		tx := &p.sheaf.Pending[i]
		s.pending.set(tx.ID, pendingTx{p.sheaf.TimeMS, p.number, tx.At, uint32(len(tx.Raw))})
	}
	for i := range p.sheaf.Records {
		s.votes.add(&p.sheaf.Records[i], true, p.number)
	}
	s.lastSheaf, s.sheaves[p.number] = p.number, n
}

func (s *Store) isPending(id domain.Hash, batch map[domain.Hash]struct{}) bool {
	if _, ok := batch[id]; ok {
		return true
	}
	_, ok := s.pending.get(id)
	return ok
}

func setHead(w *writes, id observation.ChainID, head headValue) {
	w.key = appendChain(w.key[:0], ClassHead, id)
	w.value = head.append(w.value[:0])
	w.set(w.key, w.value)
}
