package node

import (
	"context"
	"time"

	"github.com/notarynet/notaryd/conflict"
	"github.com/notarynet/notaryd/node/lifecycle"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
)

// counting owns the votes: tallies sharded by transaction, one goroutine each. It wakes a flight only on
// milestones.
type counting struct {
	shards  []*countingShard
	metrics *Metrics
}

type countingShard struct {
	queue   chan any
	tally   *conflict.Tally
	flights *directory
	unknown func(tx domain.Hash, key domain.PublicKey)
	metrics *Metrics
	recent  []dated // transactions with votes, by age of their first
	out     []conflict.Milestone
	index   byte
	mask    byte
}

// dated is a transaction in the order of age.
type dated struct {
	tx    domain.Hash
	since time.Time
}

// ballots are the votes of one observation.
type ballots struct {
	observation *observation.Observation
	group       *group.Group
	voter       int
}

// tallied is what is known of a transaction's votes.
type tallied struct {
	tx    domain.Hash
	reply chan<- talliedReply
}

type talliedReply struct {
	round             uint32
	pending, accepted group.Weight
}

// joined says that a flight exists now: it is told what was counted before it came.
type joined struct{ flight *flight }

// tallyRetention is how long votes of a transaction that has no flight are kept in memory. They are in
// the store all the same.
const tallyRetention = time.Minute

func newCounting(n int, flights *directory, unknown func(domain.Hash, domain.PublicKey), m *Metrics) *counting {
	c := &counting{metrics: m}
	for i := range n {
		c.shards = append(c.shards, &countingShard{
			queue: make(chan any, 256), tally: conflict.NewTally(conflict.DefaultTallyLimits), flights: flights, unknown: unknown,
			metrics: m, index: byte(i), mask: byte(n - 1),
		})
	}
	return c
}

func (c *counting) shard(tx domain.Hash) *countingShard {
	return c.shards[tx[31]&byte(len(c.shards)-1)]
}

// count hands the votes of a checked observation to every shard.
func (c *counting) count(ctx context.Context, b ballots) {
	for _, s := range c.shards {
		select {
		case s.queue <- b:
		case <-ctx.Done():
			return
		}
	}
}

// join tells a flight of what was counted before it came.
func (c *counting) join(ctx context.Context, f *flight) {
	select {
	case c.shard(f.tx.ID).queue <- joined{f}:
	case <-ctx.Done():
	}
}

// weights are the votes counted for a transaction in the highest round seen.
func (c *counting) weights(ctx context.Context, tx domain.Hash) (talliedReply, error) {
	reply := make(chan talliedReply, 1)
	select {
	case c.shard(tx).queue <- tallied{tx, reply}:
	case <-ctx.Done():
		return talliedReply{}, ctx.Err()
	}
	select {
	case r := <-reply:
		return r, nil
	case <-ctx.Done():
		return talliedReply{}, ctx.Err()
	}
}

func (s *countingShard) run(ctx context.Context) {
	tick := time.NewTicker(tallyRetention / 8)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			s.forgetOld()
		case m := <-s.queue:
			switch m := m.(type) {
			case ballots:
				s.count(m)
			case joined:
				s.join(m.flight)
			case tallied:
				m.reply <- s.status(m.tx)
			}
		}
	}
}

// count counts the leaves of this shard. Every validly signed leaf counts, once.
func (s *countingShard) count(b ballots) {
	o := b.observation
	for i := range int(o.Header.LeafCount) {
		leaf := o.Leaf(i)
		if leaf.Type != observation.SubjectTx || leaf.Subject[31]&s.mask != s.index {
			continue
		}
		s.out = s.tally.Count(conflict.Vote{
			Tx: leaf.Subject, State: leaf.State, Round: leaf.Round, Group: b.group, Voter: b.voter,
			SigningEpoch: o.Header.SigningEpoch, Height: o.Header.Height, Leaf: uint32(i), TimeMS: leaf.TimeMS,
		}, s.out[:0])
		for _, m := range s.out {
			s.reached(m, o.Header.Key)
		}
	}
	s.metrics.votes.Add(float64(o.Header.LeafCount))
}

// reached tells the flight, or, for a transaction that nobody here knows, asks for it.
func (s *countingShard) reached(m conflict.Milestone, from domain.PublicKey) {
	f := s.flights.get(m.Tx)
	if m.Kind == conflict.FirstVote {
		s.recent = append(s.recent, dated{m.Tx, time.Now()})
		if f == nil {
			s.unknown(m.Tx, from)
		}
		return
	}
	if f != nil {
		s.tell(f, m)
	}
}

func (s *countingShard) tell(f *flight, m conflict.Milestone) {
	in := counted{Counted: lifecycle.Counted{Milestone: m}}
	if m.Kind == conflict.Final {
		in.edges = s.tally.Edges(m.Tx, m.Group.Link(), m.Round, observation.Accepted)
	}
	f.box.post(in)
}

// join keeps the votes of a flight's transaction until it ends, and tells the flight of the milestones
// that were reached before it was there.
func (s *countingShard) join(f *flight) {
	id := f.tx.ID
	s.tally.Know(id)
	s.recent = append(s.recent, dated{id, time.Now()})
	type ballot struct {
		link  domain.Hash
		round uint32
	}
	told := make(map[ballot]bool)
	for _, v := range s.tally.Votes(id) {
		b := ballot{v.Group.Link(), v.Round}
		if told[b] {
			continue
		}
		told[b] = true
		pending, accepted := s.tally.Weights(id, b.link, b.round)
		if group.Quorum(pending) {
			s.tell(f, conflict.Milestone{Tx: id, Kind: conflict.Certificate, Round: v.Round, Group: v.Group, Weight: pending})
		}
		if group.Quorum(accepted) {
			s.tell(f, conflict.Milestone{Tx: id, Kind: conflict.Final, Round: v.Round, Group: v.Group, Weight: accepted})
		}
	}
}

func (s *countingShard) status(tx domain.Hash) talliedReply {
	var r talliedReply
	for _, v := range s.tally.Votes(tx) {
		if v.Round >= r.round {
			r.round = v.Round
			r.pending, r.accepted = s.tally.Weights(tx, v.Group.Link(), v.Round)
		}
	}
	return r
}

// forgetOld drops the votes of transactions that ended, or never came, a while ago.
func (s *countingShard) forgetOld() {
	keep := s.recent[:0]
	for _, c := range s.recent {
		if time.Since(c.since) < tallyRetention || s.flights.get(c.tx) != nil {
			keep = append(keep, c)
			continue
		}
		s.tally.Forget(c.tx)
	}
	clear(s.recent[len(keep):])
	s.recent = keep
}
