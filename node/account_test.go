package node

import (
	"strings"
	"testing"
	"time"

	"github.com/notarynet/notaryd/conflict"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/utxo"
)

const noon = 1_767_355_200_000 // 2026-01-02 12:00:00 UTC

// tale is a story of transaction 1 in a group of four, told at noon, of which all but the last are heard.
func tale(t *testing.T, state notaryv1.TransactionState, votes ...conflict.Vote) *story {
	t.Helper()
	g := equals(t, 4)
	id := txID(1)
	s := &story{
		now: noon, group: g, self: g.Voters()[0].Key, config: DefaultConfig(), facilitator: -1,
		status: &notaryv1.TransactionStatus{TransactionId: id[:], State: state, ReceivedMs: noon - 1500},
		tx:     &utxo.Tx{}, heard: hearing{weight: 3 * group.Total / 4, at: map[domain.PublicKey]time.Time{}},
	}
	for i, v := range g.Voters()[1:] {
		s.heard.at[v.Key] = time.Now().Add(-time.Duration(i*i*5) * time.Second)
	}
	for _, v := range votes {
		v.Group, v.TimeMS = g, noon-1000+100*uint64(v.Voter)
		if v.Tx == id {
			s.votes = append(s.votes, v)
		}
		s.rounds = roundsOf(append(s.votes, others(votes, g)...))
	}
	s.voting = present(s.rounds)
	s.missing = s.silent()
	return s
}

func others(votes []conflict.Vote, g *group.Group) (out []conflict.Vote) {
	for _, v := range votes {
		if v.Tx != txID(1) {
			v.Group = g
			out = append(out, v)
		}
	}
	return out
}

const (
	stResolving = notaryv1.TransactionState_TRANSACTION_STATE_RESOLVING
	stHeld      = notaryv1.TransactionState_TRANSACTION_STATE_HELD
	stValid     = notaryv1.TransactionState_TRANSACTION_STATE_VALID
	stPending   = notaryv1.TransactionState_TRANSACTION_STATE_PENDING
	stAccepted  = notaryv1.TransactionState_TRANSACTION_STATE_ACCEPTED
	stFinal     = notaryv1.TransactionState_TRANSACTION_STATE_FINAL
	stRejected  = notaryv1.TransactionState_TRANSACTION_STATE_REJECTED
	stContested = notaryv1.TransactionState_TRANSACTION_STATE_CONTESTED
)

