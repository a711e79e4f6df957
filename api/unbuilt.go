package api

import (
	"context"
	"slices"

	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// notBuiltMethods are the methods that this version declares and does not have yet.
var notBuiltMethods = []string{
	"AdminService/AddPeer", "AdminService/Backup", "AdminService/BanPeer", "AdminService/Prune",
	"AdminService/RemoveTrustLabel", "AdminService/SetTrustLabel",
	"ExplorerService/GetContest", "ExplorerService/GetObservation", "ExplorerService/GetPeer",
	"ExplorerService/GetStats", "ExplorerService/GetTrust", "ExplorerService/GetTrustMargin",
	"ExplorerService/ListContests", "ExplorerService/ListEvidence", "ExplorerService/ListObservations",
	"ExplorerService/ListPeers", "ExplorerService/ListRewardEpochs", "ExplorerService/ListTransactions",
	"ExplorerService/Search",
	"NotaryService/ExplainTransaction",
}

// NotBuilt returns the methods that answer UNIMPLEMENTED in this version, as "Service/Method" of the
// package notary.v1, in ascending order.
func NotBuilt() []string { return slices.Clone(notBuiltMethods) }

// notBuilt is the answer of such a method.
func notBuilt(method string) error {
	return refusal.New(notaryv1.Reason_REASON_UNIMPLEMENTED, "", "%s.%s is not built yet", Domain, method)
}

// explorerService says of each of its methods that it is not built yet.
type explorerService struct {
	notaryv1.UnsafeExplorerServiceServer // a method that is missing does not compile
}

func (explorerService) Search(context.Context, *notaryv1.SearchRequest) (*notaryv1.SearchResponse, error) {
	return nil, notBuilt("ExplorerService/Search")
}

func (explorerService) ListTransactions(context.Context, *notaryv1.ListTransactionsRequest) (*notaryv1.ListTransactionsResponse, error) {
	return nil, notBuilt("ExplorerService/ListTransactions")
}

func (explorerService) ListPeers(context.Context, *notaryv1.ListPeersRequest) (*notaryv1.ListPeersResponse, error) {
	return nil, notBuilt("ExplorerService/ListPeers")
}

func (explorerService) GetPeer(context.Context, *notaryv1.GetPeerRequest) (*notaryv1.GetPeerResponse, error) {
	return nil, notBuilt("ExplorerService/GetPeer")
}

func (explorerService) GetTrust(context.Context, *notaryv1.GetTrustRequest) (*notaryv1.GetTrustResponse, error) {
	return nil, notBuilt("ExplorerService/GetTrust")
}

func (explorerService) GetTrustMargin(context.Context, *notaryv1.GetTrustMarginRequest) (*notaryv1.GetTrustMarginResponse, error) {
	return nil, notBuilt("ExplorerService/GetTrustMargin")
}

func (explorerService) ListObservations(context.Context, *notaryv1.ListObservationsRequest) (*notaryv1.ListObservationsResponse, error) {
	return nil, notBuilt("ExplorerService/ListObservations")
}

func (explorerService) GetObservation(context.Context, *notaryv1.GetObservationRequest) (*notaryv1.GetObservationResponse, error) {
	return nil, notBuilt("ExplorerService/GetObservation")
}

func (explorerService) ListContests(context.Context, *notaryv1.ListContestsRequest) (*notaryv1.ListContestsResponse, error) {
	return nil, notBuilt("ExplorerService/ListContests")
}

func (explorerService) GetContest(context.Context, *notaryv1.GetContestRequest) (*notaryv1.GetContestResponse, error) {
	return nil, notBuilt("ExplorerService/GetContest")
}

func (explorerService) ListEvidence(context.Context, *notaryv1.ListEvidenceRequest) (*notaryv1.ListEvidenceResponse, error) {
	return nil, notBuilt("ExplorerService/ListEvidence")
}

func (explorerService) ListRewardEpochs(context.Context, *notaryv1.ListRewardEpochsRequest) (*notaryv1.ListRewardEpochsResponse, error) {
	return nil, notBuilt("ExplorerService/ListRewardEpochs")
}

func (explorerService) GetStats(context.Context, *notaryv1.GetStatsRequest) (*notaryv1.GetStatsResponse, error) {
	return nil, notBuilt("ExplorerService/GetStats")
}
