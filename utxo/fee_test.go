package utxo

import (
	"math"
	"testing"

	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

func TestFeePolicy(t *testing.T) {
	s := world(t)
	d := mustDraft(t, transfer()).Sign(alice) // pays one coin, 355 bytes
	tx := mustFinish(t, d)
	entries, _ := Inputs(tx, s)
	if tx.Fee() != coin {
		t.Fatalf("fee %d", tx.Fee())
	}
	const late = now + day
	for name, c := range map[string]struct {
		policy FeePolicy
		enough bool
	}{
		"nothing asked":            {FeePolicy{}, true},
		"as much as offered":       {FeePolicy{MinUnits: coin}, true},
		"one unit more":            {FeePolicy{MinUnits: coin + 1}, false},
		"by size, one KiB started": {FeePolicy{UnitsPerKiB: coin}, true},
		"by size, too dear":        {FeePolicy{UnitsPerKiB: coin + 1}, false},
		"both":                     {FeePolicy{MinUnits: 1, UnitsPerKiB: coin}, false},
		"more than there is":       {FeePolicy{MinUnits: 1, UnitsPerKiB: math.MaxUint64}, false},
		"rich enough":              {FeePolicy{MinUnits: 2 * coin, WaiveUnits: 100 * coin}, true},
		"not rich enough":          {FeePolicy{MinUnits: 2 * coin, WaiveUnits: 100*coin + 1}, false},
		"old enough":               {FeePolicy{MinUnits: 2 * coin, WaiveAgeMS: day}.At(late), true},
		"not old enough":           {FeePolicy{MinUnits: 2 * coin, WaiveAgeMS: day + 1001}.At(late), false},
		"no clock":                 {FeePolicy{MinUnits: 2 * coin, WaiveAgeMS: day}, false},
		"vouched for":              {FeePolicy{MinUnits: 2 * coin, Vouched: map[Address]bool{aliceLock.Address(): true}}, true},
		"somebody else vouched":    {FeePolicy{MinUnits: 2 * coin, Vouched: map[Address]bool{bobLock.Address(): true}}, false},
	} {
		err := c.policy.Check(tx, entries)
		if c.enough != (err == nil) || (err != nil && refusal.ReasonOf(err) != notaryv1.Reason_REASON_FEE_TOO_LOW) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestFeeWaiversNeedEveryInput: one young or unvouched output spoils the waiver; a time lock stands for
// an age.
func TestFeeWaiversNeedEveryInput(t *testing.T) {
	entry := func(a Address, finalMS, minAgeMS uint64) Entry {
		return Entry{FinalMS: finalMS, Output: Output{Address: a, Amount: 1, Product: gold, MinAgeMS: minAgeMS}}
	}
	a, b := aliceLock.Address(), bobLock.Address()
	p := FeePolicy{MinUnits: 1, WaiveUnits: 1, WaiveAgeMS: 100, Vouched: map[Address]bool{a: true}}.At(200)
	for name, c := range map[string]struct {
		spent  []Entry
		waived bool
	}{
		"all old":             {[]Entry{entry(b, 0, 0), entry(b, 100, 0)}, true},
		"one young":           {[]Entry{entry(b, 0, 0), entry(b, 101, 0)}, false},
		"young but locked":    {[]Entry{entry(b, 0, 0), entry(b, 101, 100)}, true},
		"from the future":     {[]Entry{entry(b, 201, 0)}, false},
		"all vouched":         {[]Entry{entry(a, 200, 0), entry(a, 200, 0)}, true},
		"one not vouched":     {[]Entry{entry(a, 200, 0), entry(b, 200, 0)}, false},
		"gold is not balance": {[]Entry{entry(b, 200, 0)}, false},
	} {
		tx := &Tx{Raw: []byte{1}}
		for range c.spent {
			tx.Inputs = append(tx.Inputs, Input{Kind: notaryv1.InputKind_INPUT_KIND_SPEND})
		}
		young := entry(a, 200, 0)
		tx.Inputs = append(tx.Inputs, Input{Kind: notaryv1.InputKind_INPUT_KIND_READ}) // says nothing either way
		err := p.Check(tx, append(c.spent, young))
		if c.waived != (err == nil) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestFeeRequired(t *testing.T) {
	p := FeePolicy{MinUnits: 10, UnitsPerKiB: 3}
	for size, want := range map[int]uint64{0: 10, 1: 13, 1024: 13, 1025: 16, MaxTxBytes: 10 + 256*3} {
		if got := p.Required(size); got != want {
			t.Errorf("%d bytes: %d, want %d", size, got, want)
		}
	}
	if got := (FeePolicy{UnitsPerKiB: math.MaxUint64}).Required(1025); got != math.MaxUint64 {
		t.Errorf("overflows to %d", got)
	}
}
