package api

import (
	"context"
	"iter"
	"log/slog"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// WatchTransaction implements notaryv1.NotaryServiceServer.
func (s *notaryService) WatchTransaction(req *notaryv1.WatchTransactionRequest, stream notaryv1.NotaryService_WatchTransactionServer) error {
	ctx := stream.Context()
	id, err := s.id(ctx, req.GetTransactionId())
	if err != nil {
		return err
	}
	done := false
	answers := func(yield func(*notaryv1.WatchTransactionResponse, error) bool) {
		for status, err := range s.backends.Watcher.WatchTransaction(ctx, id) {
			done = ended(status)
			if !yield(&notaryv1.WatchTransactionResponse{Status: status}, err) || done {
				return
			}
		}
	}
	if err := forward(stream, answers); err != nil || done {
		return err
	}
	return ctxEnded(ctx)
}

// ended reports whether a transaction's state never changes again.
func ended(status *notaryv1.TransactionStatus) bool {
	return status.GetState() == notaryv1.TransactionState_TRANSACTION_STATE_FINAL ||
		status.GetState() == notaryv1.TransactionState_TRANSACTION_STATE_REJECTED
}

// WatchAcceptances implements notaryv1.NotaryServiceServer.
func (s *notaryService) WatchAcceptances(req *notaryv1.WatchAcceptancesRequest, stream notaryv1.NotaryService_WatchAcceptancesServer) error {
	ctx := stream.Context()
	if err := checkText("cursor", req.GetCursor(), maxCursor); err != nil {
		return err
	}
	note(ctx, slog.String("cursor", req.GetCursor()))
	if err := forward(stream, s.backends.Watcher.WatchAcceptances(ctx, req.GetCursor(), req.GetWithProofs(), req.GetKnownEpoch(), s.guard.paying(ctx, entryBytes))); err != nil {
		return err
	}
	return ctxEnded(ctx)
}

// WatchAddress implements notaryv1.NotaryServiceServer.
func (s *notaryService) WatchAddress(req *notaryv1.WatchAddressRequest, stream notaryv1.NotaryService_WatchAddressServer) error {
	ctx := stream.Context()
	if err := checkAddress(req.GetAddress()); err != nil {
		return err
	}
	if err := checkText("cursor", req.GetCursor(), maxCursor); err != nil {
		return err
	}
	note(ctx, slog.String("address", req.GetAddress()), slog.String("cursor", req.GetCursor()))
	if err := forward(stream, s.backends.Watcher.WatchAddress(ctx, req.GetAddress(), req.GetCursor(), s.guard.paying(ctx, entryBytes))); err != nil {
		return err
	}
	return ctxEnded(ctx)
}

// forward sends what a sequence yields. The headers go out first: a client that has them knows that its
// place in the log is taken.
func forward[M any](stream grpc.ServerStreamingServer[M], answers iter.Seq2[*M, error]) error {
	if err := stream.SendHeader(metadata.MD{}); err != nil {
		return err
	}
	for answer, err := range answers {
		if err != nil {
			return err
		}
		if err := stream.Send(answer); err != nil {
			return err
		}
	}
	return nil
}

// ctxEnded is why a stream ended that has no end of its own.
func ctxEnded(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return refusal.New(notaryv1.Reason_REASON_SHUTTING_DOWN, "", "the node ended this stream; resume it from the last cursor")
}
