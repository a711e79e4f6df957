package node

import (
	"context"
	"slices"
	"time"

	"github.com/notarynet/notaryd/conflict"
	"github.com/notarynet/notaryd/node/lifecycle"
	"github.com/notarynet/notaryd/node/store"
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
	listeners
	metrics *Metrics
	recent  []dated // transactions with votes or a flight, by age of either, that have not ended
	// ended are final here and have no flight any more: those that every voter accepted, and others.
	ended [2][]dated
	// linger is how long the votes on them are kept at least.
	linger time.Duration
	// contested are the transactions whose votes the contests want to hear, with how often they were handed
	// over, and heard those of the observation at hand.
	contested map[domain.Hash]int
	// before is what was final before the store began: votes on it decide nothing.
	before *beforeSet
	lately *lately
	heard  []conflict.Vote
	// watched are the transactions whose votes the witness wants to overhear, and overheard those of
	// the observation at hand.
	watched   map[domain.Hash]bool
	overhear  func(votes []conflict.Vote)
	overheard []conflict.Vote
	out       []conflict.Milestone
	quorum    []conflict.Vote // of edges
	index     byte
	mask      byte
}

// listeners are those whom counting tells of what it counts.
type listeners struct {
	// joined hears that all votes on the transaction of a flight are kept, and that the flight has been told of what was counted.
	joined func(*flight)
	// accept asks for ACCEPTED by a certificate on behalf of a flight, or says that this is for the flight. It must not block.
	accept func(*flight, conflict.Milestone) bool
	// finish takes a flight to its commit, or says that finality is for the flight. It must not block.
	finish func(*flight, finality) bool
	// unknown hears of a transaction that is not here, and who voted for it.
	unknown func(tx domain.Hash, key domain.PublicKey)
	// hear takes the votes that the contests want.
	hear func(ctx context.Context, votes []conflict.Vote)
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

// ballotsOn are the votes of one observation on one transaction.
type ballotsOn struct {
	tx domain.Hash
	ballots
}

// contesting says that a transaction is contested from now on: all votes counted so far go to its
// contest in one piece, and every further one as it comes.
type contesting struct {
	tx   domain.Hash
	join func(ctx context.Context, votes []conflict.Vote)
}

// voting asks for the votes on a transaction.
type voting struct {
	tx    domain.Hash
	reply chan<- []conflict.Vote
}

// certifying asks whether a transaction has a certificate in a round under a link.
type certifying struct {
	tx, link domain.Hash
	round    uint32
	reply    chan<- bool
}

// joined says that a flight exists now: it is told what was counted before it came.
type joined struct{ flight *flight }

// How long votes stay in memory. They are in the store all the same.
const (
	// tallyRetention is how long those on a transaction without a flight are kept, at most.
	tallyRetention = time.Minute
	// tallyTick is how often it is looked what has ended.
	tallyTick = time.Second
	// Of what is final here each shard keeps the votes on so many: of what every voter accepted, whose votes nobody
	// lacks, and of what somebody may still want the certificate of. Of more the oldest give way.
	unanimousKept = 1 << 13
	// askedAgain is how many transactions that are not here each shard asks for again at once, those named first first: they
	// have fewer parents that are not here either.
	askedAgain = 1 << 10
	endedKept  = 1 << 15
)

// newCounting makes so many shards, a power of two. The votes on what is final stay for linger at least.
func newCounting(n int, before *beforeSet, late *lately, linger time.Duration, flights *directory, m *Metrics, l listeners) *counting {
	c := &counting{metrics: m}
	for i := range n {
		c.shards = append(c.shards, &countingShard{
			queue: make(chan any, 256), tally: conflict.NewTally(conflict.DefaultTallyLimits), flights: flights, listeners: l,
			before: before, lately: late, linger: linger,
			metrics: m, index: byte(i), mask: byte(n - 1), contested: make(map[domain.Hash]int),
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
		put[any](ctx, s.queue, b)
	}
}

// countOn hands the votes of a checked observation on one transaction to its shard.
func (c *counting) countOn(ctx context.Context, b ballotsOn) {
	put[any](ctx, c.shard(b.tx).queue, b)
}

// join has a flight told of what was counted before it came.
func (c *counting) join(ctx context.Context, f *flight) {
	put[any](ctx, c.shard(f.tx.ID).queue, joined{f})
}

// knowing says that a transaction will join: its votes are kept, however many others are counted before.
type knowing struct{ tx domain.Hash }

// know has the votes on a transaction kept that is about to join.
func (c *counting) know(ctx context.Context, tx domain.Hash) {
	put[any](ctx, c.shard(tx).queue, knowing{tx})
}

// contest marks a transaction as contested.
func (c *counting) contest(ctx context.Context, m contesting) {
	put[any](ctx, c.shard(m.tx).queue, m)
}

// retired says that the contests have forgotten a transaction, which had been handed over so often by then.
// Handed over once more since, it stays marked.
type retired struct {
	tx    domain.Hash
	joins int
}

// votes are those counted for a transaction.
func (c *counting) votes(ctx context.Context, tx domain.Hash) ([]conflict.Vote, error) {
	reply := make(chan []conflict.Vote, 1)
	return ask(ctx, c.shard(tx).queue, voting{tx, reply}, reply)
}

// certified reports whether a certificate of a transaction in a round under a link was counted here.
func (c *counting) certified(ctx context.Context, tx, link domain.Hash, round uint32) bool {
	reply := make(chan bool, 1)
	yes, err := ask(ctx, c.shard(tx).queue, certifying{tx, link, round, reply}, reply)
	return err == nil && yes
}

// ask puts a question to an owner and waits for its answer.
func ask[T any](ctx context.Context, queue chan<- any, question any, reply <-chan T) (answer T, err error) {
	if !put(ctx, queue, question) {
		return answer, ctx.Err()
	}
	select {
	case answer = <-reply:
		return answer, nil
	case <-ctx.Done():
		return answer, ctx.Err()
	}
}

// weights are what stands behind a transaction.
func (c *counting) weights(ctx context.Context, tx domain.Hash) (weights, error) {
	votes, err := c.votes(ctx, tx)
	return weigh(votes), err
}

func (s *countingShard) run(ctx context.Context) {
	tick := time.NewTicker(tallyTick)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			s.forgetOld(now)
		case m := <-s.queue:
			s.handle(ctx, m)
			for range len(s.queue) { // there at the least: nobody else takes
				s.handle(ctx, <-s.queue)
			}
		}
	}
}

func (s *countingShard) handle(ctx context.Context, m any) {
	switch m := m.(type) {
	case ballots:
		s.count(ctx, m, domain.Hash{})
	case ballotsOn:
		s.count(ctx, m.ballots, m.tx)
	case joined:
		s.join(m.flight)
	case knowing:
		s.tally.Know(m.tx, nil)
	case contesting:
		s.contested[m.tx]++
		s.tally.Know(m.tx, nil)
		m.join(ctx, s.tally.Votes(m.tx))
	case retired:
		if s.contested[m.tx] -= m.joins; s.contested[m.tx] <= 0 {
			delete(s.contested, m.tx)
			s.recent = append(s.recent, dated{m.tx, time.Now()})
		}
	case overhearing:
		s.watch(m)
	case voting:
		m.reply <- s.tally.Votes(m.tx)
	case certifying:
		pending, _ := s.tally.Weights(m.tx, m.link, m.round)
		m.reply <- group.Quorum(pending)
	}
}

// reachAhead is how many of the next leaves are looked at before their votes are counted.
const reachAhead = 32

// reach has the votes on the subjects of the next leaves fetched side by side: whoever counts a vote waits for memory more than
// for anything else.
func (s *countingShard) reach(o *observation.Observation, from int) {
	for i := from; i < min(from+reachAhead, int(o.Header.LeafCount)); i++ {
		if leaf := o.Leaf(i); leaf.Subject[31]&s.mask == s.index {
			s.tally.Reach(leaf.Subject)
		}
	}
}

// count counts the leaves of this shard, or of them those on one transaction. Every validly signed leaf
// counts, once.
func (s *countingShard) count(ctx context.Context, b ballots, only domain.Hash) {
	o := b.observation
	for i := range int(o.Header.LeafCount) {
		if i%reachAhead == 0 && only.IsZero() {
			s.reach(o, i)
		}
		leaf := o.Leaf(i)
		if leaf.Type != observation.SubjectTx || leaf.Subject[31]&s.mask != s.index {
			continue
		}
		if !only.IsZero() && only != leaf.Subject {
			continue
		}
		if s.before.holds(leaf.Subject) {
			continue
		}
		v := conflict.Vote{
			Tx: leaf.Subject, State: leaf.State, Round: leaf.Round, Group: b.group, Voter: b.voter,
			SigningEpoch: o.Header.SigningEpoch, Height: o.Header.Height, Leaf: uint32(i), TimeMS: leaf.TimeMS,
		}
		if s.out = s.tally.Count(v, s.out[:0]); len(s.out) > 0 {
			s.report(v.Tx, o.Header.Key)
		}
		if len(s.contested) > 0 && s.contested[v.Tx] > 0 {
			s.heard = append(s.heard, v)
		}
		if len(s.watched) > 0 && s.watched[v.Tx] {
			s.overheard = append(s.overheard, v)
		}
	}
	if len(s.overheard) > 0 {
		s.overhear(s.overheard)
		s.overheard = nil // the witness keeps it
	}
	if len(s.heard) > 0 {
		s.hear(ctx, s.heard)
		s.heard = nil // the contests keep it
	}
	s.metrics.votes.Add(float64(o.Header.LeafCount))
}

// report tells the flight of the milestones in out, or, for a transaction that has none here, asks for it: nobody here
// knows it, or this node's own policy or window refused it before the network took it up. A flight that has joined is
// their holder. A vote that comes when its transaction is final and forgotten leads to nothing.
func (s *countingShard) report(tx domain.Hash, from domain.PublicKey) {
	f, joined := s.out[0].Holder.(*flight)
	if !joined {
		first := s.out[0].Kind == conflict.FirstVote
		if f = s.flights.get(tx); f == nil && s.lately.holds(tx) {
			if first && s.contested[tx] == 0 {
				s.tally.Forget(tx)
			}
			return
		}
		if first {
			s.recent = append(s.recent, dated{tx, time.Now()})
		}
	}
	for _, m := range s.out {
		if f == nil || !s.tell(f, m) {
			s.unknown(tx, from)
		}
	}
}

// tell reports whether the flight will hear of the milestone.
func (s *countingShard) tell(f *flight, m conflict.Milestone) bool {
	switch {
	case m.Kind <= conflict.Third && m.Round == 0 && f.supports.Load() && !f.overtaken.Load(): // it has been judged, and is told what this leads to
		return true
	case m.Kind == conflict.FirstVote: // leads to nothing by itself
		return f.box.leave(lifecycle.Supported{})
	case m.Kind == conflict.Third && m.Round == 0: // nor does this
		return f.box.leave(lifecycle.Reached(m))
	case m.Kind == conflict.Certificate && s.accept(f, m): // what it leads to is on its way
		in := lifecycle.Reached(m)
		in.Cast = true
		f.box.leave(in)
		return true
	case m.Kind == conflict.Final:
		in := finality{lifecycle.Reached(m), s.edges(&m)}
		return s.finish(f, in) || f.box.post(in)
	}
	return f.box.post(lifecycle.Reached(m))
}

// edges are where the votes lie that made a transaction final.
func (s *countingShard) edges(m *conflict.Milestone) []store.EdgeRef {
	s.quorum = s.tally.Edges(s.quorum[:0], m.Tx, m.Group.Link(), m.Round, observation.Accepted)
	voters, refs := m.Group.Voters(), make([]store.EdgeRef, len(s.quorum))
	for i := range s.quorum {
		v := &s.quorum[i]
		refs[i] = store.EdgeRef{Key: voters[v.Voter].Key, SigningEpoch: v.SigningEpoch, Height: v.Height, Leaf: v.Leaf}
	}
	return refs
}

// join keeps the votes of a flight's transaction until it ends, tells the flight of the milestones that
// were reached before it was there, and only then has it begin: what is certified is judged otherwise.
func (s *countingShard) join(f *flight) {
	id := f.tx.ID
	if s.tally.Know(id, f) {
		f.box.post(lifecycle.Supported{})
		third, certificate, final := s.tally.Standing(id)
		for _, m := range [...]conflict.Milestone{third, certificate, final} {
			if m.Group != nil {
				s.tell(f, m)
			}
		}
	} else {
		s.recent = append(s.recent, dated{id, time.Now()}) // else its first vote was
	}
	s.joined(f)
}

// forgetOld drops the votes of transactions that ended, or never came, a while ago.
func (s *countingShard) forgetOld(now time.Time) {
	keep, asked := s.recent[:0], 0
	for i, c := range s.recent {
		age := now.Sub(c.since)
		if age < tallyTick {
			keep = append(keep, s.recent[i:]...)
			break
		}
		final := s.lately.holds(c.tx)
		if !final && s.flights.get(c.tx) != nil {
			keep = append(keep, c)
			continue
		}
		voted, unanimous := s.tally.Leave(c.tx)
		switch {
		case s.contested[c.tx] > 0:
			keep = append(keep, c)
		case !voted || age >= tallyRetention:
			s.tally.Forget(c.tx)
		case !final:
			keep = append(keep, c)
			if asked < askedAgain && s.askAgain(c.tx) {
				asked++
			}
		case unanimous:
			s.ended[0] = append(s.ended[0], dated{c.tx, now})
		default:
			s.ended[1] = append(s.ended[1], dated{c.tx, now})
		}
	}
	clear(s.recent[len(keep):])
	s.recent = keep
	s.ended[0] = s.forgetEnded(s.ended[0], unanimousKept, now)
	s.ended[1] = s.forgetEnded(s.ended[1], endedKept, now)
}

// askAgain asks for a transaction that the network has certified and that is not here: it was not found, or gave way where
// there was no room. It reports whether there is such a certificate.
func (s *countingShard) askAgain(tx domain.Hash) bool {
	_, certificate, final := s.tally.Standing(tx)
	m := certificate
	if m.Group == nil {
		m = final
	}
	if m.Group == nil {
		return false
	}
	s.unknown(tx, m.Group.Voters()[m.Voter].Key)
	return true
}

// forgetEnded drops the votes of what ended first, and returns the rest.
func (s *countingShard) forgetEnded(ended []dated, kept int, now time.Time) []dated {
	n := 0
	for ; n < len(ended); n++ {
		age := now.Sub(ended[n].since)
		if age < s.linger || age < tallyRetention && len(ended)-n <= kept {
			break
		}
		if tx := ended[n].tx; s.contested[tx] > 0 {
			s.recent = append(s.recent, dated{tx, now})
		} else {
			s.tally.Forget(tx)
		}
	}
	return slices.Delete(ended, 0, n)
}
