package conflict

import (
	"math/rand"
	"slices"
	"testing"

	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	"github.com/notarynet/notaryd/utxo"
)

// randomWorld is 50 transactions of a random graph and the votes of seven voters, two of which say anything: enough
// to accept some that have no rivals among themselves, and never enough for any other.
func randomWorld(rng *rand.Rand, tb testing.TB) world {
	w := world{group: equalGroup(tb, 7), spends: randomGraph(rng, 50, 20+rng.Intn(60))}
	spent := make(map[utxo.Outpoint]bool)
	for id, s := range w.spends {
		wins := rng.Intn(2) == 0 && !slices.ContainsFunc(s, func(o utxo.Outpoint) bool { return spent[o] })
		for _, o := range s {
			spent[o] = spent[o] || wins
		}
		final := uint32(rng.Intn(3))
		for voter := range 7 {
			for r := range uint32(3) {
				if rng.Intn(3) == 0 {
					w.votes = append(w.votes, w.vote(id, observation.Pending, r, voter))
				}
				accepts := wins && r == final && voter < 5
				if accepts || voter > 4 && rng.Intn(4) == 0 {
					w.votes = append(w.votes, w.vote(id, observation.Accepted, r, voter))
				}
			}
		}
	}
	return w
}

// outcomeTwin counts votes from scratch: final is what more than 2/3 of the weight accepted in one round, rejected
// what spends an outpoint of it.
func outcomeTwin(w *world) map[domain.Hash]string {
	type ballot struct {
		id    domain.Hash
		round uint32
	}
	accepted := make(map[ballot]group.Weight)
	for _, v := range w.votes {
		if v.State == observation.Accepted {
			accepted[ballot{v.Tx, v.Round}] += w.group.Voters()[v.Voter].Share
		}
	}
	out := make(map[domain.Hash]string)
	for b, weight := range accepted {
		if 3*weight > 2*group.Total {
			out[b.id] = "final"
		}
	}
	for id, s := range w.spends {
		for rival, other := range w.spends {
			shares := slices.ContainsFunc(s, func(o utxo.Outpoint) bool { return slices.Contains(other, o) })
			if id != rival && shares && out[tx(rival)] == "final" {
				out[tx(id)] = "rejected"
			}
		}
	}
	return out
}

// tell gives a node the transactions and votes of a world in some order: votes twice, before their transaction
// comes and long after it is decided. It returns what the node says of each transaction.
func tell(t *testing.T, rng *rand.Rand, w *world, self domain.PublicKey) map[domain.Hash]string {
	c, err := NewContests(DefaultParams(), self, w.group)
	if err != nil {
		t.Fatal(err)
	}
	tally := NewTally(DefaultTallyLimits)
	out := make(map[domain.Hash]string)
	say := func(id domain.Hash, what string) {
		if was := out[id]; was != "" {
			t.Fatalf("%s is %s, and was %s", name(id), what, was)
		}
		out[id] = what
	}
	step := func(in Input) {
		for _, e := range c.Step(in) {
			switch e := e.(type) {
			case Decided:
				if out[e.Final] != "final" || len(e.Rejected) == 0 { // said again for rivals that come later
					say(e.Final, "final")
				}
				for _, id := range e.Rejected {
					say(id, "rejected")
				}
			case Broken:
				t.Fatalf("broken: %+v", e)
			}
		}
	}
	votes := append(slices.Clone(w.votes), w.votes[:len(w.votes)/3]...) // a third of them twice
	rng.Shuffle(len(votes), func(i, j int) { votes[i], votes[j] = votes[j], votes[i] })
	joined := make(map[domain.Hash]bool)
	due := make(map[int][]int)
	for id := range w.spends {
		at := rng.Intn(len(votes))
		due[at] = append(due[at], id)
	}
	for at, v := range votes {
		for _, id := range due[at] {
			joined[tx(id)] = true
			step(Join{Tx: tx(id), Spends: w.spends[id], InWindow: true, Votes: tally.Votes(tx(id))})
		}
		tally.Count(v, nil)
		if joined[v.Tx] {
			step(Heard{[]Vote{v}})
		}
	}
	for _, v := range w.votes { // and all of them once more, when everything is over
		step(Heard{[]Vote{v}})
	}
	return out
}

// What becomes of 50 transactions in conflict is what a recount of all votes says, for members and listeners,
// whatever the order.
func TestOutcomeOf50IsARecount(t *testing.T) {
	finals := 0
	for seed := range int64(60) {
		rng := rand.New(rand.NewSource(seed))
		w := randomWorld(rng, t)
		want := outcomeTwin(&w)
		for _, self := range []domain.PublicKey{nodeKey(0), nodeKey(6), nodeKey(99)} {
			got := tell(t, rng, &w, self)
			for id := range w.spends {
				if got[tx(id)] != want[tx(id)] {
					t.Fatalf("seed %d: %s is %q, a recount says %q", seed, name(tx(id)), got[tx(id)], want[tx(id)])
				}
				if got[tx(id)] == "final" {
					finals++
				}
			}
		}
	}
	if finals < 1000 {
		t.Errorf("only %d final", finals)
	}
}
