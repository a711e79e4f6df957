package utxo

import (
	"errors"
	"math/big"
	"testing"

	"pgregory.net/rapid"

	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// person is somebody who can open a lock.
type person struct {
	lock Lock
	sign func(d *Draft) error
}

// people are the owners of everything in the random ledgers, by address.
func people() map[Address]person {
	all := make(map[Address]person)
	for _, k := range []domain.PrivateKey{alice, bob, carol} {
		l := KeyLock(k.Public())
		all[l.Address()] = person{l, func(d *Draft) error { d.Sign(k); return nil }}
	}
	all[sharedLock.Address()] = person{sharedLock, func(d *Draft) error { return d.SignLock(sharedLock, nil, carol, bob) }}
	all[hashLock.Address()] = person{hashLock, func(d *Draft) error { return d.SignLock(hashLock, preimage, carol) }}
	return all
}

var everybody = []Address{
	aliceLock.Address(), bobLock.Address(), KeyLock(carol.Public()).Address(), sharedLock.Address(), hashLock.Address(),
}

// totals sums all live outputs by product, in numbers that cannot overflow.
func totals(s *Set) map[Product]*big.Int {
	out := make(map[Product]*big.Int)
	for _, o := range s.Live() {
		e, _ := s.Lookup(o)
		if out[e.Output.Product] == nil {
			out[e.Output.Product] = new(big.Int)
		}
		out[e.Output.Product].Add(out[e.Output.Product], new(big.Int).SetUint64(e.Output.Amount))
	}
	return out
}

// genTransaction draws a valid transaction over a ledger, witnesses included; nil where nothing can be
// spent. All amounts go back out, split at random; sometimes a product is issued.
func genTransaction(t *rapid.T, s *Set, nowMS uint64) *Tx {
	var open []Outpoint
	for _, o := range s.Live() {
		if e, _ := s.Lookup(o); e.opensMS() <= nowMS && !ofNetwork(e.Output.Kind) && e.Output.Kind != notaryv1.OutputKind_OUTPUT_KIND_REWARD && !e.Output.Address.IsZero() {
			open = append(open, o)
		}
	}
	if len(open) == 0 {
		return nil
	}
	b, sums, order := NewBuilder(testNetwork), make(map[Product]uint64), []Product{}
	needed, signers := make(map[Address]bool), []Address{}
	need := func(a Address) {
		if !a.IsZero() && !needed[a] {
			needed[a], signers = true, append(signers, a)
		}
	}
	for _, o := range rapid.SliceOfNDistinct(rapid.SampledFrom(open), 1, min(3, len(open)), rapid.ID).Draw(t, "spends") {
		e, _ := s.Lookup(o)
		b.Spend(o)
		if _, seen := sums[e.Output.Product]; !seen {
			order = append(order, e.Output.Product)
		}
		sums[e.Output.Product] += e.Output.Amount
		need(e.Output.Address)
		need(e.Output.Counterparty)
	}
	for _, p := range order {
		genPayments(t, b, p, sums[p])
	}
	if len(b.tx.Outputs) == 0 || rapid.IntRange(0, 3).Draw(t, "issue") == 0 {
		genPayments(t, b, b.Issues(), rapid.Uint64Range(1, 1<<40).Draw(t, "supply"))
	}
	d, err := b.Salt(rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "salt")).Build()
	if err != nil {
		t.Fatal(err)
	}
	all := people()
	for _, a := range signers {
		if err := all[a].sign(d); err != nil {
			t.Fatal(err)
		}
	}
	tx, err := d.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return tx
}

// genPayments splits an amount of a product among people.
func genPayments(t *rapid.T, b *Builder, p Product, amount uint64) {
	for amount > 0 {
		part := amount
		if len(b.tx.Outputs) < 6 {
			part = rapid.Uint64Range(1, amount).Draw(t, "part")
		}
		amount -= part
		o := Output{Kind: payment, Product: p, Amount: part, Address: rapid.SampledFrom(everybody).Draw(t, "to")}
		switch rapid.IntRange(0, 5).Draw(t, "condition") {
		case 0:
			o.NotBeforeMS = rapid.Uint64Range(0, 40).Draw(t, "not before")
		case 1:
			o.MinAgeMS = rapid.Uint64Range(0, 20).Draw(t, "min age")
		case 2:
			o.Counterparty = rapid.SampledFrom(everybody).Draw(t, "counterparty")
		}
		b.Output(o)
	}
}

