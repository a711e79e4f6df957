package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/notarynet/notaryd/conflict"
	"github.com/notarynet/notaryd/node/gossip"
	"github.com/notarynet/notaryd/node/store"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	"github.com/notarynet/notaryd/utxo"
)

// Rhythm and bounds of the owner of epochs.
const (
	// epochTick is how often it walks the chains, and looks what has become of open locks, while an epoch runs, closingTick
	// while one ends, and askEvery how often it then asks for what is missing.
	epochTick   = 5 * time.Second
	closingTick = 20 * time.Millisecond
	askEvery    = 150 * time.Millisecond
	// complainAfter is how long an epoch may take to end before the operator is told, and told again.
	complainAfter = 10 * time.Second
	// epochQueue is how many observations may wait to be walked: what finds no room is read from the store. From half of
	// that, or queuedLeaves, they are walked at once.
	epochQueue   = 4096
	queuedLeaves = 1 << 17
)

// epochs owns the hand-over from each epoch to the next (conflict.Handover): it walks the chains of all voters,
// has this node's own chain closed once the next link is final, and enters the next epoch once enough others have
// closed theirs. Whoever asks for the present group asks here.
type epochs struct {
	queue   chan *observation.Observation // stored and checked
	leaves  atomic.Int64                  // of those in queue
	bell    chan struct{}
	present atomic.Pointer[group.Group]

	// What follows is the owner's.
	handover   *conflict.Handover
	closed     map[observation.ChainID]uint64 // heights at which chains closed the epoch before
	asked      time.Time                      // when missing things were asked for
	lagging    bool                           // others have gone on under a link that is not final here
	since      time.Time                      // of the closing, for the log
	complained time.Time                      // when the operator was told that it takes long
	stated     []conflict.Lock                // with which the present epoch was entered
	bonds      bonds                          // of stated, what was taken over from others
	clear      store.Clear                    // how far chains need not be walked, as the store has it
	before     *beforeSet                     // final before the store began
	lately     *lately                        // final since

	self    domain.PublicKey
	store   *store.Store
	lineage *lineage
	log     *slog.Logger
	metrics *epochMetrics
	tick    time.Duration // epochTick, but in tests
	fail    func(error)

	signs     func(*group.Group) bool                                            // whether this node votes in a group
	certified func(ctx context.Context, tx, link domain.Hash, round uint32) bool // by the votes counted here
	settle    func(tx domain.Hash, spends []utxo.Outpoint) (tale settling, err error)
	want      func(tx domain.Hash, from domain.PublicKey)
	need      func(conflict.NeedCertificate)
	hand      func(conflict.SendProof)
	pull      func(chain observation.ChainID, from, to uint64)
	behind    func() bool                                  // whether others sign under a link that is not final here
	linked    func(ctx context.Context, next *group.Group) // it is final: what came early is taken in
	close     func(ctx context.Context, c conflict.Close) bool
	enter     func(ctx context.Context, e conflict.Enter) bool
}

// newEpochs takes up the epoch that this node was in.
func newEpochs(self domain.PublicKey, s *store.Store, l *lineage, m *epochMetrics, log *slog.Logger) (*epochs, error) {
	ep := &epochs{
		queue: make(chan *observation.Observation, epochQueue), bell: make(chan struct{}, 1),
		closed: make(map[observation.ChainID]uint64), self: self, store: s, lineage: l, log: log, metrics: m, tick: epochTick,
	}
	e, _, err := s.Entered()
	if err != nil {
		return nil, err
	}
	g, err := l.group(e.Epoch)
	if err != nil {
		return nil, fmt.Errorf("the group of epoch %d, which this node has entered: %w", e.Epoch, err)
	}
	if e.Epoch > 0 && g.Link() != e.Link {
		return nil, fmt.Errorf("this node has entered epoch %d by link %s, and %s is final here", e.Epoch, e.Link, g.Link())
	}
	for _, lock := range e.Stated {
		if l.known(lock.Link) == nil {
			return nil, fmt.Errorf("this node is locked on %s under link %s, which is not final here", lock.Tx, lock.Link)
		}
	}
	if ep.clear, _, err = s.Clear(); err != nil {
		return nil, err
	}
	ep.present.Store(g)
	ep.metrics.epoch.Set(float64(g.Epoch()))
	ep.stated, ep.bonds = e.Stated, bondsOf(e.Bonds)
	return ep, nil
}

