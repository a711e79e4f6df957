package api

import (
	"context"
	"errors"
	"io"
	"iter"
	"strconv"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

func TestWatchTransactionEndsWhereItDoesNotChangeAnyMore(t *testing.T) {
	states := []notaryv1.TransactionState{
		notaryv1.TransactionState_TRANSACTION_STATE_VALID, notaryv1.TransactionState_TRANSACTION_STATE_ACCEPTED, stateFinal,
		notaryv1.TransactionState_TRANSACTION_STATE_VALID, // never: FINAL is the end
	}
	n := serve(t, quick(), &script{
		watchTransaction: func(_ context.Context, id domain.Hash) iter.Seq2[*notaryv1.TransactionStatus, error] {
			return func(yield func(*notaryv1.TransactionStatus, error) bool) {
				for _, s := range states {
					if !yield(statusOf(id, s), nil) {
						return
					}
				}
			}
		},
	})
	id := hash(9)
	stream, err := n.client.WatchTransaction(within(t), &notaryv1.WatchTransactionRequest{TransactionId: id[:]})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range states[:3] {
		got, err := stream.Recv()
		if err != nil || got.GetStatus().GetState() != want || domain.Hash(got.GetStatus().GetTransactionId()) != id {
			t.Fatalf("%v, %v; want %v", got, err, want)
		}
	}
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("ends with %v", err)
	}
}

