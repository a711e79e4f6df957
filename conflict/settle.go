package conflict

import (
	"cmp"
	"slices"

	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
)

// Bounds on what others can make this node do for what is settled here.
const (
	// maxSupported is in how many rounds above its own a final transaction is voted for again.
	maxSupported = 32
	// maxProofs is how many proofs of one transaction are handed to one voter, one for each round it votes in.
	maxProofs = 8
	// proofHanders is how many voters answer one vote with a proof; they rotate with the round.
	proofHanders = 3
)

// finalQuorum is a transaction that became final within this Step.
type finalQuorum struct {
	*contender
	Finality
}

// proofKey is a vote that was answered with a proof.
type proofKey struct {
	voter domain.PublicKey
	round uint32
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
		if p.final == nil && len(p.claimants) == 0 {
			delete(c.points, p.outpoint)
			c.guard.Release(p.outpoint)
		}
	}
	c.emit(Retired{t.id})
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

func (c *Contests) supportFinal(f *contender, v *Vote) {
	decided := f.finality.Round
	if v.Round <= decided {
		return
	}
	if v.Round-decided <= maxSupported {
		c.cast(f, observation.Pending, v.Round, CertAt(decided))
	}
	key := proofKey{v.Key(), v.Round}
	n := len(c.group.Voters())
	turn := (c.me + 2*n - v.Voter - 1 - int(v.Round%uint32(n))) % n
	if turn >= proofHanders || f.proofs[key] {
		return
	}
	if f.proofs == nil {
		f.proofs = make(map[proofKey]bool)
	}
	given := 0
	for k := range f.proofs {
		if k.voter == key.voter {
			given++
		}
	}
	if given < maxProofs {
		f.proofs[key] = true
		c.emit(SendProof{Tx: f.id, To: key.voter})
	}
}
