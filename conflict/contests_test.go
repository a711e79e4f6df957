package conflict

import (
	"fmt"
	"maps"
	"math"
	"math/rand"
	"slices"
	"testing"
	"time"

	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/utxo"
)

// graphs of conflicts by name.
var graphs = map[string][][]utxo.Outpoint{
	"alone":    {outpoints(1)},
	"pair":     {outpoints(1), outpoints(1)},
	"triple":   {outpoints(1), outpoints(1), outpoints(1)},
	"chain":    {outpoints(1, 2), outpoints(2, 3), outpoints(3, 4)},
	"path":     {outpoints(1), outpoints(1, 2), outpoints(2, 3), outpoints(3)},
	"ring":     {outpoints(1, 2), outpoints(2, 3), outpoints(3, 1)},
	"star":     {outpoints(1, 2, 3), outpoints(1), outpoints(2), outpoints(3)},
	"two ends": {outpoints(1, 2), outpoints(1), outpoints(2), outpoints(2)},
}

// adversaries by name: what a faulty node does when it sees a vote.
var adversaries = map[string]func(c *cluster, from int, seen Vote){
	"silent": nil,
	"votes for everything": func(c *cluster, from int, seen Vote) {
		for _, s := range []observation.State{observation.Pending, observation.Accepted} {
			c.forge(from, seen, s, func(int) bool { return true })
		}
	},
	"tells each half another story": func(c *cluster, from int, seen Vote) {
		half := int(seen.Tx[4]) % 2
		c.forge(from, seen, observation.Pending, func(to int) bool { return to%2 == half })
		c.forge(from, seen, observation.Accepted, func(to int) bool { return to%2 == half })
	},
	"accepts to one node": func(c *cluster, from int, seen Vote) {
		c.forge(from, seen, observation.Pending, func(to int) bool { return to == len(c.nodes)-1-from })
		c.forge(from, seen, observation.Accepted, func(to int) bool { return to == len(c.nodes)-1-from })
	},
}

// forge signs a vote like the one seen, once, and shows it to some.
func (c *cluster) forge(from int, seen Vote, s observation.State, to func(int) bool) {
	n := c.nodes[from]
	key := fmt.Sprint(seen.Tx, seen.Round, s)
	if n.acted[key] {
		return
	}
	n.acted[key] = true
	n.height++
	v := Vote{Tx: seen.Tx, State: s, Round: seen.Round, Group: c.group, Voter: c.voter(from), Height: n.height}
	for i := range c.nodes {
		if to(i) {
			c.after(c.hop(), func() { c.hear(i, []Vote{v}) })
		}
	}
}

// Whatever conflicts with whatever, and whatever up to 30 % of the nodes do, honest nodes agree on a maximal set.
func TestClusterDecides(t *testing.T) {
	for graph, spends := range graphs {
		for adversary, act := range adversaries {
			for _, loss := range []float64{0, 0.03} {
				t.Run(fmt.Sprint(graph, "/", adversary, "/", loss), func(t *testing.T) {
					for seed := range int64(6) {
						c := newCluster(t, seed, 10, int(seed)%4)
						c.byzantine, c.loss = act, loss
						for id, s := range spends {
							c.after(c.rng.Intn(60), func() { c.submit(tx(id), s, c.rng.Intn(10)) })
							c.txs[tx(id)] = s
						}
						c.run(120_000)
						c.check(true)
					}
				})
			}
		}
	}
}

func TestClusterLatency(t *testing.T) {
	for _, faulty := range []int{0, 4, 6} {
		for _, adversary := range []string{"silent", "tells each half another story", "votes for everything"} {
			var took []uint64
			for seed := range int64(100) {
				c := newCluster(t, seed, 20, faulty)
				c.byzantine = adversaries[adversary]
				for id := range 2 {
					c.submit(tx(id), outpoints(1), 6+c.rng.Intn(14))
				}
				c.run(60_000)
				c.check(true)
				took = append(took, c.now)
			}
			slices.Sort(took)
			t.Logf("%d %s: p50 %d p99 %d", faulty, adversary, took[50], took[99])
		}
	}
}

// randomGraph spends up to three of the outpoints with each transaction.
func randomGraph(rng *rand.Rand, txs, points int) [][]utxo.Outpoint {
	spends := make([][]utxo.Outpoint, txs)
	for i := range spends {
		ns := rng.Perm(points)[:1+rng.Intn(3)]
		spends[i] = outpoints(ns...)
	}
	return spends
}

func TestClusterRandomGraphsOf50(t *testing.T) {
	names := slices.Sorted(maps.Keys(adversaries))
	for seed := range int64(40) {
		c := newCluster(t, seed, 7, int(seed)%3)
		c.byzantine = adversaries[names[int(seed)%len(names)]]
		c.loss = 0.03 * float64(seed%2)
		for id, s := range randomGraph(c.rng, 50, 15+c.rng.Intn(40)) {
			c.txs[tx(id)] = s
			c.after(c.rng.Intn(300), func() { c.submit(tx(id), s, c.rng.Intn(7)) })
		}
		c.run(600_000)
		c.check(true)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// A part of the network that is cut off catches up: nothing but late messages.
func TestClusterSlowNodes(t *testing.T) {
	for seed := range int64(30) {
		c := newCluster(t, seed, 7, 0)
		c.loss, c.repairMS = 0.4, 3000
		for id, s := range graphs["chain"] {
			c.submit(tx(id), s, c.rng.Intn(7))
		}
		c.run(600_000)
		c.check(true)
	}
}

// A transaction whose window is closed here is voted for above round 0 as soon as a member has voted for it, in whatever
// round: of who voted in round 0 this node may have heard nothing.
func TestWindowGatesRoundZeroAlone(t *testing.T) {
	if plantedWindow {
		t.Skip("planted")
	}
	g := equalGroup(t, 4)
	for _, round := range []uint32{0, 1, 2} {
		c := newTestContests(t, 0, g, nil)
		c.Step(Join{Tx: tx(1), Spends: outpoints(1), InWindow: false})
		out := c.Step(Heard{votesOf(g, 1, observation.Pending, round, 1, 2)})
		votes := found[CastVote](out)
		if round == 0 {
			if len(votes) != 0 {
				t.Errorf("votes in round 0: %+v", votes)
			}
			continue
		}
		if len(votes) != 1 || votes[0].Vote.Tx != tx(1) || votes[0].Vote.Round != round {
			t.Errorf("heard in round %d: %+v", round, votes)
		}
	}
}

// TestLastRound: votes in the last round that can be named, split so that nobody can win there, lead nobody back to the first, and round and round.
func TestLastRound(t *testing.T) {
	g := equalGroup(t, 4)
	c := newTestContests(t, 0, g, nil)
	c.Step(Join{Tx: tx(1), Spends: outpoints(1), InWindow: true})
	c.Step(Join{Tx: tx(2), Spends: outpoints(1), InWindow: true})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c.Step(Heard{votesOf(g, 1, observation.Pending, math.MaxUint32, 0, 1)})
		c.Step(Heard{votesOf(g, 2, observation.Pending, math.MaxUint32, 2, 3)})
	}()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Fatal("a step has no end")
	}
	if k := c.txs[tx(1)].contest; k.round != math.MaxUint32 {
		t.Errorf("in round %d", k.round)
	}
	c.Step(Heard{votesOf(g, 1, observation.Accepted, math.MaxUint32, 0, 1, 2)}) // nor does a certificate there
}
