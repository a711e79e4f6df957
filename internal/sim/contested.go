package sim

import (
	"github.com/notarynet/notaryd/conflict"
	"github.com/notarynet/notaryd/node/lifecycle"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
	"github.com/notarynet/notaryd/utxo"
)

// handOver gives a transaction to the contests: through its machine while it is undecided, as what it is when it is
// settled here and somebody still votes on it.
func (n *node) handOver(id domain.Hash) {
	tx := n.known[id]
	switch at, final := n.finals[id]; {
	case n.joined[id] || tx == nil:
	case final:
		n.join(tx, true, &at)
	case n.rejected[id]:
		if n.handOverWinners(tx) {
			n.join(tx, false, nil)
		}
	case n.flights[id] != nil:
		n.post(n.flights[id], lifecycle.Stalled{})
	}
}

// handOverWinners hands over what a rejected transaction lost to.
func (n *node) handOverWinners(tx *utxo.Tx) (found bool) {
	for _, o := range tx.Spends() {
		if e, ok := n.set.Lookup(o); ok && !e.SpentBy.IsZero() {
			n.handOver(e.SpentBy)
			found = true
		}
	}
	return found
}

// lose takes what a rejected transaction lost to into the contests: one that is in there must hear of it, and whoever
// still votes for it is helped along.
func (n *node) lose(tx *utxo.Tx) {
	if n.joined[tx.ID] || len(n.tally.Votes(tx.ID)) > 0 {
		if n.handOverWinners(tx) && !n.joined[tx.ID] {
			n.join(tx, false, nil)
		}
	}
}

func (n *node) join(tx *utxo.Tx, inWindow bool, final *conflict.Finality) {
	n.joined[tx.ID] = true
	n.contest(conflict.Join{
		Tx: tx.ID, Spends: tx.Spends(), Facilitators: tx.Facilitators, InWindow: inWindow,
		Votes: n.tally.Votes(tx.ID), Own: n.ownRecords(tx), Final: final,
	})
}

func (n *node) ownRecords(tx *utxo.Tx) (out []conflict.Record) {
	for _, o := range tx.Spends() {
		out = append(out, n.guard.Records(o)...)
	}
	return out
}

// contest steps the contests and does what they ask.
func (n *node) contest(in conflict.Input) {
	for _, e := range n.contests.Step(in) {
		switch e := e.(type) {
		case conflict.CastVote:
			n.castContested(e.Vote)
		case conflict.StartTimer:
			n.later(e.AfterMS*ms, func() { n.contest(conflict.Fired{Timer: e.ID}) })
		case conflict.NeedCertificate:
			n.count("certificates pulled", 1)
			n.pullCertificate(e)
		case conflict.SendProof:
			n.count("proofs handed over", 1)
			if at, ok := n.finals[e.Tx]; ok { // else it is on its way to the disk
				for _, o := range n.holding(e.Tx, at.Group.Link(), at.Round, observation.Accepted) {
					n.hand(n.id, n.ledger.nodes[e.To], o, e.Tx)
				}
			}
		case conflict.Decided:
			n.settled[e.Final] = true
		case conflict.TooManyRivals:
			delete(n.joined, e.Tx)
			if f := n.flights[e.Tx]; f != nil {
				n.post(f, lifecycle.Displaced{Err: refusal.New(notaryv1.Reason_REASON_TOO_MANY_RIVALS, "inputs", "")})
			}
		case conflict.Broken:
			n.violate("n%d: final quorums of rivals %s and %s", n.id, n.name(e.Final), n.name(e.Also))
		}
	}
}

func (n *node) castContested(v conflict.OwnVote) {
	tx := n.known[v.Tx]
	switch {
	case tx == nil:
	case v.Epoch != n.present.Epoch():
		n.refused(tx, v.State, v.Round, errOtherEpoch, nil)
	default:
		n.cast(tx, v.State, v.Round, v.Certificate, nil)
	}
}

// pullCertificate asks the signer of an ACCEPTED for what justifies it. Liars have nothing to show.
func (n *node) pullCertificate(e conflict.NeedCertificate) {
	n.tell(n.ledger.nodes[e.From], func(p *node) {
		for _, o := range p.holding(e.Tx, e.Group.Link(), e.Round, observation.Pending) {
			p.hand(p.id, n.id, o, e.Tx)
		}
	})
}

// name is a short name for transcripts.
func (w *world) name(id domain.Hash) string {
	if s, ok := w.names[id]; ok {
		return s
	}
	return id.String()[:8]
}
