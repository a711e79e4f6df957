package client

import (
	"context"
	"errors"
	"io"
	"iter"
	"math/rand/v2"

	"google.golang.org/grpc"

	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
	"github.com/notarynet/notaryd/utxo"
)

// WatchTransaction yields the status of a transaction and every change of it until it is FINAL or
// REJECTED. A broken stream is taken up again; an error is yielded once, at the end.
func (c *Client) WatchTransaction(ctx context.Context, id domain.Hash) iter.Seq2[*notaryv1.TransactionStatus, error] {
	open := func(ctx context.Context) (grpc.ServerStreamingClient[notaryv1.WatchTransactionResponse], error) {
		return c.api.WatchTransaction(ctx, &notaryv1.WatchTransactionRequest{TransactionId: id[:]})
	}
	return func(yield func(*notaryv1.TransactionStatus, error) bool) {
		for m, err := range follow(ctx, c.retry, open) {
			if !yield(m.GetStatus(), err) || err != nil || Decided(m.GetStatus()) {
				return
			}
		}
	}
}

// WatchAcceptances yields every transaction that becomes final at the node, from a cursor on: "" starts
// with the next one, "0" with the first that the node holds. A broken stream is taken up again after the
// last element, so nothing is left out or repeated; CURSOR_GAP says that this is impossible, as it is before the
// first element of a stream that started with the next one. Proofs carry the links from the latest group known
// here, and are not verified: see Verify.
func (c *Client) WatchAcceptances(ctx context.Context, cursor string, withProofs bool) iter.Seq2[*notaryv1.WatchAcceptancesResponse, error] {
	return followLog(ctx, c.retry, cursor, func(ctx context.Context, cursor string) (grpc.ServerStreamingClient[notaryv1.WatchAcceptancesResponse], error) {
		return c.api.WatchAcceptances(ctx, &notaryv1.WatchAcceptancesRequest{Cursor: cursor, WithProofs: withProofs, KnownEpoch: c.Known().Epoch()})
	})
}

// WatchAddress yields every output of an address that is created or spent, from a cursor on, as
// WatchAcceptances does.
func (c *Client) WatchAddress(ctx context.Context, address utxo.Address, cursor string) iter.Seq2[*notaryv1.WatchAddressResponse, error] {
	return followLog(ctx, c.retry, cursor, func(ctx context.Context, cursor string) (grpc.ServerStreamingClient[notaryv1.WatchAddressResponse], error) {
		return c.api.WatchAddress(ctx, &notaryv1.WatchAddressRequest{Address: c.FormatAddress(address), Cursor: cursor})
	})
}

// followLog is follow for a log with cursors.
func followLog[T any, M interface {
	*T
	GetCursor() string
}](ctx context.Context, r Retry, cursor string, open func(context.Context, string) (grpc.ServerStreamingClient[T], error)) iter.Seq2[M, error] {
	return func(yield func(M, error) bool) {
		begun := false
		resume := func(ctx context.Context) (grpc.ServerStreamingClient[T], error) {
			if begun && cursor == "" {
				return nil, refusal.New(notaryv1.Reason_REASON_CURSOR_GAP, "cursor", "the stream broke before its first element: what came meanwhile is not known")
			}
			stream, err := open(ctx, cursor)
			if err == nil && cursor == "" {
				// The node takes the place in its log before it sends the headers.
				header, err := stream.Header()
				begun = err == nil && header != nil
			}
			return stream, err
		}
		for m, err := range follow(ctx, r, resume) {
			if err == nil {
				cursor = M(m).GetCursor()
			}
			if !yield(m, err) || err != nil {
				return
			}
		}
	}
}

// Decided reports whether a status will never change.
func Decided(s *notaryv1.TransactionStatus) bool {
	return s.GetState() == notaryv1.TransactionState_TRANSACTION_STATE_FINAL ||
		s.GetState() == notaryv1.TransactionState_TRANSACTION_STATE_REJECTED
}

// follow yields what a stream brings, opening it again after a passing failure. The attempts of r are
// counted anew whenever something came. Its own end is an error unless the caller stops first: all
// streams of the service end only when there is nothing more to say.
func follow[T any](ctx context.Context, r Retry, open func(context.Context) (grpc.ServerStreamingClient[T], error)) iter.Seq2[*T, error] {
	return func(yield func(*T, error) bool) {
		// The stream is given up when the caller stops asking.
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		for failures := 1; ; failures++ {
			stream, err := open(ctx)
			for err == nil {
				var m *T
				if m, err = stream.Recv(); err == nil {
					failures = 1
					if !yield(m, nil) {
						return
					}
				}
			}
			if errors.Is(err, io.EOF) {
				yield(nil, io.ErrUnexpectedEOF)
				return
			}
			err = fromStatus(ctx, err)
			var e *Error
			if !errors.As(err, &e) || !r.again(failures, e) ||
				!sleep(ctx, r.pause(failures, e.RetryAfter, rand.Float64())) {
				yield(nil, err)
				return
			}
		}
	}
}
