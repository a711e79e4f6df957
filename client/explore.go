package client

import (
	"context"

	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// Explorer is the bare service that tells what a node holds and knows, for calls that this package does
// not wrap. Errors are grpc's own there.
func (c *Client) Explorer() notaryv1.ExplorerServiceClient {
	return notaryv1.NewExplorerServiceClient(c.conn)
}

// Contests lists the contests that the node remembers, those joined last first; the token of the next page
// is empty on the last one.
func (c *Client) Contests(ctx context.Context, pageToken string, limit uint32) ([]*notaryv1.ContestSummary, string, error) {
	answer, err := call(ctx, c, c.Explorer().ListContests, &notaryv1.ListContestsRequest{PageSize: limit, PageToken: pageToken})
	return answer.GetContests(), answer.GetNextPageToken(), err
}

// Contest is the one that a transaction is or was in.
func (c *Client) Contest(ctx context.Context, id domain.Hash) (*notaryv1.GetContestResponse, error) {
	return call(ctx, c, c.Explorer().GetContest, &notaryv1.GetContestRequest{TransactionId: id[:]})
}

// Peers are all members of the group, heaviest first.
func (c *Client) Peers(ctx context.Context) (peers []*notaryv1.PeerSummary, err error) {
	for token := ""; ; {
		answer, err := call(ctx, c, c.Explorer().ListPeers, &notaryv1.ListPeersRequest{PageSize: 1000, PageToken: token})
		if err == nil {
			err = goesOn(len(answer.GetPeers()), answer.GetNextPageToken())
		}
		if err != nil {
			return nil, err
		}
		if peers = append(peers, answer.GetPeers()...); len(peers) > group.MaxMembers {
			return nil, refusal.New(notaryv1.Reason_REASON_LIMIT_EXCEEDED, "peers", "the node lists more than %d of them", group.MaxMembers)
		}
		if token = answer.GetNextPageToken(); token == "" {
			return peers, nil
		}
	}
}

// Evidence lists evidence against node keys, each the canonical bytes, which are for
// observation.DecodeEvidence and its Verify to check; the token of the next page is empty on the last one.
func (c *Client) Evidence(ctx context.Context, pageToken string, limit uint32) ([][]byte, string, error) {
	answer, err := call(ctx, c, c.Explorer().ListEvidence, &notaryv1.ListEvidenceRequest{PageSize: limit, PageToken: pageToken})
	return answer.GetEvidence(), answer.GetNextPageToken(), err
}

// Omissions lists reports of nodes that knew of a vote and kept silent, newest first, each the canonical bytes, which
// are for observation.DecodeOmission and its Verify to check. They convict nobody.
func (c *Client) Omissions(ctx context.Context) ([][]byte, error) {
	answer, err := call(ctx, c, c.Explorer().ListOmissions, &notaryv1.ListOmissionsRequest{})
	return answer.GetReports(), err
}
