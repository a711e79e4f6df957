package api

import (
	"cmp"
	"context"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// told is what the script says through the backends that may be missing: each answer shows what was asked.
type told struct {
	absent bool // those backends are missing
	labels []string
	err    error
	finals func(ctx context.Context, limit int, spend func(int) bool) ([]*notaryv1.TransactionStatus, string, error)
}

// backends are all of them, or those that are needed.
func (s *script) backends() Backends {
	b := Backends{Submitter: s, Reader: s, Accounts: s, Watcher: s, Describer: s, Readiness: s, Operator: s}
	if !s.told.absent {
		b.Explainer, b.Contests, b.Archive, b.Peers, b.Evidence, b.Omissions, b.Trust = s, s, s, s, s, s, s
		b.Simulator = s
	}
	return b
}

// asked is a page that shows what was asked for.
func asked[T any](s *script, token string, limit int, entry T) ([]T, string, error) {
	if s.told.err != nil {
		return nil, "", s.told.err
	}
	return []T{entry}, fmt.Sprintf("%s/%d", token, limit), nil
}

func (s *script) Explain(_ context.Context, id domain.Hash, pay Pay) (*notaryv1.ExplainTransactionResponse, error) {
	if s.transaction == nil {
		return nil, errScript
	}
	return &notaryv1.ExplainTransactionResponse{Status: statusOf(id, stateFinal), Account: []string{"It is final."}}, cmp.Or(s.cost(pay), s.told.err)
}

func (s *script) Search(_ context.Context, query string) ([]*notaryv1.SearchHit, error) {
	return []*notaryv1.SearchHit{{Kind: notaryv1.SearchHitKind_SEARCH_HIT_KIND_ADDRESS, Id: query}}, s.told.err
}

func (s *script) Contests(_ context.Context, token string, limit int, _ Pay) ([]*notaryv1.ContestSummary, string, error) {
	return asked(s, token, limit, &notaryv1.ContestSummary{Round: 7})
}

func (s *script) Contest(_ context.Context, id domain.Hash, pay Pay) (*notaryv1.GetContestResponse, error) {
	return &notaryv1.GetContestResponse{Contest: &notaryv1.ContestSummary{TransactionIds: [][]byte{id[:]}}}, cmp.Or(s.cost(pay), s.told.err)
}

func (s *script) Finals(ctx context.Context, token string, limit int, spend func(int) bool) ([]*notaryv1.TransactionStatus, string, error) {
	if s.told.finals != nil {
		return s.told.finals(ctx, limit, spend)
	}
	return asked(s, token, limit, statusOf(hash(5), stateFinal))
}

func (s *script) Observations(_ context.Context, key domain.PublicKey, token string, limit int, _ func(int) bool) ([]*notaryv1.ObservationSummary, string, error) {
	return asked(s, token, limit, &notaryv1.ObservationSummary{NodeKey: key[:], Height: 3})
}

func (s *script) Observation(_ context.Context, key domain.PublicKey, epoch uint32, height uint64) (*notaryv1.GetObservationResponse, error) {
	return &notaryv1.GetObservationResponse{Summary: &notaryv1.ObservationSummary{NodeKey: key[:], SigningEpoch: epoch, Height: height}}, s.told.err
}

func (s *script) Stats(_ context.Context, pay Pay) (*notaryv1.GetStatsResponse, error) {
	return &notaryv1.GetStatsResponse{OpenContests: 4, FinalP50Ms: 12.5}, cmp.Or(s.cost(pay), s.told.err)
}

func (s *script) Peers(_ context.Context, token string, limit int) ([]*notaryv1.PeerSummary, string, error) {
	return asked(s, token, limit, &notaryv1.PeerSummary{Weight: 9})
}

func (s *script) Peer(_ context.Context, id domain.Hash) (*notaryv1.PeerSummary, error) {
	return &notaryv1.PeerSummary{PeerId: id[:]}, s.told.err
}

func (s *script) Evidence(_ context.Context, token string, limit int) ([][]byte, string, error) {
	return asked(s, token, limit, []byte("evidence"))
}

func (s *script) Omissions(context.Context) ([][]byte, error) {
	return [][]byte{[]byte("report")}, s.told.err
}

func (s *script) Trust(_ context.Context, viewer, explain domain.Hash, pay Pay) (*notaryv1.GetTrustResponse, error) {
	return &notaryv1.GetTrustResponse{Scores: []*notaryv1.TrustScore{{PeerId: viewer[:], Label: 5}}, Account: []string{explain.String()}}, cmp.Or(s.cost(pay), s.told.err)
}

func (s *script) Margin(_ context.Context, pay Pay) (*notaryv1.GetTrustMarginResponse, error) {
	return &notaryv1.GetTrustMarginResponse{Distance: 8}, cmp.Or(s.cost(pay), s.told.err)
}

func (s *script) SetTrustLabel(_ context.Context, peer domain.Hash, score int32) error {
	s.told.labels = append(s.told.labels, fmt.Sprint(peer, " ", score))
	return s.told.err
}

func (s *script) RemoveTrustLabel(_ context.Context, peer domain.Hash) error {
	s.told.labels = append(s.told.labels, fmt.Sprint(peer, " removed"))
	return s.told.err
}

// TestTrustLabels: what the operator says arrives, over the admin socket; half an id does not.
func TestTrustLabels(t *testing.T) {
	n := serve(t, quick(), &script{})
	c := notaryv1.NewAdminServiceClient(n.dial("unix:" + n.socket))
	ctx, id := within(t), hash(3)
	if _, err := c.SetTrustLabel(ctx, &notaryv1.SetTrustLabelRequest{PeerId: id[:], Score: -7}); err != nil {
		t.Error(err)
	}
	if _, err := c.RemoveTrustLabel(ctx, &notaryv1.RemoveTrustLabelRequest{PeerId: id[:]}); err != nil {
		t.Error(err)
	}
	if want := []string{id.String() + " -7", id.String() + " removed"}; !slices.Equal(n.told.labels, want) {
		t.Errorf("%q, want %q", n.told.labels, want)
	}
	_, err := c.SetTrustLabel(ctx, &notaryv1.SetTrustLabelRequest{PeerId: id[:5]})
	wantReason(t, err, notaryv1.Reason_REASON_INVALID_ARGUMENT)
	_, err = c.RemoveTrustLabel(ctx, &notaryv1.RemoveTrustLabelRequest{})
	wantReason(t, err, notaryv1.Reason_REASON_MISSING_FIELD)
	n.told.err = errScript
	_, err = c.SetTrustLabel(ctx, &notaryv1.SetTrustLabelRequest{PeerId: id[:]})
	wantReason(t, err, notaryv1.Reason_REASON_NOT_FOUND)
}

// TestExplorer: what is asked for arrives, with the default page and the token, over gRPC.
func TestExplorer(t *testing.T) {
	n := serve(t, quick(), &script{})
	c := notaryv1.NewExplorerServiceClient(n.conn)
	ctx := within(t)
	id := hash(3)
	if got, err := c.Search(ctx, &notaryv1.SearchRequest{Query: "dev1q"}); err != nil || got.GetHits()[0].GetId() != "dev1q" {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := c.ListTransactions(ctx, &notaryv1.ListTransactionsRequest{}); err != nil || got.GetNextPageToken() != "/100" || len(got.GetTransactions()) != 1 {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := c.ListPeers(ctx, &notaryv1.ListPeersRequest{PageSize: 1000, PageToken: "t"}); err != nil || got.GetNextPageToken() != "t/1000" || got.GetPeers()[0].GetWeight() != 9 {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := c.GetPeer(ctx, &notaryv1.GetPeerRequest{PeerId: id[:]}); err != nil || domain.Hash(got.GetPeer().GetPeerId()) != id {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := c.ListObservations(ctx, &notaryv1.ListObservationsRequest{NodeKey: id[:], PageSize: 2}); err != nil || got.GetNextPageToken() != "/2" || domain.Hash(got.GetObservations()[0].GetNodeKey()) != id {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := c.GetObservation(ctx, &notaryv1.GetObservationRequest{NodeKey: id[:], SigningEpoch: 2, Height: 9}); err != nil || got.GetSummary().GetSigningEpoch() != 2 || got.GetSummary().GetHeight() != 9 {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := c.ListContests(ctx, &notaryv1.ListContestsRequest{PageSize: 5}); err != nil || got.GetNextPageToken() != "/5" || got.GetContests()[0].GetRound() != 7 {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := c.GetContest(ctx, &notaryv1.GetContestRequest{TransactionId: id[:]}); err != nil || domain.Hash(got.GetContest().GetTransactionIds()[0]) != id {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := c.ListEvidence(ctx, &notaryv1.ListEvidenceRequest{PageSize: 1000}); err != nil || got.GetNextPageToken() != "/1000" || string(got.GetEvidence()[0]) != "evidence" {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := c.ListOmissions(ctx, &notaryv1.ListOmissionsRequest{}); err != nil || len(got.GetReports()) != 1 || string(got.GetReports()[0]) != "report" {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := c.GetTrust(ctx, &notaryv1.GetTrustRequest{PeerId: id[:]}); err != nil || domain.Hash(got.GetScores()[0].GetPeerId()) != id || got.GetAccount()[0] != (domain.Hash{}).String() {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := c.GetTrust(ctx, &notaryv1.GetTrustRequest{Explain: id[:]}); err != nil || got.GetAccount()[0] != id.String() {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := c.GetTrustMargin(ctx, &notaryv1.GetTrustMarginRequest{}); err != nil || got.GetDistance() != 8 {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := c.GetStats(ctx, &notaryv1.GetStatsRequest{}); err != nil || got.GetOpenContests() != 4 || got.GetFinalP50Ms() != 12.5 {
		t.Errorf("%v, %v", got, err)
	}
}

func TestExplorerRefuses(t *testing.T) {
	n := serve(t, quick(), &script{})
	c := notaryv1.NewExplorerServiceClient(n.conn)
	ctx := within(t)
	fails := func(_ any, err error) error { return err }
	for name, test := range map[string]struct {
		err  error
		want notaryv1.Reason
	}{
		"no query":              {fails(c.Search(ctx, &notaryv1.SearchRequest{})), notaryv1.Reason_REASON_MISSING_FIELD},
		"a query with a line":   {fails(c.Search(ctx, &notaryv1.SearchRequest{Query: "a\nb"})), notaryv1.Reason_REASON_INVALID_ARGUMENT},
		"no peer":               {fails(c.GetPeer(ctx, &notaryv1.GetPeerRequest{})), notaryv1.Reason_REASON_MISSING_FIELD},
		"half a peer":           {fails(c.GetPeer(ctx, &notaryv1.GetPeerRequest{PeerId: make([]byte, 16)})), notaryv1.Reason_REASON_INVALID_ARGUMENT},
		"no key":                {fails(c.ListObservations(ctx, &notaryv1.ListObservationsRequest{})), notaryv1.Reason_REASON_MISSING_FIELD},
		"no key of one":         {fails(c.GetObservation(ctx, &notaryv1.GetObservationRequest{})), notaryv1.Reason_REASON_MISSING_FIELD},
		"half a viewer":         {fails(c.GetTrust(ctx, &notaryv1.GetTrustRequest{PeerId: make([]byte, 16)})), notaryv1.Reason_REASON_INVALID_ARGUMENT},
		"half an explanation":   {fails(c.GetTrust(ctx, &notaryv1.GetTrustRequest{Explain: make([]byte, 33)})), notaryv1.Reason_REASON_INVALID_ARGUMENT},
		"no contest":            {fails(c.GetContest(ctx, &notaryv1.GetContestRequest{})), notaryv1.Reason_REASON_MISSING_FIELD},
		"too large a page":      {fails(c.ListTransactions(ctx, &notaryv1.ListTransactionsRequest{PageSize: 1001})), notaryv1.Reason_REASON_INVALID_ARGUMENT},
		"too long a token":      {fails(c.ListPeers(ctx, &notaryv1.ListPeersRequest{PageToken: string(make([]byte, 513))})), notaryv1.Reason_REASON_INVALID_ARGUMENT},
		"too large with a key":  {fails(c.ListObservations(ctx, &notaryv1.ListObservationsRequest{NodeKey: make([]byte, 32), PageSize: 2000})), notaryv1.Reason_REASON_INVALID_ARGUMENT},
		"no transaction":        {fails(n.client.ExplainTransaction(ctx, &notaryv1.ExplainTransactionRequest{})), notaryv1.Reason_REASON_MISSING_FIELD},
		"an unknown one":        {fails(n.client.ExplainTransaction(ctx, &notaryv1.ExplainTransactionRequest{TransactionId: make([]byte, 32)})), notaryv1.Reason_REASON_NOT_FOUND},
		"too large for a list":  {fails(c.ListContests(ctx, &notaryv1.ListContestsRequest{PageSize: 5000})), notaryv1.Reason_REASON_INVALID_ARGUMENT},
		"too large of evidence": {fails(c.ListEvidence(ctx, &notaryv1.ListEvidenceRequest{PageSize: 5000})), notaryv1.Reason_REASON_INVALID_ARGUMENT},
	} {
		if got := reasonIn(test.err); got != refusal.Name(test.want) {
			t.Errorf("%s: %q (%v), want %s", name, got, test.err, refusal.Name(test.want))
		}
	}
	n.told.err = refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, "page_token", "not a token of this list")
	_, err := c.ListContests(ctx, &notaryv1.ListContestsRequest{})
	wantReason(t, err, notaryv1.Reason_REASON_INVALID_ARGUMENT)
}

// TestExplorerREST: every path of the explorer leads to its method, and ids may be hexadecimal.
func TestExplorerREST(t *testing.T) {
	n := serve(t, quick(), &script{
		transaction: func(context.Context, domain.Hash) (*notaryv1.TransactionStatus, []byte, error) {
			return nil, nil, errScript
		},
	})
	id := hash(0xab)
	b64 := "q6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6s="
	for path, want := range map[string]string{
		"/v1/search?query=dev1q":                           "map[hits:[map[id:dev1q kind:SEARCH_HIT_KIND_ADDRESS]]]",
		"/v1/contests?pageSize=3&pageToken=x":              "x/3",
		"/v1/contests/" + hex.EncodeToString(id[:]):        b64,
		"/v1/transactions?pageSize=4":                      "/4",
		"/v1/transactions/" + id.String() + "/explanation": "It is final.",
		"/v1/peers":                       "/100",
		"/v1/peers/" + id.String():        b64,
		"/v1/observations/" + id.String(): b64,
		"/v1/observations/" + id.String() + "/12?signingEpoch=2": "signingEpoch:2",
		"/v1/evidence":     "/100",
		"/v1/stats":        "openContests:4",
		"/v1/trust":        "label:5",
		"/v1/trust/margin": "distance:8",
	} {
		r := n.rest("GET", path, "")
		if r.code != http.StatusOK {
			t.Errorf("%s: %d %s", path, r.code, r.body)
			continue
		}
		if got := fmt.Sprint(r.json(t)); !strings.Contains(got, want) {
			t.Errorf("%s: %s, want %s in it", path, got, want)
		}
	}
}
