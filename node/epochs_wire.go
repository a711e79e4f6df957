package node

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/notarynet/notaryd/conflict"
	"github.com/notarynet/notaryd/node/lifecycle"
	"github.com/notarynet/notaryd/node/store"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	"github.com/notarynet/notaryd/utxo"
)

// epochMetrics are those of hand-overs.
type epochMetrics struct {
	epoch   prometheus.Gauge
	seconds prometheus.Histogram
}

func newEpochMetrics(r prometheus.Registerer) *epochMetrics {
	m := &epochMetrics{
		epoch: prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "notary", Name: "epoch", Help: "The epoch that this node votes in, or follows."}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: "notary", Name: "handover_seconds", Help: "From a link that is final here until the next epoch is entered.",
			Buckets: prometheus.ExponentialBuckets(0.01, 2, 12),
		}),
	}
	r.MustRegister(m.epoch, m.seconds)
	return m
}

// group is the group of the epoch that this node has entered.
func (sh *shell) group() *group.Group { return sh.epochs.present.Load() }

// groupOf is the group by a link that is final here, and the place of a key in it: nil where the key does not vote
// under that link in that signing epoch.
func (sh *shell) groupOf(h *observation.Header) (g *group.Group, voter int) {
	g = sh.lineage.known(h.Link)
	if g == nil {
		return nil, 0
	}
	voter, ok := g.Voter(h.Key)
	if !ok || g.Voters()[voter].SigningEpoch != h.SigningEpoch {
		return nil, 0
	}
	return g, voter
}

// follows reports whether a chain counts: in the present epoch, or in one that is final here and not entered yet.
func (sh *shell) follows(chain observation.ChainID) bool {
	counts := func(g *group.Group) bool {
		voter, ok := g.Voter(chain.Key)
		return ok && g.Voters()[voter].SigningEpoch == chain.SigningEpoch
	}
	present := sh.group()
	if counts(present) {
		return true
	}
	next, err := sh.lineage.after(present.Epoch())
	return err == nil && next != nil && counts(next)
}

// wireEpochs connects the owner of epochs with those it asks and tells. The batcher must be there.
func (sh *shell) wireEpochs() {
	ep := sh.epochs
	ep.fail, ep.before, ep.lately = sh.fail, sh.before, sh.lately
	ep.signs = sh.signsIn
	ep.certified = sh.counting.certified
	ep.settle = sh.settling
	ep.want = func(tx domain.Hash, from domain.PublicKey) {
		sh.fetcher.want(wanted{id: tx, from: []domain.PublicKey{from}})
	}
	ep.need, ep.hand, ep.pull = sh.votes.need, sh.votes.hand, sh.fetcher.wantRange
	ep.close = func(ctx context.Context, c conflict.Close) bool {
		return sh.batcher.send(ctx, cast{do: func(ctx context.Context) error { return sh.batcher.closeEpoch(ctx, c) }})
	}
	ep.enter, ep.behind = sh.enterEpoch, func() bool { return sh.early.behind(time.Now()) }
	ep.linked = func(ctx context.Context, next *group.Group) {
		for _, o := range sh.early.take(next.Link()) {
			if err := sh.observe(ctx, o); err != nil {
				sh.log.Debug("an observation that came before its link is refused", "key", o.Header.Key, "err", err)
			}
		}
	}
	ep.begin()
}

// signsIn reports whether this node votes under a group. It does not ask the batcher, which enters an epoch some time
// after the owner of epochs: its answer might be that of the epoch before, and a member that is taken for none here never
// ends its chain.
func (sh *shell) signsIn(g *group.Group) bool {
	may, _ := maySign(g, sh.self, sh.store.Signing())
	return may && !sh.batcher.convicted
}

// endsClosed reports whether a chain has ended under the link of a group.
func endsClosed(s *store.Store, head observation.Head, g *group.Group) (bool, error) {
	if head.Height == 0 {
		return false, nil
	}
	o, found, err := s.Observation(observation.ChainID{Key: head.Key, SigningEpoch: head.SigningEpoch}, head.Height)
	if err != nil || !found || o.Header.Link != g.Link() || o.Len() == 0 {
		return false, err
	}
	return o.Leaf(o.Len()-1).State == observation.Closed, nil
}

