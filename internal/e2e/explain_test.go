package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/utxo"
)

func (v *notary) explorer() notaryv1.ExplorerServiceClient {
	return notaryv1.NewExplorerServiceClient(v.running.conn)
}

// explain is what a node tells of a transaction.
func (v *notary) explain(t testing.TB, id domain.Hash) *notaryv1.ExplainTransactionResponse {
	t.Helper()
	e, err := v.running.ExplainTransaction(t.Context(), &notaryv1.ExplainTransactionRequest{TransactionId: id[:]})
	if err != nil {
		t.Fatalf("node %d: explaining %s: %v", v.index, id, err)
	}
	return e
}

// says fails unless an account says each of some things.
func says(t testing.TB, account []string, wants ...string) {
	t.Helper()
	text := strings.Join(account, "\n")
	for _, want := range wants {
		if !strings.Contains(text, want) {
			t.Errorf("the account does not say %q:\n%s", want, text)
		}
	}
}

// TestExplainFinal: the votes behind a final transaction are shown, also by a node that has forgotten all but
// what it keeps on disk.
func TestExplainFinal(t *testing.T) {
	n := start(t, 4, setup{})
	tx := n.pay(bob, 0, 0)
	n.nodes[0].mustSubmit(t, tx, waitFinal)
	n.allFinal(t, tx)
	for _, again := range []bool{false, true} {
		if again {
			n.nodes[0].restart(t)
			n.meet(t)
		}
		e := n.nodes[0].explain(t, tx.ID)
		var accepted uint64
		for _, v := range e.Votes {
			if notaryv1.VoteState(v.State) == notaryv1.VoteState_VOTE_STATE_ACCEPTED && v.Round == e.Status.Round {
				accepted += v.Weight
				if v.TimeMs == 0 || v.Height == 0 || len(v.PeerId) != domain.Size || !bytes.Equal(v.TransactionId, tx.ID[:]) {
					t.Errorf("after a restart: %v: %v", again, v)
				}
			}
		}
		if !group.Quorum(group.Weight(accepted)) || e.Status.State != stateFinal || len(e.Missing) != 0 || len(e.Rivals) != 0 || len(e.Winner) != 0 {
			t.Errorf("after a restart: %v: %v", again, e)
		}
		if e.Status.PendingWeight < e.Status.AcceptedWeight || !group.Quorum(group.Weight(e.Status.AcceptedWeight)) {
			t.Errorf("after a restart: %v: %v", again, e.Status)
		}
		says(t, e.Account, "It is final since", "of the weight had accepted it when it became final, in round 0 of epoch 0; more than 66.7 % was needed", "acceptance proof")
	}
	var id [32]byte
	_, err := n.nodes[0].running.ExplainTransaction(t.Context(), &notaryv1.ExplainTransactionRequest{TransactionId: id[:]})
	wantReason(t, err, notaryv1.Reason_REASON_NOT_FOUND)
}

// TestExplainWaiting: with two of four nodes down a payment hangs, and the account says who is missing and
// since when; when one comes back it goes through.
func TestExplainWaiting(t *testing.T) {
	n := start(t, 4, setup{down: []int{2, 3}})
	tx := n.pay(bob, 0, 0)
	v := n.nodes[0]
	v.mustSubmit(t, tx, waitPending)
	eventually(t, "both votes", func() bool { return v.explain(t, tx.ID).Status.PendingWeight == uint64(group.Total/2) })
	e := v.explain(t, tx.ID)
	if len(e.Missing) != 2 || e.Missing[0].Online || e.Missing[0].Weight != uint64(group.Total/4) || e.Missing[0].LastSeenMs != 0 {
		t.Errorf("missing: %v", e.Missing)
	}
	says(t, e.Account, "In round 0, 50.0 % of the weight supports it and 0.0 % has accepted it", "More than 66.7 % must support it: 16.7 % is missing",
		"25.0 %, offline: not heard of since this node started", "hears from nodes with 50.0 % of the weight only", "If nothing changes for 2s")
	eventually(t, "rounds to begin", func() bool {
		return strings.Contains(strings.Join(v.explain(t, tx.ID).Account, " "), "the nodes are in round")
	})
	says(t, v.explain(t, tx.ID).Account, "the first round brought no quorum", "It can end only after more than 66.7 % of the weight has voted in it")
	n.nodes[2].start(t)
	n.allFinal(t, tx)
	n.nodes[2].kill(t)
	next := n.pay(carol, 1, 1)
	v.mustSubmit(t, next, waitPending)
	eventually(t, "the missing one to be named", func() bool { return len(v.explain(t, next.ID).Missing) == 2 })
	says(t, v.explain(t, next.ID).Account, "last heard of")
}