func TestWatchRefusals(t *testing.T) {
	n := serve(t, quick(), &script{
		watchAcceptances: func(_ context.Context, cursor string, _ bool, _ uint64) iter.Seq2[*notaryv1.WatchAcceptancesResponse, error] {
			if cursor == "end" {
				return func(func(*notaryv1.WatchAcceptancesResponse, error) bool) {}
			}
			return failing[*notaryv1.WatchAcceptancesResponse](refusal.New(notaryv1.Reason_REASON_CURSOR_GAP, "cursor", "pruned up to 12"))
		},
		watchTransaction: func(context.Context, domain.Hash) iter.Seq2[*notaryv1.TransactionStatus, error] {
			return failing[*notaryv1.TransactionStatus](errBoom)
		},
	})
	acceptances := func(cursor string) error {
		stream, err := n.client.WatchAcceptances(within(t), &notaryv1.WatchAcceptancesRequest{Cursor: cursor})
		if err != nil {
			t.Fatal(err)
		}
		_, err = stream.Recv()
		return err
	}
	gap := acceptances("3")
	wantReason(t, gap, notaryv1.Reason_REASON_CURSOR_GAP)
	if status.Code(gap) != codes.OutOfRange {
		t.Errorf("%v", gap)
	}
	wantReason(t, acceptances("a\nb"), notaryv1.Reason_REASON_INVALID_ARGUMENT)
	wantReason(t, acceptances(string(make([]byte, 129))), notaryv1.Reason_REASON_INVALID_ARGUMENT)
	wantReason(t, acceptances("end"), notaryv1.Reason_REASON_SHUTTING_DOWN)

	transaction := func(id []byte) error {
		stream, err := n.client.WatchTransaction(within(t), &notaryv1.WatchTransactionRequest{TransactionId: id})
		if err != nil {
			t.Fatal(err)
		}
		_, err = stream.Recv()
		return err
	}
	wantReason(t, transaction(nil), notaryv1.Reason_REASON_MISSING_FIELD)
	wantReason(t, transaction([]byte("short")), notaryv1.Reason_REASON_INVALID_ARGUMENT)
	wantReason(t, transaction(make([]byte, 32)), notaryv1.Reason_REASON_INTERNAL)

	addresses, err := n.client.WatchAddress(within(t), &notaryv1.WatchAddressRequest{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = addresses.Recv()
	wantReason(t, err, notaryv1.Reason_REASON_MISSING_FIELD)
}

// endless is a log that never ends; it counts what was pulled.
func endless(pulled *atomic.Int64, closed chan<- struct{}) func(context.Context, string, bool, uint64) iter.Seq2[*notaryv1.WatchAcceptancesResponse, error] {
	return func(ctx context.Context, cursor string, _ bool, _ uint64) iter.Seq2[*notaryv1.WatchAcceptancesResponse, error] {
		from, _ := strconv.Atoi(cursor)
		return func(yield func(*notaryv1.WatchAcceptancesResponse, error) bool) {
			defer func() { closed <- struct{}{} }()
			for i := from + 1; ctx.Err() == nil; i++ {
				pulled.Add(1)
				if !yield(&notaryv1.WatchAcceptancesResponse{Cursor: strconv.Itoa(i), Proof: make([]byte, 4096)}, nil) {
					return
				}
			}
			yield(nil, ctx.Err())
		}
	}
}

// TestSlowConsumer: a client that does not read stops its own stream and nothing else, and resumes from
// its cursor without a gap.
func TestSlowConsumer(t *testing.T) {
	var pulled atomic.Int64
	closed := make(chan struct{}, 2)
	n := serve(t, quick(), &script{watchAcceptances: endless(&pulled, closed)})
	ctx, cancel := context.WithCancel(within(t))
	slow, err := n.client.WatchAcceptances(ctx, &notaryv1.WatchAcceptancesRequest{Cursor: "0"})
	if err != nil {
		t.Fatal(err)
	}
	first, err := slow.Recv()
	if err != nil || first.GetCursor() != "1" {
		t.Fatalf("%v, %v", first, err)
	}
	// A second stream and other calls on the same connection go on meanwhile.
	quickCtx, quickCancel := context.WithCancel(within(t))
	second, err := n.client.WatchAcceptances(quickCtx, &notaryv1.WatchAcceptancesRequest{Cursor: first.GetCursor()})
	if err != nil {
		t.Fatal(err)
	}
	for want := 2; want < 3000; want++ {
		got, err := second.Recv()
		if err != nil || got.GetCursor() != strconv.Itoa(want) {
			t.Fatalf("%v, %v; want %d", got, err, want)
		}
	}
	if _, err := n.client.GetNetwork(within(t), &notaryv1.GetNetworkRequest{}); err != nil {
		t.Fatal(err)
	}
	quickCancel()
	<-closed
	// What the slow stream had pulled is bounded by buffers of sockets and HTTP/2, not by time.
	if got := pulled.Load() * 4096; got > 64<<20 {
		t.Errorf("%d bytes pulled for a client that read one message", got)
	}
	cancel()
	<-closed // the sequence has ended: nothing is left of the client
}

func TestWatchAddressPassesOnCursors(t *testing.T) {
	n := serve(t, quick(), &script{
		watchAddress: func(ctx context.Context, address, cursor string) iter.Seq2[*notaryv1.WatchAddressResponse, error] {
			return func(yield func(*notaryv1.WatchAddressResponse, error) bool) {
				if yield(&notaryv1.WatchAddressResponse{Cursor: address + "/" + cursor, Spent: true}, nil) {
					<-ctx.Done()
					yield(nil, ctx.Err())
				}
			}
		},
	})
	ctx, cancel := context.WithCancel(within(t))
	stream, err := n.client.WatchAddress(ctx, &notaryv1.WatchAddressRequest{Address: "dev1x", Cursor: "77"})
	if err != nil {
		t.Fatal(err)
	}
	if md, err := stream.Header(); err != nil || md == nil { // before any message: the place is taken
		t.Errorf("%v, %v", md, err)
	}
	got, err := stream.Recv()
	if err != nil || got.GetCursor() != "dev1x/77" || !got.GetSpent() {
		t.Errorf("%v, %v", got, err)
	}
	cancel()
	if _, err := stream.Recv(); status.Code(err) != codes.Canceled {
		t.Errorf("%v", err)
	}
}
