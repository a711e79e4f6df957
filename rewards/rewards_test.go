package rewards_test

import (
	"testing"

	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/rewards"
	"github.com/notarynet/notaryd/utxo"
)

func genesis(t *testing.T, epochs uint32, units uint64) *group.Genesis {
	t.Helper()
	key := domain.NewPrivateKey([32]byte{1}).Public()
	address := utxo.KeyLock(key).Address()
	g, err := group.MakeGenesis(&notaryv1.Genesis{
		Name: "test", AddressPrefix: "tnota", TimeMs: 1,
		Seeds:   group.Seeds([]group.Member{{PeerID: domain.Hash(key), Weight: group.Total, Keys: []group.NodeKey{{Key: key}}}}),
		Rewards: &notaryv1.RewardSchedule{Epochs: epochs, UnitsPerEpoch: units},
		Allocations: []*notaryv1.Output{
			{Address: address[:], Amount: 7, Kind: notaryv1.OutputKind_OUTPUT_KIND_PAYMENT},
			{Address: address[:], Amount: 8, Kind: notaryv1.OutputKind_OUTPUT_KIND_PAYMENT},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// Every epoch names the genesis output that holds its units, and no other output is a reward.
func TestEpochsAreTheGenesisOutputs(t *testing.T) {
	for _, n := range []uint32{0, 1, 1000} {
		g := genesis(t, n, 1_000_000)
		delta, err := utxo.GenesisDelta(g)
		if err != nil {
			t.Fatal(err)
		}
		outputs := make(map[utxo.Outpoint]utxo.Output)
		rewardOutputs := 0
		for _, c := range delta.Created {
			outputs[c.Outpoint] = c.Output
			if c.Output.Kind == notaryv1.OutputKind_OUTPUT_KIND_REWARD {
				rewardOutputs++
			}
		}
		epochs := rewards.Epochs(g)
		if len(epochs) != int(n) || rewardOutputs != int(n) {
			t.Fatalf("%d epochs and %d reward outputs, want %d", len(epochs), rewardOutputs, n)
		}
		for i, e := range epochs {
			o, ok := outputs[e.Outpoint]
			if !ok || o.Kind != notaryv1.OutputKind_OUTPUT_KIND_REWARD || o.Amount != e.Units || e.Index != uint32(i) {
				t.Errorf("epoch %d is %+v, the output %+v", i, e, o)
			}
		}
	}
}
