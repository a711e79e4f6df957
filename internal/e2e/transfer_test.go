package e2e

import (
	"bytes"
	"testing"

	"google.golang.org/protobuf/proto"

	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/utxo"
)

// TestTransfer: a transfer through one node is final on all, the ledgers agree, and every node's proof
// convinces both verifiers.
func TestTransfer(t *testing.T) {
	n := start(t, 4, setup{})
	tx := n.pay(bob, 0, 0)
	s := n.nodes[0].mustSubmit(t, tx, waitFinal)
	if s.State != stateFinal || s.Round != 0 || s.FinalMs == 0 || s.AcceptedWeight <= s.QuorumWeight {
		t.Errorf("status of a final transaction: %v", s)
	}
	n.allFinal(t, tx)
	n.equalLedgers(t)
	for _, v := range n.nodes {
		n.verify(t, v.proof(t, tx.ID), tx.ID)
	}
	for _, v := range n.nodes {
		b, err := v.running.GetBalance(t.Context(), &notaryv1.GetBalanceRequest{Address: text(n, addressOf(bob))})
		if err != nil || len(b.Balances) != 1 || b.Balances[0].Amount != coinValue || b.Balances[0].Outputs != 1 {
			t.Errorf("bob's balance on node %d: %v, %v", v.index, b, err)
		}
	}
}

// TestWaitLevels: each level is answered, at or beyond it, and with a proof where that was asked for.
func TestWaitLevels(t *testing.T) {
	n := start(t, 4, setup{})
	for i, level := range []notaryv1.WaitLevel{waitNone, waitPending, waitAccepted, waitFinal} {
		tx := n.pay(bob, 0, i)
		s := n.nodes[i].mustSubmit(t, tx, level)
		if !bytes.Equal(s.TransactionId, tx.ID[:]) {
			t.Errorf("%v: status of another transaction", level)
		}
		least := map[notaryv1.WaitLevel]notaryv1.TransactionState{
			waitNone: 1, waitPending: statePending, waitAccepted: statePending + 1, waitFinal: stateFinal,
		}[level]
		if s.State < least {
			t.Errorf("%v answered in state %v", level, s.State)
		}
		n.allFinal(t, tx)
	}
	tx := n.pay(bob, 0, 5)
	r, err := n.nodes[0].running.SubmitTransaction(t.Context(), &notaryv1.SubmitTransactionRequest{
		Transaction: tx.Raw, WaitFor: waitFinal, WithProof: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	n.verify(t, r.Proof, tx.ID)
}

// TestIdempotent: a transaction that is final is answered the same however often it is sent and to
// whomever, across a restart too, and changes nothing.
func TestIdempotent(t *testing.T) {
	n := start(t, 4, setup{})
	tx := n.pay(bob, 0, 0)
	v := n.nodes[1]
	n.nodes[0].mustSubmit(t, tx, waitFinal)
	n.allFinal(t, tx)
	again := func() (*notaryv1.TransactionStatus, []byte) {
		t.Helper()
		r, err := v.running.SubmitTransaction(t.Context(), &notaryv1.SubmitTransactionRequest{
			Transaction: tx.Raw, WaitFor: waitFinal, WithProof: true,
		})
		if err != nil {
			t.Fatal(err)
		}
		return r.Status, r.Proof
	}
	status, proof := again()
	for range 3 {
		if s, p := again(); !proto.Equal(s, status) || !bytes.Equal(p, proof) {
			t.Fatalf("another answer: %v, was %v", s, status)
		}
	}
	if !bytes.Equal(v.proof(t, tx.ID), proof) {
		t.Error("GetAcceptanceProof answers another proof")
	}
	v.restart(t)
	n.meet(t)
	if s, p := again(); !proto.Equal(s, status) || !bytes.Equal(p, proof) {
		t.Fatalf("another answer after a restart: %v, was %v", s, status)
	}
	n.equalLedgers(t)
	if got := v.running.store.Counts().Finals; got != 1 {
		t.Errorf("%d final transactions, want 1", got)
	}
}

// TestSpendOnceMore: what is final can be spent on, through any node, in a chain of transfers.
func TestSpendOnceMore(t *testing.T) {
	n := start(t, 4, setup{})
	owner, point := alice, n.coin(0)
	var chain []*utxo.Tx
	for i := range 8 {
		next := []struct{ key byte }{{2}, {3}, {1}}[i%3]
		to := keyOf(next.key)
		tx := n.sign(n.spend(point).Pay(addressOf(to), utxo.Product{}, coinValue), owner)
		n.nodes[i%4].mustSubmit(t, tx, waitFinal)
		owner, point = to, utxo.Outpoint{Tx: tx.ID}
		chain = append(chain, tx)
	}
	n.allFinal(t, chain...)
	n.equalLedgers(t)
}
