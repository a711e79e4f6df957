package utxo

import (
	"math/big"
	"testing"

	"pgregory.net/rapid"

	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// violated is the slow obvious twin of Validate: every rule that a transaction breaks, in no order,
// sums in numbers that cannot overflow. Rules that need all inputs are left out where one is unknown.
func violated(tx *Tx, s *Set, m Moment) map[notaryv1.Reason]bool {
	out := make(map[notaryv1.Reason]bool)
	breaks := func(broken bool, r notaryv1.Reason) {
		if broken {
			out[r] = true
		}
	}
	breaks(!m.IgnoreWindow && m.NowMS < tx.ValidFromMS, notaryv1.Reason_REASON_WINDOW_NOT_OPEN)
	breaks(!m.IgnoreWindow && tx.ValidUntilMS > 0 && m.NowMS > tx.ValidUntilMS, notaryv1.Reason_REASON_WINDOW_CLOSED)
	complete := true
	var spent []Output
	for _, in := range tx.Inputs {
		e, known := s.Lookup(in.Outpoint)
		breaks(!known, notaryv1.Reason_REASON_UNKNOWN_OUTPOINT)
		complete = complete && known
		if !known || in.Kind == read {
			continue
		}
		o := e.Output
		spent = append(spent, o)
		breaks(!e.SpentBy.IsZero(), notaryv1.Reason_REASON_OUTPOINT_SPENT)
		breaks(o.Kind >= 4, notaryv1.Reason_REASON_RESERVED_OUTPUT)
		breaks(o.NotBeforeMS > m.NowMS, notaryv1.Reason_REASON_LOCK_NOT_OPEN)
		ripe := new(big.Int).Add(new(big.Int).SetUint64(e.FinalMS), new(big.Int).SetUint64(o.MinAgeMS))
		breaks(o.MinAgeMS > 0 && ripe.Cmp(new(big.Int).SetUint64(m.NowMS)) > 0, notaryv1.Reason_REASON_LOCK_NOT_OPEN)
	}
	if complete {
		violatedWitnesses(tx, spent, breaks)
		violatedAmounts(tx, spent, breaks)
	}
	return out
}

func violatedWitnesses(tx *Tx, spent []Output, breaks func(bool, notaryv1.Reason)) {
	has := func(a Address) bool {
		for i := range tx.Witnesses {
			if tx.Witnesses[i].Lock.Address() == a {
				return true
			}
		}
		return false
	}
	for _, o := range spent {
		breaks(!has(o.Address), notaryv1.Reason_REASON_MISSING_WITNESS)
		breaks(o.Counterparty != Address{} && !has(o.Counterparty), notaryv1.Reason_REASON_COUNTERPARTY_MISSING)
	}
	for i := range tx.Witnesses {
		used := false
		for _, o := range spent {
			a := tx.Witnesses[i].Lock.Address()
			used = used || a == o.Address || a == o.Counterparty
		}
		breaks(!used, notaryv1.Reason_REASON_UNUSED_WITNESS)
	}
}

func violatedAmounts(tx *Tx, spent []Output, breaks func(bool, notaryv1.Reason)) {
	sum := func(p Product, outputs []Output) (*big.Int, bool) {
		total, found := new(big.Int), false
		for _, o := range outputs {
			if o.Product == p {
				total.Add(total, new(big.Int).SetUint64(o.Amount))
				found = true
			}
		}
		return total, found
	}
	for _, o := range append(append([]Output{}, spent...), tx.Outputs...) {
		in, found := sum(o.Product, spent)
		out, _ := sum(o.Product, tx.Outputs)
		breaks(in.BitLen() > 64 || out.BitLen() > 64, notaryv1.Reason_REASON_AMOUNT_OVERFLOW)
		if o.Product == tx.Issues() {
			continue
		}
		breaks(!found && !o.Product.IsZero(), notaryv1.Reason_REASON_UNKNOWN_PRODUCT)
		breaks(in.Cmp(out) != 0, notaryv1.Reason_REASON_UNBALANCED)
	}
}

// genMess draws a transaction that may break any rule: some inputs of the world and beyond, some
// outputs, some witnesses.
func genMess(t *rapid.T, s *Set) *Tx {
	b := NewBuilder(testNetwork)
	// Mostly what may be spent by somebody, so that the later rules are reached.
	position := rapid.SampledFrom([]uint32{atAlice, atBob, atShared, atHash, atGold, atLater, atYoung, atBoth, atData})
	if rapid.IntRange(0, 4).Draw(t, "anything") == 0 {
		position = rapid.Uint32Range(0, worldSize)
	}
	positions := rapid.SliceOfNDistinct(position, 1, 3, rapid.ID).Draw(t, "inputs")
	sums := make(map[Product]uint64)
	needed := make(map[Address]bool)
	var order []Product
	for i, p := range positions {
		if i > 0 && rapid.IntRange(0, 3).Draw(t, "read") == 0 {
			b.Read(at(p))
			continue
		}
		b.Spend(at(p))
		if e, known := s.Lookup(at(p)); known {
			if _, seen := sums[e.Output.Product]; !seen {
				order = append(order, e.Output.Product)
			}
			sums[e.Output.Product] += e.Output.Amount
			needed[e.Output.Address], needed[e.Output.Counterparty] = true, true
		}
	}
	for _, p := range order {
		if sums[p] > 0 && rapid.IntRange(0, 9).Draw(t, "paid") != 0 {
			b.Pay(everybody[0], p, sums[p])
		}
	}
	if rapid.IntRange(0, 4).Draw(t, "more") == 0 {
		p := rapid.SampledFrom([]Product{{}, gold, b.Issues(), {1}}).Draw(t, "product")
		b.Pay(everybody[1], p, rapid.SampledFrom([]uint64{1, 1000, 1<<64 - 1}).Draw(t, "amount"))
	}
	if rapid.IntRange(0, 3).Draw(t, "window") == 0 {
		b.Window(rapid.Uint64Range(now-1, now+1).Draw(t, "from"), rapid.Uint64Range(now-1, now+1).Draw(t, "until"))
	}
	tx := b.tx
	for _, l := range []Lock{aliceLock, bobLock, sharedLock, hashLock} {
		if needed[l.Address()] != (rapid.IntRange(0, 19).Draw(t, "odd") == 0) {
			tx.Witnesses = append(tx.Witnesses, Witness{Lock: l})
		}
	}
	return &tx
}

// TestValidateIsItsTwin: Validate refuses exactly what breaks a rule, names a rule that is broken, and
// asks to wait only for what is not wrong for ever.
func TestValidateIsItsTwin(t *testing.T) {
	s := world(t)
	named := make(map[notaryv1.Reason]int)
	rapid.Check(t, func(t *rapid.T) {
		for range 50 {
			tx := genMess(t, s)
			m := Moment{
				NowMS:        rapid.SampledFrom([]uint64{now, now, now + 2*day, 0, 1<<64 - 1}).Draw(t, "now"),
				IgnoreWindow: rapid.Bool().Draw(t, "ignore window"),
			}
			broken := violated(tx, s, m)
			_, err := Validate(tx, s, m)
			reason := refusal.ReasonOf(err)
			named[reason]++
			if (err == nil) != (len(broken) == 0) || (err != nil && !broken[reason]) {
				t.Fatalf("%v, the twin finds %v", err, broken)
			}
			if !NotYet(err) {
				continue
			}
			for r := range broken {
				if !NotYet(refusal.Because(r)) {
					t.Fatalf("held for %v, but %s is for ever", err, refusal.Name(r))
				}
			}
		}
	})
	for _, r := range []notaryv1.Reason{
		0, notaryv1.Reason_REASON_WINDOW_NOT_OPEN, notaryv1.Reason_REASON_WINDOW_CLOSED, notaryv1.Reason_REASON_UNKNOWN_OUTPOINT,
		notaryv1.Reason_REASON_OUTPOINT_SPENT, notaryv1.Reason_REASON_RESERVED_OUTPUT, notaryv1.Reason_REASON_LOCK_NOT_OPEN,
		notaryv1.Reason_REASON_MISSING_WITNESS, notaryv1.Reason_REASON_UNUSED_WITNESS, notaryv1.Reason_REASON_COUNTERPARTY_MISSING,
		notaryv1.Reason_REASON_UNKNOWN_PRODUCT, notaryv1.Reason_REASON_UNBALANCED, notaryv1.Reason_REASON_AMOUNT_OVERFLOW,
	} {
		if named[r] == 0 {
			t.Errorf("%s never came up in %v", refusal.Name(r), named)
		}
	}
}