// begin watches the present epoch.
func (ep *epochs) begin() {
	g := ep.present.Load()
	ep.handover = conflict.NewHandover(ep.self, ep.signs(g), g, ep.stated, func(link domain.Hash) uint64 {
		return ep.lineage.known(link).Epoch() // newEpochs, or the certificate behind the lock, has seen that it is
	})
}

// heard is told of each observation that is stored. It does not block. While an epoch runs observations wait for the
// next look: what they accept is final by then, nearly all of it, and binds nobody.
func (ep *epochs) heard(o *observation.Observation) {
	n := ep.leaves.Add(int64(o.Len()))
	select {
	case ep.queue <- o:
	default: // read from the store when its turn comes
		ep.leaves.Add(-int64(o.Len()))
	}
	if n >= queuedLeaves || len(ep.queue) >= epochQueue/2 {
		ep.ring()
	}
}

// ring has the owner look now.
func (ep *epochs) ring() {
	select {
	case ep.bell <- struct{}{}:
	default:
	}
}

func (ep *epochs) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		var err error
		var queue <-chan *observation.Observation
		if ep.hurries() {
			queue = ep.queue
		}
		looks, keeps := false, false
		select {
		case <-ctx.Done():
			return
		case o := <-queue:
			ep.leaves.Add(-int64(o.Len()))
			err = ep.walk(ctx, o)
		case <-ep.bell:
			looks = true
		case <-timer.C:
			looks, keeps = true, true
		}
		if looks && err == nil {
			err = ep.look(ctx)
			switch {
			case ep.hurries():
				timer.Reset(closingTick)
			case keeps:
				timer.Reset(ep.tick)
			}
		}
		if keeps && err == nil {
			err = ep.keepClear()
		}
		if err != nil {
			if ctx.Err() == nil {
				ep.fail(err)
			}
			return
		}
	}
}

// hurries reports whether others wait for this node to end an epoch, or it lags behind them.
func (ep *epochs) hurries() bool { return ep.handover.Closing() || ep.lagging }

// look brings the hand-over to where the store and the tallies are. Any step may end it: then the next epoch is looked
// at in a turn of its own.
func (ep *epochs) look(ctx context.Context) error {
	h, g := ep.handover, ep.present.Load()
	if !h.Closing() { // before the chains are walked: by the next look most of what they accept now is final
		if err := ep.open(ctx); err != nil {
			return err
		}
	}
	if err := ep.drain(ctx); err != nil {
		return err
	}
	for voter := range g.Voters() {
		if ep.handover != h {
			return nil
		}
		if err := ep.advance(ctx, voter); err != nil {
			return err
		}
	}
	next, err := ep.lineage.after(g.Epoch())
	if err != nil || ep.handover != h {
		return err
	}
	if next != nil && !h.Closing() {
		ep.since = time.Now()
		ep.log.Info("an epoch ends here", "epoch", g.Epoch(), "next", next.Link())
		ep.linked(ctx, next)
		ep.step(ctx, conflict.Linked{Next: next})
	}
	if ep.handover != h {
		return nil
	}
	if h.Closing() {
		if err := ep.open(ctx); err != nil || ep.handover != h {
			return err
		}
	}
	if time.Since(ep.asked) < askEvery {
		return nil
	}
	ep.asked = time.Now()
	if h.Closing() {
		ep.complain()
		ep.step(ctx, conflict.Again{})
	} else if ep.lagging = ep.behind(); ep.lagging {
		for _, v := range g.Voters() {
			ep.pullChain(observation.ChainID{Key: v.Key, SigningEpoch: v.SigningEpoch})
		}
	}
	return nil
}

// drain walks the observations that wait, each chain in its order: they may have come in another.
func (ep *epochs) drain(ctx context.Context) error {
	waiting := make([]*observation.Observation, len(ep.queue))
	for i := range waiting {
		waiting[i] = <-ep.queue
		ep.leaves.Add(-int64(waiting[i].Len()))
	}
	slices.SortStableFunc(waiting, func(a, b *observation.Observation) int { return cmp.Compare(a.Header.Height, b.Header.Height) })
	for _, o := range waiting {
		if err := ep.walk(ctx, o); err != nil {
			return err
		}
	}
	return nil
}

