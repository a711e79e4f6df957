package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/notarynet/notaryd/client"
	"github.com/notarynet/notaryd/client/clienttest"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/utxo"
)

// witness is a node that tells of the network what a test wants to see printed.
type witness struct {
	*clienttest.Network
	notaryv1.UnimplementedExplorerServiceServer

	why      *notaryv1.ExplainTransactionResponse
	contests []*notaryv1.ContestSummary
	contest  *notaryv1.GetContestResponse
	evidence [][]byte
	silent   [][]byte
	online   uint64
	labels   map[string]int32 // of the node's own peer, by peer id in hex
}

func (s *witness) ExplainTransaction(context.Context, *notaryv1.ExplainTransactionRequest) (*notaryv1.ExplainTransactionResponse, error) {
	return s.why, nil
}

func (s *witness) GetNetwork(ctx context.Context, r *notaryv1.GetNetworkRequest) (*notaryv1.GetNetworkResponse, error) {
	n, err := s.Network.GetNetwork(ctx, r)
	if err == nil {
		n.OnlineWeight = s.online
	}
	return n, err
}

func (s *witness) ListContests(_ context.Context, r *notaryv1.ListContestsRequest) (*notaryv1.ListContestsResponse, error) {
	from := 0
	if r.GetPageToken() != "" {
		from = 1
	}
	to := min(from+int(r.GetPageSize()), len(s.contests))
	next := ""
	if to < len(s.contests) {
		next = "p1"
	}
	return &notaryv1.ListContestsResponse{Contests: s.contests[from:to], NextPageToken: next}, nil
}

func (s *witness) GetContest(_ context.Context, r *notaryv1.GetContestRequest) (*notaryv1.GetContestResponse, error) {
	if s.contest == nil {
		return nil, status.Error(codes.NotFound, "no contest")
	}
	return s.contest, nil
}

func (s *witness) ListEvidence(context.Context, *notaryv1.ListEvidenceRequest) (*notaryv1.ListEvidenceResponse, error) {
	return &notaryv1.ListEvidenceResponse{Evidence: s.evidence}, nil
}

func (s *witness) ListOmissions(context.Context, *notaryv1.ListOmissionsRequest) (*notaryv1.ListOmissionsResponse, error) {
	return &notaryv1.ListOmissionsResponse{Reports: s.silent}, nil
}

// ListPeers gives two on a page, so that the client shows how it pages.
func (s *witness) ListPeers(_ context.Context, r *notaryv1.ListPeersRequest) (*notaryv1.ListPeersResponse, error) {
	var peers []*notaryv1.PeerSummary
	for i, m := range s.Genesis.Group.Members() {
		p := &notaryv1.PeerSummary{PeerId: m.PeerID[:], Weight: uint64(m.Weight), NodeKeys: [][]byte{m.Keys[0].Key[:]}, Heights: []uint64{uint64(40 + i)}}
		switch i {
		case 0:
			p.Name, p.Online, p.LastSeenMs = "bakery", true, at(-1500*time.Millisecond)
		case 1:
			p.Online, p.LastSeenMs, p.Convicted = true, at(-2*time.Second), true
		case 2:
			p.LastSeenMs = at(-10 * time.Minute)
		}
		peers = append(peers, p)
	}
	if r.GetPageToken() == "" {
		return &notaryv1.ListPeersResponse{Peers: peers[:2], NextPageToken: "2"}, nil
	}
	return &notaryv1.ListPeersResponse{Peers: peers[2:]}, nil
}

// at is an instant near noon.
func at(d time.Duration) uint64 { return uint64(noon.Add(d).UnixMilli()) }

// withWitness lets the world's commands talk to a witness.
func (w *world) withWitness(s *witness) *world {
	w.t.Helper()
	s.Network = w.net
	server, memory := grpc.NewServer(), bufconn.Listen(1<<20)
	notaryv1.RegisterNotaryServiceServer(server, s)
	notaryv1.RegisterExplorerServiceServer(server, s)
	go server.Serve(memory) // ends with Stop
	w.t.Cleanup(server.Stop)
	w.around.dial = append(w.around.dial, client.WithDialOptions(grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
		return memory.DialContext(ctx)
	})))
	w.want(exitOK, "peers") // the first contact
	w.script.Reset()
	return w
}

