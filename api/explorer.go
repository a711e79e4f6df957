package api

import (
	"context"
	"log/slog"

	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// explorerService is public and read only. Like notaryService it refuses what is malformed and asks the
// backends.
type explorerService struct {
	notaryv1.UnsafeExplorerServiceServer // a method that is missing does not compile

	backends Backends
	guard    *guard
}

// Search implements notaryv1.ExplorerServiceServer.
func (s *explorerService) Search(ctx context.Context, req *notaryv1.SearchRequest) (*notaryv1.SearchResponse, error) {
	if s.backends.Explainer == nil {
		return nil, notBuilt("ExplorerService/Search")
	}
	if req.GetQuery() == "" {
		return nil, refusal.New(notaryv1.Reason_REASON_MISSING_FIELD, "query", "what to look for is needed")
	}
	if err := checkText("query", req.GetQuery(), maxQuery); err != nil {
		return nil, err
	}
	hits, err := s.backends.Explainer.Search(ctx, req.GetQuery())
	if err != nil {
		return nil, err
	}
	return &notaryv1.SearchResponse{Hits: hits}, nil
}

// ListTransactions implements notaryv1.ExplorerServiceServer.
func (s *explorerService) ListTransactions(ctx context.Context, req *notaryv1.ListTransactionsRequest) (*notaryv1.ListTransactionsResponse, error) {
	if s.backends.Archive == nil {
		return nil, notBuilt("ExplorerService/ListTransactions")
	}
	list, next, err := page(ctx, req, func(ctx context.Context, token string, limit int) ([]*notaryv1.TransactionStatus, string, error) {
		return s.backends.Archive.Finals(ctx, token, limit, s.guard.spending(ctx))
	})
	if err != nil {
		return nil, err
	}
	return &notaryv1.ListTransactionsResponse{Transactions: list, NextPageToken: next}, nil
}

// ListPeers implements notaryv1.ExplorerServiceServer.
func (s *explorerService) ListPeers(ctx context.Context, req *notaryv1.ListPeersRequest) (*notaryv1.ListPeersResponse, error) {
	if s.backends.Peers == nil {
		return nil, notBuilt("ExplorerService/ListPeers")
	}
	list, next, err := page(ctx, req, s.backends.Peers.Peers)
	if err != nil {
		return nil, err
	}
	return &notaryv1.ListPeersResponse{Peers: list, NextPageToken: next}, nil
}

// GetPeer implements notaryv1.ExplorerServiceServer.
func (s *explorerService) GetPeer(ctx context.Context, req *notaryv1.GetPeerRequest) (*notaryv1.GetPeerResponse, error) {
	if s.backends.Peers == nil {
		return nil, notBuilt("ExplorerService/GetPeer")
	}
	id, err := checkID(fieldPeer, req.GetPeerId())
	if err != nil {
		return nil, err
	}
	note(ctx, slog.String("peer", id.String()))
	peer, err := s.backends.Peers.Peer(ctx, id)
	if err != nil {
		return nil, err
	}
	return &notaryv1.GetPeerResponse{Peer: peer}, nil
}

// ListObservations implements notaryv1.ExplorerServiceServer.
func (s *explorerService) ListObservations(ctx context.Context, req *notaryv1.ListObservationsRequest) (*notaryv1.ListObservationsResponse, error) {
	if s.backends.Archive == nil {
		return nil, notBuilt("ExplorerService/ListObservations")
	}
	key, err := checkID(fieldKey, req.GetNodeKey())
	if err != nil {
		return nil, err
	}
	note(ctx, slog.String("node_key", key.String()))
	list, next, err := page(ctx, req, func(ctx context.Context, token string, limit int) ([]*notaryv1.ObservationSummary, string, error) {
		return s.backends.Archive.Observations(ctx, domain.PublicKey(key), token, limit, s.guard.spending(ctx))
	})
	if err != nil {
		return nil, err
	}
	return &notaryv1.ListObservationsResponse{Observations: list, NextPageToken: next}, nil
}

// GetObservation implements notaryv1.ExplorerServiceServer.
func (s *explorerService) GetObservation(ctx context.Context, req *notaryv1.GetObservationRequest) (*notaryv1.GetObservationResponse, error) {
	if s.backends.Archive == nil {
		return nil, notBuilt("ExplorerService/GetObservation")
	}
	key, err := checkID(fieldKey, req.GetNodeKey())
	if err != nil {
		return nil, err
	}
	note(ctx, slog.String("node_key", key.String()), slog.Uint64("height", req.GetHeight()))
	return s.backends.Archive.Observation(ctx, domain.PublicKey(key), req.GetSigningEpoch(), req.GetHeight())
}

// ListContests implements notaryv1.ExplorerServiceServer.
func (s *explorerService) ListContests(ctx context.Context, req *notaryv1.ListContestsRequest) (*notaryv1.ListContestsResponse, error) {
	if s.backends.Contests == nil {
		return nil, notBuilt("ExplorerService/ListContests")
	}
	return inTurn(ctx, s.guard, func(pay Pay) (*notaryv1.ListContestsResponse, error) {
		list, next, err := page(ctx, req, func(ctx context.Context, token string, limit int) ([]*notaryv1.ContestSummary, string, error) {
			return s.backends.Contests.Contests(ctx, token, limit, pay)
		})
		if err != nil {
			return nil, err
		}
		return &notaryv1.ListContestsResponse{Contests: list, NextPageToken: next}, nil
	})
}

// GetContest implements notaryv1.ExplorerServiceServer.
func (s *explorerService) GetContest(ctx context.Context, req *notaryv1.GetContestRequest) (*notaryv1.GetContestResponse, error) {
	if s.backends.Contests == nil {
		return nil, notBuilt("ExplorerService/GetContest")
	}
	id, err := checkID(fieldID, req.GetTransactionId())
	if err != nil {
		return nil, err
	}
	note(ctx, slog.String("transaction", id.String()))
	return inTurn(ctx, s.guard, func(pay Pay) (*notaryv1.GetContestResponse, error) {
		return s.backends.Contests.Contest(ctx, id, pay)
	})
}

// ListEvidence implements notaryv1.ExplorerServiceServer.
func (s *explorerService) ListEvidence(ctx context.Context, req *notaryv1.ListEvidenceRequest) (*notaryv1.ListEvidenceResponse, error) {
	if s.backends.Evidence == nil {
		return nil, notBuilt("ExplorerService/ListEvidence")
	}
	list, next, err := page(ctx, req, s.backends.Evidence.Evidence)
	if err != nil {
		return nil, err
	}
	return &notaryv1.ListEvidenceResponse{Evidence: list, NextPageToken: next}, nil
}

// ListOmissions implements notaryv1.ExplorerServiceServer.
func (s *explorerService) ListOmissions(ctx context.Context, _ *notaryv1.ListOmissionsRequest) (*notaryv1.ListOmissionsResponse, error) {
	if s.backends.Omissions == nil {
		return nil, notBuilt("ExplorerService/ListOmissions")
	}
	reports, err := s.backends.Omissions.Omissions(ctx)
	if err != nil {
		return nil, err
	}
	return &notaryv1.ListOmissionsResponse{Reports: reports}, nil
}

// GetStats implements notaryv1.ExplorerServiceServer.
func (s *explorerService) GetStats(ctx context.Context, _ *notaryv1.GetStatsRequest) (*notaryv1.GetStatsResponse, error) {
	if s.backends.Archive == nil {
		return nil, notBuilt("ExplorerService/GetStats")
	}
	return inTurn(ctx, s.guard, func(pay Pay) (*notaryv1.GetStatsResponse, error) { return s.backends.Archive.Stats(ctx, pay) })
}

// ListRewardEpochs implements notaryv1.ExplorerServiceServer.
func (s *explorerService) ListRewardEpochs(context.Context, *notaryv1.ListRewardEpochsRequest) (*notaryv1.ListRewardEpochsResponse, error) {
	return nil, notBuilt("ExplorerService/ListRewardEpochs")
}

// page reads the page that a request asks for.
func page[T any](ctx context.Context, req interface {
	GetPageSize() uint32
	GetPageToken() string
}, list func(ctx context.Context, token string, limit int) ([]T, string, error)) ([]T, string, error) {
	limit, err := checkPage(req.GetPageSize(), req.GetPageToken())
	if err != nil {
		return nil, "", err
	}
	return list(ctx, req.GetPageToken(), limit)
}
