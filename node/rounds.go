package node

import (
	"slices"

	"github.com/notarynet/notaryd/conflict"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
)

// weights are what stands behind a transaction in one round.
type weights struct {
	round uint32
	// pending is the weight of those who voted PENDING or ACCEPTED, accepted of those who voted ACCEPTED.
	pending, accepted group.Weight
}

// ballotRound is what was voted on one or more transactions in one round of one epoch.
type ballotRound struct {
	group *group.Group
	round uint32
	sides map[domain.Hash]*side
	// heard are the voters that said anything, abstained those that support no side.
	heard, abstained voters
}

// side is what stands behind one transaction in a round.
type side struct{ pending, accepted, support voters }

// voters is a set of positions in a group, and their weight.
type voters struct {
	in     map[int]bool
	weight group.Weight
}

func (v *voters) add(g *group.Group, voter int) {
	if v.in[voter] {
		return
	}
	if v.in == nil {
		v.in = make(map[int]bool)
	}
	v.in[voter] = true
	v.weight += g.Voters()[voter].Share
}

// roundsOf sorts votes into rounds: by epoch, link and round, ascending.
func roundsOf(votes []conflict.Vote) []*ballotRound {
	type key struct {
		link  domain.Hash
		round uint32
	}
	index := make(map[key]*ballotRound)
	var out []*ballotRound
	for _, v := range votes {
		k := key{v.Group.Link(), v.Round}
		r := index[k]
		if r == nil {
			r = &ballotRound{group: v.Group, round: v.Round, sides: make(map[domain.Hash]*side)}
			index[k] = r
			out = append(out, r)
		}
		r.count(v)
	}
	slices.SortFunc(out, func(a, b *ballotRound) int {
		switch {
		case a.group.Epoch() != b.group.Epoch():
			return int(int64(a.group.Epoch()) - int64(b.group.Epoch()))
		case a.group.Link() != b.group.Link():
			return a.group.Link().Compare(b.group.Link())
		}
		return int(int64(a.round) - int64(b.round))
	})
	return out
}

func (r *ballotRound) count(v conflict.Vote) {
	r.heard.add(r.group, v.Voter)
	if v.State == observation.Abstain {
		r.abstained.add(r.group, v.Voter)
		return
	}
	s := r.sides[v.Tx]
	if s == nil {
		s = new(side)
		r.sides[v.Tx] = s
	}
	s.support.add(r.group, v.Voter)
	switch v.State {
	case observation.Pending:
		s.pending.add(r.group, v.Voter)
	case observation.Accepted:
		s.accepted.add(r.group, v.Voter)
	}
}

// of is what stands behind a transaction in the round.
func (r *ballotRound) of(tx domain.Hash) weights {
	w := weights{round: r.round}
	if s := r.sides[tx]; s != nil {
		w.pending, w.accepted = s.support.weight, s.accepted.weight
	}
	return w
}

// ids are those that have a vote in the round, ascending.
func (r *ballotRound) ids() []domain.Hash {
	ids := make([]domain.Hash, 0, len(r.sides))
	for id := range r.sides {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, domain.Hash.Compare)
	return ids
}

// present is the round that voting is in, or nil without votes: of the newest epoch, the highest that more
// than a third of the weight was heard in, since somebody honest is there; or else the one that was heard
// most in, the higher where two are equal. So a liar that votes in rounds of its own is not followed.
func present(rounds []*ballotRound) *ballotRound {
	var best *ballotRound
	for i := len(rounds) - 1; i >= 0; i-- {
		r := rounds[i]
		switch {
		case best != nil && r.group.Link() != best.group.Link():
			return best
		case group.Third(r.heard.weight):
			return r
		case best == nil || r.heard.weight > best.heard.weight:
			best = r
		}
	}
	return best
}

// weigh is what stands behind one transaction, by the votes on it, in the round that they are in.
func weigh(votes []conflict.Vote) weights {
	r := present(roundsOf(votes))
	if r == nil {
		return weights{}
	}
	return r.of(votes[0].Tx)
}
