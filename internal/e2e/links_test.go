package e2e

import (
	"context"
	"path/filepath"
	"slices"
	"testing"

	"github.com/notarynet/notaryd/internal/freeport"
	"github.com/notarynet/notaryd/node"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	"github.com/notarynet/notaryd/utxo"
)

// id is the peer of a node.
func (v *notary) id() domain.Hash { return group.PeerID(v.peer.Public()) }

// label has the peer of a node say what it thinks of another.
func (v *notary) label(t *testing.T, of *notary, score int32) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := v.running.node.SetTrustLabel(ctx, of.id(), score); err != nil {
		t.Fatalf("node %d labels node %d: %v", v.index, of.index, err)
	}
}

// weight is that of a peer in the newest group that a node knows.
func (v *notary) weight(t *testing.T, of *notary) uint64 {
	t.Helper()
	answer, err := v.running.node.Trust(t.Context(), domain.Hash{}, domain.Hash{})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range answer.Scores {
		if domain.Hash(s.PeerId) == of.id() {
			return s.Group
		}
	}
	return 0
}

// join runs a node, of a peer of its own, that the genesis document does not know.
func (n *network) join(t *testing.T) *notary {
	t.Helper()
	i := len(n.nodes)
	master := keyOf(byte(200 + i))
	v := &notary{net: n, index: i, key: keyOf(byte(100 + i)), peer: &master, dir: filepath.Join(t.TempDir(), "store"), p2p: freeport.Port(t)}
	v.tune = func(c *node.Config) { c.Announce = true }
	n.nodes = append(n.nodes, v)
	v.start(t)
	n.meet(t)
	return v
}

// each waits until something holds at every running node.
func (n *network) each(t *testing.T, what string, holds func(*notary) bool) {
	t.Helper()
	eventually(t, what, func() bool { return !slices.ContainsFunc(n.up(), func(v *notary) bool { return !holds(v) }) })
}

// TestFifthNode: a node that nobody knew joins, is labelled by two members and carries weight after the next
// links; a member that contradicts itself is out at the next link; and whatever became final before,
// between and after is proven from genesis on.
func TestFifthNode(t *testing.T) {
	n := start(t, 4, setup{coins: 12, speak: true})
	for _, v := range n.nodes {
		for _, other := range n.nodes {
			if other != v {
				v.label(t, other, group.MaxScore)
			}
		}
	}
	paid := []*utxo.Tx{n.nodes[0].pays(t, bob, 0, 0)}
	fifth := n.join(t)
	n.nodes[0].label(t, fifth, group.MaxScore)
	n.nodes[1].label(t, fifth, group.MaxScore)
	n.each(t, "the fifth node to carry weight", func(v *notary) bool { return v.weight(t, fifth) > uint64(group.Total)/100 })
	paid = append(paid, fifth.pays(t, bob, 0, 1), n.nodes[2].pays(t, bob, 0, 2))

	guilty := n.nodes[3]
	guilty.kill(t)
	old := guilty.copyOf(t)
	guilty.start(t)
	n.meet(t)
	paid = append(paid, guilty.pays(t, bob, 0, 3))
	n.allFinal(t, paid...)
	guilty.kill(t)
	w := guilty.twin(t, old)
	w.tune = func(c *node.Config) { c.Listen = 0 }
	w.start(t)
	if _, err := w.submit(t, n.pay(bob, 0, 4).Raw, waitPending); err != nil {
		t.Logf("the twin: %v", err)
	}
	n.each(t, "the convicted to be out", func(v *notary) bool { return v.weight(t, guilty) == 0 })
	w.kill(t)
	if got := n.nodes[0].weight(t, fifth); got == 0 {
		t.Error("the fifth node is out too")
	}
	paid = append(paid, n.nodes[1].pays(t, bob, 0, 5))
	n.allFinal(t, paid...)
	for _, tx := range paid {
		n.verify(t, fifth.proof(t, tx.ID), tx.ID)
	}
	n.equalLedgers(t)
}
