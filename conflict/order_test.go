package conflict

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	"github.com/notarynet/notaryd/utxo"
)

// world is a set of transactions and votes without two final rivals: what a network with less than 1/3 of its weight
// faulty can bring about.
type world struct {
	group  *group.Group
	spends [][]utxo.Outpoint
	votes  []Vote
}

func drawWorld(rt *rapid.T, tb testing.TB) world {
	w := world{group: equalGroup(tb, 4), spends: conflictGraph(rt, rapid.IntRange(1, 6).Draw(rt, "txs"), 4)}
	spent := make(map[utxo.Outpoint]bool)
	for id, s := range w.spends {
		wins := rapid.Bool().Draw(rt, "wins") && !slices.ContainsFunc(s, func(o utxo.Outpoint) bool { return spent[o] })
		if wins {
			for _, o := range s {
				spent[o] = true
			}
		}
		round := uint32(rapid.IntRange(0, 3).Draw(rt, "final round"))
		for voter := range 4 {
			if wins && voter < 3 {
				w.votes = append(w.votes, w.vote(id, observation.Accepted, round, voter))
			}
			for r := range uint32(4) {
				if rapid.IntRange(0, 2).Draw(rt, "pending") == 0 {
					w.votes = append(w.votes, w.vote(id, observation.Pending, r, voter))
				}
				if !wins && voter < 2 && rapid.IntRange(0, 3).Draw(rt, "accepted") == 0 { // never a quorum
					w.votes = append(w.votes, w.vote(id, observation.Accepted, r, voter))
				}
			}
		}
	}
	return w
}

func (w *world) vote(id int, s observation.State, round uint32, voter int) Vote {
	return Vote{Tx: tx(id), State: s, Round: round, Group: w.group, Voter: voter, Height: 1}
}

// inputs are the world as one Join a transaction and one Heard a vote, in a drawn order, some twice and votes possibly
// before their transactions, as a node's tally would hold them.
func (w *world) inputs(rt *rapid.T, label string) []Input {
	order := rapid.Permutation(w.votes).Draw(rt, label+" votes")
	joins := make([]int, len(w.spends))
	for i := range joins {
		joins[i] = rapid.IntRange(0, len(order)).Draw(rt, label+" join")
	}
	tally := NewTally(DefaultTallyLimits)
	joined := make(map[domain.Hash]bool)
	var in []Input
	for at := 0; at <= len(order); at++ {
		for id, j := range joins {
			if j == at {
				in = append(in, Join{Tx: tx(id), Spends: w.spends[id], InWindow: true, Votes: tally.Votes(tx(id))})
				joined[tx(id)] = true
			}
		}
		if at == len(order) {
			break
		}
		v := order[at]
		tally.Count(v, nil)
		if joined[v.Tx] {
			in = append(in, Heard{[]Vote{v}})
			if rapid.IntRange(0, 4).Draw(rt, label+" again") == 0 {
				in = append(in, in[len(in)-1])
			}
		}
	}
	return in
}

// outcome runs the inputs, firing every timer at once or none, and says what came of them.
func outcome(rt *rapid.T, g *group.Group, self domain.PublicKey, inputs []Input, fire bool) string {
	c, err := NewContests(DefaultParams(), self, g)
	if err != nil {
		rt.Fatal(err)
	}
	status := make(map[string]string)
	perform := func(out []Effect) {
		for _, e := range out {
			switch e := e.(type) {
			case Decided:
				status[name(e.Final)] = fmt.Sprint("final since round ", e.Round)
				for _, id := range e.Rejected {
					if status[name(id)] != "" {
						rt.Fatalf("%s was %s, and is rejected", name(id), status[name(id)])
					}
					status[name(id)] = "rejected"
				}
			case Broken:
				rt.Fatalf("broken: %+v", e)
			case StartTimer:
				if fire && e.Round < 6 && e.Kind != PullTimer {
					for _, f := range c.Step(Fired{e.ID}) {
						if _, ok := f.(Decided); ok {
							rt.Fatalf("a timer decided: %+v", f)
						}
					}
				}
			}
		}
	}
	for _, in := range inputs {
		perform(c.Step(in))
	}
	var lines []string
	for id, t := range c.txs {
		cert := fmt.Sprint(" certificate ", t.certificate, " below 2 ", c.certificateBelow(t, CertAt(0, 2)))
		lines = append(lines, name(id)+" "+status[name(id)]+cert)
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// What is decided is a function of the set of votes: neither their order, nor repeats, nor what came before its
// transaction, nor timers, nor this node's own votes change it.
func TestOutcomeIgnoresOrder(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := drawWorld(rt, t)
		want := outcome(rt, w.group, nodeKey(3), w.inputs(rt, "a"), false)
		for _, self := range []domain.PublicKey{nodeKey(3), nodeKey(99)} {
			for _, fire := range []bool{false, true} {
				if got := outcome(rt, w.group, self, w.inputs(rt, "b"), fire); got != want {
					rt.Fatalf("one order gives\n%s\nanother\n%s", want, got)
				}
			}
		}
	})
}

