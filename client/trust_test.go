package client_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/notarynet/notaryd/client"
	"github.com/notarynet/notaryd/client/clienttest"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// A node that lies about its network is not talked to.
func TestDialRefusesOtherNetworks(t *testing.T) {
	other, err := clienttest.New("other")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(other.Close)
	n, err := clienttest.New("mine")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Close)
	for name, tt := range map[string]struct {
		change func(*notaryv1.GetNetworkResponse)
		expect client.Option
		want   notaryv1.Reason
	}{
		"another network": {nil, client.WithGenesis(other.Genesis), notaryv1.Reason_REASON_WRONG_NETWORK},
		"id of another": {func(r *notaryv1.GetNetworkResponse) {
			r.NetworkId = other.Genesis.ID[:]
		}, client.WithGenesis(other.Genesis), notaryv1.Reason_REASON_WRONG_NETWORK},
		"document of another": {func(r *notaryv1.GetNetworkResponse) {
			r.Genesis = other.Genesis.Bytes
		}, client.WithGenesis(n.Genesis), notaryv1.Reason_REASON_WRONG_NETWORK},
		"prefix of another": {func(r *notaryv1.GetNetworkResponse) {
			r.AddressPrefix = "evil"
		}, client.WithNetwork(domain.Hash{}), notaryv1.Reason_REASON_WRONG_NETWORK},
		"no document": {func(r *notaryv1.GetNetworkResponse) {
			r.Genesis = nil
		}, client.WithNetwork(domain.Hash{}), notaryv1.Reason_REASON_INVALID_ARGUMENT},
		"cut document": {func(r *notaryv1.GetNetworkResponse) {
			r.Genesis = r.Genesis[:len(r.Genesis)-1]
		}, client.WithNetwork(domain.Hash{}), notaryv1.Reason_REASON_MALFORMED},
	} {
		t.Run(name, func(t *testing.T) {
			n.Set(clienttest.Faults{Network: tt.change})
			_, err := client.Dial(t.Context(), clienttest.Target, client.WithDialOptions(n.Dialer()), client.WithRetry(quick), tt.expect)
			if !errors.Is(err, refusal.Because(tt.want)) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
	n.Set(clienttest.Faults{})
	c := dial(t, n, client.WithGenesis(n.Genesis))
	if c.Genesis().ID != n.Genesis.ID {
		t.Error("another genesis")
	}
	n.Set(clienttest.Faults{Network: func(r *notaryv1.GetNetworkResponse) { r.NetworkId = other.Genesis.ID[:] }})
	if _, err := c.Network(t.Context()); !errors.Is(err, refusal.Because(notaryv1.Reason_REASON_WRONG_NETWORK)) {
		t.Errorf("changed later: %v", err)
	}
}

// No proof is handed on that does not hold.
func TestProofsAreVerified(t *testing.T) {
	n, c, ann := start(t)
	receipt, err := c.Send(t.Context(), ann, client.Terms{}, client.Payment{To: ann.Address, Amount: 1})
	if err != nil {
		t.Fatal(err)
	}
	whole := receipt.Proof.Encode()
	refused := 0
	for i := range whole {
		n.Set(clienttest.Faults{Proof: func(b []byte) []byte { b[i] ^= 1; return b }})
		_, _, err := c.Proof(t.Context(), receipt.ID)
		var bad *client.ProofError
		if err == nil {
			continue // witnesses lie outside the id: a proof carries them and does not judge them
		}
		if !errors.As(err, &bad) {
			t.Fatalf("byte %d: %v", i, err)
		}
		refused++
	}
	if refused < len(whole)*3/4 {
		t.Errorf("%d of %d flipped bytes refused", refused, len(whole))
	}
	for name, change := range map[string]func([]byte) []byte{
		"cut":   func(b []byte) []byte { return b[:len(b)-1] },
		"empty": func([]byte) []byte { return nil },
		"more":  func(b []byte) []byte { return append(b, 0) },
	} {
		n.Set(clienttest.Faults{Proof: change})
		var bad *client.ProofError
		if _, _, err := c.Proof(t.Context(), receipt.ID); !errors.As(err, &bad) || bad.Conclusion != observation.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestProofOfAnother(t *testing.T) {
	n, c, ann := start(t)
	first, err := c.Send(t.Context(), ann, client.Terms{}, client.Payment{To: ann.Address, Amount: 1})
	if err != nil {
		t.Fatal(err)
	}
	second, err := c.Send(t.Context(), ann, client.Terms{}, client.Payment{To: ann.Address, Amount: 1})
	if err != nil {
		t.Fatal(err)
	}
	n.Set(clienttest.Faults{Proof: func([]byte) []byte { return first.Proof.Encode() }})
	var bad *client.ProofError
	if _, _, err := c.Proof(t.Context(), second.ID); !errors.As(err, &bad) || !errors.Is(err, refusal.Because(notaryv1.Reason_REASON_NOT_FOUND)) {
		t.Errorf("%v", err)
	}
}

func TestWeakProof(t *testing.T) {
	n, c, ann := start(t)
	n.Set(clienttest.Faults{Silent: 2})
	_, err := c.Send(t.Context(), ann, client.Terms{}, client.Payment{To: ann.Address, Amount: 1})
	var weak *client.ProofError
	if !errors.As(err, &weak) || weak.Conclusion != observation.NotEnoughWeight || !errors.Is(err, refusal.Because(notaryv1.Reason_REASON_NOT_ENOUGH_WEIGHT)) {
		t.Errorf("%v", err)
	}
}

func TestProofNotFinal(t *testing.T) {
	_, c, ann := start(t)
	tx, err := c.BuildPayments(t.Context(), ann, client.Terms{}, client.Payment{To: ann.Address, Amount: 1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Submit(t.Context(), tx.Raw, client.WaitNone); err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.Proof(t.Context(), tx.ID); !errors.Is(err, refusal.Because(notaryv1.Reason_REASON_NOT_FINAL)) {
		t.Errorf("%v", err)
	}
	answer, err := c.Transaction(t.Context(), tx.ID)
	if err != nil || answer.GetStatus().GetState() != notaryv1.TransactionState_TRANSACTION_STATE_VALID {
		t.Errorf("%v %v", answer, err)
	}
}

// A node that is busy or restarting is asked again; a refusal is not.
func TestRetries(t *testing.T) {
	n, c, ann := start(t)
	tx, err := c.BuildPayments(t.Context(), ann, client.Terms{}, client.Payment{To: ann.Address, Amount: 1})
	if err != nil {
		t.Fatal(err)
	}
	n.Set(clienttest.Faults{Failures: []error{clienttest.Down(), clienttest.Overloaded(time.Millisecond), clienttest.Down()}})
	if _, err := c.SubmitFinal(t.Context(), tx); err != nil {
		t.Errorf("after three failures: %v", err)
	}
	if calls := n.Calls("SubmitTransaction"); calls != 4 {
		t.Errorf("%d calls, want 4", calls)
	}
	n.Set(clienttest.Faults{Failures: []error{clienttest.Down(), clienttest.Down(), clienttest.Down(), clienttest.Down()}})
	if _, err := c.Network(t.Context()); client.CodeOf(err) != codes.Unavailable {
		t.Errorf("for ever down: %v", err)
	}
	n.Set(clienttest.Faults{Failures: []error{clienttest.Overloaded(time.Hour)}})
	var e *client.Error
	if _, err := c.Network(t.Context()); !errors.As(err, &e) || e.RetryAfter != time.Hour || e.Reason != notaryv1.Reason_REASON_OVERLOADED {
		t.Errorf("asked for an hour: %v", err)
	}
}

// A node bounds its waits; the client waits on for as long as the caller does.
func TestSubmitWaitsOn(t *testing.T) {
	n, c, ann := start(t)
	tx, err := c.BuildPayments(t.Context(), ann, client.Terms{}, client.Payment{To: ann.Address, Amount: 1})
	if err != nil {
		t.Fatal(err)
	}
	n.Set(clienttest.Faults{Failures: []error{clienttest.WaitExpired(), clienttest.WaitExpired()}})
	if _, err := c.SubmitFinal(t.Context(), tx); err != nil {
		t.Error(err)
	}
	if calls := n.Calls("SubmitTransaction"); calls != 3 {
		t.Errorf("%d calls, want 3", calls)
	}
}

func TestWatchTransaction(t *testing.T) {
	n, c, ann := start(t)
	tx, err := c.BuildPayments(t.Context(), ann, client.Terms{}, client.Payment{To: ann.Address, Amount: 1})
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range c.WatchTransaction(t.Context(), tx.ID) {
		if !errors.Is(err, refusal.Because(notaryv1.Reason_REASON_NOT_FOUND)) {
			t.Errorf("before it was submitted: %v", err)
		}
	}
	if _, err := c.Submit(t.Context(), tx.Raw, client.WaitNone); err != nil {
		t.Fatal(err)
	}
	n.Set(clienttest.Faults{Failures: []error{clienttest.Down(), clienttest.Down()}})
	var last *notaryv1.TransactionStatus
	steps := 0
	for s, err := range c.WatchTransaction(t.Context(), tx.ID) {
		if err != nil {
			t.Fatal(err)
		}
		if last != nil && (s.GetState() < last.GetState() || s.GetPendingWeight() < last.GetPendingWeight()) {
			t.Errorf("from %v back to %v", last, s)
		}
		last = s
		steps++
	}
	if last.GetState() != notaryv1.TransactionState_TRANSACTION_STATE_FINAL || steps < 6 {
		t.Errorf("%d steps, the last %v", steps, last)
	}
}

// What breaks between two acceptances is taken up right there.
func TestWatchAcceptancesResumes(t *testing.T) {
	_, c, ann := start(t)
	var want []domain.Hash
	for range 8 {
		receipt, err := c.Send(t.Context(), ann, client.Terms{}, client.Payment{To: ann.Address, Amount: 1})
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, receipt.ID)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	i := 0
	for m, err := range c.WatchAcceptances(ctx, "0", true) {
		if err != nil {
			t.Fatal(err)
		}
		if string(m.GetTransactionId()) != string(want[i][:]) {
			t.Fatalf("number %d is %x, want %s", i, m.GetTransactionId(), want[i])
		}
		if _, v, err := c.Verify(want[i], m.GetProof()); err != nil || v.Conclusion != observation.Valid {
			t.Fatalf("number %d: %s, %v", i, v.Conclusion, err)
		}
		if i++; i == len(want) {
			break
		}
	}
	for _, err := range c.WatchAcceptances(ctx, "x", false) {
		if !errors.Is(err, refusal.Because(notaryv1.Reason_REASON_INVALID_ARGUMENT)) {
			t.Errorf("bad cursor: %v", err)
		}
	}
}

func TestWatchAddress(t *testing.T) {
	_, c, ann := start(t)
	bob := client.NewAccount(key(2))
	var ids []domain.Hash
	for _, pay := range []struct{ from, to *client.Account }{{ann, bob}, {bob, ann}, {ann, ann}, {ann, bob}} {
		receipt, err := c.Send(t.Context(), pay.from, client.Terms{}, client.Payment{To: pay.to.Address, Amount: 1})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, receipt.ID)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	want := []struct {
		id    domain.Hash
		spent bool
	}{{ids[0], false}, {ids[1], true}, {ids[3], false}}
	i := 0
	for m, err := range c.WatchAddress(ctx, bob.Address, "0") {
		if err != nil {
			t.Fatal(err)
		}
		if string(m.GetTransactionId()) != string(want[i].id[:]) || m.GetSpent() != want[i].spent || m.GetOutput().GetOutput().GetAmount() != 1 {
			t.Errorf("event %d: %v, want %v", i, m, want[i])
		}
		if i++; i == len(want) {
			break
		}
	}
}

func TestStream(t *testing.T) {
	_, c, ann := start(t)
	stream, err := c.Stream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i := range uint64(2) {
		tx, err := c.BuildPayments(t.Context(), ann, client.Terms{}, client.Payment{To: ann.Address, Amount: 1})
		if err != nil {
			t.Fatal(err)
		}
		if err := stream.Send(&notaryv1.SubmitTransactionsRequest{Sequence: i, Transaction: tx.Raw, WaitFor: client.WaitFinal}); err != nil {
			t.Fatal(err)
		}
		answer, err := stream.Recv()
		if err != nil || answer.GetSequence() != i || answer.GetStatus().GetState() != notaryv1.TransactionState_TRANSACTION_STATE_FINAL {
			t.Fatalf("%v %v", answer, err)
		}
	}
	if err := stream.CloseSend(); err != nil {
		t.Error(err)
	}
	if _, err := stream.Recv(); err == nil {
		t.Error("the stream goes on")
	}
}
