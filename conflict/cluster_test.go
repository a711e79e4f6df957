package conflict

import (
	"container/heap"
	"errors"
	"fmt"
	"math/rand"
	"slices"
	"strings"
	"testing"

	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	"github.com/notarynet/notaryd/utxo"
)

// cluster is a network of Contests on a virtual clock: just enough of a node around each to let the rules be
// tried on thousands of schedules. Every vote is one message; what is lost is repaired late.
type cluster struct {
	t     testing.TB
	rng   *rand.Rand
	group *group.Group
	nodes []*clusterNode
	txs   map[domain.Hash][]utxo.Outpoint
	now   uint64
	queue eventQueue
	seq   int
	log   *strings.Builder // transcript, where wanted

	minMS, maxMS int     // of a hop
	loss         float64 // share of messages that come only after repairMS
	repairMS     int
	byzantine    func(c *cluster, from int, seen Vote) // what faulty nodes do on a vote they see
}

type clusterNode struct {
	contests *Contests
	guard    *Guard
	tally    *Tally
	joined   map[domain.Hash]bool
	fetching map[domain.Hash]bool
	final    map[domain.Hash]Finality
	rejected map[domain.Hash]bool
	height   uint64
	faulty   bool
	acted    map[string]bool
}

type event struct {
	at  uint64
	seq int
	do  func()
}

type eventQueue []event

func (q eventQueue) Len() int { return len(q) }
func (q eventQueue) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].seq < q[j].seq
}
func (q eventQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *eventQueue) Push(x any)   { *q = append(*q, x.(event)) }
func (q *eventQueue) Pop() any {
	old := *q
	e := old[len(old)-1]
	*q = old[:len(old)-1]
	return e
}

func newCluster(t testing.TB, seed int64, n, faulty int) *cluster {
	c := &cluster{
		t: t, rng: rand.New(rand.NewSource(seed)), group: equalGroup(t, n),
		txs: make(map[domain.Hash][]utxo.Outpoint), minMS: 20, maxMS: 100, repairMS: 1000,
	}
	for i := range n {
		contests, err := NewContests(DefaultParams(), nodeKey(i), c.group)
		if err != nil {
			t.Fatal(err)
		}
		c.nodes = append(c.nodes, &clusterNode{
			contests: contests, guard: NewGuard(), tally: NewTally(DefaultTallyLimits),
			joined: make(map[domain.Hash]bool), fetching: make(map[domain.Hash]bool),
			final: make(map[domain.Hash]Finality), rejected: make(map[domain.Hash]bool),
			acted: make(map[string]bool), faulty: i < faulty,
		})
	}
	return c
}

func (c *cluster) after(ms int, do func()) {
	c.seq++
	heap.Push(&c.queue, event{c.now + uint64(ms), c.seq, do})
}

func (c *cluster) hop() int {
	d := c.minMS + c.rng.Intn(c.maxMS-c.minMS+1)
	if c.loss > 0 && c.rng.Float64() < c.loss {
		d += c.repairMS
	}
	return d
}

// submit gives a transaction to one node, which passes it on to all.
func (c *cluster) submit(id domain.Hash, spends []utxo.Outpoint, at int) {
	c.txs[id] = spends
	for i := range c.nodes {
		ms := 0
		if i != at {
			ms = c.hop()
		}
		c.after(ms, func() { c.arrive(i, id) })
	}
}

func (c *cluster) arrive(i int, id domain.Hash) {
	n := c.nodes[i]
	if n.joined[id] || n.faulty {
		return
	}
	n.joined[id] = true
	n.tally.Know(id, nil)
	var own []Record
	for _, o := range c.txs[id] {
		own = append(own, n.guard.Records(o)...)
	}
	c.step(i, Join{Tx: id, Spends: c.txs[id], InWindow: true, Votes: n.tally.Votes(id), Own: own})
}

func (c *cluster) step(i int, in Input) {
	for _, e := range c.nodes[i].contests.Step(in) {
		c.perform(i, e)
	}
}

func (c *cluster) perform(i int, e Effect) {
	n := c.nodes[i]
	c.logf("%5d  n%d  %s", c.now, i, describe(e))
	switch e := e.(type) {
	case CastVote:
		if err := n.guard.Check(e.Vote); err != nil && !errors.Is(err, ErrAlreadyCast) {
			c.t.Fatalf("n%d: %s: %v", i, describe(e), err)
		}
		n.guard.Record(e.Vote)
		n.height++
		c.broadcast(i, Vote{
			Tx: e.Vote.Tx, State: e.Vote.State, Round: e.Vote.Round, Group: c.group, Voter: c.voter(i), Height: n.height, TimeMS: c.now,
		})
	case StartTimer:
		c.after(int(e.AfterMS), func() { c.step(i, Fired{e.ID}) })
	case NeedCertificate:
		from := c.node(e.From)
		if c.nodes[from].faulty {
			return
		}
		c.after(c.hop(), func() {
			votes := c.nodes[from].tally.Edges(nil, e.Tx, e.Group.Link(), e.Round, observation.Pending)
			c.after(c.hop(), func() { c.hear(i, votes) })
		})
	case SendProof:
		f := n.final[e.Tx]
		votes := n.tally.Edges(nil, e.Tx, f.Group.Link(), f.Round, observation.Accepted)
		to := c.node(e.To)
		c.after(c.hop(), func() { c.hear(to, votes) })
	case Decided:
		if n.rejected[e.Final] {
			c.t.Fatalf("n%d: %v is final after it was rejected", i, e.Final)
		}
		n.final[e.Final] = e.Finality
		for _, id := range e.Rejected {
			if _, reversed := n.final[id]; reversed {
				c.t.Fatalf("n%d: final %v was reversed", i, id)
			}
			n.rejected[id] = true
			n.guard.Reject(id, c.txs[id])
		}
	case Broken:
		c.t.Fatalf("n%d: rivals %v and %v both final", i, e.Final, e.Also)
	}
}

