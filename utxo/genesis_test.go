package utxo

import (
	"bytes"
	"testing"

	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// genesis is a document with these allocations and two reward epochs.
func genesis(t *testing.T, allocations ...*notaryv1.Output) *group.Genesis {
	t.Helper()
	key := carol.Public()
	g, err := group.MakeGenesis(&notaryv1.Genesis{
		Name: "test", AddressPrefix: prefix,
		Seeds: []*notaryv1.Member{{
			PeerId: bytes32(1), Weight: uint64(group.Total), Keys: []*notaryv1.NodeKey{{Key: key[:], SigningEpoch: 1}},
		}},
		Allocations: allocations,
		Rewards:     &notaryv1.RewardSchedule{Epochs: 2, UnitsPerEpoch: 1_000_000 * coin},
	})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func allocate(o Output) *notaryv1.Output {
	p := &notaryv1.Output{}
	if err := outputSchema.Unmarshal(o.AppendTo(nil), p); err != nil {
		panic(err)
	}
	return p
}

func TestGenesisDelta(t *testing.T) {
	outputs := []Output{
		{Kind: payment, Address: aliceLock.Address(), Amount: 500 * coin},
		{Kind: payment, Address: bobLock.Address(), Product: gold, Amount: 7, NotBeforeMS: 5, MinAgeMS: 6, Counterparty: aliceLock.Address()},
		{Kind: data, Address: bobLock.Address(), Data: &Data{
			Kind: notaryv1.DataKind_DATA_KIND_REFERENCE, Hash: testNetwork, Size: 3, MediaType: "text/plain", Location: "charter.txt",
		}},
	}
	var documents []*notaryv1.Output
	for _, o := range outputs {
		documents = append(documents, allocate(o))
	}
	g := genesis(t, documents...)
	d, err := GenesisDelta(g)
	if err != nil {
		t.Fatal(err)
	}
	if d.Tx != g.ID || len(d.Spent) != 0 || len(d.Created) != len(outputs)+2+1 {
		t.Fatalf("%d created by %s", len(d.Created), d.Tx)
	}
	for i, c := range d.Created {
		if c.Outpoint != (Outpoint{g.ID, uint32(i)}) {
			t.Errorf("%d: outpoint %s", i, c.Outpoint)
		}
		if i < len(outputs) && !c.Output.Equal(&outputs[i]) {
			t.Errorf("%d: %+v, want %+v", i, c.Output, outputs[i])
		}
	}
	reward, link := d.Created[4].Output, d.Created[5].Output
	if reward.Kind != notaryv1.OutputKind_OUTPUT_KIND_REWARD || reward.Amount != 1_000_000*coin {
		t.Errorf("reward %+v", reward)
	}
	if d.Created[5].Outpoint != FirstLink(g) {
		t.Errorf("the first link is not at %s", FirstLink(g))
	}
	if link.Kind != notaryv1.OutputKind_OUTPUT_KIND_LINK || !bytes.Equal(link.Data.Payload, g.Group.Bytes()) {
		t.Errorf("link %+v", link)
	}
	var s Set
	mustApply(t, &s, d, 0)
	pay, err := NewBuilder(g.ID).Spend(d.Created[0].Outpoint).Pay(bobLock.Address(), Product{}, 500*coin).Build()
	if err != nil {
		t.Fatal(err)
	}
	tx, err := pay.Sign(alice).Finish()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ValidateSigned(tx, &s, today); err != nil {
		t.Error(err)
	}
}

func TestGenesisDeltaRefuses(t *testing.T) {
	good := Output{Kind: payment, Address: aliceLock.Address(), Product: gold, Amount: 1 << 63}
	for name, c := range map[string]struct {
		edit   func(*notaryv1.Output)
		reason notaryv1.Reason
		field  string
	}{
		"nobody's":   {func(o *notaryv1.Output) { o.Address = nil }, notaryv1.Reason_REASON_MISSING_FIELD, "allocations[1].address"},
		"a reward":   {func(o *notaryv1.Output) { o.Kind = notaryv1.OutputKind_OUTPUT_KIND_REWARD }, notaryv1.Reason_REASON_RESERVED_OUTPUT, "allocations[1].kind"},
		"of nothing": {func(o *notaryv1.Output) { o.Amount = 0 }, notaryv1.Reason_REASON_ZERO_AMOUNT, "allocations[1].amount"},
		"too much":   {func(*notaryv1.Output) {}, notaryv1.Reason_REASON_AMOUNT_OVERFLOW, "allocations[1].amount"},
		"zeros":      {func(o *notaryv1.Output) { o.Counterparty = make([]byte, 32) }, notaryv1.Reason_REASON_NON_CANONICAL, "allocations[1].counterparty"},
	} {
		second := allocate(good)
		c.edit(second)
		_, err := GenesisDelta(genesis(t, allocate(good), second))
		e, ok := err.(*refusal.Error)
		if !ok || e.Reason != c.reason || e.Field != c.field {
			t.Errorf("%s: %v", name, err)
		}
	}
}
