package client_test

import (
	"errors"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/notarynet/notaryd/client"
	"github.com/notarynet/notaryd/client/clienttest"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
	"github.com/notarynet/notaryd/utxo"
)

// A master key signs what its peer has said before and what is changed now, and nothing that a node put in.
func TestSpeakBelievesTheProof(t *testing.T) {
	n, c, _ := start(t)
	master := key(9)
	rename := func(name string) func(*group.Peer) error {
		return func(p *group.Peer) error { p.Name = name; return nil }
	}
	first, err := c.Speak(t.Context(), master, rename("one"))
	if err != nil || first.Version != 1 {
		t.Fatalf("%+v %v", first, err)
	}
	submitted := n.Calls("SubmitTransaction")
	n.Set(clienttest.Faults{Unspent: func(r *notaryv1.ListUnspentResponse) {
		for _, u := range r.GetOutputs() {
			p, err := group.DecodePeer(u.GetOutput().GetData().GetPayload())
			if err != nil {
				t.Error(err)
				return
			}
			client.Label(p, domain.Hash{0xee}, 1000)
			lie, err := utxo.PeerOutput(p)
			if err != nil {
				t.Error(err)
				return
			}
			if err := proto.Unmarshal(lie.AppendTo(nil), u.Output); err != nil {
				t.Error(err)
			}
		}
	}})
	second, err := c.Speak(t.Context(), master, rename("two"))
	if err != nil || second.Version != 2 || second.Name != "two" || len(second.Labels) != 0 {
		t.Errorf("signed %+v %v", second, err)
	}
	n.Set(clienttest.Faults{Unspent: func(r *notaryv1.ListUnspentResponse) {
		for _, u := range r.GetOutputs() {
			u.Outpoint.Index = 7
		}
	}})
	if _, err := c.Speak(t.Context(), master, rename("three")); !errors.Is(err, refusal.Because(notaryv1.Reason_REASON_NOT_FOUND)) {
		t.Errorf("an output that is not there: %v", err)
	}
	if calls := n.Calls("SubmitTransaction"); calls != submitted+1 {
		t.Errorf("%d submitted, want 1", calls-submitted)
	}
}

// An outpoint that a node made up is not looked for beyond the end of a proven transaction.
func TestProvenOutput(t *testing.T) {
	_, c, ann := start(t)
	receipt, err := c.Send(t.Context(), ann, client.Terms{}, client.Payment{To: ann.Address, Amount: 3})
	if err != nil {
		t.Fatal(err)
	}
	if o, err := client.ProvenOutput(receipt.Proof, utxo.Outpoint{Tx: receipt.ID}); err != nil || o.Amount != 3 {
		t.Errorf("%+v %v", o, err)
	}
	for _, none := range []utxo.Outpoint{{Tx: receipt.ID, Index: 2}, {Tx: receipt.ID, Index: 1<<32 - 1}, {Tx: domain.Hash{1}}} {
		if _, err := client.ProvenOutput(receipt.Proof, none); !errors.Is(err, refusal.Because(notaryv1.Reason_REASON_NOT_FOUND)) {
			t.Errorf("%s: %v", none, err)
		}
	}
}