// TestLedger runs random histories: every transaction that is built validates, value is conserved to the
// unit, a spent output cannot be spent again, and undoing everything leads back through every state.
func TestLedger(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := &Set{}
		first := Delta{Tx: parent}
		for i, a := range everybody {
			first.Created = append(first.Created, Created{at(uint32(i)), Output{Kind: payment, Address: a, Amount: 1000}})
		}
		if err := s.Apply(first, 0); err != nil {
			t.Fatal(err)
		}
		var deltas []Delta
		states := []*Set{clone(s)}
		for nowMS := uint64(1); nowMS < 12; nowMS++ {
			tx := genTransaction(t, s, nowMS)
			if tx == nil {
				continue
			}
			before := totals(s)
			d, err := ValidateSigned(tx, s, Moment{NowMS: nowMS})
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Apply(d, nowMS); err != nil {
				t.Fatal(err)
			}
			conserved(t, tx, before, totals(s))
			if _, err := Validate(tx, s, Moment{NowMS: nowMS}); refusal.ReasonOf(err) != notaryv1.Reason_REASON_OUTPOINT_SPENT {
				t.Fatalf("twice: %v", err)
			}
			if err := s.Apply(d, nowMS); !errors.Is(err, ErrDelta) {
				t.Fatalf("applied twice: %v", err)
			}
			deltas, states = append(deltas, d), append(states, clone(s))
		}
		for i := len(deltas) - 1; i >= 0; i-- {
			if !s.Equal(states[i+1]) {
				t.Fatalf("not the state after delta %d", i)
			}
			if err := s.Revert(deltas[i]); err != nil {
				t.Fatal(err)
			}
		}
		if !s.Equal(states[0]) {
			t.Fatal("not where it began")
		}
	})
}

func clone(s *Set) *Set {
	c := &Set{entries: make(map[Outpoint]Entry, len(s.entries))}
	for o, e := range s.entries {
		c.entries[o] = e
	}
	return c
}

// conserved: no product changes its sum but the one that is issued, which did not exist.
func conserved(t *rapid.T, tx *Tx, before, after map[Product]*big.Int) {
	for p, sum := range after {
		switch {
		case p == tx.Issues():
			if before[p] != nil {
				t.Fatalf("product %s is issued again", p)
			}
		case before[p] == nil || before[p].Cmp(sum) != 0:
			t.Fatalf("product %s: %v, was %v", p, sum, before[p])
		}
	}
	for p, sum := range before {
		if sum.Sign() != 0 && after[p] == nil {
			t.Fatalf("product %s is gone", p)
		}
	}
}

// TestApplyAndRevertRefuse: a delta that does not fit changes nothing.
func TestApplyAndRevertRefuse(t *testing.T) {
	s := world(t)
	tx := mustFinish(t, mustDraft(t, transfer()).Sign(alice))
	d, err := Validate(tx, s, today)
	if err != nil {
		t.Fatal(err)
	}
	fresh := world(t)
	expect := func(what string, err error, want *Set) {
		t.Helper()
		if !errors.Is(err, ErrDelta) {
			t.Errorf("%s: %v", what, err)
		}
		if !s.Equal(want) {
			t.Errorf("%s changed the set", what)
		}
	}
	expect("undoing what was not done", s.Revert(d), fresh)
	unknown := d
	unknown.Spent = append([]Spent{}, d.Spent...)
	unknown.Spent = append(unknown.Spent, Spent{Outpoint: at(worldSize)})
	expect("spending the unknown", s.Apply(unknown, now), fresh)
	clash := d
	clash.Created = []Created{{at(atBob), Output{}}}
	expect("making what exists", s.Apply(clash, now), fresh)
	mustApply(t, s, d, now)
	applied := clone(s)
	// A child keeps its parent from being undone.
	child := mustFinish(t, mustDraft(t, NewBuilder(testNetwork).Spend(Outpoint{tx.ID, 0}).Pay(aliceLock.Address(), Product{}, 60*coin)).Sign(bob))
	c, err := Validate(child, s, today)
	if err != nil {
		t.Fatal(err)
	}
	mustApply(t, s, c, now)
	withChild := clone(s)
	expect("undoing a parent", s.Revert(d), withChild)
	if err := s.Revert(c); err != nil || !s.Equal(applied) {
		t.Error("child not undone", err)
	}
	if err := s.Revert(d); err != nil || !s.Equal(fresh) {
		t.Error("parent not undone", err)
	}
	if s.Len() != fresh.Len() || len(s.Live()) != fresh.Len()-1 {
		t.Errorf("%d outputs, %d live", s.Len(), len(s.Live()))
	}
}