const quarter = uint64(group.Total / 4)

// sides are two transactions that spend one coin.
func (w *world) sides() (a, b *utxo.Tx) {
	w.t.Helper()
	key := domain.NewPrivateKey([32]byte{7})
	side := func(salt string) *utxo.Tx {
		d, err := utxo.NewBuilder(w.net.Genesis.ID).Spend(utxo.Outpoint{Tx: w.net.Genesis.ID}).
			Pay(utxo.KeyLock(key.Public()).Address(), utxo.Product{}, 1).Salt([]byte(salt)).Build()
		if err != nil {
			w.t.Fatal(err)
		}
		tx, err := d.Sign(key).Finish()
		if err != nil {
			w.t.Fatal(err)
		}
		return tx
	}
	return side("a"), side("b")
}

// ballot is a vote of one of the four.
func (w *world) ballot(tx domain.Hash, voter int, state notaryv1.VoteState, round uint32, ago time.Duration) *notaryv1.VoteRecord {
	v := w.net.Genesis.Group.Voters()[voter]
	return &notaryv1.VoteRecord{
		TransactionId: tx[:], NodeKey: v.Key[:], PeerId: v.PeerID[:], State: uint32(state), Round: round, Weight: uint64(v.Share), TimeMs: at(-ago), Height: 12,
	}
}

const (
	votePending  = notaryv1.VoteState_VOTE_STATE_PENDING
	voteAccepted = notaryv1.VoteState_VOTE_STATE_ACCEPTED
	voteAbstain  = notaryv1.VoteState_VOTE_STATE_ABSTAIN
)

// TestLookTranscript: what a merchant sees of a payment that hangs, of a double spend, and of who decides.
func TestLookTranscript(t *testing.T) {
	w := newWorld(t)
	a, b := w.sides()
	voters := w.net.Genesis.Group.Voters()
	s := &witness{online: 2 * quarter}
	s.why = &notaryv1.ExplainTransactionResponse{
		Status: &notaryv1.TransactionStatus{TransactionId: a.ID[:], State: notaryv1.TransactionState_TRANSACTION_STATE_PENDING, PendingWeight: 2 * quarter, QuorumWeight: uint64(group.QuorumWeight), ReceivedMs: at(-3 * time.Second)},
		Votes: []*notaryv1.VoteRecord{
			w.ballot(a.ID, 0, votePending, 0, 2900*time.Millisecond), w.ballot(a.ID, 2, votePending, 0, 90*time.Second), w.ballot(a.ID, 1, voteAbstain, 0, time.Second),
		},
		Rivals:  [][]byte{b.ID[:]},
		Account: []string{"It arrived here 3.00 s ago.", "A line\x1b[2J that would clear the screen."},
		Missing: []*notaryv1.MissingVoter{{NodeKey: voters[3].Key[:], PeerId: voters[3].PeerID[:], Weight: quarter, Online: true, LastSeenMs: at(-time.Second)}},
	}
	outpoint := w.net.Genesis.ID
	decided := &notaryv1.ContestSummary{
		OutpointTransaction: outpoint[:], TransactionIds: [][]byte{a.ID[:], b.ID[:]}, Winners: [][]byte{b.ID[:]}, Round: 1, Decided: true,
		OpenedMs: at(-5 * time.Minute), DecidedMs: at(-5*time.Minute + 620*time.Millisecond),
	}
	s.contests = []*notaryv1.ContestSummary{
		{OutpointTransaction: outpoint[:], OutpointIndex: 1, TransactionIds: [][]byte{a.ID[:]}, Round: 2, OpenedMs: at(-4 * time.Second)}, decided,
	}
	s.contest = &notaryv1.GetContestResponse{
		Contest: decided,
		Transactions: []*notaryv1.TransactionStatus{
			{TransactionId: a.ID[:], State: notaryv1.TransactionState_TRANSACTION_STATE_REJECTED}, {TransactionId: b.ID[:], State: notaryv1.TransactionState_TRANSACTION_STATE_FINAL},
		},
		Votes: []*notaryv1.VoteRecord{w.ballot(a.ID, 0, votePending, 0, 5*time.Minute), w.ballot(b.ID, 0, votePending, 1, 5*time.Minute), w.ballot(b.ID, 0, voteAccepted, 1, 5*time.Minute), w.ballot(a.ID, 3, voteAbstain, 1, 5*time.Minute)},
		Rounds: []*notaryv1.ContestRound{
			{Sides: []*notaryv1.ContestSide{{TransactionId: a.ID[:], PendingWeight: 2 * quarter}, {TransactionId: b.ID[:], PendingWeight: 2 * quarter}}},
			{Round: 1, Facilitator: voters[2].Key[:], AbstainWeight: quarter, Sides: []*notaryv1.ContestSide{{TransactionId: b.ID[:], PendingWeight: 3 * quarter, AcceptedWeight: 3 * quarter}}},
		},
		Account: []string{"2 transactions spend one output.", "One became final in round 1."},
	}
	w.withWitness(s)
	s.evidence = w.someEvidence(a, b)
	w.want(exitOK, "tx", "why", a.ID.String())
	w.want(exitOK, "tx", "why", a.ID.String(), "--json")
	w.want(exitOK, "conflicts")
	w.want(exitOK, "conflicts", "--limit", "1")
	w.want(exitOK, "conflicts", "--page", "p1", "--json")
	w.want(exitOK, "conflict", "show", b.ID.String())
	w.want(exitOK, "evidence")
	w.want(exitOK, "peers")
	w.want(exitOK, "peers", "--json")
	w.golden("look")
}