// TestExplainHeld: whoever waits is told for what.
func TestExplainHeld(t *testing.T) {
	n := start(t, 1, setup{})
	v := n.nodes[0]
	parent := n.pay(alice, 0, 0)
	child := n.sign(n.spend(utxo.Outpoint{Tx: parent.ID}).Pay(addressOf(bob), utxo.Product{}, coinValue), alice)
	later := n.sign(n.spend(n.coin(1)).Pay(addressOf(bob), utxo.Product{}, coinValue).Window(nowMS()+3_600_000, nowMS()+7_200_000), alice)
	for _, tx := range []*utxo.Tx{child, later} {
		v.mustSubmit(t, tx, waitNone)
		eventually(t, "it to be held", func() bool { return v.status(t, tx.ID).State == stateHeld })
	}
	says(t, v.explain(t, child.ID).Account, "It waits: ", "[UNKNOWN_OUTPOINT]", parent.ID.String()+", which this node does not know", "It holds it for 60 s")
	says(t, v.explain(t, later.ID).Account, "[WINDOW_NOT_OPEN]", "It is valid from ", " min.")
	v.mustSubmit(t, parent, waitFinal)
	n.allFinal(t, child)
}

// TestExplainContest: a double spend can be followed from both sides, and the contest as a whole.
func TestExplainContest(t *testing.T) {
	n := start(t, 4, setup{down: []int{2, 3}}) // so that neither is final before the other comes
	a, b := n.pay(bob, 0, 0), n.pay(carol, 1, 0)
	// Each to both: where one is known and voted for, the other is neither passed on nor, unless it joins the contest first, voted on.
	n.race(t, a, b, b, a)
	n.each(t, "both rivals to be known", func(v *notary) bool { return v.status(t, a.ID) != nil && v.status(t, b.ID) != nil })
	n.nodes[2].start(t)
	n.nodes[3].start(t)
	n.meet(t)
	winner := n.winner(t, a, b)
	loser := a
	if winner == a {
		loser = b
	}
	for _, v := range n.nodes {
		v.submit(t, loser.Raw, waitFinal) // a node that never met it does now
		e := v.explain(t, loser.ID)
		if e.Status.State != stateRejected || !bytes.Equal(e.Winner, winner.ID[:]) || len(e.Rivals) != 1 {
			t.Fatalf("node %d: %v", v.index, e)
		}
		says(t, e.Account, "It is rejected for good: transaction "+winner.ID.String(), "output "+n.coin(0).String(), "none of its outputs exists")
		says(t, v.explain(t, winner.ID).Account, "It is final since")
	}
	for i, v := range n.nodes {
		if met := n.checkContest(t, v, winner, loser); !met && i < 2 {
			t.Errorf("node %d was not in the contest", i)
		}
	}
	lone := n.pay(bob, 9, 5)
	n.nodes[0].mustSubmit(t, lone, waitFinal)
	_, err := n.nodes[0].explorer().GetContest(t.Context(), &notaryv1.GetContestRequest{TransactionId: lone.ID[:]})
	wantReason(t, err, notaryv1.Reason_REASON_NOT_FOUND)
}

