package node

import (
	"bytes"
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/notarynet/notaryd/node/gossip"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
)

// When peers are asked how far the chains are, besides what their observations say.
const (
	// headsEvery is how often some peer is asked: lost gossip is noticed without the next observation.
	headsEvery = 30 * time.Second
	// headsAfter is how soon a new peer is asked: who serves what is known by then.
	headsAfter = 50 * time.Millisecond
	// headsSpacing is the least time between two questions to one peer.
	headsSpacing = time.Second
	headsTries   = 3
	headsAtOnce  = 4
	// stallEvery is how often contests are looked at. One is stalled where it is beyond stallRound, or as
	// old as stallAge: then some peer is asked in every new round, and every stallAge.
	stallEvery = 500 * time.Millisecond
	stallRound = 2
	stallAge   = 5 * time.Second
)

// catchup asks peers for the heads of the chains that they hold, and has the fetcher pull what is missing
// here: from each peer when it connects, from one peer now and then, and while a contest is stalled.
type catchup struct {
	net    *gossip.Net
	log    *slog.Logger
	alarms *alarms
	due    chan headsDue
	// asked is when each peer was asked last.
	asked map[domain.PublicKey]time.Time

	// compare has what heads show to be missing pulled. stalled is the highest round of the contests
	// that are stalled.
	compare func(from domain.PublicKey, heads []gossip.Head)
	stalled func(ctx context.Context) (round uint32, any bool)
}

// headsDue is a question to a peer.
type headsDue struct {
	peer  domain.PublicKey
	tries int
}

func newCatchup(a *alarms, log *slog.Logger) *catchup {
	return &catchup{
		log: log, alarms: a, due: make(chan headsDue, 256), asked: make(map[domain.PublicKey]time.Time),
	}
}

func (c *catchup) run(ctx context.Context) {
	ask, look := time.NewTicker(headsEvery), time.NewTicker(stallEvery)
	defer ask.Stop()
	defer look.Stop()
	var running sync.WaitGroup
	defer running.Wait()
	room := make(chan struct{}, headsAtOnce)
	var stall stallWatch
	for {
		select {
		case <-ctx.Done():
			return
		case peer := <-c.net.Arrivals():
			c.later(headsDue{peer: peer}, headsAfter)
		case <-ask.C:
			c.askAny()
		case <-look.C:
			if round, any := c.stalled(ctx); stall.asks(round, any, time.Now()) {
				c.askAny()
			}
		case d := <-c.due:
			select {
			case room <- struct{}{}:
			default:
				c.later(d, headsAfter)
				continue
			}
			if !c.mayAsk(d.peer, time.Now()) {
				<-room
				continue
			}
			running.Go(func() {
				defer func() { <-room }()
				c.ask(ctx, d)
			})
		}
	}
}

// later puts a question on the list after a while. What there is no room for is left to the next look.
func (c *catchup) later(d headsDue, after time.Duration) {
	c.alarms.after(after, func() {
		select {
		case c.due <- d:
		default:
		}
	})
}

// askAny asks one connected peer, drawn at random.
func (c *catchup) askAny() {
	if peers := c.net.Peers(); len(peers) > 0 {
		c.later(headsDue{peer: peers[rand.IntN(len(peers))].Key}, 0)
	}
}

// mayAsk reports whether it is long enough ago that a peer was asked, and notes that it is.
func (c *catchup) mayAsk(peer domain.PublicKey, now time.Time) bool {
	if now.Sub(c.asked[peer]) < headsSpacing {
		return false
	}
	for p, at := range c.asked {
		if now.Sub(at) >= headsSpacing {
			delete(c.asked, p)
		}
	}
	c.asked[peer] = now
	return true
}

// ask compares a peer's heads with those here. A peer that has only come up may not serve yet.
func (c *catchup) ask(ctx context.Context, d headsDue) {
	heads, err := c.net.PullHeads(ctx, d.peer)
	if err == nil {
		c.compare(d.peer, heads)
		return
	}
	c.log.Debug("heads not pulled", "peer", d.peer, "err", err)
	if d.tries++; d.tries < headsTries {
		c.later(d, headsSpacing+headsAfter)
	}
}