// someEvidence convicts the first signer of the network of three kinds.
func (w *world) someEvidence(a, b *utxo.Tx) [][]byte {
	w.t.Helper()
	key := domain.NewPrivateKey(domain.Sum("clienttest", []byte("devnet"), []byte{0}))
	g, head := w.net.Genesis.Group, observation.Head{Key: key.Public()}
	leaf := func(tx *utxo.Tx, state observation.State, round uint32) observation.Leaf {
		return observation.Leaf{Subject: tx.ID, Type: observation.SubjectTx, State: state, Round: round, TimeMS: at(-time.Minute)}
	}
	o := observation.Seal(head, g, []observation.Leaf{
		leaf(a, observation.Pending, 0), leaf(b, observation.Pending, 0), leaf(b, observation.Pending, 3), leaf(a, observation.Accepted, 1),
	}, at(-time.Minute)).Sign(key)
	twin := observation.Seal(head, g, nil, at(-time.Minute)).Sign(key)
	fork, err := observation.ForkedChain(o.Signed(), twin.Signed())
	if err != nil {
		w.t.Fatal(err)
	}
	out := [][]byte{fork.Raw}
	for _, pair := range []struct {
		i, j int
		a, b []byte
	}{{0, 1, a.Body, b.Body}, {2, 3, b.Body, a.Body}} {
		e, err := observation.ContradictingVotes(o.Edge(pair.i), o.Edge(pair.j), pair.a, pair.b)
		if err != nil {
			w.t.Fatal(err)
		}
		out = append(out, e.Raw)
	}
	return out
}

// TestLookFailures: nothing to show is said in words; evidence that convicts nobody is not shown.
func TestLookFailures(t *testing.T) {
	w := newWorld(t)
	s := &witness{online: 3 * quarter}
	w.withWitness(s)
	a, b := w.sides()
	if out := w.want(exitOK, "conflicts"); !strings.Contains(out, "no conflicts") {
		t.Error(out)
	}
	if out := w.want(exitOK, "evidence"); !strings.Contains(out, "no evidence") {
		t.Error(out)
	}
	if out := w.want(exitOK, "peers"); !strings.Contains(out, "75.0 % of the weight is online") || !strings.Contains(out, "payments can become final") {
		t.Error(out)
	}
	w.refused(exitFailed, "NOTFOUND", "conflict", "show", a.ID.String())
	w.refused(exitUsage, "USAGE", "conflict", "show", "x")
	w.refused(exitUsage, "USAGE", "tx", "why", "x")
	all := w.someEvidence(a, b)
	s.evidence = [][]byte{bytes.Clone(all[0])}
	s.evidence[0][len(s.evidence[0])/2] ^= 1
	w.run("evidence")
	if code, out, _ := w.run("evidence"); code == exitOK || strings.Contains(out, "signed two") {
		t.Errorf("forged evidence is shown: %d %s", code, out)
	}
	s.evidence = all[1:2]
	var view struct{ Evidence []evidenceView }
	if err := json.Unmarshal([]byte(w.want(exitOK, "evidence", "--json")), &view); err != nil || len(view.Evidence) != 1 {
		t.Fatal(view, err)
	}
	if e := view.Evidence[0]; e.Kind != "conflicting_pending" || len(e.Transactions) != 2 || e.PeerID == "" || e.Evidence == "" {
		t.Errorf("%+v", e)
	}
}

