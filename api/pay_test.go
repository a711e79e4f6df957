package api

import (
	"context"
	"encoding/json"
	"iter"
	"testing"
	"time"

	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
)

// TestWorkIsPaidFor: what is read and computed for a client takes tokens of their own. Who has none waits: as it goes on, or, where
// the price is known at the end only, before it begins with the next. Calls beside are served.
func TestWorkIsPaidFor(t *testing.T) {
	config := quick()
	config.Limits.CallsPerSecond, config.Limits.CallBurst = 0.01, 10 // nothing comes back while the test runs
	id := hash(3)
	elements := func(ctx context.Context, yield func(int) bool) {
		for i := 0; ctx.Err() == nil && yield(i); i++ {
		}
	}
	type done = func(error) bool // reports one that was done, and whether to go on
	loop := func(one func(context.Context, *node) error) func(context.Context, *node, done) {
		return func(ctx context.Context, n *node, done done) {
			for done(one(ctx, n)) {
			}
		}
	}
	explorer := func(n *node) notaryv1.ExplorerServiceClient { return notaryv1.NewExplorerServiceClient(n.conn) }
	for name, test := range map[string]struct {
		do   func(context.Context, *node, done)
		want int // with 10 tokens, at 4 each
	}{
		"GetBalance": {loop(func(ctx context.Context, n *node) error {
			_, err := n.client.GetBalance(ctx, &notaryv1.GetBalanceRequest{Address: "a"})
			return err
		}), 2},
		"ListUnspent": {loop(func(ctx context.Context, n *node) error {
			_, err := n.client.ListUnspent(ctx, &notaryv1.ListUnspentRequest{Address: "a"})
			return err
		}), 2},
		"GetTrust": {loop(func(ctx context.Context, n *node) error {
			_, err := explorer(n).GetTrust(ctx, &notaryv1.GetTrustRequest{})
			return err
		}), 2},
		"GetTrustMargin": {loop(func(ctx context.Context, n *node) error {
			_, err := explorer(n).GetTrustMargin(ctx, &notaryv1.GetTrustMarginRequest{})
			return err
		}), 2},
		"WatchAcceptances": {func(ctx context.Context, n *node, done done) {
			stream := must(n.client.WatchAcceptances(ctx, &notaryv1.WatchAcceptancesRequest{WithProofs: true}))
			for _, err := stream.Recv(); done(err); _, err = stream.Recv() {
			}
		}, 2},
		"WatchAddress": {func(ctx context.Context, n *node, done done) {
			stream := must(n.client.WatchAddress(ctx, &notaryv1.WatchAddressRequest{Address: "a"}))
			for _, err := stream.Recv(); done(err); _, err = stream.Recv() {
			}
		}, 2},
		"ExplainTransaction": {loop(func(ctx context.Context, n *node) error {
			_, err := n.client.ExplainTransaction(ctx, &notaryv1.ExplainTransactionRequest{TransactionId: id[:]})
			return err
		}), 3},
		"GetContest": {loop(func(ctx context.Context, n *node) error {
			_, err := explorer(n).GetContest(ctx, &notaryv1.GetContestRequest{TransactionId: id[:]})
			return err
		}), 3},
		"SimulateTrust": {loop(func(ctx context.Context, n *node) error {
			_, err := explorer(n).SimulateTrust(ctx, &notaryv1.SimulateTrustRequest{Changes: []*notaryv1.LabelChange{{Ratee: id[:]}}})
			return err
		}), 3},
		"GetStats": {loop(func(ctx context.Context, n *node) error {
			_, err := explorer(n).GetStats(ctx, &notaryv1.GetStatsRequest{})
			return err
		}), 3},
	} {
		t.Run(name, func(t *testing.T) {
			n := serve(t, config, &script{
				costs: []int{3 * tokenBytes, tokenBytes},
				transaction: func(context.Context, domain.Hash) (*notaryv1.TransactionStatus, []byte, error) {
					return statusOf(id, stateFinal), nil, nil
				},
				balance: func(context.Context, string) ([]*notaryv1.ProductBalance, error) { return nil, nil },
				unspent: func(context.Context, string, string, int) ([]*notaryv1.UnspentOutput, string, error) {
					return nil, "", nil
				},
				watchAcceptances: func(ctx context.Context, _ string, _ bool, _ uint64) iter.Seq2[*notaryv1.WatchAcceptancesResponse, error] {
					return func(yield func(*notaryv1.WatchAcceptancesResponse, error) bool) {
						elements(ctx, func(int) bool { return yield(&notaryv1.WatchAcceptancesResponse{}, nil) })
					}
				},
				watchAddress: func(ctx context.Context, _, _ string) iter.Seq2[*notaryv1.WatchAddressResponse, error] {
					return func(yield func(*notaryv1.WatchAddressResponse, error) bool) {
						elements(ctx, func(int) bool { return yield(&notaryv1.WatchAddressResponse{}, nil) })
					}
				},
			})
			ctx, cancel := context.WithCancel(within(t))
			one, ended := make(chan error, 16), make(chan struct{})
			go func() {
				defer close(ended)
				test.do(ctx, n, func(err error) bool { one <- err; return err == nil && len(one) < cap(one)-1 })
			}()
			for i := range test.want {
				if err := <-one; err != nil {
					t.Fatalf("%d: %v", i, err)
				}
			}
			if _, err := n.client.GetNetwork(within(t), &notaryv1.GetNetworkRequest{}); err != nil {
				t.Errorf("a call beside: %v", err)
			}
			select {
			case err := <-one:
				t.Errorf("more than %d with 10 tokens at 4 each: %v", test.want, err)
			case <-time.After(200 * time.Millisecond):
			}
			cancel()
			<-ended
		})
	}
}

