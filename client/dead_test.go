package client_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/notarynet/notaryd/client"
	"github.com/notarynet/notaryd/client/clienttest"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// A payment is dead where the node shows the final rival of it, and in no other case: whatever a node says, coins
// that the payment may still spend are not given to the next one.
func TestDeadIsProven(t *testing.T) {
	n, c, ann := start(t)
	bob := client.Payment{To: client.NewAccount(key(2)).Address, Amount: coinUnits}
	build := func(from *client.Account, memo string) *client.Transaction {
		t.Helper()
		tx, err := c.BuildPayments(t.Context(), from, client.Terms{Memo: []byte(memo)}, bob)
		if err != nil {
			t.Fatal(err)
		}
		return tx
	}
	final := build(client.NewAccount(key(1)), "a copy of the wallet")
	lost := build(ann, "spends the same")
	other := build(ann, "spends another coin")
	if final.Spends()[0] != lost.Spends()[0] || other.Spends()[0] == lost.Spends()[0] {
		t.Fatal("not the coins that the test is of")
	}
	if _, err := c.SubmitFinal(t.Context(), final); err != nil {
		t.Fatal(err)
	}
	alone, err := c.Send(t.Context(), client.NewAccount(key(2)), client.Terms{}, client.Payment{To: ann.Address, Amount: 1})
	if err != nil {
		t.Fatal(err)
	}

	for name, lie := range map[string]clienttest.Faults{
		"a rival without a name":         {Explain: func(r *notaryv1.ExplainTransactionResponse) { r.Winner = nil }},
		"a rival that is no id":          {Explain: func(r *notaryv1.ExplainTransactionResponse) { r.Winner = r.Winner[:31] }},
		"itself":                         {Explain: func(r *notaryv1.ExplainTransactionResponse) { r.Winner = lost.ID[:] }},
		"what is final and no rival":     {Explain: func(r *notaryv1.ExplainTransactionResponse) { r.Winner = alone.ID[:] }},
		"what is not final":              {Explain: func(r *notaryv1.ExplainTransactionResponse) { r.Winner = other.ID[:] }},
		"a rival with a forged proof":    {Proof: func(b []byte) []byte { b[len(b)-1] ^= 1; return b }},
		"a rival with another's proof":   {Proof: func([]byte) []byte { return alone.Proof.Encode() }},
		"a rival, and then fails itself": {Failures: []error{nil, nil, clienttest.Refusal(notaryv1.Reason_REASON_NOT_FOUND, "no proof")}},
	} {
		n.Set(lie)
		_, err := c.SubmitFinal(t.Context(), lost)
		var unproven *client.UnprovenError
		if client.Dead(err) || !errors.As(err, &unproven) || unproven.ID != lost.ID || !client.Refused(err) || !strings.Contains(err.Error(), "may still become final") {
			t.Errorf("%s: %v", name, err)
		}
	}

	n.Set(clienttest.Faults{})
	_, err = c.SubmitFinal(t.Context(), lost)
	var dead *client.DeadError
	if !client.Dead(err) || !errors.As(err, &dead) || dead.ID != lost.ID || dead.Rival != final.ID || dead.Shared != final.Spends()[0] ||
		!errors.Is(err, refusal.Because(notaryv1.Reason_REASON_OUTPOINT_SPENT)) {
		t.Fatalf("shown: %v", err)
	}
	if tx, err := client.Proven(dead.Proof, final.ID); err != nil || tx.ID != final.ID {
		t.Errorf("the proof to keep: %v", err)
	}
}

// No reason but the rival's finality frees coins: a window is closed at one node and not at another, and what is said
// of witnesses or amounts of a payment that was built here is not so.
func TestSendKeepsCoinsOnANodesWord(t *testing.T) {
	n, c, _ := start(t)
	pay := client.Payment{To: client.NewAccount(key(2)).Address, Amount: 101 * coinUnits} // takes both coins
	for _, reason := range []notaryv1.Reason{
		notaryv1.Reason_REASON_DOUBLE_SPEND, notaryv1.Reason_REASON_OUTPOINT_SPENT, notaryv1.Reason_REASON_WINDOW_CLOSED,
		notaryv1.Reason_REASON_BAD_SIGNATURE, notaryv1.Reason_REASON_UNBALANCED, notaryv1.Reason_REASON_MALFORMED,
	} {
		from := client.NewAccount(key(1))
		n.Set(clienttest.Faults{Failures: []error{nil, clienttest.Refusal(reason, "believe me")}}) // the coins are listed
		sent, err := c.Send(t.Context(), from, client.Terms{}, pay)
		if client.Dead(err) || !errors.Is(err, refusal.Because(reason)) {
			t.Errorf("%v: %v", reason, err)
		}
		var short *client.FundsError
		if _, err := c.BuildPayments(t.Context(), from, client.Terms{}, pay); !errors.As(err, &short) || short.Tied == 0 {
			t.Errorf("%v: the coins are free: %v", reason, err)
		}
		if err := c.Validate(t.Context(), sent.Raw); err != nil {
			t.Errorf("%v: not what the test is of: %v", reason, err)
		}
	}
}
