package node

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/notarynet/notaryd/node/gossip"
	"github.com/notarynet/notaryd/node/snapshot"
	"github.com/notarynet/notaryd/node/store"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
)

const (
	// What became final here cutWindow before a cut, by this node's clock, was final then; so was what became final before
	// cutRun others in a row of which all was sealed cutMargin before it, by the clocks of those who sealed it. More than
	// the clocks of honest nodes may differ.
	cutWindow = 2 * time.Minute
	cutMargin = 30 * time.Second
	cutRun    = 4096
	// durableAgain is how often it is looked whether what is to be vouched for is on disk.
	durableAgain = 20 * time.Millisecond
)

// snapshotter owns the snapshots that this node vouches for: at each multiple of an interval, the same at all members,
// it makes one of what was final then by signed statements (snapshot.Cut), and keeps the newest two for whoever joins.
type snapshotter struct {
	every, settle time.Duration
	network       domain.Hash
	key           domain.PrivateKey
	store         *store.Store
	log           *slog.Logger
	metrics       *Metrics

	groupAt func(epoch uint64) (*group.Group, error)
	groupOf func(*observation.Header) (*group.Group, int)
	signs   func(*group.Group) bool // whether this node votes in a group
	behind  func() bool
	links   func() ([]domain.Hash, error)
	fail    func(error)

	mu   sync.RWMutex // held while a piece is read
	list []offered    // newest first
}

// offered is a snapshot with this node's word for it.
type offered struct {
	*store.Snapshot
	offer snapshot.Offer
}

// restore takes up the snapshots of an earlier life.
func (s *snapshotter) restore() error {
	kept, err := s.store.Snapshots()
	if err != nil {
		return err
	}
	for _, p := range kept {
		s.list = append(s.list, offered{p, snapshot.Sign(s.key, p.Manifest)})
	}
	return nil
}

func (s *snapshotter) run(ctx context.Context) {
	defer s.close()
	if s.every == 0 {
		return
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	<-timer.C
	for {
		at := s.next(time.Now())
		timer.Reset(time.Until(at.Add(s.settle)))
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		err := s.make(ctx, uint64(at.UnixMilli()))
		switch {
		case err == nil || ctx.Err() != nil:
		case errors.Is(err, store.ErrStoreFailed):
			s.fail(err)
			return
		default:
			s.log.Warn("no snapshot", "at", at, "err", err)
		}
	}
}

// next is the time of the first cut that has not settled yet.
func (s *snapshotter) next(now time.Time) time.Time {
	at := now.Add(-s.settle).Truncate(s.every)
	return at.Add(s.every)
}

// make makes the snapshot of a time, where this node votes, is not behind, and anything was final.
func (s *snapshotter) make(ctx context.Context, timeMS uint64) error {
	if s.behind() || s.has(timeMS) {
		return nil
	}
	began := time.Now()
	f, err := s.store.Freeze()
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	out, err := s.cut(ctx, f, timeMS)
	if err != nil {
		return err
	}
	g, err := s.groupIn(f, out)
	if err != nil || !s.signs(g) || uint64(len(out)) == f.Finals {
		return err
	}
	for !s.store.Durable(f.Finals) {
		if !pause(ctx, durableAgain) {
			return ctx.Err()
		}
	}
	m := &snapshot.Manifest{Network: s.network, Link: g.Link(), Epoch: g.Epoch(), TimeMS: timeMS}
	last := time.Now()
	p, err := s.store.MakeSnapshot(f, out, m, func() error {
		// Half of the time is others'.
		if !pause(ctx, time.Since(last)) {
			return ctx.Err()
		}
		last = time.Now()
		return nil
	})
	if err != nil {
		return err
	}
	s.keep(offered{p, snapshot.Sign(s.key, p.Manifest)})
	s.metrics.snapshotSeconds.Set(time.Since(began).Seconds())
	s.metrics.snapshotBytes.Set(float64(p.Bytes()))
	s.metrics.snapshotTime.Set(float64(timeMS) / 1000)
	s.log.Info("a snapshot", "at", time.UnixMilli(int64(timeMS)), "manifest", p.Hash, "finals", m.Counts.Finals, "outputs", m.Counts.Outputs,
		"later", len(out), "pieces", len(m.Pieces), "bytes", p.Bytes(), "took", time.Since(began))
	return nil
}

// groupIn is the group of the newest link that is in a cut, entered here or not: its members vouch for the snapshot.
func (s *snapshotter) groupIn(f *store.Frozen, out []domain.Hash) (*group.Group, error) {
	links, err := s.links()
	if err != nil {
		return nil, err
	}
	epoch := len(links)
	for ; epoch > 0; epoch-- {
		final, err := f.Final(links[epoch-1])
		if err != nil {
			return nil, err
		}
		if final && !slices.Contains(out, links[epoch-1]) {
			break
		}
	}
	return s.groupAt(uint64(epoch))
}

// has reports whether there is a snapshot of a time or a later one: the clock may have been set back.
func (s *snapshotter) has(timeMS uint64) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.list) > 0 && s.list[0].Manifest.TimeMS >= timeMS
}

// keep adds a snapshot, and drops the oldest beyond two.
func (s *snapshotter) keep(o offered) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = slices.Insert(s.list, 0, o)
	for len(s.list) > snapshot.MaxOffers {
		last := s.list[len(s.list)-1]
		s.list = s.list[:len(s.list)-1]
		if err := s.store.DropSnapshot(last.Snapshot); err != nil {
			s.log.Warn("an old snapshot stays on disk", "manifest", last.Hash, "err", err)
		}
	}
}

