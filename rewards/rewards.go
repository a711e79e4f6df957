// Package rewards says what a network pays its notaries. The genesis document holds one REWARD output
// for each reward epoch, so two different payouts of one epoch are a double spend and are settled like
// any other (docs/spec/group.md, section 2). Payouts themselves are not made yet: the outputs are there
// and nothing can spend them.
package rewards

import (
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
