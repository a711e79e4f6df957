package api

import (
	"context"
	"log/slog"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// notaryService is the public service. It refuses what is malformed, asks the backends, and leaves
// limits, errors and logs to the guard.
type notaryService struct {
	notaryv1.UnsafeNotaryServiceServer // a method that is missing does not compile

	backends Backends
	maxWait  time.Duration
	window   int
	stopping <-chan struct{}
	guard    *guard
}

// ValidateTransaction implements notaryv1.NotaryServiceServer. What is wrong with the transaction is the
// answer; only what is wrong with the call is an error.
func (s *notaryService) ValidateTransaction(ctx context.Context, req *notaryv1.ValidateTransactionRequest) (*notaryv1.ValidateTransactionResponse, error) {
	raw := req.GetTransaction()
	var id domain.Hash
	err := checkTransaction(raw)
	if err == nil {
		id, err = s.backends.Submitter.Validate(ctx, raw, s.guard.paying(ctx, 0))
	}
	answer := &notaryv1.ValidateTransactionResponse{}
	if !id.IsZero() {
		answer.TransactionId = id[:]
		note(ctx, slog.String("transaction", id.String()))
	}
	if err == nil {
		return answer, nil
	}
	rejection, v := rejectionOf(err)
	if !v.aboutTransaction() {
		return nil, err
	}
	note(ctx, slog.String("rejection", refusal.Name(rejection.Reason)))
	answer.Rejection = rejection
	return answer, nil
}

// GetTransaction implements notaryv1.NotaryServiceServer.
func (s *notaryService) GetTransaction(ctx context.Context, req *notaryv1.GetTransactionRequest) (*notaryv1.GetTransactionResponse, error) {
	id, err := s.id(ctx, req.GetTransactionId())
	if err != nil {
		return nil, err
	}
	status, raw, err := s.backends.Reader.Transaction(ctx, id)
	if err != nil {
		return nil, err
	}
	body, err := bodyOf(raw)
	if err != nil {
		return nil, err
	}
	return &notaryv1.GetTransactionResponse{Status: status, Transaction: raw, Body: body}, nil
}

// bodyOf parses a transaction that a backend holds; nil for none. It was checked when it came in.
func bodyOf(raw []byte) (*notaryv1.TransactionBody, error) {
	if len(raw) == 0 {
		return nil, nil
	}
	var tx notaryv1.Transaction
	if err := proto.Unmarshal(raw, &tx); err != nil {
		return nil, err
	}
	body := &notaryv1.TransactionBody{}
	if err := proto.Unmarshal(tx.GetBody(), body); err != nil {
		return nil, err
	}
	return body, nil
}

// GetAcceptanceProof implements notaryv1.NotaryServiceServer.
func (s *notaryService) GetAcceptanceProof(ctx context.Context, req *notaryv1.GetAcceptanceProofRequest) (*notaryv1.GetAcceptanceProofResponse, error) {
	id, err := s.id(ctx, req.GetTransactionId())
	if err != nil {
		return nil, err
	}
	if req.GetCompact() {
		compact, err := s.backends.Reader.CompactProof(ctx, id, !req.GetWithoutTransaction(), req.GetKnownEpoch(), s.guard.paying(ctx, 0))
		if err != nil {
			return nil, err
		}
		return &notaryv1.GetAcceptanceProofResponse{CompactProof: compact}, nil
	}
	proof, err := s.backends.Reader.Proof(ctx, id, !req.GetWithoutTransaction(), req.GetKnownEpoch())
	if err != nil {
		return nil, err
	}
	return &notaryv1.GetAcceptanceProofResponse{Proof: proof}, nil
}

// ExplainTransaction implements notaryv1.NotaryServiceServer.
func (s *notaryService) ExplainTransaction(ctx context.Context, req *notaryv1.ExplainTransactionRequest) (*notaryv1.ExplainTransactionResponse, error) {
	if s.backends.Explainer == nil {
		return nil, notBuilt("NotaryService/ExplainTransaction")
	}
	id, err := s.id(ctx, req.GetTransactionId())
	if err != nil {
		return nil, err
	}
	return inTurn(ctx, s.guard, func(pay Pay) (*notaryv1.ExplainTransactionResponse, error) {
		return s.backends.Explainer.Explain(ctx, id, pay)
	})
}

// ListUnspent implements notaryv1.NotaryServiceServer.
func (s *notaryService) ListUnspent(ctx context.Context, req *notaryv1.ListUnspentRequest) (*notaryv1.ListUnspentResponse, error) {
	if err := checkAddress(req.GetAddress()); err != nil {
		return nil, err
	}
	limit, err := checkPage(req.GetPageSize(), req.GetPageToken())
	if err != nil {
		return nil, err
	}
	note(ctx, slog.String("address", req.GetAddress()))
	outputs, next, err := s.backends.Accounts.Unspent(ctx, req.GetAddress(), req.GetPageToken(), limit, s.guard.paying(ctx, entryBytes))
	if err != nil {
		return nil, err
	}
	return &notaryv1.ListUnspentResponse{Outputs: outputs, NextPageToken: next}, nil
}

// GetBalance implements notaryv1.NotaryServiceServer.
func (s *notaryService) GetBalance(ctx context.Context, req *notaryv1.GetBalanceRequest) (*notaryv1.GetBalanceResponse, error) {
	if err := checkAddress(req.GetAddress()); err != nil {
		return nil, err
	}
	note(ctx, slog.String("address", req.GetAddress()))
	balances, err := s.backends.Accounts.Balance(ctx, req.GetAddress(), s.guard.paying(ctx, recordBytes))
	if err != nil {
		return nil, err
	}
	return &notaryv1.GetBalanceResponse{Balances: balances}, nil
}

// headerNotBuilt is the header of GetNetwork's answer that names the methods that are not built yet,
// one value each.
const headerNotBuilt = "notary-not-built"

// GetNetwork implements notaryv1.NotaryServiceServer. What is not built is known here, not by the backend.
func (s *notaryService) GetNetwork(ctx context.Context, _ *notaryv1.GetNetworkRequest) (*notaryv1.GetNetworkResponse, error) {
	network, err := s.backends.Describer.Network(ctx)
	if err != nil {
		return nil, err
	}
	network.NotBuilt = s.backends.NotBuilt()
	header := metadata.MD{headerNotBuilt: network.NotBuilt}
	if err := grpc.SetHeader(ctx, header); err != nil {
		return nil, err
	}
	return network, nil
}

// id reads the transaction id of a request and puts it into the call's log line.
func (s *notaryService) id(ctx context.Context, b []byte) (domain.Hash, error) {
	id, err := checkID(fieldID, b)
	if err == nil {
		note(ctx, slog.String("transaction", id.String()))
	}
	return id, err
}
