package node

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/notarynet/notaryd/conflict"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
	"github.com/notarynet/notaryd/utxo"
)

// Bounds of what is told of one contest.
const (
	maxMembersTold = 256
	maxVotesTold   = 16_384
)

// Contests lists the contests that this node remembers, those joined last first. pay is told what it took to find them.
func (n *Node) Contests(ctx context.Context, token string, limit int, pay func(bytes int) error) (out []*notaryv1.ContestSummary, next string, err error) {
	before := uint64(math.MaxUint64)
	if at, err := readToken(token, 1); err != nil {
		return nil, "", err
	} else if at != nil {
		before = at[0]
	}
	var views []contestView
	var after uint64
	var walked int
	if err := n.sh.ask(ctx, func(r *record) { views, after, walked = r.list(before, limit) }); err != nil {
		return nil, "", err
	}
	if err := pay(costOfContender * walked); err != nil {
		return nil, "", err
	}
	for i := range views {
		out = append(out, views[i].bounded().summary())
	}
	if after > 0 {
		next = pageToken(after)
	}
	return out, next, nil
}

// Contest tells of one contest: its rounds, who voted what when, and why it ended as it did. pay is told what it took to find its
// transactions, and what is read of each.
func (n *Node) Contest(ctx context.Context, id domain.Hash, pay func(bytes int) error) (*notaryv1.GetContestResponse, error) {
	sh := n.sh
	t := contestTale{now: nowMS(), group: sh.group(), self: sh.self}
	var found bool
	err := sh.ask(ctx, func(r *record) { t.contestView, t.point, found = r.contest(id) })
	if err != nil {
		return nil, err
	}
	if !found {
		if _, _, err := n.Transaction(ctx, id); err != nil {
			return nil, err
		}
		return nil, refusal.New(notaryv1.Reason_REASON_NOT_FOUND, "transaction_id", "%s has been in no contest since this node started", id)
	}
	if err := pay(costOfContender * len(t.members)); err != nil {
		return nil, err
	}
	t.contestView = t.bounded()
	if t.heard, err = sh.heard(ctx); err != nil {
		return nil, err
	}
	out := &notaryv1.GetContestResponse{Contest: t.summary()}
	var votes []conflict.Vote
	for _, m := range t.members {
		cast, err := sh.votesOn(ctx, m.tx)
		if err != nil {
			return nil, err
		}
		votes = append(votes, cast...)
		s, raw, err := n.Transaction(ctx, m.tx)
		if err := pay(len(raw) + costOfVote*len(cast)); err != nil {
			return nil, err
		}
		if err != nil { // refused as one rival too many, and forgotten since
			s = &notaryv1.TransactionStatus{TransactionId: m.tx[:], QuorumWeight: uint64(group.QuorumWeight)}
		}
		out.Transactions = append(out.Transactions, s)
		out.RoundEndsMs = max(out.RoundEndsMs, m.endsMS)
	}
	slices.SortFunc(votes, compareVotes)
	t.rounds = roundsOf(votes)
	out.Votes = voteRecords(votes[:min(len(votes), maxVotesTold)])
	out.Rounds = t.roundRecords()
	out.Account = t.tell()
	return out, nil
}

// bounded keeps the members that joined last.
func (v contestView) bounded() contestView {
	if len(v.members) <= maxMembersTold {
		return v
	}
	slices.SortFunc(v.members, func(a, b contender) int { return cmp.Compare(b.place, a.place) })
	v.members = v.members[:maxMembersTold]
	slices.SortFunc(v.members, func(a, b contender) int { return a.tx.Compare(b.tx) })
	return v
}

func (v contestView) summary() *notaryv1.ContestSummary {
	s := &notaryv1.ContestSummary{OutpointTransaction: v.lowest.Tx[:], OutpointIndex: v.lowest.Index, Decided: true}
	for i := range v.members {
		m := &v.members[i]
		s.TransactionIds = append(s.TransactionIds, m.tx[:])
		s.Round = max(s.Round, m.round)
		if i == 0 || m.joinedMS < s.OpenedMs {
			s.OpenedMs = m.joinedMS
		}
		s.DecidedMs = max(s.DecidedMs, m.decidedMS)
		switch {
		case m.undecided():
			s.Decided = false
		case m.winner == m.tx:
			s.Winners = append(s.Winners, m.tx[:])
			s.Round = max(s.Round, m.at.Round)
		}
	}
	if !s.Decided {
		s.DecidedMs = 0
	}
	return s
}

// contestTale is what the account of a contest is told from.
type contestTale struct {
	contestView
	now    uint64
	group  *group.Group
	self   domain.PublicKey
	point  utxo.Outpoint // names the facilitators of what is undecided
	rounds []*ballotRound
	heard  hearing
}

