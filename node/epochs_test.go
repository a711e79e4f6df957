package node

import (
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/notarynet/notaryd/conflict"
	"github.com/notarynet/notaryd/observation"
	kit "github.com/notarynet/notaryd/observation/observationtest"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
)

// under is the stretch of a chain that lies under the link of an epoch, as a node holds it, and whether the chain goes on
// under a later one.
func (n *villager) under(t *testing.T, chain observation.ChainID, epoch uint64) (found []*observation.Observation, left bool) {
	t.Helper()
	for h := uint64(1); h <= n.sh.store.Head(chain).Height; h++ {
		o, _, err := n.sh.store.Observation(chain, h)
		if err != nil {
			t.Fatal(err)
		}
		switch g := n.sh.lineage.known(o.Header.Link); {
		case g.Epoch() == epoch:
			found = append(found, o)
		case g.Epoch() > epoch:
			left = true
		}
	}
	return found, left
}

// TestNewcomerClosesItsFirstEpoch: whoever gets weight by a link closes the epoch that this link begins, like everybody
// else: others may need its statement.
func TestNewcomerClosesItsFirstEpoch(t *testing.T) {
	v, nodes := speakers(t, 3, func(v *village) {
		v.signers = append(v.signers, &kit.Signer{Key: kit.Key(4), Head: observation.Head{Key: kit.Key(4).Public()}})
		tune := v.tune
		v.tune = func(c *Config) { tune(c); c.Announce = true }
	})
	newcomer := v.start(4)
	all := append(slices.Clone(nodes), newcomer)
	v.meet(all...)
	for _, n := range nodes {
		n.label(t, v.peer(4), group.MaxScore)
	}
	key := v.signers[4].Key.Public()
	first, chain := uint64(0), observation.ChainID{Key: key}
	eventually(t, "the newcomer's second epoch with weight", func() bool {
		for e := uint64(1); first == 0; e++ {
			g, err := newcomer.sh.lineage.group(e)
			if err != nil {
				return false // not that far yet
			}
			if g.Share(key) > 0 {
				first = e
			}
		}
		return newcomer.sh.group().Epoch() > first
	})
	closes := func(o *observation.Observation) bool {
		return o.Len() > 0 && o.Leaf(o.Len()-1).State == observation.Closed
	}
	eventually(t, "the newcomer to close its first epoch", func() bool {
		return !slices.ContainsFunc(nodes, func(n *villager) bool {
			signed, _ := n.under(t, chain, first)
			return !slices.ContainsFunc(signed, closes)
		})
	})
}

// TestChainTakenUpBehind: a node that starts in an epoch which others have left finds where their chains went on under
// its link, though they have gone on under later ones since.
func TestChainTakenUpBehind(t *testing.T) {
	v, nodes := speakers(t, 3)
	for e := range uint64(2) {
		nodes[0].label(t, v.peer(1), int32(900-500*e))
		linked(t, nodes, e+1)
	}
	at := nodes[0]
	for i := 1; i < 3; i++ {
		chain := observation.ChainID{Key: v.signers[i].Key.Public()}
		var signed []*observation.Observation
		eventually(t, "the others to have gone on", func() (left bool) {
			signed, left = at.under(t, chain, 1)
			return left && len(signed) > 0
		})
		g, err := at.sh.lineage.group(1)
		if err != nil {
			t.Fatal(err)
		}
		ep := &epochs{store: at.sh.store, lineage: at.sh.lineage}
		ep.present.Store(g)
		if height, err := ep.first(chain); err != nil || height != signed[0].Header.Height {
			t.Errorf("the chain of node %d goes on at %d, %v; want %d", i, height, err, signed[0].Header.Height)
		}
	}
}

