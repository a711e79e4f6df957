package api

import (
	"slices"

	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// notBuiltMethods are the methods that this version declares and does not have yet.
var notBuiltMethods = []string{
	"AdminService/AddPeer", "AdminService/BanPeer",
	"ExplorerService/ListRewardEpochs",
}

// NotBuilt returns the methods that answer UNIMPLEMENTED with these backends, as "Service/Method" of the
// package notary.v1, in ascending order.
func (b Backends) NotBuilt() []string {
	list := slices.Clone(notBuiltMethods)
	missing := func(absent bool, methods ...string) {
		if absent {
			list = append(list, methods...)
		}
	}
	missing(b.Explainer == nil, "NotaryService/ExplainTransaction", "ExplorerService/Search")
	missing(b.Contests == nil, "ExplorerService/ListContests", "ExplorerService/GetContest")
	missing(b.Archive == nil, "ExplorerService/ListTransactions", "ExplorerService/ListObservations",
		"ExplorerService/GetObservation", "ExplorerService/GetStats")
	missing(b.Peers == nil, "ExplorerService/ListPeers", "ExplorerService/GetPeer")
	missing(b.Evidence == nil, "ExplorerService/ListEvidence")
	missing(b.Omissions == nil, "ExplorerService/ListOmissions")
	missing(b.Trust == nil, "AdminService/RemoveTrustLabel", "AdminService/SetTrustLabel", "ExplorerService/GetTrust", "ExplorerService/GetTrustMargin")
	missing(b.Simulator == nil, "ExplorerService/SimulateTrust")
	slices.Sort(list)
	return list
}

// notBuilt is the answer of such a method.
func notBuilt(method string) error {
	return refusal.New(notaryv1.Reason_REASON_UNIMPLEMENTED, "", "%s.%s is not built yet", Domain, method)
}