// voter and node translate between the position in the group and the number of the node.
func (c *cluster) voter(i int) int {
	v, _ := c.group.Voter(nodeKey(i))
	return v
}

func (c *cluster) node(key domain.PublicKey) int {
	return slices.IndexFunc(c.nodes, func(n *clusterNode) bool { return n.contests.self == key })
}

func (c *cluster) broadcast(from int, v Vote) {
	for i := range c.nodes {
		ms := 0
		if i != from {
			ms = c.hop()
		}
		c.after(ms, func() { c.hear(i, []Vote{v}) })
	}
}

// hear takes votes in; a transaction not known is pulled from whoever voted for it.
func (c *cluster) hear(i int, votes []Vote) {
	n := c.nodes[i]
	if n.faulty {
		if c.byzantine != nil {
			for _, v := range votes {
				c.byzantine(c, i, v)
			}
		}
		return
	}
	var known []Vote
	for _, v := range votes {
		n.tally.Count(v, nil)
		if n.joined[v.Tx] {
			known = append(known, v)
		} else if !n.fetching[v.Tx] {
			n.fetching[v.Tx] = true
			c.after(c.hop()+c.hop(), func() { c.arrive(i, v.Tx) })
		}
	}
	if len(known) > 0 {
		c.step(i, Heard{known})
	}
}

// run lets time pass until nothing more happens, or until the limit.
func (c *cluster) run(limitMS uint64) {
	for c.queue.Len() > 0 {
		e := heap.Pop(&c.queue).(event)
		if e.at > limitMS {
			return
		}
		c.now = e.at
		e.do()
		if c.settled() {
			return
		}
	}
}

func (c *cluster) settled() bool {
	for _, n := range c.nodes {
		if !n.faulty && len(n.final)+len(n.rejected) < len(c.txs) {
			return false
		}
	}
	return true
}

// check holds the outcome against what must always hold: honest nodes agree, no two rivals are final, and whoever is
// rejected has a final rival; and, when asked, everything is decided.
func (c *cluster) check(decided bool) {
	c.t.Helper()
	everywhere := make(map[domain.Hash]bool)
	for i, n := range c.nodes {
		if n.faulty {
			continue
		}
		if decided && len(n.final)+len(n.rejected) != len(c.txs) {
			c.t.Errorf("n%d: %d final and %d rejected of %d after %d ms", i, len(n.final), len(n.rejected), len(c.txs), c.now)
		}
		for id := range n.final {
			everywhere[id] = true
		}
	}
	spent := make(map[utxo.Outpoint]domain.Hash)
	for id := range everywhere {
		for _, o := range c.txs[id] {
			if other, twice := spent[o]; twice {
				c.t.Errorf("%v and %v are final and spend %v", id, other, o)
			}
			spent[o] = id
		}
	}
	for i, n := range c.nodes {
		for id := range n.rejected {
			if everywhere[id] {
				c.t.Errorf("n%d rejected %v, which is final elsewhere", i, id)
			}
			if !slices.ContainsFunc(c.txs[id], func(o utxo.Outpoint) bool { _, ok := spent[o]; return ok }) {
				c.t.Errorf("n%d rejected %v, none of whose rivals is final", i, id)
			}
		}
	}
}

func (c *cluster) logf(format string, args ...any) {
	if c.log != nil {
		fmt.Fprintf(c.log, format+"\n", args...)
	}
}

// name is the short form of a test transaction.
func name(id domain.Hash) string {
	if n := int(id[4]) | int(id[3])<<8; n < 26 {
		return string(rune('A' + n))
	} else {
		return fmt.Sprint("T", n)
	}
}

// describe puts an effect on one line.
func describe(e Effect) string {
	switch e := e.(type) {
	case CastVote:
		s := fmt.Sprintf("%v %s round %d", e.Vote.State, name(e.Vote.Tx), e.Vote.Round)
		if c := e.Vote.Certificate; c.Known && e.Vote.State == observation.Pending {
			s += fmt.Sprintf(", certificate of round %d", c.Round)
		}
		return s
	case StartTimer:
		return fmt.Sprintf("timer %d: %v of %s round %d in %d ms", e.ID, e.Kind, name(e.Tx), e.Round, e.AfterMS)
	case NeedCertificate:
		return fmt.Sprintf("needs certificate of %s round %d from %s", name(e.Tx), e.Round, nodeName(e.From))
	case SendProof:
		return fmt.Sprintf("sends proof of %s to %s", name(e.Tx), nodeName(e.To))
	case Decided:
		s := fmt.Sprintf("FINAL %s round %d", name(e.Final), e.Round)
		for _, id := range e.Rejected {
			s += ", REJECTED " + name(id)
		}
		return s
	case TooManyRivals:
		return "refuses " + name(e.Tx)
	case Retired:
		return "forgets " + name(e.Tx)
	case Broken:
		return fmt.Sprintf("BROKEN: %s is final, and %s has a quorum", name(e.Final), name(e.Also))
	}
	return fmt.Sprintf("%T", e)
}

func nodeName(k domain.PublicKey) string { return fmt.Sprint("n", k[4]) }