// TestClearChainsAreNotWalkedAgain: what a chain holds of transactions that are final is walked once, and not again after
// a restart.
func TestClearChainsAreNotWalkedAgain(t *testing.T) {
	v, nodes := speakers(t, 3)
	n := nodes[0]
	for i := range uint32(2) {
		n.submitFinal(t, v.pay(i, "clear"))
	}
	chain := observation.ChainID{Key: n.sh.self}
	accepted := uint64(0) // the height of the last vote
	eventually(t, "this node's last vote", func() bool {
		accepted = n.sh.store.Head(chain).Height
		o, _, err := n.sh.store.Observation(chain, accepted)
		return err == nil && o.Len() > 0 && o.Leaf(o.Len()-1).State == observation.Accepted
	})
	eventually(t, "its chain to be clear", func() bool {
		c, _, err := n.sh.store.Clear()
		return err == nil && c.Heights[chain] >= accepted
	})
	again, err := newEpochs(n.sh.self, n.sh.store, n.sh.lineage, newEpochMetrics(prometheus.NewRegistry()), n.sh.log)
	if err != nil {
		t.Fatal(err)
	}
	if height, err := again.first(chain); err != nil || height <= accepted {
		t.Errorf("after a restart the chain is walked from %d, %v; its last vote is at %d", height, err, accepted)
	}
	again.clear.Link = domain.Hash(n.sh.self)
	if height, err := again.first(chain); err != nil || height != 1 {
		t.Errorf("what was clear in another epoch counts: %d, %v", height, err)
	}
}

// TestFinalsBindNobody: chains are walked from time to time, in their order whatever order their observations came in;
// what is final by then binds nobody, and what becomes final later is settled by the next look. Many leaves are not left
// to wait.
func TestFinalsBindNobody(t *testing.T) {
	c := newCourt(t)
	c.sh.lately, c.sh.flights = newLately(), newDirectory()
	ep, err := newEpochs(c.sh.self, c.sh.store, c.sh.lineage, newEpochMetrics(prometheus.NewRegistry()), c.sh.log)
	if err != nil {
		t.Fatal(err)
	}
	ep.lately, ep.settle, ep.asked = c.sh.lately, c.sh.settling, time.Now()
	ep.signs = func(*group.Group) bool { return false }
	ep.begin()
	look := func() []conflict.Lock {
		t.Helper()
		if err := ep.look(t.Context()); err != nil {
			t.Fatal(err)
		}
		return ep.handover.Open(true)
	}
	tx := c.rivals(2)
	early, late := tx[0].ID, tx[1].ID
	var signed []*observation.Observation
	for i := range 4 {
		signed = append(signed, c.sign(1, kit.Vote([]domain.Hash{early, late}[i%2], observation.Accepted, 0, 1)))
	}
	c.save(1, signed[0]) // the others need not be read from the store
	for _, i := range []int{2, 0, 3, 1} {
		ep.heard(signed[i])
	}
	ep.lately.add(early)
	if open := look(); len(open) != 1 || open[0].Tx != late {
		t.Errorf("%v binds, want %s alone", open, late)
	}
	if next, ok := ep.handover.Next(1); !ok || next != 5 {
		t.Errorf("the next observation wanted is %d, %v", next, ok)
	}
	if clear := ep.handover.Clear(1); clear != 1 {
		t.Errorf("clear up to %d, want what comes before the first vote that binds", clear)
	}
	ep.lately.add(late)
	if open := look(); len(open) != 0 || ep.handover.Clear(1) != 4 {
		t.Errorf("%v binds, clear up to %d", open, ep.handover.Clear(1))
	}
	if ep.leaves.Load() != 0 {
		t.Errorf("%d leaves wait after a look", ep.leaves.Load())
	}
	full := &observation.Observation{Header: signed[0].Header, Leaves: make([]byte, observation.LeafSize*observation.MaxLeaves)}
	for n := observation.MaxLeaves; n < queuedLeaves; n += observation.MaxLeaves {
		ep.heard(full)
	}
	if len(ep.bell) != 0 {
		t.Error("the owner is woken early")
	}
	ep.heard(full)
	if len(ep.bell) != 1 {
		t.Error("the owner is not woken for so many leaves")
	}
}
