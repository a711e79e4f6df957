package e2e

import (
	"context"
	"io"
	"slices"
	"testing"

	"google.golang.org/grpc"

	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/utxo"
)

// TestSubmitStream: every transaction of a stream is answered under its number, good ones FINAL and bad
// ones with their reason.
func TestSubmitStream(t *testing.T) {
	const count = 60
	n := start(t, 4, setup{coins: count})
	stream, err := n.nodes[0].running.SubmitTransactions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var good []*utxo.Tx
	for i := range uint64(count) {
		tx := n.pay(bob, 0, int(i))
		raw := tx.Raw
		if i%10 == 9 {
			raw = raw[:len(raw)-1]
		} else {
			good = append(good, tx)
		}
		if err := stream.Send(&notaryv1.SubmitTransactionsRequest{Sequence: i, Transaction: raw, WaitFor: waitFinal}); err != nil {
			t.Fatal(err)
		}
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	seen := make(map[uint64]bool)
	for {
		r, err := stream.Recv()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if seen[r.Sequence] {
			t.Errorf("%d answered twice", r.Sequence)
		}
		seen[r.Sequence] = true
		if r.Sequence%10 == 9 {
			if r.Status.State != stateRejected || r.Status.Rejection.GetReason() != notaryv1.Reason_REASON_MALFORMED {
				t.Errorf("%d: %v", r.Sequence, r.Status)
			}
		} else if r.Status.State != stateFinal || r.Status.Rejection != nil {
			t.Errorf("%d: %v", r.Sequence, r.Status)
		}
	}
	if len(seen) != count {
		t.Errorf("%d answers, want %d", len(seen), count)
	}
	n.allFinal(t, good...)
	n.equalLedgers(t)
}

// TestWatchTransaction: states are told in their order and end with FINAL; one that is final already is
// told so at once.
func TestWatchTransaction(t *testing.T) {
	n := start(t, 4, setup{})
	// A child that is held gives time to begin the watch.
	parent := n.pay(bob, 0, 0)
	child := n.sign(n.spend(utxo.Outpoint{Tx: parent.ID}).Pay(addressOf(carol), utxo.Product{}, coinValue), bob)
	n.nodes[0].mustSubmit(t, child, waitNone)
	eventually(t, "the child to be held", func() bool { return n.nodes[0].status(t, child.ID).GetState() == stateHeld })
	stream, err := n.nodes[0].running.WatchTransaction(t.Context(), &notaryv1.WatchTransactionRequest{TransactionId: child.ID[:]})
	if err != nil {
		t.Fatal(err)
	}
	var states []notaryv1.TransactionState
	for {
		r, err := stream.Recv()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if hash(t, r.Status.TransactionId) != child.ID {
			t.Fatal("status of another transaction")
		}
		if len(states) == 0 {
			if r.Status.Rejection.GetReason() != notaryv1.Reason_REASON_UNKNOWN_OUTPOINT {
				t.Errorf("held because of %v", r.Status.Rejection)
			}
			n.nodes[1].mustSubmit(t, parent, waitNone)
		}
		states = append(states, r.Status.State)
	}
	if states[0] != stateHeld || states[len(states)-1] != stateFinal {
		t.Errorf("states %v", states)
	}
	if at := slices.Index(states, statePending); at > 0 && slices.Contains(states[at:], stateHeld) {
		t.Errorf("held after it was pending: %v", states)
	}
	again, err := n.nodes[0].running.WatchTransaction(t.Context(), &notaryv1.WatchTransactionRequest{TransactionId: child.ID[:]})
	if err != nil {
		t.Fatal(err)
	}
	if r, err := again.Recv(); err != nil || r.Status.State != stateFinal {
		t.Errorf("watch of a final transaction: %v, %v", r, err)
	}
	if _, err := again.Recv(); err != io.EOF {
		t.Errorf("watch of a final transaction goes on: %v", err)
	}
}

// acceptances watches from a cursor until count have come; it returns the ids and the last cursor.
func acceptances(t *testing.T, v *notary, cursor string, count int, check func(*notaryv1.WatchAcceptancesResponse)) ([]domain.Hash, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	stream, err := v.running.WatchAcceptances(ctx, &notaryv1.WatchAcceptancesRequest{Cursor: cursor, WithProofs: check != nil})
	if err != nil {
		t.Fatal(err)
	}
	var ids []domain.Hash
	for len(ids) < count {
		r, err := stream.Recv()
		if err != nil {
			t.Fatalf("after %d of %d: %v", len(ids), count, err)
		}
		ids, cursor = append(ids, hash(t, r.TransactionId)), r.Cursor
		if check != nil {
			check(r)
		}
	}
	return ids, cursor
}

// TestWatchAcceptances: a watch resumed from its last cursor, across a restart too, misses nothing and
// repeats nothing, and each proof is good.
func TestWatchAcceptances(t *testing.T) {
	const count = 40
	n := start(t, 4, setup{coins: count})
	v := n.nodes[2]
	var txs []*utxo.Tx
	for i := range count {
		txs = append(txs, n.pay(bob, 0, i))
	}
	for _, tx := range txs[:count/2] {
		n.nodes[0].mustSubmit(t, tx, waitNone)
	}
	var all []domain.Hash
	cursor := "0"
	for _, part := range []int{1, 7, 12} {
		ids, next := acceptances(t, v, cursor, part, func(r *notaryv1.WatchAcceptancesResponse) {
			n.verify(t, r.Proof, hash(t, r.TransactionId))
		})
		all, cursor = append(all, ids...), next
	}
	v.restart(t)
	n.meet(t)
	for _, tx := range txs[count/2:] {
		n.nodes[1].mustSubmit(t, tx, waitNone)
	}
	ids, _ := acceptances(t, v, cursor, count/2, nil)
	all = append(all, ids...)
	var want []domain.Hash
	for _, tx := range txs {
		want = append(want, tx.ID)
	}
	if !slices.Equal(sortedIDs(all), sortedIDs(want)) {
		t.Errorf("%d acceptances, not the %d that were made", len(all), len(want))
	}
	if got := v.finals(t); !slices.Equal(got, all) {
		t.Error("another order than that of the log of finals")
	}
}

// TestWatchNext: an empty cursor begins with what comes next.
func TestWatchNext(t *testing.T) {
	n := start(t, 4, setup{})
	before, after := n.pay(bob, 0, 0), n.pay(bob, 0, 1)
	v := n.nodes[0]
	v.mustSubmit(t, before, waitFinal)
	stream, err := v.running.WatchAcceptances(t.Context(), &notaryv1.WatchAcceptancesRequest{})
	if err != nil {
		t.Fatal(err)
	}
	began(t, stream)
	v.mustSubmit(t, after, waitFinal)
	if r, err := stream.Recv(); err != nil || hash(t, r.TransactionId) != after.ID {
		t.Errorf("%v, %v, want %s", r, err, after.ID)
	}
}

// began waits until a stream's place in the log is taken, which its headers tell.
func began(t *testing.T, stream grpc.ClientStream) {
	t.Helper()
	if _, err := stream.Header(); err != nil {
		t.Fatal(err)
	}
}

// TestWatchAddress: a wallet sees each of its outputs come and go, and resumes without a gap.
func TestWatchAddress(t *testing.T) {
	n := start(t, 4, setup{})
	v := n.nodes[3]
	in := n.pay(bob, 0, 0)
	out := n.sign(n.spend(utxo.Outpoint{Tx: in.ID}).Pay(addressOf(carol), utxo.Product{}, coinValue), bob)
	n.nodes[0].mustSubmit(t, in, waitFinal)
	n.nodes[0].mustSubmit(t, out, waitFinal)
	n.allFinal(t, in, out)
	events := func(cursor string, count int) (got []*notaryv1.WatchAddressResponse) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		stream, err := v.running.WatchAddress(ctx, &notaryv1.WatchAddressRequest{Address: text(n, addressOf(bob)), Cursor: cursor})
		if err != nil {
			t.Fatal(err)
		}
		for range count {
			r, err := stream.Recv()
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, r)
		}
		return got
	}
	got := events("0", 2)
	for i, want := range []struct {
		tx    domain.Hash
		spent bool
	}{{in.ID, false}, {out.ID, true}} {
		r := got[i]
		o := r.Output.GetOutpoint()
		if hash(t, r.TransactionId) != want.tx || r.Spent != want.spent || hash(t, o.GetTransaction()) != in.ID || r.Output.Output.Amount != coinValue {
			t.Errorf("event %d: %v", i, r)
		}
	}
	if again := events(got[0].Cursor, 1)[0]; hash(t, again.TransactionId) != out.ID {
		t.Errorf("after the first cursor comes %v", again)
	}
}