// newest is the newest snapshot; nil where there is none.
func (s *snapshotter) newest() *store.Snapshot {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if len(s.list) == 0 {
		return nil
	}
	return s.list[0].Snapshot
}

func (s *snapshotter) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range s.list {
		if err := o.Close(); err != nil {
			s.log.Debug("closing a snapshot", "manifest", o.Hash, "err", err)
		}
	}
	s.list = nil
}

// cut are the transactions that are final here and were not at a time, by what was signed until then.
func (s *snapshotter) cut(ctx context.Context, f *store.Frozen, timeMS uint64) ([]domain.Hash, error) {
	before := func(d time.Duration) uint64 { return timeMS - min(timeMS, uint64(d.Milliseconds())) }
	oldest, early, run := before(cutWindow), before(cutMargin), 0
	sealed := sealTimes{store: s.store, times: make(map[place]uint64)}
	type candidate struct {
		id domain.Hash
		in bool
	}
	var list []candidate
	err := f.Newest(func(id domain.Hash, info *store.FinalInfo) (bool, error) {
		if info.FinalMS < oldest || run == cutRun || ctx.Err() != nil {
			return false, ctx.Err()
		}
		last, err := sealed.last(id, info)
		if run++; last >= early {
			run = 0
		}
		list = append(list, candidate{id, last <= timeMS})
		return true, err
	})
	if err != nil {
		return nil, err
	}
	c := snapshot.NewCut(timeMS)
	open := false
	for _, x := range slices.Backward(list) {
		c.Candidate(x.id)
		if x.in {
			c.Settle(x.id)
		}
		open = open || !x.in
	}
	if open {
		for o, err := range s.store.ObservationsSince(early, 0) {
			if err != nil || ctx.Err() != nil {
				return nil, errors.Join(err, ctx.Err())
			}
			if g, voter := s.groupOf(&o.Header); g != nil {
				c.Count(o, g, voter)
			}
		}
	}
	return c.Out(f.Parents)
}

// sealTimes are when observations were sealed that quorums lie in.
type sealTimes struct {
	store *store.Store
	times map[place]uint64
}

// never is when an observation was sealed that is not here.
const never = ^uint64(0)

// last is when the last observation of a quorum was sealed, Unix milliseconds by its signer's clock.
func (t *sealTimes) last(id domain.Hash, info *store.FinalInfo) (last uint64, err error) {
	for i := range info.Edges {
		e := &info.Edges[i]
		at, err := t.at(place{e.Key, e.SigningEpoch, e.Height})
		if err != nil {
			return 0, err
		}
		last = max(last, at)
	}
	if last < never {
		return last, nil
	}
	return t.proven(id)
}

func (t *sealTimes) at(p place) (uint64, error) {
	if at, known := t.times[p]; known {
		return at, nil
	}
	o, found, err := t.store.Observation(observation.ChainID{Key: p.key, SigningEpoch: p.epoch}, p.height)
	if err != nil {
		return 0, err
	}
	at := uint64(never)
	if found {
		at = o.Header.TimeMS
	}
	t.times[p] = at
	return at, nil
}

// proven is last by the proof that was kept of what came with one.
func (t *sealTimes) proven(id domain.Hash) (last uint64, err error) {
	raw, found, err := t.store.Proof(id)
	if err != nil || !found {
		return never, err
	}
	p, err := observation.DecodeProof(raw, observation.Limits{})
	if err != nil {
		return 0, err
	}
	for i := range p.Observations {
		last = max(last, p.Observations[i].TimeMS)
	}
	return last, nil
}

// Snapshots implements gossip.Backend.
func (p pulls) Snapshots(context.Context) (out gossip.Snapshots, err error) {
	s := p.sh.snapshotter
	s.mu.RLock()
	for i := range s.list {
		out.Offers = append(out.Offers, s.list[i].offer)
	}
	s.mu.RUnlock()
	if len(out.Offers) > 0 {
		out.Links, err = s.links()
	}
	return out, err
}

// Piece implements gossip.Backend.
func (p pulls) Piece(_ context.Context, manifest domain.Hash, piece uint32) ([]byte, error) {
	s := p.sh.snapshotter
	s.mu.RLock()
	defer s.mu.RUnlock()
	for i := range s.list {
		o := &s.list[i]
		switch {
		case o.Hash != manifest:
			continue
		case piece == 0:
			return o.Raw, nil
		case piece <= uint32(len(o.Manifest.Pieces)):
			return o.Piece(int(piece) - 1)
		}
	}
	return nil, nil
}

// wireSnapshots takes up the snapshots of an earlier life.
func (n *Node) wireSnapshots(key domain.PrivateKey) error {
	sh := n.sh
	sh.snapshotter = &snapshotter{
		every: sh.config.SnapshotEvery, settle: sh.config.SnapshotSettle, network: sh.genesis.ID, key: key, store: sh.store,
		log: sh.log, metrics: sh.metrics, groupAt: sh.lineage.group, groupOf: sh.groupOf, links: sh.lineage.transactions,
		signs:  func(g *group.Group) bool { return sh.signsIn(g) && g.Share(sh.self) > 0 },
		behind: func() bool { return sh.ready.inTheWay(aboutBehind, aboutStart) },
		fail:   n.fail,
	}
	return sh.snapshotter.restore()
}
