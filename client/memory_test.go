package client_test

import (
	"errors"
	"testing"

	"github.com/notarynet/notaryd/client"
	"github.com/notarynet/notaryd/client/wallet"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
	"github.com/notarynet/notaryd/utxo"
)

// Epochs pass: proofs carry links from genesis, or from the latest group known, which survives in the memory.
func TestProofsAcrossEpochs(t *testing.T) {
	n, first, ann := start(t)
	networks := wallet.NewStore(t.TempDir()).Networks()
	c := dial(t, n, client.WithMemory(networks))
	for epoch := range uint64(3) {
		if err := n.NextEpoch(group.Weight(300_000_000 - 50_000_000*epoch)); err != nil {
			t.Fatal(err)
		}
	}
	pay := func() *client.Receipt {
		t.Helper()
		r, err := first.Send(t.Context(), ann, client.Terms{}, client.Payment{To: ann.Address, Amount: utxo.UnitsPerCoin})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	receipt := pay()
	if n := len(receipt.Proof.Links); n == 0 {
		t.Error("a proof of epoch 3 has no links")
	}
	id := receipt.ID
	whole, verdict, err := c.Proof(t.Context(), id)
	if err != nil || verdict.GroupEpoch != 3 || len(whole.Links) == 0 {
		t.Fatalf("epoch %d, %v", verdict.GroupEpoch, err)
	}
	if v, err := whole.Verify(client.Root(n.Genesis)); err != nil || v.Conclusion != observation.Valid {
		t.Errorf("by genesis alone: %s, %v", v.Conclusion, err)
	}
	if known := c.Known(); known.Epoch() != 3 || known.Link() != whole.Link {
		t.Errorf("known: epoch %d", known.Epoch())
	}
	again := dial(t, n, client.WithMemory(networks))
	if again.Known().Epoch() != 3 {
		t.Fatalf("remembered: epoch %d", again.Known().Epoch())
	}
	short, verdict, err := again.ShortProof(t.Context(), id)
	if err != nil || len(short.Links) != 0 || verdict.Conclusion != observation.Valid {
		t.Errorf("%d links, %v", len(short.Links), err)
	}
	if err := n.NextEpoch(200_000_000); err != nil {
		t.Fatal(err)
	}
	short, _, err = again.ShortProof(t.Context(), pay().ID)
	if err != nil || len(short.Links) != 1 {
		t.Errorf("the next epoch: %d links, %v", len(short.Links), err)
	}
}

// A second link for an epoch is refused as what it is.
func TestProofOfABrokenHistory(t *testing.T) {
	n, c, ann := start(t)
	if err := n.NextEpoch(300_000_000); err != nil {
		t.Fatal(err)
	}
	pay := func() error {
		_, err := c.Send(t.Context(), ann, client.Terms{}, client.Payment{To: ann.Address, Amount: 1})
		return err
	}
	if err := pay(); err != nil {
		t.Fatal(err)
	}
	betrayed, err := n.Betray(100_000_000)
	if err != nil {
		t.Fatal(err)
	}
	err = pay()
	var broken *observation.Break
	if !errors.As(err, &broken) || broken.Known.Link() != betrayed.Link() || broken.Epoch != 1 {
		t.Fatalf("%v", err)
	}
	if !errors.Is(err, refusal.Because(notaryv1.Reason_REASON_DOUBLE_SPEND)) {
		t.Errorf("%v", err)
	}
}