// roundRecords are the rounds as the API tells them.
func (t *contestTale) roundRecords() (out []*notaryv1.ContestRound) {
	for _, r := range t.rounds {
		record := &notaryv1.ContestRound{Round: r.round, GroupEpoch: r.group.Epoch(), AbstainWeight: uint64(r.abstained.weight)}
		if r.round > 0 {
			key := r.group.Voters()[t.facilitator(r)].Key
			record.Facilitator = key[:]
		}
		for _, id := range r.ids() {
			s := r.sides[id]
			record.Sides = append(record.Sides, &notaryv1.ContestSide{
				TransactionId: id[:], PendingWeight: uint64(s.pending.weight), AcceptedWeight: uint64(s.accepted.weight),
			})
		}
		out = append(out, record)
	}
	return out
}

// facilitator of a round: by the outpoint of what is undecided where there is any, else by that of the whole.
func (t *contestTale) facilitator(r *ballotRound) int {
	point := t.lowest
	if t.open() {
		point = t.point
	}
	return conflict.FacilitatorOf(r.group, point, r.round)
}

func (t *contestTale) open() bool {
	return slices.ContainsFunc(t.members, func(m contender) bool { return m.undecided() })
}

// tell is the account of a contest.
func (t *contestTale) tell() []string {
	lines := []string{fmt.Sprintf("%s spend output %s: one of them can become final.", count(len(t.members), "transaction"), t.lowest)}
	switch n := t.contestedPoints(); {
	case n > 1:
		lines[0] = fmt.Sprintf("%s spend %d outputs, of which each can be spent once; the lowest is %s.", count(len(t.members), "transaction"), n, t.lowest)
	case n == 0:
		lines[0] = "It has no rival: the first round brought no quorum, and so it is voted on in rounds."
	}
	for i, r := range t.rounds {
		if i == 2*maxRoundsTold && len(t.rounds) > i+1 {
			lines = append(lines, fmt.Sprintf("%d more rounds followed.", len(t.rounds)-i))
			break
		}
		lines = append(lines, t.tellRound(r))
	}
	for _, m := range t.members {
		if m.winner != m.tx {
			continue
		}
		var losers []domain.Hash
		for _, l := range t.members {
			if l.winner == m.tx && l.tx != m.tx {
				losers = append(losers, l.tx)
			}
		}
		line := fmt.Sprintf("%s became final in round %d, %s after it joined", short(m.tx), m.at.Round, span(m.decidedMS-min(m.decidedMS, m.joinedMS)))
		if len(losers) > 0 {
			line += fmt.Sprintf("; so %s rejected: %s", wereRejected(len(losers)), shortIDs(losers))
		}
		lines = append(lines, line+".")
	}
	if t.open() {
		lines = append(lines, t.tellOpen()...)
	}
	return lines
}

func wereRejected(n int) string {
	if n == 1 {
		return "its rival is"
	}
	return fmt.Sprintf("its %d rivals are", n)
}

func (t *contestTale) contestedPoints() (n int) {
	claims := make(map[utxo.Outpoint]int)
	for _, m := range t.members {
		for _, o := range m.spends {
			if claims[o]++; claims[o] == 2 {
				n++
			}
		}
	}
	return n
}

// tellRound says what stood behind each side in a round, and what came of it.
func (t *contestTale) tellRound(r *ballotRound) string {
	var sides []string
	ids := r.ids()
	result := "no side had enough"
	for i, id := range ids {
		s := r.sides[id]
		if i < maxNamed {
			sides = append(sides, fmt.Sprintf("%s %s", short(id), percent(s.pending.weight)))
		}
		switch {
		case group.Quorum(s.accepted.weight):
			result = fmt.Sprintf("%s was accepted by %s, which made it final", short(id), percent(s.accepted.weight))
		case group.Quorum(s.pending.weight):
			result = fmt.Sprintf("enough to accept %s; %s did", short(id), percent(s.accepted.weight))
		}
	}
	if len(ids) > maxNamed {
		sides = append(sides, count(len(ids)-maxNamed, "other"))
	}
	if r.abstained.weight > 0 {
		sides = append(sides, "none of them "+percent(r.abstained.weight))
	}
	line := fmt.Sprintf("Round %d: %s of the weight voted (%s): %s.", r.round, percent(r.heard.weight), strings.Join(sides, ", "), result)
	if r.round > 0 {
		f := t.facilitator(r)
		line += fmt.Sprintf(" Its facilitator was node %s", short(domain.Hash(r.group.Voters()[f].Key)))
		if !r.heard.in[f] {
			line += ", which was not heard"
		}
		line += "."
	}
	return line
}

// tellOpen says what an undecided contest waits for.
func (t *contestTale) tellOpen() (lines []string) {
	s := story{now: t.now, group: t.group, self: t.self, heard: t.heard, contested: true, facilitator: -1, voting: present(t.rounds)}
	s.status = &notaryv1.TransactionStatus{State: notaryv1.TransactionState_TRANSACTION_STATE_CONTESTED}
	for _, m := range t.members {
		if m.undecided() {
			s.round, s.endsMS = max(s.round, m.round), max(s.endsMS, m.endsMS)
		}
	}
	if s.round > 0 {
		s.facilitator = conflict.FacilitatorOf(t.group, t.point, s.round)
	}
	s.missing = s.silent()
	return append(s.tellMissing(), s.tellNext())
}
