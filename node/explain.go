package node

import (
	"bytes"
	"cmp"
	"context"
	"slices"

	"github.com/notarynet/notaryd/conflict"
	"github.com/notarynet/notaryd/node/lifecycle"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
	"github.com/notarynet/notaryd/utxo"
)

// maxRivalsTold bounds how many transactions of its contest an explanation looks at.
const maxRivalsTold = 64

// Explain tells why a transaction is where it is: its status, the votes on it, its rivals, who has not
// voted, and what happens next. pay is told what is read for it.
func (n *Node) Explain(ctx context.Context, id domain.Hash, pay func(bytes int) error) (*notaryv1.ExplainTransactionResponse, error) {
	s, err := n.story(ctx, id, pay)
	if err != nil {
		return nil, err
	}
	out := &notaryv1.ExplainTransactionResponse{
		Status: s.status, Votes: voteRecords(s.votes), Account: s.tell(), RoundEndsMs: s.endsMS,
	}
	if s.status.GetHeld() {
		out.Account = append(out.Account, tellHeld(s.status))
	}
	for i := range s.rivals {
		out.Rivals = append(out.Rivals, s.rivals[i].id[:])
	}
	if !s.winner.IsZero() {
		out.Winner = s.winner[:]
	}
	if s.facilitator >= 0 {
		key := s.group.Voters()[s.facilitator].Key
		out.Facilitator = key[:]
	}
	for _, m := range s.missing {
		out.Missing = append(out.Missing, &notaryv1.MissingVoter{
			NodeKey: m.Key[:], PeerId: m.PeerID[:], Weight: uint64(m.Share), LastSeenMs: m.lastMS, Online: m.online,
		})
	}
	return out, nil
}

// story is what an account of a transaction is told from. Telling it asks nobody.
type story struct {
	now    uint64 // Unix milliseconds at this node
	group  *group.Group
	self   domain.PublicKey
	pay    func(bytes int) error // for what is read for it; it was told by whoever asked
	status *notaryv1.TransactionStatus
	tx     *utxo.Tx // nil where its bytes are not here
	// config and since say how long this node waits, and since when the transaction is in its state.
	config Config
	since  uint64

	votes  []conflict.Vote // on the transaction itself, by epoch, round, state and voter
	rounds []*ballotRound  // of the transaction and its rivals
	voting *ballotRound    // the round that voting is in; nil without votes

	rivals  []rival
	members []domain.Hash    // the other transactions of its contest, rivals or not
	winner  domain.Hash      // the final rival
	winning *winnersFinality // how it won, where that is known
	heard   hearing          // of others
	missing []missingVoter   // heaviest first
	parents []parent         // that it is held for
	locked  []lockedOutpoint // that it is held for

	contested   bool // in a contest that is not decided
	round       uint32
	endsMS      uint64 // when the round's timer rings; 0 where none runs
	facilitator int    // position in group, -1 for none
}

type rival struct {
	id     domain.Hash
	shared utxo.Outpoint
}

// winnersFinality is how a transaction became final.
type winnersFinality struct {
	round    uint32
	epoch    uint64
	finalMS  uint64
	accepted group.Weight // 0 where the group is no longer known
}

// missingVoter is a member that has not voted in the present round.
type missingVoter struct {
	group.Voter
	lastMS uint64 // 0: not heard of since this node started
	online bool
	self   bool
}