// checkContest reports whether the node was in the contest, and holds what it tells against the rules.
func (n *network) checkContest(t *testing.T, v *notary, winner, loser *utxo.Tx) bool {
	t.Helper()
	list, err := v.explorer().ListContests(t.Context(), &notaryv1.ListContestsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(list.Contests, func(c *notaryv1.ContestSummary) bool { return len(c.TransactionIds) == 2 })
	if i < 0 {
		return false
	}
	got, err := v.explorer().GetContest(t.Context(), &notaryv1.GetContestRequest{TransactionId: loser.ID[:]})
	if err != nil {
		t.Fatal(err)
	}
	c := got.Contest
	if !c.Decided || c.DecidedMs < c.OpenedMs || len(c.Winners) != 1 || !bytes.Equal(c.Winners[0], winner.ID[:]) || !bytes.Equal(c.OutpointTransaction, n.genesis.ID[:]) || len(got.Transactions) != 2 {
		t.Errorf("node %d: %v", v.index, got)
	}
	final := false
	for _, r := range got.Rounds {
		for _, s := range r.Sides {
			if s.PendingWeight > uint64(group.Total) || s.AcceptedWeight > uint64(group.Total) {
				t.Errorf("node %d: round %d: %v", v.index, r.Round, s)
			}
			final = final || bytes.Equal(s.TransactionId, winner.ID[:]) && group.Quorum(group.Weight(s.AcceptedWeight))
		}
		if (r.Round == 0) != (len(r.Facilitator) == 0) {
			t.Errorf("node %d: round %d has facilitator %x", v.index, r.Round, r.Facilitator)
		}
	}
	if !final {
		t.Errorf("node %d shows no round in which the winner became final: %v", v.index, got.Rounds)
	}
	says(t, got.Account, "2 transactions spend output "+n.coin(0).String()+": one of them can become final", "which made it final", winner.ID.String()[:12]+"… became final in round", "its rival is rejected: "+loser.ID.String()[:12])
	return true
}

// TestExplore: lists page through everything, newest first, and REST says the same.
func TestExplore(t *testing.T) {
	n := start(t, 2, setup{})
	v := n.nodes[0]
	var txs []*utxo.Tx
	for i := range 5 {
		txs = append(txs, n.pay(bob, i, i))
		v.mustSubmit(t, txs[i], waitFinal)
	}
	c := v.explorer()
	var got []domain.Hash
	for token := ""; ; {
		r, err := c.ListTransactions(t.Context(), &notaryv1.ListTransactionsRequest{PageSize: 2, PageToken: token})
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range r.Transactions {
			got = append(got, hash(t, s.TransactionId))
		}
		if token = r.NextPageToken; token == "" {
			break
		}
	}
	want := v.finals(t)
	slices.Reverse(want)
	if !slices.Equal(got, want) || len(got) != 5 {
		t.Errorf("%v, want %v", got, want)
	}
	_, err := c.ListTransactions(t.Context(), &notaryv1.ListTransactionsRequest{PageToken: "zz"})
	wantReason(t, err, notaryv1.Reason_REASON_INVALID_ARGUMENT)

	stats, err := c.GetStats(t.Context(), &notaryv1.GetStatsRequest{})
	if err != nil || stats.FinalTransactions != 5 || stats.FinalPerSecond <= 0 || stats.FinalP50Ms <= 0 || stats.FinalP99Ms < stats.FinalP50Ms || stats.OpenContests != 0 {
		t.Errorf("%v, %v", stats, err)
	}
	n.exploreChains(t, v)
	n.explorePeers(t, v)
	n.search(t, v, txs[0].ID)
	res, err := http.Get(v.running.rest + "/v1/transactions/" + txs[0].ID.String() + "/explanation")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var body struct{ Account []string }
	if err := json.NewDecoder(res.Body).Decode(&body); err != nil || res.StatusCode != http.StatusOK {
		t.Fatal(res.StatusCode, err)
	}
	says(t, body.Account, "It is final since")
}

// exploreChains pages through a node's own chain: heights descend without a gap to 1.
func (n *network) exploreChains(t *testing.T, v *notary) {
	t.Helper()
	c, key := v.explorer(), v.key.Public()
	newest, err := c.GetObservation(t.Context(), &notaryv1.GetObservationRequest{NodeKey: key[:]})
	if err != nil {
		t.Fatal(err)
	}
	o, err := observation.Decode(newest.Observation, observation.Rules{Network: n.genesis.ID})
	if err != nil || !bytes.Equal(newest.Summary.Hash, o.Hash[:]) || newest.Summary.Height != o.Header.Height {
		t.Errorf("%v, %v", newest.Summary, err)
	}
	last := uint64(0)
	for token := ""; ; {
		r, err := c.ListObservations(t.Context(), &notaryv1.ListObservationsRequest{NodeKey: key[:], PageSize: 3, PageToken: token})
		if err != nil || len(r.Observations) == 0 || len(r.Observations) > 3 {
			t.Fatal(r, err)
		}
		for _, s := range r.Observations {
			if last != 0 && s.Height != last-1 || last == 0 && s.Height < o.Header.Height {
				t.Errorf("height %d after %d", s.Height, last)
			}
			last = s.Height
		}
		if token = r.NextPageToken; token == "" {
			break
		}
	}
	if last != 1 {
		t.Errorf("the list ends at height %d", last)
	}
	_, err = c.GetObservation(t.Context(), &notaryv1.GetObservationRequest{NodeKey: key[:], Height: 1 << 40})
	wantReason(t, err, notaryv1.Reason_REASON_NOT_FOUND)
}

func (n *network) explorePeers(t *testing.T, v *notary) {
	t.Helper()
	c := v.explorer()
	eventually(t, "both peers to be heard of", func() bool {
		r, err := c.ListPeers(t.Context(), &notaryv1.ListPeersRequest{})
		return err == nil && len(r.Peers) == 2 && r.Peers[0].Online && r.Peers[1].Online
	})
	first, err := c.ListPeers(t.Context(), &notaryv1.ListPeersRequest{PageSize: 1})
	if err != nil || len(first.Peers) != 1 || first.NextPageToken == "" {
		t.Fatal(first, err)
	}
	second, err := c.ListPeers(t.Context(), &notaryv1.ListPeersRequest{PageSize: 1, PageToken: first.NextPageToken})
	if err != nil || len(second.Peers) != 1 || second.NextPageToken != "" || bytes.Equal(first.Peers[0].PeerId, second.Peers[0].PeerId) {
		t.Fatal(second, err)
	}
	one, err := c.GetPeer(t.Context(), &notaryv1.GetPeerRequest{PeerId: second.Peers[0].PeerId})
	if err != nil || one.Peer.Weight != uint64(group.Total/2) || len(one.Peer.NodeKeys) != 1 || one.Peer.Heights[0] == 0 || one.Peer.LastSeenMs == 0 || one.Peer.Convicted {
		t.Errorf("%v, %v", one, err)
	}
	nobody := domain.Hash{1}
	_, err = c.GetPeer(t.Context(), &notaryv1.GetPeerRequest{PeerId: nobody[:]})
	wantReason(t, err, notaryv1.Reason_REASON_NOT_FOUND)
	evidence, err := c.ListEvidence(t.Context(), &notaryv1.ListEvidenceRequest{})
	if err != nil || len(evidence.Evidence) != 0 {
		t.Errorf("%v, %v", evidence, err)
	}
}

func (n *network) search(t *testing.T, v *notary, tx domain.Hash) {
	t.Helper()
	key := v.key.Public()
	peer := domain.Sum(domain.TagPeer, key[:])
	for query, want := range map[string]string{
		tx.String():                         "[TRANSACTION " + tx.String() + "]",
		"  " + strings.ToUpper(tx.String()): "[TRANSACTION " + tx.String() + "]",
		peer.String():                       "[PEER " + peer.String() + "]",
		key.String():                        "[PEER " + peer.String() + "]",
		text(n, addressOf(bob)):             "[ADDRESS " + text(n, addressOf(bob)) + "]",
		domain.Hash{9}.String():             "[]",
		"tea":                               "[]",
	} {
		r, err := v.explorer().Search(t.Context(), &notaryv1.SearchRequest{Query: query})
		if err != nil {
			t.Fatal(err)
		}
		var hits []string
		for _, h := range r.Hits {
			hits = append(hits, strings.TrimPrefix(h.Kind.String(), "SEARCH_HIT_KIND_")+" "+h.Id)
		}
		if got := fmt.Sprint(hits); got != want {
			t.Errorf("%q: %s, want %s", query, got, want)
		}
	}
}