// TestLongAnswersArePaidFor: an answer of four times what a token pays for takes four.
func TestLongAnswersArePaidFor(t *testing.T) {
	config := quick()
	config.Limits.CallsPerSecond, config.Limits.CallBurst = 0.01, 10 // nothing comes back while the test runs
	n := serve(t, config, &script{proof: func(context.Context, domain.Hash, bool, uint64) ([]byte, error) {
		return make([]byte, 4*tokenBytes), nil
	}})
	id := hash(3)
	for i := range 3 { // the third owes two
		if _, err := n.client.GetAcceptanceProof(within(t), &notaryv1.GetAcceptanceProofRequest{TransactionId: id[:]}); err != nil {
			t.Fatalf("%d: %v", i, err)
		}
	}
	_, err := n.client.GetAcceptanceProof(within(t), &notaryv1.GetAcceptanceProofRequest{TransactionId: id[:]})
	wantReason(t, err, notaryv1.Reason_REASON_RATE_LIMITED)
}

// TestLargeSubmissionsCostMore: a transaction takes as many tokens as it is times as long as what one pays for, in a call, by REST and on a stream,
// whatever becomes of it.
func TestLargeSubmissionsCostMore(t *testing.T) {
	large := make([]byte, 4*submissionBytes)
	body, err := json.Marshal(map[string]any{"transaction": large})
	if err != nil {
		t.Fatal(err)
	}
	for name, submit := range map[string]func(*node) error{
		"call": func(n *node) error {
			_, err := n.client.SubmitTransaction(within(t), &notaryv1.SubmitTransactionRequest{Transaction: large})
			return err
		},
		"REST": func(n *node) error {
			n.rest("POST", "/v1/transactions", string(body))
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			config := quick()
			config.Limits.CallsPerSecond, config.Limits.CallBurst = 0.01, 10 // nothing comes back while the test runs
			submitted := 0
			n := serve(t, config, &script{submit: func(context.Context, string, []byte, notaryv1.WaitLevel) (*notaryv1.TransactionStatus, error) {
				submitted++
				return nil, errScript
			}})
			for range 3 { // the third owes two
				submit(n)
			}
			_, err := n.client.GetNetwork(within(t), &notaryv1.GetNetworkRequest{})
			wantReason(t, err, notaryv1.Reason_REASON_RATE_LIMITED)
			if submitted != 3 {
				t.Errorf("%d were submitted for 10 tokens, at 4 each", submitted)
			}
		})
	}
	t.Run("stream", func(t *testing.T) {
		config := quick()
		config.Limits.CallsPerSecond, config.Limits.CallBurst = 0.01, 11 // the stream itself takes one
		n := serve(t, config, &script{submit: func(context.Context, string, []byte, notaryv1.WaitLevel) (*notaryv1.TransactionStatus, error) {
			return statusOf(hash(1), stateFinal), nil
		}})
		stream := must(n.client.SubmitTransactions(within(t)))
		for i := range 4 {
			if err := stream.Send(&notaryv1.SubmitTransactionsRequest{Sequence: uint64(i), Transaction: large}); err != nil {
				t.Fatal(err)
			}
		}
		for range 3 {
			must(stream.Recv())
		}
		more := make(chan error, 1)
		go func() {
			_, err := stream.Recv()
			more <- err
		}()
		select {
		case err := <-more:
			t.Fatalf("a fourth answer for 10 tokens, at 4 each: %v", err)
		case <-time.After(200 * time.Millisecond):
		}
		n.end()
		if err := <-more; err == nil {
			t.Error("an answer after the end")
		}
	})
}

// TestWorkInTurn: of what is paid for when it is done, one is done at a time for one client, however many it asks for.
func TestWorkInTurn(t *testing.T) {
	n := serve(t, quick(), &script{})
	c := &call{client: "192.0.2.1"}
	if over := n.server.guard.table.Take(c.client); over != nil {
		t.Fatal(over)
	}
	ctx := context.WithValue(within(t), callKey{}, c)
	began, end, ended := make(chan int, 2), make(chan struct{}), make(chan error, 2)
	for i := range 2 {
		go func() {
			_, err := inTurn(ctx, n.server.guard, func(Pay) (int, error) { began <- i; <-end; return i, nil })
			ended <- err
		}()
	}
	first := <-began
	select {
	case second := <-began:
		t.Errorf("%d beside %d", second, first)
	case <-time.After(100 * time.Millisecond):
	}
	gone, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := inTurn(gone, n.server.guard, func(Pay) (int, error) { return 0, nil }); err == nil {
		t.Error("a turn for who has gone")
	}
	close(end)
	for range 2 {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}
