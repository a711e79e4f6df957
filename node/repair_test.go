package node

import (
	"testing"

	dto "github.com/prometheus/client_model/go"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/notarynet/notaryd/conflict"
	"github.com/notarynet/notaryd/node/gossip"
	"github.com/notarynet/notaryd/observation"
	kit "github.com/notarynet/notaryd/observation/observationtest"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/utxo"
)

const (
	isPending  = observation.Pending
	isAccepted = observation.Accepted
)

func counterOf(t testing.TB, c prometheus.Metric) float64 {
	t.Helper()
	var m dto.Metric
	if err := c.Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.GetCounter().GetValue()
}

// TestLiarShowsItsVoteToOne: a liar signs two observations at one height and shows the one that completes a
// certificate to a single node. That node accepts, and the others pull what made it: the contest ends in the
// round in which it began, and every node holds the fork.
func TestLiarShowsItsVoteToOne(t *testing.T) {
	v := newVillage(t, nil)
	a, b, c, liar := v.start(0), v.start(1), v.start(2), v.signers[3]
	one, two := v.pay(0, "one"), v.pay(0, "two")
	a.submit(t, one)
	b.submit(t, one)
	c.submit(t, two)
	honest := []*villager{a, b, c}
	for i, n := range honest {
		for j, other := range honest {
			if i != j {
				n.hear(t, other.first(t))
			}
		}
		eventually(t, "all honest votes everywhere", func() bool {
			return n.voted(t, one, isPending) == 2 && n.voted(t, two, isPending) == 1
		})
		n.bring(t, one, two)
		eventually(t, "both sides of the contest", func() bool { return n.contested(t, one, two) == 2 })
	}
	v.meet(honest...)
	head := liar.Head
	shown := liar.Observe(v.genesis.Group, nowMS(), kit.Vote(one.ID, isPending, 0, nowMS()))
	liar.Head = head
	told := liar.Observe(v.genesis.Group, nowMS()) // to the others it says nothing, but for being there
	for _, n := range []*villager{b, c} {
		n.hear(t, told)
		eventually(t, "the liar's other side", func() bool { return n.sh.store.Head(told.Header.Chain()).Height == 1 })
	}
	a.hear(t, shown)
	for i, n := range honest {
		eventually(t, "final everywhere", func() bool { return n.final(t, one) })
		stored, _, err := n.sh.store.Transaction(one.ID)
		if err != nil || stored.Final.Round != 0 {
			t.Errorf("node %d: final in round %d, %v", i, stored.Final.Round, err)
		}
		if n.final(t, two) {
			t.Errorf("node %d: both final", i)
		}
	}
	for _, n := range []*villager{b, c} {
		// Votes count as they come in, the question once all have.
		eventually(t, "votes pulled", func() bool { return counterOf(t, n.metrics.Asked.WithLabelValues("votes", "ok")) > 0 })
		eventually(t, "the fork stored", func() bool {
			for o, err := range n.sh.store.Forks(shown.Header.Chain(), 1) {
				if err != nil {
					t.Fatal(err)
				}
				if o.Hash == shown.Hash {
					return true
				}
			}
			return false
		})
	}
}

// halfDone is a village in which a transaction is final at the first node, by votes of two that nobody else
// has heard, and not at the second.
func halfDone(t *testing.T) (v *village, a, d *villager, tx *utxo.Tx) {
	v = newVillage(t, nil)
	v.unproven = true // or three seconds later the second node has a proof
	a, d = v.start(0), v.start(1)
	v.meet(a, d)
	tx = v.pay(0, "tx")
	a.submit(t, tx)
	for _, n := range []*villager{a, d} {
		eventually(t, "both have voted", func() bool { return n.voted(t, tx, isPending) == 2 })
	}
	for _, state := range []observation.State{isPending, isAccepted} {
		for _, s := range v.signers[2:] {
			a.hear(t, s.Observe(v.genesis.Group, nowMS(), kit.Vote(tx.ID, state, 0, nowMS())))
		}
	}
	eventually(t, "final at the first", func() bool { return a.final(t, tx) })
	eventually(t, "the vote of the first at the second", func() bool { return d.voted(t, tx, isAccepted) == 1 })
	if d.final(t, tx) {
		t.Fatal("final at the second already")
	}
	return v, a, d, tx
}

// TestHintEndsTheWait: a node that lacks votes is told that a transaction is final, pulls them, and needs
// nothing else.
func TestHintEndsTheWait(t *testing.T) {
	_, a, d, tx := halfDone(t)
	a.sh.votes.hand(conflict.SendProof{Tx: tx.ID, To: d.sh.self})
	eventually(t, "final at the second", func() bool { return d.final(t, tx) })
	// A hint is counted once it has been answered; the votes it leads to may come before.
	eventually(t, "one hint", func() bool { return counterOf(t, d.metrics.Hints.WithLabelValues("taken")) == 1 })
	// Its proof is complete.
	if _, err := d.Proof(t.Context(), tx.ID, true, 0); err != nil {
		t.Error(err)
	}
}

// TestHintsOfLiars: hints without votes lead to one question to whoever gave them, and to no transaction
// being asked for.
func TestHintsOfLiars(t *testing.T) {
	v, a, d, tx := halfDone(t)
	link := v.genesis.Group.Link()
	asked := counterOf(t, d.metrics.Asked.WithLabelValues("tx", "empty"))
	for name, h := range map[string]gossip.FinalHint{
		"unknown transaction": {Tx: domain.Hash{1}, Link: link},
		"another round":       {Tx: tx.ID, Round: 5, Link: link},
	} {
		before := counterOf(t, d.metrics.Asked.WithLabelValues("votes", "empty"))
		if !d.sh.hinted(a.sh.self, h) {
			t.Errorf("%s: no room", name)
		}
		eventually(t, name, func() bool { return counterOf(t, d.metrics.Asked.WithLabelValues("votes", "empty")) == before+1 })
	}
	stranger := kit.Key(50).Public()
	if d.sh.hinted(stranger, gossip.FinalHint{Tx: tx.ID, Link: link}) {
		t.Error("a hint of one who has no vote")
	}
	if d.sh.hinted(a.sh.self, gossip.FinalHint{Tx: tx.ID, Link: domain.Hash{1}}) {
		t.Error("a hint of another epoch")
	}
	if got := counterOf(t, d.metrics.Asked.WithLabelValues("tx", "empty")); got != asked {
		t.Errorf("transactions were asked for %v times", got-asked)
	}
	if d.final(t, tx) {
		t.Error("final by lies")
	}
}

// TestCatchUpOnConnecting: a node that was away has everything soon after it meets one peer, though nobody
// says anything new.
func TestCatchUpOnConnecting(t *testing.T) {
	v := newVillage(t, nil)
	a, b, c := v.start(0), v.start(1), v.start(2)
	v.meet(a, b, c)
	txs := []*utxo.Tx{v.pay(0, "first"), v.pay(1, "second")}
	for _, tx := range txs {
		a.submit(t, tx)
		for _, n := range []*villager{a, b, c} {
			eventually(t, "final without the fourth", func() bool { return n.final(t, tx) })
		}
	}
	d := v.start(3)
	v.meet(a, d)
	for _, tx := range txs {
		eventually(t, "final at the latecomer", func() bool { return d.final(t, tx) })
	}
	for _, s := range v.signers[:3] {
		chain := observation.ChainID{Key: s.Head.Key}
		eventually(t, "whole chains", func() bool { return d.sh.store.Head(chain).Height >= c.sh.store.Head(chain).Height })
	}
}
