package conflict

import (
	"cmp"
	"slices"

	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
)

// join takes a transaction in, or adds what is new about one that is here.
func (c *Contests) join(in *Join) {
	c.guard.Restore(in.Own)
	t := c.txs[in.Tx]
	if t == nil {
		if t = c.admit(in); t == nil {
			return
		}
	}
	t.inWindow = t.inWindow || in.InWindow
	for i := range in.Votes {
		c.count(&in.Votes[i])
	}
	if in.Final != nil {
		c.finals = append(c.finals, finalQuorum{t, *in.Final})
	}
	if k := t.contest; k != nil {
		for _, r := range in.Own {
			if r.Tx == t.id && guarded(r.State) {
				c.enterWith(k, &r)
			}
		}
		k.voted = k.voted || c.spoke(t, k.round)
		c.touch(k)
	}
}

// enterWith takes a contest to the round of a vote that this node has cast, or the next one where the vote was cast in
// another epoch and counts in none of this one's.
func (c *Contests) enterWith(k *contest, r *Record) {
	round := r.Round
	if r.Epoch != c.group.Epoch() {
		round++
	}
	if round > k.round {
		c.enter(k, round)
	}
}

// admit makes a contender of a transaction: rejected where an outpoint is spent by a final one, refused where an
// outpoint has its fill, else a member of the contest of its rivals.
func (c *Contests) admit(in *Join) *contender {
	t := &contender{id: in.Tx, spends: in.Spends, facilitators: in.Facilitators}
	if in.Final == nil {
		displaced, ok := c.room(t, in)
		if !ok {
			c.emit(TooManyRivals{t.id})
			return nil
		}
		defer c.abandon(displaced) // not before the newcomer is at those outpoints that it spends as well
	}
	c.txs[t.id] = t
	c.tally.Know(t.id, nil)
	var rival *contender
	for _, o := range in.Spends {
		p := c.points[o]
		if p == nil {
			p = &point{outpoint: o}
			c.points[o] = p
		}
		t.points = append(t.points, p)
		if p.final != nil && rival == nil {
			rival = p.final
		}
	}
	if rival != nil {
		if in.Final == nil {
			c.reject(rival, []*contender{t})
		} else {
			t.status = rejected // Broken will follow
			c.remember(t)
		}
		return t
	}
	k := &contest{}
	for _, p := range t.points {
		if len(p.claimants) > 0 && p.claimants[0].contest != k {
			k = c.merge(p.claimants[0].contest, k)
		}
		p.claimants = append(p.claimants, t)
	}
	c.add(k, t)
	return t
}

// room reports whether every outpoint of a new contender has room for it, and makes room where it weighs more than
// the lightest there, which are displaced.
func (c *Contests) room(t *contender, in *Join) (displaced []*contender, ok bool) {
	weight := weightOf(in.Votes)
	for _, o := range t.spends {
		p := c.points[o]
		if p == nil || p.final != nil || len(p.claimants) < c.params.MaxRivals {
			continue
		}
		p.refused++ // the newcomer, or the one it displaces
		if group.Third(weight) || slices.ContainsFunc(in.Own, func(r Record) bool { return r.Tx == t.id }) || c.facilitated(p, in.Votes) {
			continue
		}
		light := c.lightest(p)
		if light == nil || c.compareFlood(light, c.weight(light), t, weight) <= 0 {
			return nil, false
		}
		displaced = append(displaced, light)
	}
	for _, light := range displaced {
		if light.contest != nil { // the same one may be the lightest at two outpoints
			c.displace(light)
		}
	}
	return displaced, true
}

// compareFlood orders contenders for one outpoint: more weight first, then the lower id.
func (c *Contests) compareFlood(a *contender, weightA group.Weight, b *contender, weightB group.Weight) int {
	return cmp.Or(cmp.Compare(weightB, weightA), a.id.Compare(b.id))
}

// lightest is the last claimant in the order of floods among those that nothing keeps in the contest.
func (c *Contests) lightest(p *point) *contender {
	var light *contender
	for _, t := range p.claimants {
		if c.kept(t) {
			continue
		}
		if light == nil || c.compareFlood(t, c.weight(t), light, c.weight(light)) > 0 {
			light = t
		}
	}
	return light
}

// kept reports whether a contender stays whatever floods in: it holds 1/3 of the weight, this node's vote, or
// the facilitator's choice.
func (c *Contests) kept(t *contender) bool {
	if group.Third(c.weight(t)) || t.certificate.Known {
		return true
	}
	for _, o := range t.spends {
		for _, r := range c.guard.Records(o) {
			if r.Tx == t.id {
				return true
			}
		}
	}
	return c.chosenBy(t, c.facilitator(t.contest), t.contest.round)
}

// weight is the greatest PENDING weight of a contender in one round.
func (c *Contests) weight(t *contender) (w group.Weight) {
	if e := c.tally.entries[t.id]; e != nil {
		for i := range e.ballots {
			w = max(w, e.ballots[i].of(observation.Pending).weight)
		}
	}
	return w
}

// weightOf is the same of votes not counted yet.
func weightOf(votes []Vote) (w group.Weight) {
	t := NewTally(DefaultTallyLimits)
	for _, v := range votes {
		t.Count(v, nil)
		p, _ := t.Weights(v.Tx, v.Group.Link(), v.Round)
		w = max(w, p)
	}
	return w
}

// facilitated reports whether the facilitator of the outpoint's contest voted for a newcomer in its round.
func (c *Contests) facilitated(p *point, votes []Vote) bool {
	k := p.claimants[0].contest
	f := c.facilitator(k)
	return slices.ContainsFunc(votes, func(v Vote) bool {
		return v.State == observation.Pending && v.Round == k.round && v.Voter == f && c.present(v.Group)
	})
}

// displace turns a contender away as if it had never joined.
func (c *Contests) displace(t *contender) {
	k := t.contest
	c.leave(k, []*contender{t})
	c.tally.Forget(t.id)
	delete(c.txs, t.id)
	c.split(k)
	c.emit(TooManyRivals{t.id})
}

// abandon forgets the outpoints that only those displaced spent.
func (c *Contests) abandon(displaced []*contender) {
	for _, t := range displaced {
		for _, p := range t.points {
			c.vacate(p)
		}
	}
}

func idsOf(ts []*contender) []domain.Hash {
	ids := make([]domain.Hash, len(ts))
	for i, t := range ts {
		ids[i] = t.id
	}
	slices.SortFunc(ids, domain.Hash.Compare)
	return ids
}