// stallWatch says when a stalled contest asks.
type stallWatch struct {
	round uint32
	at    time.Time // of the last question; zero while nothing is stalled
}

// asks reports whether it is time to ask, given the highest round of what is stalled.
func (s *stallWatch) asks(round uint32, any bool, now time.Time) bool {
	switch {
	case !any:
		*s = stallWatch{}
		return false
	case !s.at.IsZero() && round <= s.round && now.Sub(s.at) < stallAge:
		return false
	}
	s.round, s.at = round, now
	return true
}

// wireCatchup connects the catching up to what it compares.
func (sh *shell) wireCatchup() {
	c := newCatchup(sh.alarms, sh.log)
	c.compare, c.stalled = sh.compareHeads, sh.arena.stalled
	sh.catchup = c
	sh.fetcher.takeFork = sh.takeFork
	sh.fetcher.head = func(chain observation.ChainID) uint64 { return sh.store.Head(chain).Height }
}

// stalled is the highest round among contests that last too long.
func (ar *arena) stalled(ctx context.Context) (round uint32, any bool) {
	oldMS := nowMS() - uint64(stallAge.Milliseconds())
	err := ar.ask(ctx, func() {
		for id, c := range ar.record.txs {
			if _, enters := ar.entrants[id]; !enters || !c.winner.IsZero() {
				continue
			}
			if c.round > stallRound || c.joinedMS < oldMS {
				round, any = max(round, c.round), true
			}
		}
	})
	if err != nil {
		return 0, false
	}
	return round, any
}

// compareHeads has the tails pulled that a peer claims to hold and that are not here. Only chains of voters
// count, once each, so a claim costs little. A head that is another one than here at its height belongs to a
// liar that forked: then that observation is asked for.
func (sh *shell) compareHeads(from domain.PublicKey, heads []gossip.Head) {
	seen := make(map[domain.PublicKey]bool)
	for _, h := range heads {
		if !sh.follows(observation.ChainID{Key: h.Key, SigningEpoch: h.SigningEpoch}) || seen[h.Key] {
			continue
		}
		seen[h.Key] = true
		if chain := (observation.ChainID{Key: h.Key, SigningEpoch: h.SigningEpoch}); sh.signs(chain) && h.Height > 0 {
			if known, err := sh.recorded(chain, h.Height, h.Hash); err == nil && !known {
				sh.fetcher.wantClaimed(rangeWanted{chain: chain, from: h.Height, to: h.Height, claimant: from, fork: true})
			}
			continue
		}
		r := rangeWanted{chain: observation.ChainID{Key: h.Key, SigningEpoch: h.SigningEpoch}, to: h.Height, claimant: from}
		switch here := sh.store.Head(r.chain); {
		case h.Height > here.Height:
			r.from = here.Height + 1
		case h.Height > 0 && !sh.holds(r.chain, h):
			r.from, r.fork = h.Height, true
		default:
			continue
		}
		sh.fetcher.wantClaimed(r)
	}
}

// holds reports whether an observation is here, as part of its chain or as a fork of it.
func (sh *shell) holds(chain observation.ChainID, h gossip.Head) bool {
	o, found, err := sh.store.Observation(chain, h.Height)
	if err != nil {
		sh.fail(err)
		return true
	}
	if found && o.Hash == h.Hash {
		return true
	}
	fork, err := sh.store.HasFork(chain, h.Height, h.Hash)
	if err != nil {
		sh.fail(err)
		return true
	}
	return fork
}

// takeFork takes in an observation at a height at which another one is known, however long ago that was. Its
// signature has been checked.
func (sh *shell) takeFork(ctx context.Context, raw []byte) error {
	o, err := observation.Decode(bytes.Clone(raw), sh.obsRules)
	if err != nil {
		return err
	}
	if sh.signs(o.Header.Chain()) {
		return sh.recognise(ctx, o)
	}
	if err := sh.weighs(o); err != nil {
		return err
	}
	if err := sh.store.SaveObservations([]*observation.Observation{o}); err != nil {
		if !sh.space.noted(err) {
			sh.fail(err)
		}
		return err
	}
	if g, voter := sh.groupOf(&o.Header); g != nil {
		sh.counting.count(ctx, ballots{o, g, voter})
	}
	sh.observer.offer(o)
	return nil
}
