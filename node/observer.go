package node

import (
	"context"
	"log/slog"
	"maps"
	"time"

	"github.com/notarynet/notaryd/node/store"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
)

// Limits of what is kept of peers' chains.
const (
	chainWindow = 4096 // hashes remembered of each chain
	// aheadLimit bounds the observations of one chain that wait for a gap to close.
	aheadLimit = 512
	// gapPatience is how long a gap may close by itself, through gossip that came out of order.
	gapPatience = 100 * time.Millisecond
)

// observer owns what is known of peers' chains: it follows them, stores what they signed, hands votes to
// the tallies, and has gaps filled. Observations reach it decoded and with their signatures checked.
type observer struct {
	queue   chan []*observation.Observation
	group   func() *group.Group                           // the present one
	groupOf func(*observation.Header) (*group.Group, int) // by the link of a header
	counts  func(observation.ChainID) bool                // in the present epoch or the next
	self    domain.PublicKey
	chains  *observation.Chains
	taken   int // how many of them are followed
	sweepAt int // so many, and those that count no more are forgotten
	ahead   map[observation.ChainID]map[uint64]*observation.Observation
	asked   map[observation.ChainID]time.Time
	heard   map[domain.PublicKey]time.Time
	hearing chan chan hearing
	store   *store.Store
	space   *space
	alarms  *alarms
	log     *slog.Logger
	metrics *Metrics

	count func(ctx context.Context, b ballots)
	saw   func(observation.Head)
	pull  func(id observation.ChainID, from, to uint64)
	fail  func(error)
	// suspect is told of a height at which a chain has two observations, once these are stored. It must
	// not block.
	suspect func(chain observation.ChainID, height uint64)
	// back is told that a member speaks after a silence. It must not block.
	back func()

	save    []*observation.Observation
	ballots []ballots
	forks   []forked
}

// offer queues observations that came together; false says that the queue is full and they are left to a later
// pull.
func (ob *observer) offer(list ...*observation.Observation) bool {
	select {
	case ob.queue <- list:
		return true
	default:
		ob.metrics.droppedObservations.Add(float64(len(list)))
		return false
	}
}

func (ob *observer) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case reply := <-ob.hearing:
			reply <- ob.heardNow()
			continue
		case list := <-ob.queue:
			ob.take(list)
		}
		for range len(ob.queue) { // there at the least: nobody else takes
			ob.take(<-ob.queue)
		}
		// Votes count only once they are stored: what becomes final by them must be provable.
		for {
			err := ob.store.SaveObservations(ob.save)
			if err == nil {
				break
			}
			if !ob.space.noted(err) {
				ob.fail(err)
				return
			}
			if !ob.linger(ctx) {
				return
			}
		}
		for _, b := range ob.ballots {
			ob.count(ctx, b)
		}
		for _, f := range ob.forks {
			ob.suspect(f.chain, f.height)
		}
		ob.forks = ob.forks[:0]
		clear(ob.save)
		clear(ob.ballots)
		ob.save, ob.ballots = ob.save[:0], ob.ballots[:0]
	}
}

// linger waits until a write may be tried again, still answering who is online.
func (ob *observer) linger(ctx context.Context) bool {
	again := time.After(spaceAgain)
	for {
		select {
		case <-ctx.Done():
			return false
		case reply := <-ob.hearing:
			reply <- ob.heardNow()
		case <-again:
			return true
		}
	}
}

// take follows observations.
func (ob *observer) take(list []*observation.Observation) {
	for _, o := range list {
		ob.follow(o)
	}
}

// follow follows one observation. Its votes count whatever its place in the chain.
func (ob *observer) follow(o *observation.Observation) {
	g, voter := ob.groupOf(&o.Header)
	if g == nil || !ob.followed(o.Header.Chain()) {
		return
	}
	out := ob.chains.Follow(&o.Header, o.Hash)
	switch out.Standing {
	case observation.Duplicate:
		return
	case observation.Gap:
		if !ob.keepAhead(o, out) {
			return
		}
	case observation.Fork:
		ob.forked(o, out.Height)
	case observation.TooOld:
		if !ob.unseen(o) {
			return
		}
	case observation.Full:
		return
	case observation.Extends:
		if o.Header.Key == ob.self { // of an earlier signing epoch: nobody else is heard in it
			break
		}
		if time.Since(ob.heard[o.Header.Key]) > 3*heartbeatDefault {
			ob.back()
		}
		ob.heard[o.Header.Key] = time.Now()
		ob.saw(o.Head())
	}
	ob.save = append(ob.save, o)
	ob.ballots = append(ob.ballots, ballots{o, g, voter})
	if out.Standing == observation.Extends {
		ob.closeGap(o)
	}
}

