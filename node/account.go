package node

import (
	"fmt"
	"strings"
	"time"

	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// tell is the account of a story: one sentence or two a line, for people who know what a payment is and
// not what a certificate is.
func (s *story) tell() []string {
	switch s.status.State {
	case notaryv1.TransactionState_TRANSACTION_STATE_FINAL:
		return s.tellFinal()
	case notaryv1.TransactionState_TRANSACTION_STATE_REJECTED:
		return s.tellRejected()
	case notaryv1.TransactionState_TRANSACTION_STATE_HELD:
		return s.tellHeld()
	}
	return s.tellOpen()
}

func (s *story) tellFinal() []string {
	st := s.status
	lines := []string{fmt.Sprintf("It is final since %s (%s ago) and can never be undone.", instant(st.FinalMs), s.before(st.FinalMs))}
	if st.AcceptedWeight > 0 {
		lines = append(lines, fmt.Sprintf("Nodes with %s of the weight had accepted it when it became final, in round %d of epoch %d; more than %s was needed.",
			percent(group.Weight(st.AcceptedWeight)), st.Round, st.GroupEpoch, percent(group.QuorumWeight)))
	} else {
		lines = append(lines, fmt.Sprintf("A quorum of epoch %d accepted it in round %d.", st.GroupEpoch, st.Round))
	}
	if from, to, n := s.span(observation.Accepted, st.Round); n > 0 {
		lines = append(lines, fmt.Sprintf("The votes of %s that this node kept were cast between %s and %s, by the voters' clocks.",
			count(n, "node"), instant(from), instant(to)))
	}
	if len(s.rivals) > 0 {
		lines = append(lines, fmt.Sprintf("It won against %s: %s. Rejected for good.", count(len(s.rivals), "rival"), shortIDs(rivalIDs(s.rivals))))
		lines = append(lines, s.tellRounds()...)
	}
	return append(lines, "Anyone can check this without a node: fetch its acceptance proof.")
}

func (s *story) tellRejected() []string {
	r := s.status.Rejection
	lines := []string{}
	switch {
	case !s.winner.IsZero():
		lines = append(lines, s.tellWinner()...)
		lines = append(lines, s.tellRounds()...)
	default:
		lines = append(lines, fmt.Sprintf("This node refused it: %s [%s].", said(r), refusal.Name(r.GetReason())))
	}
	switch {
	case !s.winner.IsZero() || lasting(refusal.New(r.GetReason(), "", "")):
		lines = append(lines, "It will never be final: nothing that it would have spent was spent by it, and none of its outputs exists.")
	case witnessed(refusal.New(r.GetReason(), "", "")):
		lines = append(lines, "Nothing was spent by it. The same transaction with right signatures may still become final.")
	default:
		lines = append(lines, "Nothing was spent by it here. It may be submitted again once the cause is gone, and other nodes may judge otherwise.")
	}
	return lines
}

// tellWinner says who won and why.
func (s *story) tellWinner() []string {
	shared := "money that it spends"
	for _, r := range s.rivals {
		if r.id == s.winner {
			shared = "output " + r.shared.String()
		}
	}
	lines := []string{fmt.Sprintf("It is rejected for good: transaction %s, which also spends %s, is final.", s.winner, shared)}
	if w := s.winning; w != nil {
		line := fmt.Sprintf("That one became final at %s (%s ago): ", instant(w.finalMS), s.before(w.finalMS))
		if w.accepted > 0 {
			line += fmt.Sprintf("nodes with %s of the weight accepted it in round %d of epoch %d.", percent(w.accepted), w.round, w.epoch)
		} else {
			line += fmt.Sprintf("a quorum of epoch %d accepted it in round %d.", w.epoch, w.round)
		}
		lines = append(lines, line)
	}
	return lines
}

// maxRoundsTold is how many rounds an account goes through.
const maxRoundsTold = 6

// tellRounds says what stood behind each side, round by round.
func (s *story) tellRounds() (lines []string) {
	id := domain.Hash(s.status.TransactionId)
	for i, r := range s.rounds {
		if i == maxRoundsTold && len(s.rounds) > maxRoundsTold+1 {
			return append(lines, fmt.Sprintf("%d more rounds followed.", len(s.rounds)-i))
		}
		sides := []string{"for this one " + r.backing(id)}
		for _, other := range r.ids() {
			if other != id && len(sides) < 4 {
				sides = append(sides, "for "+short(other)+" "+r.backing(other))
			}
		}
		if r.abstained.weight > 0 {
			sides = append(sides, "for none of them "+percent(r.abstained.weight))
		}
		lines = append(lines, fmt.Sprintf("Round %d: votes %s.", r.round, strings.Join(sides, ", ")))
	}
	return lines
}

// backing is what voted for a side, and what accepted it.
func (r *ballotRound) backing(id domain.Hash) string {
	s := r.sides[id]
	switch {
	case s == nil:
		return percent(0)
	case s.accepted.weight == 0:
		return percent(s.pending.weight)
	}
	return fmt.Sprintf("%s (accepted by %s)", percent(s.pending.weight), percent(s.accepted.weight))
}

func (s *story) tellHeld() []string {
	st := s.status
	lines := []string{fmt.Sprintf("It waits: %s [%s].", said(st.Rejection), refusal.Name(st.Rejection.GetReason()))}
	for _, p := range s.parents {
		switch {
		case p.status == nil:
			lines = append(lines, fmt.Sprintf("It spends an output of %s, which this node does not know; it is asking other nodes for it.", p.id))
		case p.status.State == notaryv1.TransactionState_TRANSACTION_STATE_REJECTED:
			lines = append(lines, fmt.Sprintf("It spends an output of %s, which is rejected: it will not become final.", p.id))
		default:
			lines = append(lines, fmt.Sprintf("It spends an output of %s, which is not final yet: it is %s, supported by %s of the weight.",
				p.id, stateWord(p.status.State), percent(group.Weight(p.status.PendingWeight))))
		}
	}
	for _, l := range s.locked {
		lines = append(lines, fmt.Sprintf("Output %s may be spent from %s on, in %s.", l.outpoint, instant(l.untilMS), span(l.untilMS-s.now)))
	}
	if s.tx != nil && s.tx.ValidFromMS > s.now {
		lines = append(lines, fmt.Sprintf("It is valid from %s on, in %s.", instant(s.tx.ValidFromMS), span(s.tx.ValidFromMS-s.now)))
	}
	return append(lines, fmt.Sprintf("Once that has come this node votes for it. It holds it for %s after it came, which was %s ago; after that it must be submitted again.",
		span(uint64(s.config.HoldPatience.Milliseconds())), s.before(st.ReceivedMs)))
}

// tellOpen is the account of what is being voted on, or soon will be.
func (s *story) tellOpen() []string {
	st := s.status
	lines := []string{s.tellState()}
	for _, r := range s.rivals {
		var w weights
		if s.voting != nil {
			w = s.voting.of(r.id)
		}
		lines = append(lines, fmt.Sprintf("Rival %s spends the same output, %s; %s of the weight supports it.", r.id, r.shared, percent(w.pending)))
	}
	if s.voting != nil {
		lines = append(lines, s.tellVotes()...)
	}
	lines = append(lines, s.tellMissing()...)
	if next := s.tellNext(); st.State != notaryv1.TransactionState_TRANSACTION_STATE_RESOLVING && next != "" {
		lines = append(lines, next)
	}
	return lines
}

func (s *story) tellState() string {
	arrived := ""
	if s.status.ReceivedMs > 0 {
		arrived = fmt.Sprintf("It arrived here %s ago. ", s.before(s.status.ReceivedMs))
	}
	switch s.status.State {
	case notaryv1.TransactionState_TRANSACTION_STATE_VALID:
		if s.group.Share(s.self) == 0 {
			return arrived + "It is valid. This node has no weight in the group: it follows the votes of others."
		}
		return arrived + "It is valid, and this node has not voted on it yet."
	case notaryv1.TransactionState_TRANSACTION_STATE_PENDING:
		return arrived + "It is valid, and this node voted for it."
	case notaryv1.TransactionState_TRANSACTION_STATE_ACCEPTED:
		return arrived + "A quorum voted for it, and this node accepted it."
	case notaryv1.TransactionState_TRANSACTION_STATE_CONTESTED:
		if len(s.rivals) == 0 {
			return arrived + "It is valid, but the first round brought no quorum: the nodes vote on it in rounds."
		}
		return arrived + fmt.Sprintf("It is valid, but contested: %s of it cannot become final together with it. The nodes vote in rounds until one side is final.", count(len(s.rivals), "rival"))
	}
	if s.tx == nil {
		return "Others vote on it, but this node has not got the transaction itself yet; it is asking for it."
	}
	return arrived + "Its inputs and signatures are being checked."
}

// tellVotes says what stands behind it and what is missing.
func (s *story) tellVotes() (lines []string) {
	id := domain.Hash(s.status.TransactionId)
	w := s.voting.of(id)
	line := fmt.Sprintf("In round %d, %s of the weight supports it and %s has accepted it", s.voting.round, percent(w.pending), percent(w.accepted))
	if from, to, n := s.span(observation.Pending, s.voting.round); n > 0 {
		line += fmt.Sprintf(" (first vote %s ago, last %s ago)", s.before(from), s.before(to))
	}
	if s.voting.abstained.weight > 0 {
		line += fmt.Sprintf("; %s can support neither side", percent(s.voting.abstained.weight))
	}
	lines = append(lines, line+".")
	switch {
	case !group.Quorum(w.pending):
		lines = append(lines, fmt.Sprintf("More than %s must support it: %s is missing.", percent(group.QuorumWeight), percent(group.QuorumWeight-w.pending)))
	case !group.Quorum(w.accepted):
		lines = append(lines, fmt.Sprintf("That is enough to accept it. It is final when more than %s has accepted it: %s is missing.",
			percent(group.QuorumWeight), percent(group.QuorumWeight-w.accepted)))
	}
	return lines
}

// maxNamed is how many nodes a sentence names.
const maxNamed = 8

// tellMissing says who has not voted, and whether they can.
func (s *story) tellMissing() (lines []string) {
	if s.voting == nil && !s.contested && s.status.State == notaryv1.TransactionState_TRANSACTION_STATE_RESOLVING {
		return nil // nobody was asked yet
	}
	var names []string
	var weight group.Weight
	for i, m := range s.missing {
		weight += m.Share
		if i < maxNamed {
			names = append(names, s.presence(m))
		}
	}
	if len(s.missing) > maxNamed {
		names = append(names, count(len(s.missing)-maxNamed, "other"))
	}
	if len(names) > 0 {
		lines = append(lines, fmt.Sprintf("Not voted in this round: %s; together %s of the weight.", strings.Join(names, "; "), percent(weight)))
	}
	if !group.Quorum(s.heard.weight) {
		lines = append(lines, fmt.Sprintf("This node hears from nodes with %s of the weight only. Nothing can become final until it hears from more than %s: the others are down, or this node is cut off from them.",
			percent(s.heard.weight), percent(group.QuorumWeight)))
	}
	return lines
}

// presence is a voter with its weight and whether it is there.
func (s *story) presence(m missingVoter) string {
	name := fmt.Sprintf("node %s (%s", short(domain.Hash(m.Key)), percent(m.Share))
	switch {
	case m.self:
		return name + ", this node)"
	case m.online:
		return name + fmt.Sprintf(", online, last heard of %s ago)", s.before(m.lastMS))
	case m.lastMS == 0:
		return name + ", offline: not heard of since this node started)"
	}
	return name + fmt.Sprintf(", offline: last heard of %s ago)", s.before(m.lastMS))
}

// tellNext says what happens next.
func (s *story) tellNext() string {
	if !s.contested {
		switch s.status.State {
		case notaryv1.TransactionState_TRANSACTION_STATE_VALID:
			if s.group.Share(s.self) == 0 {
				return ""
			}
			return fmt.Sprintf("Next: this node votes for it within %v, unless a rival turns up.", s.config.MempoolDelay)
		case notaryv1.TransactionState_TRANSACTION_STATE_PENDING, notaryv1.TransactionState_TRANSACTION_STATE_ACCEPTED:
			return fmt.Sprintf("Next: it is final as soon as enough votes have come. If nothing changes for %v, the nodes vote on it again in rounds.", s.config.StallAfter)
		}
		return ""
	}
	line := fmt.Sprintf("Next: the nodes are in round %d.", s.round)
	switch {
	case s.endsMS > s.now:
		line += fmt.Sprintf(" It ends in %s unless a quorum comes before; then round %d begins.", span(s.endsMS-s.now), s.round+1)
	case s.endsMS == 0:
		line += fmt.Sprintf(" It can end only after more than %s of the weight has voted in it: until then they wait.", percent(group.QuorumWeight))
	}
	if s.facilitator >= 0 {
		v := s.group.Voters()[s.facilitator]
		line += fmt.Sprintf(" The others adopt the choice of node %s where they may", short(domain.Hash(v.Key)))
		if s.voting != nil && s.voting.round == s.round && s.voting.heard.in[s.facilitator] {
			return line + "; it has voted."
		}
		return line + "; it has not voted yet."
	}
	return line
}

// span is the time of the first and the last vote on the transaction of a state in a round, and how many
// there are with a known time.
func (s *story) span(state observation.State, round uint32) (from, to uint64, n int) {
	for _, v := range s.votes {
		if v.State != state || v.Round != round || v.TimeMS == 0 {
			continue
		}
		if n++; n == 1 || v.TimeMS < from {
			from = v.TimeMS
		}
		to = max(to, v.TimeMS)
	}
	return from, to, n
}

// before is how long ago an instant was; clocks may differ a little.
func (s *story) before(ms uint64) string { return span(s.now - min(s.now, ms)) }

// span is a length of time for people.
func span(ms uint64) string {
	switch d := time.Duration(min(ms, 1<<42)) * time.Millisecond; {
	case d < 10*time.Second:
		return fmt.Sprintf("%d.%02d s", ms/1000, ms%1000/10)
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", ms/1000)
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	default:
		return fmt.Sprintf("%d days", int(d.Hours()/24))
	}
}

func instant(ms uint64) string {
	return time.UnixMilli(int64(min(ms, 1<<47))).UTC().Format("2006-01-02 15:04:05.000 UTC")
}

// percent is a share of the group's weight.
func percent(w group.Weight) string {
	tenths := (w*1000 + group.Total/2) / group.Total
	return fmt.Sprintf("%d.%d %%", tenths/10, tenths%10)
}

// short names an id or a key where room is scarce.
func short(h domain.Hash) string { return h.String()[:12] + "…" }

func shortIDs(ids []domain.Hash) string {
	var names []string
	for i, id := range ids {
		if i == maxNamed {
			names = append(names, count(len(ids)-maxNamed, "other"))
			break
		}
		names = append(names, short(id))
	}
	return strings.Join(names, ", ")
}

func rivalIDs(rivals []rival) []domain.Hash {
	ids := make([]domain.Hash, len(rivals))
	for i := range rivals {
		ids[i] = rivals[i].id
	}
	return ids
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// said is a rejection's text, or its reason where it has none.
func said(r *notaryv1.Rejection) string {
	text := r.GetDetail()
	if text == "" {
		text = strings.ToLower(strings.ReplaceAll(refusal.Name(r.GetReason()), "_", " "))
	}
	if r.GetField() != "" {
		text = r.GetField() + ": " + text
	}
	return text
}

func stateWord(s notaryv1.TransactionState) string {
	return strings.ToLower(strings.TrimPrefix(s.String(), "TRANSACTION_STATE_"))
}
