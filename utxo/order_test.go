package utxo

import (
	"bytes"
	"math/rand"
	"slices"
	"testing"

	"pgregory.net/rapid"

	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// TestOrderOfFinality: transactions that are not rivals lead to one set of outputs in whatever order,
// parents before children, they become final.
func TestOrderOfFinality(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		start := &Set{}
		first := Delta{Tx: parent}
		for i := range 12 {
			first.Created = append(first.Created, Created{at(uint32(i)), Output{Kind: payment, Address: everybody[i%len(everybody)], Amount: 1000}})
		}
		if err := start.Apply(first, 0); err != nil {
			t.Fatal(err)
		}
		one := clone(start)
		var txs []*Tx
		for range rapid.IntRange(2, 8).Draw(t, "transactions") {
			if tx := genTransaction(t, one, 100); tx != nil {
				apply(t, one, tx)
				txs = append(txs, tx)
			}
		}
		other := clone(start)
		waiting := rapid.Permutation(txs).Draw(t, "order")
		for len(waiting) > 0 {
			// A node holds what has to wait for a parent, and looks again.
			held := waiting[:0:0]
			for _, tx := range waiting {
				d, err := Validate(tx, other, Moment{NowMS: 100})
				switch {
				case err == nil:
					if err := other.Apply(d, 0); err != nil {
						t.Fatal(err)
					}
				case NotYet(err):
					held = append(held, tx)
				default:
					t.Fatal(err)
				}
			}
			if len(held) == len(waiting) {
				t.Fatalf("%d transactions wait for ever", len(held))
			}
			waiting = held
		}
		if !other.Equal(one) {
			t.Fatal("the order of finality shows")
		}
	})
}

func apply(t *rapid.T, s *Set, tx *Tx) {
	d, err := Validate(tx, s, Moment{NowMS: 100})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Apply(d, 0); err != nil {
		t.Fatal(err)
	}
}

// TestRivals: of two transactions that spend one outpoint, whichever comes first shuts the other out.
func TestRivals(t *testing.T) {
	a := mustFinish(t, mustDraft(t, transfer()).Sign(alice))
	b := mustFinish(t, mustDraft(t, start(atBob).Spend(at(atAlice)).Pay(bobLock.Address(), Product{}, 150*coin)).Sign(bob, alice))
	for _, pair := range [][2]*Tx{{a, b}, {b, a}} {
		s := world(t)
		d, err := Validate(pair[0], s, today)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Validate(pair[1], s, today); err != nil {
			t.Fatalf("before either is final: %v", err)
		}
		mustApply(t, s, d, now)
		if _, err := Validate(pair[1], s, today); refusal.ReasonOf(err) != notaryv1.Reason_REASON_OUTPOINT_SPENT {
			t.Errorf("after the first: %v", err)
		}
		if err := s.Revert(d); err != nil {
			t.Fatal(err)
		}
		if _, err := Validate(pair[1], s, today); err != nil {
			t.Errorf("after the first is undone: %v", err)
		}
	}
}

// TestOrderOfLists: the order of witnesses changes no verdict and no id; the order of inputs and outputs
// changes the id and, issuance aside, no verdict.
func TestOrderOfLists(t *testing.T) {
	source := rand.New(rand.NewSource(3))
	build := func() *Builder {
		return start(atAlice).Spend(at(atBob)).Spend(at(atGold)).Read(at(atSpent)).
			Pay(bobLock.Address(), Product{}, 150*coin).Pay(aliceLock.Address(), gold, 900).Pay(bobLock.Address(), gold, 100)
	}
	want := mustFinish(t, mustDraft(t, build()).Sign(alice, bob))
	swapped := mustFinish(t, mustDraft(t, build()).Sign(bob, alice))
	if swapped.ID != want.ID || swapped.FullHash == want.FullHash {
		t.Error("witnesses in another order")
	}
	ids := make(map[string]bool)
	for range 20 {
		b := build()
		source.Shuffle(len(b.tx.Inputs), func(i, j int) { b.tx.Inputs[i], b.tx.Inputs[j] = b.tx.Inputs[j], b.tx.Inputs[i] })
		source.Shuffle(len(b.tx.Outputs), func(i, j int) { b.tx.Outputs[i], b.tx.Outputs[j] = b.tx.Outputs[j], b.tx.Outputs[i] })
		tx := mustFinish(t, mustDraft(t, b).Sign(alice, bob))
		if _, err := ValidateSigned(tx, world(t), today); err != nil {
			t.Fatal(err)
		}
		if same := slices.Equal(tx.Inputs, want.Inputs) && bytes.Equal(tx.Body, want.Body); same != (tx.ID == want.ID) {
			t.Error("ids do not follow bodies")
		}
		ids[tx.ID.String()] = true
	}
	if len(ids) < 10 {
		t.Errorf("only %d orders", len(ids))
	}
}

// TestReadsChangeNothing: a READ of any known output leaves verdict and effect as they were. A link's READs
// are what it was computed from, and have rules of their own.
func TestReadsChangeNothing(t *testing.T) {
	s := world(t)
	for name, d := range validDrafts(t) {
		plain := mustFinish(t, d)
		if plain.Link != nil {
			continue
		}
		before, err := Validate(plain, s, today)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for i := range uint32(worldSize) {
			if slices.ContainsFunc(plain.Inputs, func(in Input) bool { return in.Outpoint == at(i) }) {
				continue
			}
			more := *plain
			more.Inputs = append(slices.Clone(plain.Inputs), Input{Kind: read, Outpoint: at(i)})
			after, err := Validate(&more, s, today)
			if err != nil || len(after.Spent) != len(before.Spent) || len(after.Created) != len(before.Created) {
				t.Errorf("%s, reading %d: %v", name, i, err)
			}
		}
	}
}
