package conflict

import (
	"cmp"
	"slices"

	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
)

// Bounds on what others can make this node do for what is settled here.
const (
	// maxHelped is in how many rounds one late voter alone makes this node vote again.
	maxHelped = 2
	// maxProofs is how many votes of one late voter are answered with a proof, one for each round it votes in.
	maxProofs = 8
	// proofHanders is how many voters answer one vote with a proof; they rotate with the round.
	proofHanders = 3
)

// finalQuorum is a transaction that became final within this Step.
type finalQuorum struct {
	*contender
	Finality
}

// settle makes final what reached its quorum, in an order that does not depend on that of the votes.
func (c *Contests) settle() {
	slices.SortFunc(c.finals, func(a, b finalQuorum) int {
		return cmp.Or(compareGroups(a.Group, b.Group), cmp.Compare(a.Round, b.Round), a.id.Compare(b.id))
	})
	for _, f := range c.finals {
		c.finalize(f.contender, f.Finality)
	}
	c.finals = c.finals[:0]
}

func (c *Contests) finalize(t *contender, at Finality) {
	switch t.status {
	case final:
		return
	case rejected:
		for _, p := range t.points {
			if p.final != nil {
				c.emit(Broken{Final: p.final.id, Also: t.id, Finality: at})
				return
			}
		}
		return
	}
	k := t.contest
	t.status, t.finality = final, at
	var losers []*contender
	for _, p := range t.points {
		p.final = t
		for _, rival := range p.claimants {
			if rival.status == live {
				rival.status = rejected
				losers = append(losers, rival)
			}
		}
	}
	c.leave(k, append(losers, t))
	c.remember(t)
	c.reject(t, losers)
	c.split(k)
	c.supportAgain(append(losers, t))
}

// reject ends rivals of a final transaction and releases the locks on them; those that were rivals of them alone
// carry on in what is left of the contest.
func (c *Contests) reject(winner *contender, losers []*contender) {
	for _, t := range losers {
		t.status = rejected
		c.guard.Reject(t.id, t.spends)
		c.remember(t)
	}
	c.emit(Decided{Final: winner.id, Finality: winner.finality, Rejected: idsOf(losers)})
}

// remember keeps a settled transaction for a while.
func (c *Contests) remember(t *contender) {
	c.settled = append(c.settled, t)
	for len(c.settled) > c.params.MaxSettled {
		c.retire(c.settled[0])
		c.settled = c.settled[1:]
	}
}

func (c *Contests) retire(t *contender) {
	c.tally.Forget(t.id)
	delete(c.txs, t.id)
	for _, p := range t.points {
		if p.final == t {
			p.final = nil
		}
		c.vacate(p)
	}
	c.emit(Retired{t.id})
}

// vacate forgets an outpoint that nobody here spends any more. Where another one has gone before, it may be somebody
// else's by now.
func (c *Contests) vacate(p *point) {
	if p.final == nil && len(p.claimants) == 0 && c.points[p.outpoint] == p {
		delete(c.points, p.outpoint)
		c.guard.Release(p.outpoint)
	}
}

// supportAgain answers the votes of later rounds that came before the decision.
func (c *Contests) supportAgain(ts []*contender) {
	for _, t := range ts {
		for _, v := range c.tally.Votes(t.id) {
			c.support(t, &v)
		}
	}
}

// support answers a vote on what is settled here. Whoever still votes in rounds above the one in which the matter
// was decided lacks votes: it is handed the proof, and gets this node's PENDING, and on a certificate its ACCEPTED,
// in that round too. Without this a peer that missed a few votes is left behind for ever.
func (c *Contests) support(t *contender, v *Vote) {
	if plantedNoSupport || c.me < 0 || !c.present(v.Group) || v.Voter == c.me || v.State == observation.Accepted {
		return
	}
	if t.status == final {
		c.supportFinal(t, v)
		return
	}
	c.stamp++
	for _, p := range t.points {
		if f := p.final; f != nil && f.mark != c.stamp {
			f.mark = c.stamp
			c.supportFinal(f, v)
		}
	}
}

// supportFinal answers one late voter. A single one is helped along in a few rounds, no more: a liar could otherwise
// drive everybody through rounds without end. Where more than 1/3 of the weight is in later rounds, somebody honest is
// left behind, and this node goes with them. All rounds of a later epoch are later ones.
func (c *Contests) supportFinal(f *contender, v *Vote) {
	decided := CertAt(f.finality.Group.Epoch(), f.finality.Round)
	if CertAt(v.Group.Epoch(), v.Round).Compare(decided) <= 0 {
		return
	}
	if f.late == nil {
		f.late = new(contest)
	}
	if f.answers == nil {
		f.answers = make(map[domain.PublicKey][]uint32)
	}
	f.late.hear(v.Voter, v.Round)
	if c.manyLate(f.late, decided) {
		c.cast(f, observation.Pending, c.jumpTarget(f.late), decided)
	}
	key := v.Key()
	rounds := f.answers[key]
	if slices.Contains(rounds, v.Round) || len(rounds) >= maxProofs {
		return
	}
	f.answers[key] = append(rounds, v.Round)
	if len(rounds) < maxHelped {
		c.cast(f, observation.Pending, v.Round, decided)
	}
	n := len(c.group.Voters())
	if turn := (c.me + 2*n - v.Voter - 1 - int(v.Round%uint32(n))) % n; turn < proofHanders {
		c.emit(SendProof{Tx: f.id, To: key})
	}
}

// manyLate reports whether more than 1/3 of the weight was heard after the decision.
func (c *Contests) manyLate(late *contest, decided CertRound) bool {
	if decided.Epoch != c.group.Epoch() {
		all, _ := c.heardAbove(late, 0)
		return group.Third(all)
	}
	_, above := c.heardAbove(late, decided.Round)
	return group.Third(above)
}