// TestOmissions: reports are checked here; what does not hold is not shown.
func TestOmissions(t *testing.T) {
	w := newWorld(t)
	s := &witness{online: 3 * quarter}
	w.withWitness(s)
	a, _ := w.sides()
	if out := w.want(exitOK, "evidence", "--omissions"); !strings.Contains(out, "no reports") {
		t.Error(out)
	}
	report := w.someOmission(a)
	s.silent = [][]byte{report.Raw}
	out := w.want(exitOK, "evidence", "--omissions")
	for _, part := range []string{"said nothing for 10.0 s (50 s ago)", a.ID.String(), "observations 1 to 2, checked"} {
		if !strings.Contains(out, part) {
			t.Errorf("%q is not in: %s", part, out)
		}
	}
	var view struct{ Omissions []omissionView }
	if err := json.Unmarshal([]byte(w.want(exitOK, "evidence", "--omissions", "--json")), &view); err != nil || len(view.Omissions) != 1 {
		t.Fatal(view, err)
	}
	if o := view.Omissions[0]; o.Transaction != a.ID.String() || o.NodeKey != report.Key().Key.String() || o.Voter == o.NodeKey || o.Report == "" {
		t.Errorf("%+v", o)
	}
	s.silent[0] = bytes.Clone(report.Raw)
	s.silent[0][len(report.Raw)-1] ^= 1
	if code, out, _ := w.run("evidence", "--omissions"); code == exitOK || strings.Contains(out, "said nothing") {
		t.Errorf("a forged report is shown: %d %s", code, out)
	}
	w.refused(exitUsage, "USAGE", "evidence", "--omissions", "--limit", "3")
}

// someOmission is a silence of the second signer about a transaction that the first voted for.
func (w *world) someOmission(tx *utxo.Tx) *observation.Omission {
	w.t.Helper()
	g, heads := w.net.Genesis.Group, [2]observation.Head{}
	sign := func(i int, timeMS uint64, leaf observation.Leaf) *observation.Observation {
		key := domain.NewPrivateKey(domain.Sum("clienttest", []byte("devnet"), []byte{byte(i)}))
		if heads[i].Height == 0 {
			heads[i].Key = key.Public()
		}
		leaf.TimeMS = timeMS
		o := observation.Seal(heads[i], g, []observation.Leaf{leaf}, timeMS).Sign(key)
		heads[i] = o.Head()
		return o
	}
	begun := at(-time.Minute)
	held := sign(0, begun, observation.Leaf{Subject: tx.ID, Type: observation.SubjectTx, State: observation.Pending})
	refers := observation.Leaf{Subject: held.Hash, Type: observation.SubjectObservation, State: observation.Seen}
	report, err := observation.NewOmission(held.Edge(0), tx.Body, []*observation.Observation{
		sign(1, begun, refers),
		sign(1, begun+observation.OmissionWindowMS, refers),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return report
}

func TestAgo(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "just now", 0: "0.0 s ago", 1500 * time.Millisecond: "1.5 s ago", time.Minute: "60 s ago", time.Hour: "60 min ago",
		3 * time.Hour: "3 h ago", 72 * time.Hour: "3 days ago", -time.Hour: "2026-01-02 13:00:00.000 UTC",
	} {
		if got := ago(at(-d), noon); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
}