// Whom a node supports is a function of what it knows: two nodes with the same votes choose alike.
func TestChoiceIgnoresOrder(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := drawWorld(rt, t)
		choice := func(label string) string {
			c, err := NewContests(DefaultParams(), nodeKey(99), w.group)
			if err != nil {
				rt.Fatal(err)
			}
			for _, in := range w.inputs(rt, label) {
				c.Step(in)
			}
			var lines []string
			for _, k := range c.contests() {
				c.enter(k, 9) // the round itself may differ by who was seen to equivocate when
				s := fmt.Sprint(idsOf(k.members), trim(k.heard), " facilitator ", c.facilitator(k), " picks")
				for _, p := range c.choose(k, k.members).picks {
					s += fmt.Sprint(" ", name(p.id), p.support, p.justified)
				}
				lines = append(lines, s)
			}
			return strings.Join(lines, "\n")
		}
		if a, b := choice("a"), choice("b"); a != b {
			rt.Fatalf("one order gives\n%s\nanother\n%s", a, b)
		}
	})
}

// A choice is maximal, admissible and free of conflicts, whatever the graph.
func TestChoiceIsMaximal(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := drawWorld(rt, t)
		c, err := NewContests(DefaultParams(), nodeKey(3), w.group)
		if err != nil {
			rt.Fatal(err)
		}
		for _, in := range w.inputs(rt, "a") {
			c.Step(in)
		}
		for _, k := range c.contests() {
			c.enter(k, k.round+2)
			picks := c.choose(k, k.members).picks
			taken := make(map[utxo.Outpoint]domain.Hash)
			for _, p := range picks {
				for _, o := range p.spends {
					if other, ok := taken[o]; ok {
						rt.Fatalf("picks rivals %s and %s", name(p.id), name(other))
					}
					taken[o] = p.id
				}
			}
			for _, m := range k.members {
				v := OwnVote{Tx: m.id, Spends: m.spends, State: observation.Pending, Round: k.round, Certificate: c.certificateBelow(m, c.at(k.round))}
				free := !slices.ContainsFunc(m.spends, func(o utxo.Outpoint) bool { _, ok := taken[o]; return ok })
				if free && c.guard.Check(v) == nil {
					rt.Fatalf("%s could be supported too", name(m.id))
				}
			}
		}
	})
}

// Components are what a walk over pairs of rivals finds, after any joins and decisions.
func TestContestsAreComponents(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := drawWorld(rt, t)
		c, err := NewContests(DefaultParams(), nodeKey(3), w.group)
		if err != nil {
			rt.Fatal(err)
		}
		for _, in := range w.inputs(rt, "a") {
			c.Step(in)
			checkComponents(rt, c)
		}
	})
}

// trim drops voters at the end that were never heard.
func trim(heard []uint64) []uint64 {
	for len(heard) > 0 && heard[len(heard)-1] == 0 {
		heard = heard[:len(heard)-1]
	}
	return heard
}

func checkComponents(rt *rapid.T, c *Contests) {
	parent := make(map[*contender]*contender)
	var root func(t *contender) *contender
	root = func(t *contender) *contender {
		if parent[t] == nil {
			return t
		}
		return root(parent[t])
	}
	for _, a := range c.txs {
		for _, b := range c.txs {
			shared := slices.ContainsFunc(a.spends, func(o utxo.Outpoint) bool { return slices.Contains(b.spends, o) })
			if shared && a.status == live && b.status == live && root(a) != root(b) {
				parent[root(a)] = root(b)
			}
		}
	}
	for _, a := range c.txs {
		if (a.status == live) != (a.contest != nil) {
			rt.Fatalf("%s has status %d and contest %p", name(a.id), a.status, a.contest)
		}
		for _, b := range c.txs {
			if a.status == live && b.status == live && (root(a) == root(b)) != (a.contest == b.contest) {
				rt.Fatalf("%s and %s: one component %v, one contest %v", name(a.id), name(b.id), root(a) == root(b), a.contest == b.contest)
			}
		}
		if k := a.contest; k != nil {
			heard := slices.Clone(k.heard)
			k.relisten(c)
			if !slices.Equal(trim(heard), trim(k.heard)) {
				rt.Fatalf("heard %v, recounted %v", heard, k.heard)
			}
		}
	}
}
