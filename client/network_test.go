package client_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"

	"github.com/notarynet/notaryd/client"
	"github.com/notarynet/notaryd/client/clienttest"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
	"github.com/notarynet/notaryd/utxo"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const coinUnits = utxo.UnitsPerCoin

func key(i byte) domain.PrivateKey { return domain.NewPrivateKey([32]byte{i}) }

// quick repeats without waiting.
var quick = client.Retry{Attempts: 4, Base: time.Nanosecond, Max: time.Nanosecond, Patience: time.Second}

// start makes a network where ann has 100 coins in one output and 5 in another.
func start(t *testing.T) (*clienttest.Network, *client.Client, *client.Account) {
	t.Helper()
	ann := client.NewAccount(key(1))
	n, err := clienttest.New("test", clienttest.Grant{To: ann.Address, Units: 100 * coinUnits}, clienttest.Grant{To: ann.Address, Units: 5 * coinUnits})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Close)
	return n, dial(t, n), ann
}

func dial(t *testing.T, n *clienttest.Network, opts ...client.Option) *client.Client {
	t.Helper()
	opts = append([]client.Option{client.WithDialOptions(n.Dialer()), client.WithRetry(quick)}, opts...)
	c, err := client.Dial(t.Context(), clienttest.Target, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func balance(t *testing.T, c *client.Client, a utxo.Address) map[utxo.Product]uint64 {
	t.Helper()
	list, err := c.Balance(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	got := map[utxo.Product]uint64{}
	for _, b := range list {
		var p utxo.Product
		copy(p[:], b.GetProduct())
		got[p] = b.GetAmount()
	}
	return got
}

func TestSend(t *testing.T) {
	_, c, ann := start(t)
	bob := client.NewAccount(key(2))
	got, err := c.Send(t.Context(), ann, client.Terms{Memo: []byte("tea")}, client.Payment{To: bob.Address, Amount: 3 * coinUnits})
	if err != nil {
		t.Fatal(err)
	}
	if got.Status.GetState() != notaryv1.TransactionState_TRANSACTION_STATE_FINAL || got.Verdict.Conclusion != observation.Valid {
		t.Errorf("status %v, verdict %v", got.Status, got.Verdict)
	}
	if string(got.Memo) != "tea" || len(got.Change) != 1 || got.Change[0].Output.Amount != 2*coinUnits {
		t.Errorf("memo %q, change %+v: the smaller coin suffices", got.Memo, got.Change)
	}
	if b := balance(t, c, bob.Address)[utxo.Product{}]; b != 3*coinUnits {
		t.Errorf("bob has %d", b)
	}
	if b := balance(t, c, ann.Address)[utxo.Product{}]; b != 102*coinUnits {
		t.Errorf("ann has %d", b)
	}
	// Bob can pass it on, and the proof is there for whoever asks later.
	if _, err := c.Send(t.Context(), bob, client.Terms{Fee: 7}, client.Payment{To: ann.Address, Amount: coinUnits}); err != nil {
		t.Error(err)
	}
	if b := balance(t, c, bob.Address)[utxo.Product{}]; b != 2*coinUnits-7 {
		t.Errorf("bob has %d after a fee", b)
	}
	again, verdict, err := c.Proof(t.Context(), got.ID)
	if err != nil || !slices.Equal(again.Encode(), got.Proof.Encode()) || verdict.Transactions[0].SpreadMS != clienttest.Nodes-1 {
		t.Errorf("proof again: %v %+v", err, verdict)
	}
}

// The same bytes may be submitted as often as anybody likes, with one outcome.
func TestSubmitIsIdempotent(t *testing.T) {
	_, c, ann := start(t)
	tx, err := c.BuildPayments(t.Context(), ann, client.Terms{}, client.Payment{To: client.NewAccount(key(2)).Address, Amount: 1})
	if err != nil {
		t.Fatal(err)
	}
	for _, level := range []notaryv1.WaitLevel{client.WaitNone, client.WaitPending, client.WaitAccepted, client.WaitFinal, client.WaitNone} {
		s, err := c.Submit(t.Context(), tx.Raw, level)
		if err != nil || string(s.GetTransactionId()) != string(tx.ID[:]) {
			t.Errorf("%v: %v %v", level, s, err)
		}
	}
	first, err := c.SubmitFinal(t.Context(), tx)
	if err != nil {
		t.Fatal(err)
	}
	second, err := c.SubmitFinal(t.Context(), tx)
	if err != nil || !slices.Equal(first.Proof.Encode(), second.Proof.Encode()) {
		t.Errorf("another proof: %v", err)
	}
}

func TestIssueAndPayProduct(t *testing.T) {
	_, c, ann := start(t)
	tx, err := c.BuildIssue(t.Context(), ann, client.Terms{}, client.Issue{Supply: 1000, Name: "Tea", Decimals: 2})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.SubmitFinal(t.Context(), tx); err != nil {
		t.Fatal(err)
	}
	tea := tx.Issues()
	if got := balance(t, c, ann.Address); got[tea] != 1000 || got[utxo.Product{}] != 105*coinUnits {
		t.Errorf("ann has %v", got)
	}
	ann.Release(tx.Spends()...)
	bob := client.NewAccount(key(2))
	if _, err := c.Send(t.Context(), ann, client.Terms{}, client.Payment{To: bob.Address, Product: tea, Amount: 300}, client.Payment{To: bob.Address, Amount: 5}); err != nil {
		t.Fatal(err)
	}
	if got := balance(t, c, bob.Address); got[tea] != 300 || got[utxo.Product{}] != 5 {
		t.Errorf("bob has %v", got)
	}
	if got := balance(t, c, ann.Address); got[tea] != 700 || got[utxo.Product{}] != 105*coinUnits-5 {
		t.Errorf("ann has %v", got)
	}
	// A product alone can be paid without native coins.
	if _, err := c.Send(t.Context(), bob, client.Terms{}, client.Payment{To: ann.Address, Product: tea, Amount: 300}); err != nil {
		t.Errorf("product alone: %v", err)
	}
	_, err = c.BuildIssue(t.Context(), ann, client.Terms{}, client.Issue{Supply: 1, Name: "x", Decimals: 19})
	if err == nil {
		t.Error("19 decimals were taken")
	}
	if _, err = c.BuildIssue(t.Context(), ann, client.Terms{}, client.Issue{Supply: 1, Name: "\xff"}); !errors.Is(err, refusal.Because(notaryv1.Reason_REASON_INVALID_ARGUMENT)) {
		t.Errorf("name that is not UTF-8: %v", err)
	}
	if _, err = c.BuildIssue(t.Context(), ann, client.Terms{}, client.Issue{Name: "x"}); !errors.Is(err, refusal.Because(notaryv1.Reason_REASON_ZERO_AMOUNT)) {
		t.Errorf("no supply: %v", err)
	}
}

func TestStamps(t *testing.T) {
	_, c, ann := start(t)
	want := []client.Stamp{
		{SHA256: domain.Hash{1}, Size: 10, MediaType: "text/plain", Name: "a.txt"},
		{SHA256: domain.Hash{2}, Size: 0},
	}
	tx, err := c.BuildStamps(t.Context(), ann, client.Terms{}, want...)
	if err != nil {
		t.Fatal(err)
	}
	receipt, err := c.SubmitFinal(t.Context(), tx)
	if err != nil {
		t.Fatal(err)
	}
	proven, err := utxo.Decode(receipt.Proof.Transactions[0].Raw, utxo.Rules{Network: c.Genesis().ID})
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range want {
		d := proven.Outputs[i].Data
		if d.Hash != s.SHA256 || d.Size != s.Size || d.MediaType != s.MediaType || d.Location != s.Name || d.Kind != notaryv1.DataKind_DATA_KIND_REFERENCE {
			t.Errorf("output %d states %+v, want %+v", i, d, s)
		}
	}
	if got := balance(t, c, ann.Address)[utxo.Product{}]; got != 105*coinUnits {
		t.Errorf("stamping cost %d units", 105*coinUnits-got)
	}
}

// Coins of transactions under way are left alone until it is known what became of them.
func TestTiedCoins(t *testing.T) {
	n, c, ann := start(t)
	pay := func(amount uint64) (*client.Transaction, error) {
		return c.BuildPayments(t.Context(), ann, client.Terms{}, client.Payment{To: client.NewAccount(key(2)).Address, Amount: amount})
	}
	first, err := pay(coinUnits)
	if err != nil {
		t.Fatal(err)
	}
	second, err := pay(coinUnits)
	if err != nil {
		t.Fatal(err)
	}
	if first.Spends()[0] == second.Spends()[0] {
		t.Error("one coin twice")
	}
	var short *client.FundsError
	if _, err = pay(coinUnits); !errors.As(err, &short) || short.Tied != 105*coinUnits || short.Have != 0 {
		t.Errorf("third: %+v", err)
	}
	n.Set(clienttest.Faults{Reject: notaryv1.Reason_REASON_DOUBLE_SPEND})
	_, err = c.SubmitFinal(t.Context(), first)
	if client.Dead(err) || !client.Refused(err) || !errors.Is(err, refusal.Because(notaryv1.Reason_REASON_DOUBLE_SPEND)) {
		t.Fatalf("rejected: %v", err)
	}
	ann.Release(first.Spends()...)
	if third, err := pay(coinUnits); err != nil || third.Spends()[0] != first.Spends()[0] {
		t.Errorf("after release: %v", err)
	}
}

// Send keeps the coins of a payment whose fate is open, and the same bytes settle it.
func TestSendFailures(t *testing.T) {
	n, c, ann := start(t)
	bob := client.NewAccount(key(2))
	pay := client.Payment{To: bob.Address, Amount: coinUnits}
	var short *client.FundsError
	if _, err := c.Send(t.Context(), ann, client.Terms{}, client.Payment{To: bob.Address, Amount: 106 * coinUnits}); !errors.As(err, &short) || short.Have != 105*coinUnits {
		t.Errorf("too much: %v", err)
	}
	n.SetNow(func() uint64 { return uint64(time.Now().Add(time.Hour).UnixMilli()) })
	late, err := c.Send(t.Context(), ann, client.Terms{}, pay)
	if !errors.Is(err, refusal.Because(notaryv1.Reason_REASON_WINDOW_CLOSED)) {
		t.Errorf("clock an hour off: %v", err)
	}
	ann.Release(late.Spends()...) // they are tied until somebody spends them again knowingly
	if _, err := c.Send(t.Context(), ann, client.Terms{Validity: 2 * time.Hour}, pay); err != nil {
		t.Errorf("longer window: %v", err)
	}
	n.SetNow(func() uint64 { return uint64(time.Now().UnixMilli()) })
	n.Set(clienttest.Faults{Stuck: true})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	submitted := n.Calls("SubmitTransaction")
	go func() { // give up once it was submitted
		for n.Calls("SubmitTransaction") == submitted && t.Context().Err() == nil {
			time.Sleep(time.Millisecond)
		}
		cancel()
	}()
	receipt, err := c.Send(ctx, ann, client.Terms{}, pay)
	if err == nil || client.Refused(err) || receipt == nil {
		t.Fatalf("stuck: %v", err)
	}
	n.Set(clienttest.Faults{})
	if again, err := c.SubmitFinal(t.Context(), receipt.Transaction); err != nil || again.ID != receipt.ID {
		t.Errorf("submitted again: %v", err)
	}
}

func TestSpendTooMuch(t *testing.T) {
	_, c, ann := start(t)
	coins, err := c.Coins(t.Context(), ann.Address)
	if err != nil || len(coins) != 2 {
		t.Fatalf("%v %v", coins, err)
	}
	out := utxo.Output{Kind: notaryv1.OutputKind_OUTPUT_KIND_PAYMENT, Address: ann.Address, Amount: 106 * coinUnits}
	var short *client.FundsError
	if _, err := c.Spend(ann, client.Terms{}, coins, []utxo.Output{out}); !errors.As(err, &short) {
		t.Errorf("%v", err)
	}
	out.Amount = 105 * coinUnits
	tx, err := c.Spend(ann, client.Terms{}, coins, []utxo.Output{out})
	if err != nil || len(tx.Change) != 0 || len(tx.Outputs) != 1 {
		t.Errorf("exactly all: %v %v", tx, err)
	}
}

func TestValidate(t *testing.T) {
	_, c, ann := start(t)
	tx, err := c.BuildPayments(t.Context(), ann, client.Terms{}, client.Payment{To: ann.Address, Amount: 1})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Validate(t.Context(), tx.Raw); err != nil {
		t.Errorf("good: %v", err)
	}
	bad := slices.Clone(tx.Raw)
	bad[len(bad)-1] ^= 1 // in the signature
	if err := c.Validate(t.Context(), bad); !errors.Is(err, refusal.Because(notaryv1.Reason_REASON_BAD_SIGNATURE)) {
		t.Errorf("bad: %v", err)
	}
	if _, err := c.Submit(t.Context(), bad, client.WaitNone); !client.Refused(err) || client.CodeOf(err) != codes.InvalidArgument {
		t.Errorf("submitted: %v", err)
	}
	if _, err := c.Transaction(t.Context(), tx.ID); !errors.Is(err, refusal.Because(notaryv1.Reason_REASON_NOT_FOUND)) {
		t.Errorf("unknown: %v", err)
	}
}

// TestTransactionOfAnother: a node that answers with the bytes of another transaction is not believed.
func TestTransactionOfAnother(t *testing.T) {
	n, c, ann := start(t)
	var ids []domain.Hash
	for range 2 {
		sent, err := c.Send(t.Context(), ann, client.Terms{}, client.Payment{To: ann.Address, Amount: coinUnits})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, sent.ID)
	}
	if answer, err := c.Transaction(t.Context(), ids[0]); err != nil || len(answer.GetTransaction()) == 0 {
		t.Fatal(err)
	}
	other, err := c.Transaction(t.Context(), ids[1])
	if err != nil {
		t.Fatal(err)
	}
	n.Set(clienttest.Faults{Transaction: func(a *notaryv1.GetTransactionResponse) { a.Transaction = other.GetTransaction() }})
	if _, err := c.Transaction(t.Context(), ids[0]); !errors.Is(err, refusal.Because(notaryv1.Reason_REASON_MALFORMED)) {
		t.Errorf("bytes of another: %v", err)
	}
	n.Set(clienttest.Faults{Transaction: func(a *notaryv1.GetTransactionResponse) { a.Transaction = []byte{1} }})
	if _, err := c.Transaction(t.Context(), ids[0]); err == nil {
		t.Error("bytes of none")
	}
}
