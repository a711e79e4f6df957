package sim

import (
	"slices"

	"github.com/notarynet/notaryd/conflict"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	"github.com/notarynet/notaryd/utxo"
)

// Conductors are liars that collude on one victim in each case, above all in rounds of which one of them is the
// facilitator. Everybody but the victim is led to vote for the baited transaction; the victim alone is then shown the
// votes of the liars that make it a certificate, and in the same breath those that make one of a rival in a round
// before. From then on they openly support one other rival, and nobody else.

// conducting is what conductors do about one case.
type conducting struct {
	victim   int
	bait     domain.Hash // what the victim is to lock
	decoy    domain.Hash // what all the liars support once it has
	finalise bool        // by ACCEPTED too
	eager    bool        // they bait in rounds of others too
	trapped  bool
	baited   uint32 // highest round in which the bait was laid
	lowest   utxo.Outpoint
}

// conductRounds is how many rounds of a case conductors conduct.
const conductRounds = 12

// conduct hears of a vote that an honest node has just cast.
func (w *world) conduct(c *workload, v publicVote) {
	if len(c.txs) < 2 || v.round >= conductRounds {
		return
	}
	k := c.conducting
	if k == nil {
		if k = w.assign(c, v); k == nil {
			return
		}
		c.conducting = k
	}
	if k.trapped {
		w.support(c, k.decoy, v.round)
		return
	}
	if v.state == observation.Pending && v.tx == k.bait && v.round > 0 && w.completes(c, ballotKey{v.tx, v.round}, k.victim) {
		k.trapped = true
		w.after(1, func() { w.trap(c, v.round) }) // once the voter has its own vote
		return
	}
	if next := v.round + 1; next > k.baited {
		k.baited = next
		f := conflict.FacilitatorOf(w.ledger.genesis.Group, k.lowest, next)
		for _, l := range w.liars {
			if l != nil && (w.ledger.voters[l.id] == f || k.eager) {
				l.say(k.bait, observation.Pending, next, 0, w.allBut(k.victim))
			}
		}
	}
}

// assign casts the parts once a transaction has nearly its certificate in round 0, or round 0 is over: the victim has not
// voted for it, and a rival of it is the bait.
func (w *world) assign(c *workload, v publicVote) *conducting {
	k := &conducting{finalise: w.rng.Intn(2) == 0, eager: w.rng.Intn(3) == 0, lowest: lowestContested(c)}
	lure := ballotKey{v.tx, 0}
	var victims []int
	for id, n := range w.nodes {
		if n != nil && !c.pending[lure][n.voter] {
			victims = append(victims, id)
		}
	}
	rivals := w.rivals(c, v.tx)
	if len(victims) == 0 || len(rivals) == 0 || v.round == 0 && !w.completes(c, lure, -1) {
		return nil
	}
	k.victim, k.bait = victims[w.rng.Intn(len(victims))], rivals[w.rng.Intn(len(rivals))]
	others := w.rivals(c, k.bait)
	k.decoy = others[w.rng.Intn(len(others))]
	return k
}

func lowestContested(c *workload) utxo.Outpoint {
	var points []utxo.Outpoint
	for _, tx := range c.txs {
		points = append(points, tx.Spends()...)
	}
	slices.SortFunc(points, utxo.Outpoint.Compare)
	for i, p := range points[1:] {
		if p == points[i] {
			return p
		}
	}
	return points[0]
}

// rivals of a transaction within its case.
func (w *world) rivals(c *workload, id domain.Hash) (out []domain.Hash) {
	i := slices.IndexFunc(c.txs, func(tx *utxo.Tx) bool { return tx.ID == id })
	for _, tx := range c.txs {
		if tx.ID != id && slices.ContainsFunc(tx.Spends(), func(p utxo.Outpoint) bool { return slices.Contains(c.txs[i].Spends(), p) }) {
			out = append(out, tx.ID)
		}
	}
	return out
}

// completes reports whether all liars make a certificate of the PENDING that honest nodes other than one have shown.
func (w *world) completes(c *workload, b ballotKey, but int) bool {
	var sum group.Weight
	for id := range w.nodes {
		voter := w.ledger.voters[id]
		if w.liars[id] != nil || id != but && c.pending[b][voter] {
			sum += w.ledger.genesis.Group.Voters()[voter].Share
		}
	}
	return 3*sum > 2*group.Total
}

// trap shows the victim the certificate of the bait in a round, and that of a rival in a lower one, at a blow.
func (w *world) trap(c *workload, round uint32) {
	k := c.conducting
	shown := []ballotKey{{k.bait, round}}
	for lower := round; lower > 0; lower-- {
		for _, rival := range w.rivals(c, k.bait) {
			if b := (ballotKey{rival, lower - 1}); w.completes(c, b, k.victim) {
				shown = append(shown, b)
			}
		}
	}
	for _, b := range shown {
		for _, n := range w.nodes {
			if n == nil || !n.up || n.id == k.victim {
				continue
			}
			for _, o := range n.holding(b.tx, n.present.Link(), b.round, observation.Pending) {
				if o.Header.Key == n.key {
					w.arrive(n.id, k.victim, o)
				}
			}
		}
	}
	for _, l := range w.liars {
		if l != nil {
			w.arrive(l.id, k.victim, l.several(shown))
		}
	}
}

// several signs PENDING for all of these in one observation.
func (l *liar) several(ballots []ballotKey) *observation.Observation {
	var leaves []observation.Leaf
	for _, b := range ballots {
		leaves = append(leaves, observation.Leaf{
			Subject: b.tx, Type: observation.SubjectTx, State: observation.Pending, Round: b.round, TimeMS: l.liedMS(),
		})
		l.heard(l.ledger.voters[l.id], l.caseOf[b.tx], publicVote{b.tx, observation.Pending, b.round})
	}
	l.count(l.kind, 1)
	head := observation.Head{Key: l.ledger.keys[l.id].Public()}
	return observation.Seal(head, l.group(), leaves, leaves[0].TimeMS).Signed(domain.Signature{})
}

// support votes openly for one transaction in a round and the next, to all but the victim.
func (w *world) support(c *workload, id domain.Hash, round uint32) {
	for _, l := range w.liars {
		if l == nil {
			continue
		}
		for _, r := range []uint32{round, round + 1} {
			l.say(id, observation.Pending, r, 0, w.allBut(c.conducting.victim))
			if c.conducting.finalise {
				l.say(id, observation.Accepted, r, 0, w.allBut(c.conducting.victim))
			}
		}
	}
}

func (w *world) allBut(one int) (to []int) {
	for i := range w.nodes {
		if i != one {
			to = append(to, i)
		}
	}
	return to
}