// TestAccounts: each state is told in sentences that a merchant can act on.
func TestAccounts(t *testing.T) {
	quarter := uint64(group.Total / 4)
	for name, c := range map[string]struct {
		story *story
		edit  func(*story)
		says  []string
		never []string
	}{
		"resolving": {tale(t, stResolving), nil, []string{"Its inputs and signatures are being checked"}, []string{"Next", "Not voted"}},
		"known by votes": {tale(t, stResolving, vote(nil, 1, 1, pend, 0)), func(s *story) { s.tx = nil },
			[]string{"has not got the transaction itself", "25.0 % of the weight supports it"}, []string{"arrived", "Next"}},
		"valid": {tale(t, stValid), nil, []string{"has not voted on it yet", "within 5ms"}, nil},
		"listener": {tale(t, stValid), func(s *story) { s.self = domain.PublicKey{99} },
			[]string{"has no weight in the group"}, []string{"Next: this node votes"}},
		"pending": {tale(t, stPending, vote(nil, 1, 0, pend, 0), vote(nil, 1, 1, pend, 0)), nil, []string{
			"It arrived here 1.50 s ago", "this node voted for it", "50.0 % of the weight supports it and 0.0 % has accepted it (first vote 1.00 s ago, last 0.90 s ago)",
			"16.7 % is missing", "online, last heard of", "offline: last heard of", "together 50.0 % of the weight",
		}, []string{"cut off"}},
		"certified": {tale(t, stAccepted, vote(nil, 1, 0, pend, 0), vote(nil, 1, 1, pend, 0), vote(nil, 1, 2, pend, 0), vote(nil, 1, 0, acc, 0)), nil,
			[]string{"this node accepted it", "enough to accept it", "41.7 % is missing"}, nil},
		"cut off": {tale(t, stPending, vote(nil, 1, 0, pend, 0)), func(s *story) { s.heard.weight = group.Total / 2 },
			[]string{"hears from nodes with 50.0 % of the weight only", "cut off"}, nil},
		"contested": {tale(t, stContested, vote(nil, 1, 0, pend, 1), vote(nil, 2, 1, pend, 1), vote(nil, 2, 2, abst, 1)), func(s *story) {
			s.rivals = []rival{{txID(2), points(7)[0]}}
			s.contested, s.round, s.endsMS, s.facilitator = true, 1, noon+300, 3
		}, []string{
			"1 rival of it cannot become final", "Rival " + txID(2).String() + " spends the same output, " + points(7)[0].String() + "; 25.0 % of the weight supports it",
			"25.0 % can support neither side", "the nodes are in round 1. It ends in 0.30 s unless a quorum comes before; then round 2 begins",
			"it has not voted yet", "Not voted in this round: node 04",
		}, []string{"this node)"}},
		"facilitated": {tale(t, stContested, vote(nil, 1, 3, pend, 1), vote(nil, 1, 0, pend, 1)), func(s *story) {
			s.contested, s.round, s.facilitator = true, 1, 3
		}, []string{"the first round brought no quorum", "It can end only after", "it has voted."}, []string{"has not voted yet"}},
		"final": {tale(t, stFinal, vote(nil, 1, 0, acc, 2), vote(nil, 1, 1, acc, 2), vote(nil, 1, 3, acc, 2), vote(nil, 2, 2, pend, 0)), func(s *story) {
			s.status.Round, s.status.AcceptedWeight, s.status.FinalMs = 2, 3*quarter, noon-180_000
			s.rivals = []rival{{txID(2), points(7)[0]}}
		}, []string{
			"final since 2026-01-02 11:57:00.000 UTC (3 min ago) and can never be undone", "75.0 % of the weight had accepted it when it became final, in round 2 of epoch 0",
			"The votes of 3 nodes that this node kept were cast between 2026-01-02 11:59:59.000 UTC and 2026-01-02 11:59:59.300 UTC",
			"It won against 1 rival: " + txID(2).String()[:12], "Round 0: votes for this one 0.0 %, for " + txID(2).String()[:12] + "… 25.0 %", "Round 2: votes for this one 0.0 % (accepted by 75.0 %)",
		}, nil},
		"final long ago": {tale(t, stFinal), func(s *story) { s.status.GroupEpoch = 7 }, []string{"A quorum of epoch 7 accepted it in round 0"}, []string{"%"}},
		"lost": {tale(t, stRejected, vote(nil, 1, 0, pend, 0), vote(nil, 2, 1, pend, 0)), func(s *story) {
			s.winner, s.rivals = txID(2), []rival{{txID(2), points(7)[0]}}
			s.winning = &winnersFinality{round: 1, finalMS: noon - 1000, accepted: group.Total}
		}, []string{
			"rejected for good: transaction " + txID(2).String() + ", which also spends output " + points(7)[0].String() + ", is final",
			"(1.00 s ago): nodes with 100.0 % of the weight accepted it in round 1 of epoch 0", "Round 0: votes for this one 25.0 %", "none of its outputs exists",
		}, nil},
		"badly signed": {tale(t, stRejected), func(s *story) {
			s.status.Rejection = &notaryv1.Rejection{Reason: notaryv1.Reason_REASON_BAD_SIGNATURE, Field: "witnesses[0]", Detail: "does not verify"}
		}, []string{"This node refused it: witnesses[0]: does not verify [BAD_SIGNATURE]", "with right signatures may still become final"}, []string{"never be final"}},
		"unbalanced": {tale(t, stRejected), func(s *story) {
			s.status.Rejection = &notaryv1.Rejection{Reason: notaryv1.Reason_REASON_UNBALANCED}
		}, []string{"unbalanced [UNBALANCED]", "It will never be final"}, nil},
		"too poor": {tale(t, stRejected), func(s *story) {
			s.status.Rejection = &notaryv1.Rejection{Reason: notaryv1.Reason_REASON_FEE_TOO_LOW, Detail: "1 offered, 5 asked"}
		}, []string{"1 offered, 5 asked [FEE_TOO_LOW]", "may be submitted again"}, []string{"never be final"}},
		"held": {tale(t, stHeld), func(s *story) {
			s.status.Rejection = &notaryv1.Rejection{Reason: notaryv1.Reason_REASON_LOCK_NOT_OPEN, Detail: "opens later"}
			s.locked = []lockedOutpoint{{points(3)[0], noon + 3*3_600_000}}
			s.parents = []parent{{id: txID(5)}, {txID(6), &notaryv1.TransactionStatus{State: stPending, PendingWeight: quarter}}, {txID(7), &notaryv1.TransactionStatus{State: stRejected}}}
			s.tx = &utxo.Tx{ValidFromMS: noon + 60_000}
		}, []string{
			"It waits: opens later [LOCK_NOT_OPEN]", "may be spent from 2026-01-02 15:00:00.000 UTC on, in 3 h", txID(5).String() + ", which this node does not know",
			txID(6).String() + ", which is not final yet: it is pending, supported by 25.0 %", txID(7).String() + ", which is rejected", "valid from 2026-01-02 12:01:00.000 UTC on, in 60 s", "which was 1.50 s ago",
		}, nil},
	} {
		if c.edit != nil {
			c.edit(c.story)
		}
		text := strings.Join(c.story.tell(), "\n")
		for _, want := range c.says {
			if !strings.Contains(text, want) {
				t.Errorf("%s does not say %q:\n%s\n", name, want, text)
			}
		}
		for _, never := range c.never {
			if strings.Contains(text, never) {
				t.Errorf("%s says %q:\n%s\n", name, never, text)
			}
		}
		if strings.Contains(text, "%!") || strings.Contains(text, "..") || strings.Contains(text, "  ") {
			t.Errorf("%s is ill formed:\n%s", name, text)
		}
	}
}

