// Package rewards says what a network pays its notaries. The genesis document holds one REWARD output
// for each reward epoch, so two different payouts of one epoch are a double spend and are settled like
// any other (docs/spec/group.md, section 2). Payouts themselves are not made yet: the outputs are there
// and nothing can spend them.
package rewards

import (
	"fmt"

	"github.com/notarynet/notaryd/proto/group"
	"github.com/notarynet/notaryd/utxo"
)

// Epoch is one reward epoch.
type Epoch struct {
	// Index counts from 0.
	Index uint32
	// Outpoint is the genesis output that only this epoch's payout will spend.
	Outpoint utxo.Outpoint
	// Units is what it pays, in base units.
	Units uint64
}

// Epochs are the reward epochs of a network, in order. Together with the native allocations they never
// exceed the supply: group.DecodeGenesis has checked it.
func Epochs(g *group.Genesis) []Epoch {
	schedule, first := g.Doc.GetRewards(), len(g.Doc.GetAllocations())
	epochs := make([]Epoch, schedule.GetEpochs())
	for i := range epochs {
		epochs[i] = Epoch{
			Index:    uint32(i),
			Outpoint: utxo.Outpoint{Tx: g.ID, Index: uint32(first + i)},
			Units:    schedule.GetUnitsPerEpoch(),
		}
	}
	return epochs
}

// Conserved reports whether a payout gives out exactly what it takes in: the epoch's units and the fees
// rebalanced with them, against the sum of the shares. Sums that do not fit 64 bits are never conserved.
func Conserved(e Epoch, fees []uint64, shares []uint64) error {
	in, err := sum(append([]uint64{e.Units}, fees...))
	if err != nil {
		return err
	}
	out, err := sum(shares)
	if err != nil {
		return err
	}
	if in != out {
		return fmt.Errorf("reward epoch %d: %d base units in, %d out", e.Index, in, out)
	}
	return nil
}

func sum(list []uint64) (s uint64, err error) {
	for _, u := range list {
		if s+u < s {
			return 0, fmt.Errorf("a sum of base units exceeds 64 bits")
		}
		s += u
	}
	return s, nil
}
