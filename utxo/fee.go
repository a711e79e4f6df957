package utxo

import (
	"math"
	"math/bits"

	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// FeePolicy is what one node asks for relaying and voting early. It decides priority, never validity.
// The zero value asks for nothing.
type FeePolicy struct {
	// MinUnits is asked of every transaction, in base units of the native coin, and UnitsPerKiB for
	// each started 1,024 bytes of it.
	MinUnits, UnitsPerKiB uint64
	// A waiver is off where its bound is 0. WaiveUnits: at least so many native base units are spent.
	WaiveUnits uint64
	// WaiveAgeMS: every output spent has been final that long, or its own time lock was that long.
	WaiveAgeMS uint64
	// Vouched are addresses that a known peer vouches for: the owners of everything spent.
	Vouched map[Address]bool
	// NowMS is the instant to count ages to; see At.
	NowMS uint64
}

// At is the policy at an instant, Unix milliseconds.
func (p FeePolicy) At(nowMS uint64) FeePolicy {
	p.NowMS = nowMS
	return p
}

// Check refuses a transaction that offers less than Required and has no waiver: FEE_TOO_LOW. It is valid beside the entries
// of its inputs. Links serve everybody, and the first version of a peer has been paid for with work: neither has coins to spend.
func (p FeePolicy) Check(tx *Tx, entries []Entry) error {
	required := p.Required(len(tx.Raw))
	if _, first := tx.Origin(); required == 0 || first || tx.Link != nil {
		return nil
	}
	if offered := tx.Fee(); offered < required && !p.waived(tx, entries) {
		return refusal.New(notaryv1.Reason_REASON_FEE_TOO_LOW, "outputs", "%d base units offered, %d asked", offered, required)
	}
	return nil
}

// Required is the fee of a transaction of that many bytes, in base units.
func (p FeePolicy) Required(size int) uint64 {
	over, units := bits.Mul64(p.UnitsPerKiB, (uint64(size)+1023)/1024)
	sum, carry := bits.Add64(units, p.MinUnits, 0)
	if over|carry != 0 {
		return math.MaxUint64
	}
	return sum
}

// Fee is the sum of the FEE outputs, in base units.
func (tx *Tx) Fee() uint64 {
	var sum uint64
	for i := range tx.Outputs {
		if o := &tx.Outputs[i]; o.Kind == notaryv1.OutputKind_OUTPUT_KIND_FEE {
			sum += o.Amount // Validate has bounded the sum of one product.
		}
	}
	return sum
}

func (p FeePolicy) waived(tx *Tx, entries []Entry) bool {
	var units uint64
	aged, vouched := p.WaiveAgeMS != 0, len(p.Vouched) != 0
	for i := range entries {
		e := &entries[i]
		if tx.Inputs[i].Kind != notaryv1.InputKind_INPUT_KIND_SPEND {
			continue
		}
		if e.Output.Product.IsZero() {
			units += e.Output.Amount // bounded likewise
		}
		aged = aged && max(e.ageMS(p.NowMS), e.Output.MinAgeMS) >= p.WaiveAgeMS
		vouched = vouched && p.Vouched[e.Output.Address]
	}
	return aged || vouched || (p.WaiveUnits != 0 && units >= p.WaiveUnits)
}

// ageMS is how long an output has been final, 0 where the clock went back.
func (e *Entry) ageMS(nowMS uint64) uint64 {
	if nowMS < e.FinalMS {
		return 0
	}
	return nowMS - e.FinalMS
}
