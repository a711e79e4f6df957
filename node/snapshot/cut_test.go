package snapshot

import (
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/notarynet/notaryd/observation"
	kit "github.com/notarynet/notaryd/observation/observationtest"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	"github.com/notarynet/notaryd/utxo"
)

// world is what some voters signed about some transactions, of which each may spend from earlier ones.
type world struct {
	g       *group.Group
	txs     []domain.Hash
	parents map[domain.Hash][]utxo.Outpoint
	signed  []*observation.Observation // and by whom
}

func drawWorld(t *rapid.T) *world {
	w := &world{g: voters(t, rapid.SampledFrom([][]group.Weight{group.Split(4), group.Split(7), {4e8, 3e8, 2e8, 1e8}}).Draw(t, "weights")...), parents: map[domain.Hash][]utxo.Outpoint{}}
	for i := range rapid.IntRange(1, 12).Draw(t, "transactions") {
		id := hashed(uint64(i))
		for _, p := range w.txs {
			if rapid.IntRange(0, 3).Draw(t, "spends") == 0 {
				w.parents[id] = append(w.parents[id], utxo.Outpoint{Tx: p})
			}
		}
		w.txs = append(w.txs, id)
	}
	for i := range w.g.Voters() {
		head := observation.Head{Key: kit.Key(i).Public()}
		for at := uint64(0); at < 20; at += rapid.Uint64Range(1, 6).Draw(t, "time") {
			var leaves []observation.Leaf
			for _, id := range w.txs {
				state := rapid.SampledFrom([]observation.State{observation.Pending, observation.Accepted, observation.Accepted, 0}).Draw(t, "state")
				if state != 0 {
					leaves = append(leaves, observation.Leaf{Subject: id, Type: observation.SubjectTx, State: state, Round: rapid.Uint32Range(0, 1).Draw(t, "round")})
				}
			}
			o := observation.Seal(head, w.g, leaves, at).Sign(kit.Key(i))
			head = o.Head()
			w.signed = append(w.signed, o)
		}
	}
	return w
}

// final are those that were final at a time, told slowly: by summing up what each voter accepted, for each transaction.
func (w *world) final(timeMS uint64) map[domain.Hash]bool {
	final := make(map[domain.Hash]bool)
	for _, id := range slices.Backward(w.txs) {
		for round := range uint32(2) {
			var weight group.Weight
			for _, v := range w.g.Voters() {
				if slices.ContainsFunc(w.signed, func(o *observation.Observation) bool {
					for i := range o.Len() {
						if l := o.Leaf(i); l.Subject == id && l.State == observation.Accepted && l.Round == round {
							return o.Header.Key == v.Key && o.Header.TimeMS <= timeMS
						}
					}
					return false
				}) {
					weight += v.Share
				}
			}
			if group.Quorum(weight) {
				final[id] = true
			}
		}
		if final[id] {
			for _, o := range w.parents[id] {
				final[o.Tx] = true
			}
		}
	}
	return final
}

// TestCutIsWhatWasSigned: whatever the order in which observations come, however many came later, and in whatever order
// the transactions became final here, what is out is what the signed statements until T do not make final.
func TestCutIsWhatWasSigned(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		at := rapid.Uint64Range(0, 20).Draw(t, "T")
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		c := NewCut(at)
		for _, id := range w.txs {
			c.Candidate(id)
		}
		signed := slices.Clone(w.signed)
		rng.Shuffle(len(signed), func(i, j int) { signed[i], signed[j] = signed[j], signed[i] })
		for _, o := range signed {
			voter, _ := w.g.Voter(o.Header.Key)
			c.Count(o, w.g, voter)
			if rng.IntN(4) == 0 {
				c.Count(o, w.g, voter) // twice is once
			}
		}
		out, err := c.Out(func(tx domain.Hash) ([]utxo.Outpoint, error) { return w.parents[tx], nil })
		if err != nil {
			t.Fatal(err)
		}
		final := w.final(at)
		var want []domain.Hash
		for _, id := range w.txs {
			if !final[id] {
				want = append(want, id)
			}
		}
		if !slices.Equal(out, want) {
			t.Fatalf("out are %d, want %d of %d", len(out), len(want), len(w.txs))
		}
	})
}

// TestSettledNeedsNoVotes: what is settled is in, with what it spends; a candidate is one once.
func TestSettledNeedsNoVotes(t *testing.T) {
	c := NewCut(1)
	for i := range uint64(4) {
		c.Candidate(hashed(i))
		c.Candidate(hashed(i))
	}
	c.Settle(hashed(2))
	c.Settle(hashed(9))
	out, err := c.Out(func(tx domain.Hash) ([]utxo.Outpoint, error) {
		if tx == hashed(2) {
			return []utxo.Outpoint{{Tx: hashed(0)}}, nil
		}
		return nil, nil
	})
	if err != nil || c.Len() != 4 || !slices.Equal(out, []domain.Hash{hashed(1), hashed(3)}) {
		t.Errorf("%v, %v", out, err)
	}
}