func TestSpan(t *testing.T) {
	for ms, want := range map[uint64]string{
		0: "0.00 s", 999: "0.99 s", 9_999: "9.99 s", 10_000: "10 s", 119_999: "119 s", 120_000: "2 min",
		7_200_000: "2 h", 3 * 86_400_000: "3 days", 1<<64 - 1: "50903 days",
	} {
		if got := span(ms); got != want {
			t.Errorf("%d: %s, want %s", ms, got, want)
		}
	}
}

// TestContestAccount: rounds, facilitators and the end of a contest of three, one of which is left open.
func TestContestAccount(t *testing.T) {
	g := equals(t, 4)
	r := chain()
	r.decided(conflict.Decided{Final: txID(0), Finality: conflict.Finality{Round: 1, Group: g}, Rejected: []domain.Hash{txID(1)}})
	r.timed(conflict.StartTimer{Kind: conflict.RoundTimer, Tx: txID(2), Round: 2, AfterMS: 60_000})
	view, _ := r.view(txID(0))
	point, _ := r.facilitated(txID(2))
	c := contestTale{contestView: view, now: nowMS(), group: g, self: g.Voters()[0].Key, point: point, heard: hearing{weight: group.Total}, rounds: roundsOf([]conflict.Vote{
		vote(g, 0, 0, pend, 0), vote(g, 1, 1, pend, 0), vote(g, 1, 2, pend, 0), vote(g, 2, 3, abst, 0),
		vote(g, 0, 0, pend, 1), vote(g, 0, 1, pend, 1), vote(g, 0, 2, pend, 1), vote(g, 0, 0, acc, 1), vote(g, 0, 1, acc, 1), vote(g, 0, 2, acc, 1),
		vote(g, 2, 0, pend, 2), vote(g, 2, 1, pend, 2), vote(g, 2, 2, pend, 2),
	})}
	text := strings.Join(c.tell(), "\n")
	for _, want := range []string{
		"3 transactions spend 2 outputs", "Round 0: 100.0 % of the weight voted (", short(txID(1)) + " 50.0 %", "none of them 25.0 %", "no side had enough",
		"Round 1: 75.0 % of the weight voted (" + short(txID(0)) + " 75.0 %): " + short(txID(0)) + " was accepted by 75.0 %, which made it final.",
		"enough to accept " + short(txID(2)) + "; 0.0 % did", short(txID(0)) + " became final in round 1", "its rival is rejected: " + short(txID(1)),
		"Not voted in this round: node " + short(domain.Hash(g.Voters()[3].Key)), "the nodes are in round 2. It ends in",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the account does not say %q:\n%s", want, text)
		}
	}
	records := c.roundRecords()
	if len(records) != 3 || records[0].Facilitator != nil || len(records[1].Facilitator) != domain.Size || records[0].AbstainWeight != uint64(group.Total/4) || len(records[0].Sides) != 2 {
		t.Errorf("%v", records)
	}
	f := conflict.FacilitatorOf(g, points(3)[0], 2)
	if key := g.Voters()[f].Key; domain.Hash(records[2].Facilitator) != domain.Hash(key) {
		t.Errorf("round 2 has facilitator %x, want %s", records[2].Facilitator, key)
	}
}

func TestPageTokens(t *testing.T) {
	if got, err := readToken(pageToken(7, 1<<63), 2); err != nil || got[0] != 7 || got[1] != 1<<63 {
		t.Error(got, err)
	}
	if got, err := readToken("", 3); got != nil || err != nil {
		t.Error(got, err)
	}
	for _, bad := range []string{"x", "00", pageToken(1, 2), pageToken(1)[1:]} {
		if _, err := readToken(bad, 1); err == nil {
			t.Errorf("%q is a token", bad)
		}
	}
}