// forked notes that a chain has two observations at a height, this one or its predecessor among them.
func (ob *observer) forked(o *observation.Observation, height uint64) {
	ob.metrics.forks.Inc()
	ob.log.Warn("a peer signed two observations at one height", "key", o.Header.Key, "height", height)
	ob.forks = append(ob.forks, forked{o.Header.Chain(), height})
}

// unseen reports whether an observation below the window that is remembered is new here: its votes count
// like any other's.
func (ob *observer) unseen(o *observation.Observation) bool {
	id := o.Header.Chain()
	known, found, err := ob.store.Observation(id, o.Header.Height)
	if err != nil {
		ob.fail(err)
		return false
	}
	if !found || known.Hash == o.Hash {
		return !found
	}
	switch known, err := ob.store.HasFork(id, o.Header.Height, o.Hash); {
	case err != nil:
		ob.fail(err)
		return false
	case known:
		return false
	}
	ob.forked(o, o.Header.Height)
	return true
}

// keepAhead keeps an observation that came before its predecessors and has these fetched, unless they
// come by themselves. It reports whether the observation is new.
func (ob *observer) keepAhead(o *observation.Observation, out observation.Outcome) bool {
	id := o.Header.Chain()
	ahead := ob.ahead[id]
	if ahead == nil {
		ahead = make(map[uint64]*observation.Observation)
		ob.ahead[id] = ahead
	}
	if known := ahead[o.Header.Height]; known != nil {
		if known.Hash == o.Hash {
			return false
		}
		ob.forked(o, o.Header.Height)
	}
	if len(ahead) < aheadLimit {
		// Without the leaves, which are counted by now: a liar's could take half a gigabyte.
		ahead[o.Header.Height] = &observation.Observation{Header: o.Header, Hash: o.Hash}
	}
	if time.Since(ob.asked[id]) > gapPatience {
		ob.asked[id] = time.Now()
		ob.alarms.after(gapPatience, func() { ob.pull(id, out.From, out.To) })
	}
	return true
}

// closeGap follows what waited for this observation.
func (ob *observer) closeGap(o *observation.Observation) {
	id := o.Header.Chain()
	ahead := ob.ahead[id]
	for height := o.Header.Height + 1; len(ahead) > 0; height++ {
		next := ahead[height]
		if next == nil {
			break
		}
		delete(ahead, height)
		switch out := ob.chains.Follow(&next.Header, next.Hash); out.Standing {
		case observation.Extends:
			ob.saw(next.Head())
		case observation.Fork:
			ob.forked(next, out.Height)
		}
	}
	for height := range ahead {
		if height <= o.Header.Height {
			delete(ahead, height)
		}
	}
	if len(ahead) == 0 {
		delete(ob.ahead, id)
		delete(ob.asked, id)
	}
}

// hearing is whom this node has heard of.
type hearing struct {
	// weight is that of the members heard from within three heartbeats, this node included.
	weight group.Weight
	// at is when each other member was last heard of, since this node started.
	at map[domain.PublicKey]time.Time
}

// lately reports whether a node key was heard of within three heartbeats.
func (h hearing) lately(key domain.PublicKey) bool {
	at, ever := h.at[key]
	return ever && time.Since(at) < 3*heartbeatDefault
}

// heardNow is for others to keep.
func (ob *observer) heardNow() hearing {
	return hearing{weight: ob.heardWeight(), at: maps.Clone(ob.heard)}
}

// heardWeight is the weight of the members heard from within three heartbeats, this node included.
func (ob *observer) heardWeight() group.Weight {
	g := ob.group()
	w := g.Share(ob.self)
	for key, at := range ob.heard {
		if time.Since(at) < 3*heartbeatDefault {
			w += g.Share(key)
		}
	}
	return w
}