// complain tells the operator of a hand-over that takes long, and whose statements it lacks.
func (ep *epochs) complain() {
	if time.Since(ep.since) < complainAfter || time.Since(ep.complained) < complainAfter {
		return
	}
	ep.complained = time.Now()
	open, unproven := ep.handover.Lacking()
	ep.log.Warn("an epoch does not end here: statements of more than 2/3 of the weight are wanted", "epoch", ep.present.Load().Epoch(),
		"since", time.Since(ep.since).Round(time.Millisecond), "not_closed", open, "not_certified", unproven)
}

// pullChain asks for what a chain has beyond what is here.
func (ep *epochs) pullChain(chain observation.ChainID) {
	if chain.Key != ep.self {
		from := ep.store.Head(chain).Height + 1
		ep.pull(chain, from, from+gossip.MaxPullItems-1)
	}
}

// open asks the store and the tallies about the locks that bind somebody and are not settled.
func (ep *epochs) open(ctx context.Context) error {
	h := ep.handover
	for _, l := range h.Open(true) {
		if ep.handover != h {
			return nil
		}
		tale, err := ep.settle(l.Tx, ep.bonds.spends(l.Tx))
		switch {
		case err != nil:
			return err
		case tale.settled:
			ep.step(ctx, conflict.Settled{Tx: l.Tx})
		case tale.tx != nil && ep.certified(ctx, l.Tx, l.Link, l.Round):
			if g := ep.lineage.known(l.Link); g != nil {
				ep.step(ctx, conflict.Certified{Lock: l, Epoch: g.Epoch(), Spends: tale.tx.Spends()})
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

// walk takes in an observation that came just now, and what the store holds before and after it where it is not next.
func (ep *epochs) walk(ctx context.Context, o *observation.Observation) error {
	voter, ok := ep.voter(&o.Header)
	if !ok {
		return nil
	}
	switch next, ok := ep.handover.Next(voter); {
	case ok && next == o.Header.Height:
		ep.tell(ctx, o, voter)
		return nil
	case ok && next > o.Header.Height: // read from the store before
		return nil
	}
	return ep.advance(ctx, voter)
}

// voter is who signed, where the header is of the present epoch.
func (ep *epochs) voter(h *observation.Header) (int, bool) {
	g := ep.present.Load()
	voter, ok := g.Voter(h.Key)
	return voter, ok && h.Link == g.Link() && g.Voters()[voter].SigningEpoch == h.SigningEpoch
}

// tell walks one observation. What is final already binds nobody.
func (ep *epochs) tell(ctx context.Context, o *observation.Observation, voter int) {
	w := conflict.WalkOf(o, voter, ep.ended)
	if !w.Closing.IsZero() {
		ep.closed[o.Header.Chain()] = o.Header.Height
	}
	ep.step(ctx, w)
}

// ended reports whether a transaction is known to be final, without a look into the store.
func (ep *epochs) ended(tx domain.Hash) bool { return ep.lately.holds(tx) || ep.before.holds(tx) }

// advance walks a voter's chain as far as the store holds it.
func (ep *epochs) advance(ctx context.Context, voter int) error {
	g := ep.present.Load()
	for h := ep.handover; ep.handover == h && ctx.Err() == nil; {
		height, ok := ep.handover.Next(voter)
		if !ok {
			return nil
		}
		v := &g.Voters()[voter]
		chain := observation.ChainID{Key: v.Key, SigningEpoch: v.SigningEpoch}
		if height == 0 {
			var err error
			if height, err = ep.first(chain); err != nil || height == 0 {
				return err
			}
		}
		o, found, err := ep.store.Observation(chain, height)
		if err != nil || !found || o.Header.Link != g.Link() {
			return err
		}
		ep.tell(ctx, o, voter)
	}
	return nil
}

// keepClear has the store remember how far the chains of the present epoch bind nobody.
func (ep *epochs) keepClear() error {
	if ep.handover.Closing() {
		return nil // not for long
	}
	g := ep.present.Load()
	now := store.Clear{Link: g.Link(), Heights: make(map[observation.ChainID]uint64)}
	for i, v := range g.Voters() {
		chain := observation.ChainID{Key: v.Key, SigningEpoch: v.SigningEpoch}
		if height := max(ep.handover.Clear(i), ep.clearTo(chain)); height > 0 {
			now.Heights[chain] = height
		}
	}
	if now.Link == ep.clear.Link && maps.Equal(now.Heights, ep.clear.Heights) {
		return nil
	}
	if err := ep.store.SaveClear(now); err != nil {
		if errors.Is(err, store.ErrFull) {
			return nil // the chains are walked again then
		}
		return err
	}
	ep.clear = now
	return nil
}

// clearTo is the height up to which a chain was clear when that was last written.
func (ep *epochs) clearTo(chain observation.ChainID) uint64 {
	if ep.clear.Link != ep.present.Load().Link() {
		return 0
	}
	return ep.clear.Heights[chain]
}

// first is the height from which a chain is walked, or 0 where that is not known here: above what is clear, else where it
// goes on under the present link. That is the one after the closing of the epoch before, 1 in the first epoch, and else,
// after a restart, of a new voter or of one that was not waited for, that of the oldest observation behind which the
// chain is held without a gap and lies under an earlier link. Its signer may have gone on under later ones since.
func (ep *epochs) first(chain observation.ChainID) (uint64, error) {
	if height := ep.clearTo(chain); height > 0 {
		return height + 1, nil
	}
	g := ep.present.Load()
	if g.Epoch() == 0 {
		return 1, nil
	}
	if height, ok := ep.closed[chain]; ok {
		if o, found, err := ep.store.Observation(chain, height+1); err != nil || found && o.Header.Link == g.Link() {
			return height + 1, err
		}
	}
	for height := ep.store.Head(chain).Height; height > 0; height-- {
		o, found, err := ep.store.Observation(chain, height)
		if err != nil {
			return 0, err
		}
		if !found {
			return 0, nil
		}
		if under := ep.lineage.known(o.Header.Link); under != nil && under.Epoch() < g.Epoch() {
			return height + 1, nil
		}
	}
	return 1, nil
}

// step drives the hand-over.
func (ep *epochs) step(ctx context.Context, in conflict.HandoverInput) {
	for _, effect := range ep.handover.Step(in) {
		ep.perform(ctx, effect)
	}
}

func (ep *epochs) perform(ctx context.Context, effect conflict.HandoverEffect) {
	switch e := effect.(type) {
	case conflict.Close:
		ep.close(ctx, e)
	case conflict.NeedChain:
		g := ep.present.Load()
		voter, _ := g.Voter(e.Key)
		chain := observation.ChainID{Key: e.Key, SigningEpoch: g.Voters()[voter].SigningEpoch}
		ep.pullChain(chain)
	case conflict.HandLink:
		if link := ep.lineage.transaction(ep.present.Load().Epoch() + 1); !link.IsZero() {
			ep.hand(conflict.SendProof{Tx: link, To: e.To})
		}
	case conflict.NeedLock:
		ep.want(e.Lock.Tx, e.From)
		if g := ep.lineage.known(e.Lock.Link); g != nil {
			ep.need(conflict.NeedCertificate{Tx: e.Lock.Tx, Round: e.Lock.Round, Group: g, From: e.From})
		}
	case conflict.Enter:
		if err := ep.entered(ctx, e); err != nil && ctx.Err() == nil {
			ep.fail(err)
		}
	}
}

// entered ends the hand-over: what was taken over is on disk before anything is signed under the next link.
func (ep *epochs) entered(ctx context.Context, e conflict.Enter) error {
	g := e.Group
	taken := carry(ep.bonds, &e)
	err := ep.store.EnterEpoch(store.Entered{Epoch: g.Epoch(), Link: g.Link(), Stated: e.Stated, Bonds: taken}, e.Records)
	if err != nil {
		return errors.Join(fmt.Errorf("entering epoch %d", g.Epoch()), err)
	}
	ep.present.Store(g)
	ep.stated, ep.bonds = e.Stated, bondsOf(taken)
	ep.begin()
	if !ep.enter(ctx, e) {
		return ctx.Err()
	}
	took := time.Since(ep.since)
	ep.metrics.epoch.Set(float64(g.Epoch()))
	ep.metrics.seconds.Observe(took.Seconds())
	ep.log.Info("a new epoch", "epoch", g.Epoch(), "link", g.Link(), "members", len(g.Members()),
		"weight", g.Share(ep.self), "inherited", len(e.Records), "stated", len(e.Stated), "took", took)
	ep.ring() // the next link may be final already
	return nil
}