// settling is what has become of a transaction that somebody is bound to.
type settling struct {
	settled bool     // it is final, or a rival is
	tx      *utxo.Tx // where it is known
}

// settling takes what the transaction spends from whoever is bound to it, where the transaction itself is not here any more.
func (sh *shell) settling(id domain.Hash, spends []utxo.Outpoint) (s settling, err error) {
	if sh.lately.holds(id) {
		return settling{settled: true}, nil
	}
	if f := sh.flights.get(id); f != nil {
		s.tx = f.tx
	} else {
		t, found, err := sh.store.Transaction(id)
		if err != nil {
			return s, err
		}
		if found && t.Final != nil {
			return settling{settled: true}, nil
		}
		if found && t.Raw != nil {
			if s.tx, err = utxo.Decode(t.Raw, sh.rules); err != nil {
				return s, err
			}
		}
	}
	if s.tx != nil {
		spends = s.tx.Spends()
	}
	for _, o := range spends {
		entry, found, err := sh.store.Lookup(o)
		if err != nil {
			return s, err
		}
		if found && !entry.SpentBy.IsZero() {
			s.settled = true
		}
	}
	return s, nil
}

// enterEpoch takes everybody into the next epoch, once that is on disk: the signer first, then the contests, then the
// transactions that have votes which count no more.
func (sh *shell) enterEpoch(ctx context.Context, e conflict.Enter) bool {
	if !sh.batcher.send(ctx, cast{do: func(ctx context.Context) error { return sh.batcher.enterEpoch(ctx, e) }}) {
		return false
	}
	sh.arena.rung.ring(conflict.NewGroup{Group: e.Group, Locks: e.Records})
	for _, f := range sh.flights.all() {
		f.box.post(lifecycle.Stalled{})
	}
	keys := members(e.Group)
	if before, err := sh.lineage.group(e.Group.Epoch() - 1); err == nil {
		keys = append(keys, members(before)...)
	}
	sh.net.SetMembers(keys)
	sh.keeper.entered()
	return true
}

// closeEpoch ends this node's chain under the present link: what was let through first, then the closing statement.
// From then on votes are held back until the next epoch is entered.
func (b *batcher) closeEpoch(ctx context.Context, c conflict.Close) error {
	if b.closed || !b.signs {
		return nil
	}
	if len(b.answers) > 0 {
		if err := b.flush(ctx); err != nil {
			return err
		}
	}
	b.closed = true
	clear(b.heads)
	return b.write(ctx, conflict.ClosingLeaves(c.Stated, c.Next.Link(), nowMS(), b.most), nowMS())
}

// enterEpoch goes on under the next link, if this node votes there, with the votes that were asked for meanwhile.
func (b *batcher) enterEpoch(ctx context.Context, e conflict.Enter) error {
	if len(b.answers) > 0 {
		return errors.New("votes of an epoch are left that another one follows")
	}
	b.guard.Restore(e.Records)
	if err := b.bind(ctx, e.Bonds); err != nil {
		return err
	}
	b.group, b.closed = e.Group, false
	b.rhythm, b.piece = newRhythm(len(e.Group.Voters())), observation.PieceLeaves(len(e.Group.Voters()))
	signing := b.store.Signing()
	may, why := maySign(e.Group, b.key.Public(), signing)
	if why != "" {
		b.log.Warn("this node follows and " + why)
	}
	b.say(why)
	if b.signs = may && !b.convicted; b.signs && b.head.SigningEpoch != signing.Epoch {
		b.head = b.store.Head(observation.ChainID{Key: b.key.Public(), SigningEpoch: signing.Epoch})
	}
	held := b.held
	b.held = nil
	for _, c := range held {
		if err := b.take(ctx, c, time.Now()); err != nil {
			return err
		}
	}
	return nil
}

// errOtherEpoch refuses a vote that was wanted in an epoch that is over.
var errOtherEpoch = errors.New("the vote was wanted in another epoch")