// story collects what there is to tell.
func (n *Node) story(ctx context.Context, id domain.Hash, pay func(bytes int) error) (*story, error) {
	sh := n.sh
	s := &story{now: nowMS(), group: sh.group(), self: sh.self, config: sh.config, facilitator: -1, pay: pay}
	raw, err := s.find(ctx, n, id)
	if err != nil {
		return nil, err
	}
	if raw != nil {
		if s.tx, err = utxo.Decode(raw, sh.rules); err != nil {
			return nil, err
		}
	}
	if s.heard, err = sh.heard(ctx); err != nil {
		return nil, err
	}
	if err := s.contend(ctx, sh, id); err != nil {
		return nil, err
	}
	if err := s.outcome(sh, id); err != nil {
		return nil, err
	}
	if err := s.count(ctx, sh, id); err != nil {
		return nil, err
	}
	if s.status.State == notaryv1.TransactionState_TRANSACTION_STATE_HELD && s.tx != nil {
		if err := s.waitsFor(ctx, n); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// find reads the status and the bytes. A transaction that is known by votes alone is being resolved.
func (s *story) find(ctx context.Context, n *Node, id domain.Hash) (raw []byte, err error) {
	sh := n.sh
	if s.votes, err = sh.votesOn(ctx, id); err != nil {
		return nil, err
	}
	if f := sh.flights.get(id); f != nil {
		f.mu.Lock()
		s.since = uint64(f.since.UnixMilli())
		f.mu.Unlock()
	}
	s.status, raw, err = n.Transaction(ctx, id)
	if err := s.pay(len(raw) + costOfVote*len(s.votes)); err != nil {
		return nil, err
	}
	if refusal.ReasonOf(err) == notaryv1.Reason_REASON_NOT_FOUND && len(s.votes) > 0 {
		w := weigh(s.votes)
		s.status = &notaryv1.TransactionStatus{
			TransactionId: id[:], State: states[lifecycle.Resolving], GroupEpoch: sh.group().Epoch(), Round: w.round,
			PendingWeight: uint64(w.pending), AcceptedWeight: uint64(w.accepted), QuorumWeight: uint64(group.QuorumWeight),
		}
		return nil, nil
	}
	return raw, err
}

// contend asks the arena for the contest: rivals, round, timer, facilitator.
func (s *story) contend(ctx context.Context, sh *shell, id domain.Hash) error {
	var view contestView
	var point utxo.Outpoint
	var inContest bool
	err := sh.ask(ctx, func(r *record) {
		view, inContest = r.view(id)
		point, s.contested = r.facilitated(id)
	})
	if err != nil || !inContest {
		return err
	}
	if err := s.pay(costOfContender * len(view.members)); err != nil {
		return err
	}
	var own contender
	for _, m := range view.members {
		if m.tx == id {
			own = m
		}
	}
	for _, m := range view.members {
		if m.tx == id || len(s.members) == maxRivalsTold {
			continue
		}
		s.members = append(s.members, m.tx)
		for _, o := range own.spends {
			if slices.Contains(m.spends, o) {
				s.rivals = append(s.rivals, rival{m.tx, o})
				break
			}
		}
	}
	if own.winner != id {
		s.winner = own.winner
	}
	if s.contested {
		s.round, s.endsMS = own.round, own.endsMS
		if s.round > 0 {
			s.facilitator = conflict.FacilitatorOf(s.group, point, s.round)
		}
	}
	return nil
}

// ask runs a question about the contests where they are kept.
func (sh *shell) ask(ctx context.Context, question func(*record)) error {
	return sh.askOwners(ctx, func(ctx context.Context) error {
		return sh.arena.ask(ctx, func() { question(sh.arena.record) })
	})
}

// votesOn asks for the votes that are counted for a transaction.
func (sh *shell) votesOn(ctx context.Context, tx domain.Hash) (votes []conflict.Vote, err error) {
	err = sh.askOwners(ctx, func(ctx context.Context) error {
		votes, err = sh.counting.votes(ctx, tx)
		return err
	})
	return votes, err
}

// askOwners puts a question to owners for whoever calls from outside. They answer nobody before the node is up and after it has
// ended, so the wait ends with the node too, and SHUTTING_DOWN says so.
func (sh *shell) askOwners(ctx context.Context, question func(context.Context) error) error {
	if err := sh.begun(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(sh.ctx, cancel)()
	err := question(ctx)
	if err != nil && sh.ctx.Err() != nil {
		return shuttingDown()
	}
	return err
}

// outcome finds the rival that took an outpoint, by the live set, and how it became final.
func (s *story) outcome(sh *shell, id domain.Hash) error {
	if s.status.State == notaryv1.TransactionState_TRANSACTION_STATE_REJECTED && s.winner.IsZero() {
		for _, o := range s.spends(sh, id) {
			entry, found, err := sh.store.Lookup(o)
			if err != nil {
				return err
			}
			if found && !entry.SpentBy.IsZero() && entry.SpentBy != id {
				s.winner = entry.SpentBy
				if !slices.ContainsFunc(s.rivals, func(r rival) bool { return r.id == s.winner }) {
					s.rivals = append(s.rivals, rival{s.winner, o})
					s.members = append(s.members, s.winner)
				}
				break
			}
		}
	}
	if s.winner.IsZero() {
		return nil
	}
	t, found, err := sh.store.Transaction(s.winner)
	if err != nil || !found || t.Final == nil {
		return err
	}
	if err := s.pay(len(t.Raw)); err != nil {
		return err
	}
	s.winning = &winnersFinality{
		round: t.Final.Round, epoch: t.Final.GroupEpoch, finalMS: t.Final.FinalMS,
		accepted: group.Weight(sh.statusOf(s.winner, t.Final).AcceptedWeight),
	}
	return nil
}

// spends are the outpoints that a transaction spends, as far as this node remembers it.
func (s *story) spends(sh *shell, id domain.Hash) []utxo.Outpoint {
	if s.tx != nil {
		return s.tx.Spends()
	}
	g, _ := sh.graves.find(id)
	return g.spends
}

// count adds the votes that are kept with a final transaction to those of the tally, sorts all of them into
// rounds, and finds who has not voted in the present one.
func (s *story) count(ctx context.Context, sh *shell, id domain.Hash) error {
	kept, err := sh.keptVotes(id, s.pay)
	if err != nil {
		return err
	}
	for _, v := range kept {
		if !slices.ContainsFunc(s.votes, func(c conflict.Vote) bool {
			return c.State == v.State && c.Round == v.Round && c.Voter == v.Voter && c.Group.Link() == v.Group.Link()
		}) {
			s.votes = append(s.votes, v)
		}
	}
	slices.SortFunc(s.votes, compareVotes)
	all := slices.Clone(s.votes)
	for _, other := range s.members {
		votes, err := sh.votesOn(ctx, other)
		if err != nil {
			return err
		}
		if err := s.pay(costOfVote * len(votes)); err != nil {
			return err
		}
		all = append(all, votes...)
	}
	s.rounds = roundsOf(all)
	s.voting = present(s.rounds)
	if s.open() {
		s.missing = s.silent()
	}
	return nil
}

// open reports whether the transaction may still become either.
func (s *story) open() bool { return !ended(s.status) }

// silent are the voters not heard in the round that voting is in, heaviest first.
func (s *story) silent() (out []missingVoter) {
	for i, v := range s.group.Voters() {
		if s.voting != nil && s.voting.group.Link() == s.group.Link() && s.voting.heard.in[i] {
			continue
		}
		m := missingVoter{Voter: v, online: s.heard.lately(v.Key)}
		if at, ever := s.heard.at[v.Key]; ever {
			m.lastMS = uint64(at.UnixMilli())
		}
		if v.Key == s.self {
			m.self, m.online, m.lastMS = true, true, s.now
		}
		out = append(out, m)
	}
	slices.SortStableFunc(out, func(a, b missingVoter) int { return cmp.Compare(b.Share, a.Share) })
	return out
}

// keptVotes are the ACCEPTED votes that are stored with a final transaction; none where it is not final or
// its group is no longer known here. pay is told of each observation that is read for them.
func (sh *shell) keptVotes(id domain.Hash, pay func(bytes int) error) (out []conflict.Vote, err error) {
	t, found, err := sh.store.Transaction(id)
	if err != nil || !found || t.Final == nil {
		return nil, err
	}
	g := sh.lineage.known(t.Final.Link)
	if g == nil {
		return nil, nil
	}
	for _, e := range t.Final.Edges {
		voter, ok := g.Voter(e.Key)
		if !ok {
			continue
		}
		v := conflict.Vote{
			Tx: id, State: observation.Accepted, Round: t.Final.Round, Group: g, Voter: voter,
			SigningEpoch: e.SigningEpoch, Height: e.Height, Leaf: e.Leaf,
		}
		o, found, err := sh.store.EdgeObservation(e, id, t.Final.Link, t.Final.Round)
		if err != nil {
			return nil, err
		}
		if found { // else its time is not known any more
			if err := pay(len(o.Raw)); err != nil {
				return nil, err
			}
			v.TimeMS = o.Leaf(int(e.Leaf)).TimeMS
		}
		out = append(out, v)
	}
	return out, nil
}

func compareVotes(a, b conflict.Vote) int {
	ka, kb := a.Key(), b.Key()
	return cmp.Or(
		cmp.Compare(a.Group.Epoch(), b.Group.Epoch()), cmp.Compare(a.Round, b.Round), a.Tx.Compare(b.Tx),
		cmp.Compare(a.State, b.State), bytes.Compare(ka[:], kb[:]),
	)
}

// voteRecords are votes as the API tells them.
func voteRecords(votes []conflict.Vote) []*notaryv1.VoteRecord {
	out := make([]*notaryv1.VoteRecord, len(votes))
	for i := range votes {
		v := &votes[i]
		voter := &v.Group.Voters()[v.Voter]
		out[i] = &notaryv1.VoteRecord{
			TransactionId: v.Tx[:], NodeKey: voter.Key[:], PeerId: voter.PeerID[:], State: uint32(v.State), Round: v.Round,
			GroupEpoch: v.Group.Epoch(), Weight: uint64(voter.Share), TimeMs: v.TimeMS, Height: v.Height,
		}
	}
	return out
}

// parent is a transaction that must be final first.
type parent struct {
	id     domain.Hash
	status *notaryv1.TransactionStatus // nil where nobody here has heard of it
}

// lockedOutpoint is an output that cannot be spent yet.
type lockedOutpoint struct {
	outpoint utxo.Outpoint
	untilMS  uint64
}

// waitsFor finds the parents and locks that a held transaction waits for.
func (s *story) waitsFor(ctx context.Context, n *Node) error {
	seen := make(map[domain.Hash]bool)
	if origin, starts := s.tx.Origin(); starts {
		seen[origin.Tx] = true // no transaction makes it
	}
	for i := range s.tx.Inputs {
		o := s.tx.Inputs[i].Outpoint
		entry, found, err := n.sh.store.Lookup(o)
		if err != nil {
			return err
		}
		if found {
			if until := max(entry.Output.NotBeforeMS, lockEnd(entry)); until > s.now {
				s.locked = append(s.locked, lockedOutpoint{o, until})
			}
			continue
		}
		if seen[o.Tx] {
			continue
		}
		seen[o.Tx] = true
		status, raw, err := n.Transaction(ctx, o.Tx)
		if err := s.pay(len(raw)); err != nil {
			return err
		}
		if err != nil && refusal.ReasonOf(err) != notaryv1.Reason_REASON_NOT_FOUND {
			return err
		}
		s.parents = append(s.parents, parent{o.Tx, status})
	}
	return nil
}

// lockEnd is when an output reaches the age that it must have to be spent.
func lockEnd(e utxo.Entry) uint64 {
	if e.Output.MinAgeMS == 0 {
		return 0
	}
	return e.FinalMS + min(e.Output.MinAgeMS, ^uint64(0)-e.FinalMS)
}
