package e2e

import (
	"context"
	"path/filepath"
	"slices"
	"testing"

	"github.com/notarynet/notaryd/conflict"
	"github.com/notarynet/notaryd/internal/freeport"
	"github.com/notarynet/notaryd/node"
	"github.com/notarynet/notaryd/node/epoch"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
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
	answer, err := v.running.node.Trust(t.Context(), domain.Hash{}, domain.Hash{}, unpaid)
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
func (n *network) join(t *testing.T, tune ...func(*node.Config)) *notary {
	t.Helper()
	i := len(n.nodes)
	master := keyOf(byte(200 + i))
	v := &notary{net: n, index: i, key: keyOf(byte(100 + i)), peer: &master, dir: filepath.Join(t.TempDir(), "store"), p2p: freeport.Port(t)}
	v.tune = func(c *node.Config) {
		c.Announce = true
		for _, f := range tune {
			f(c)
		}
	}
	n.nodes = append(n.nodes, v)
	v.start(t)
	return v
}

// TestBeforeAnybodyListens: what a node without weight is given before it has met anybody reaches the others.
func TestBeforeAnybodyListens(t *testing.T) {
	n := start(t, 4, setup{coins: 4})
	n.allFinal(t, n.join(t).pays(t, bob, 0, 0))
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
	n.meet(t)
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
	n.contradict(t, guilty, old, 4)
	n.each(t, "the convicted to be out", func(v *notary) bool { return v.weight(t, guilty) == 0 })
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

// links is what the links that a node holds final have come to, and where the last group is.
func (v *notary) links(t *testing.T) (*epoch.State, utxo.Outpoint) {
	t.Helper()
	state, at := epoch.Start(v.net.genesis.Group), utxo.FirstLink(v.net.genesis)
	for {
		entry, found, err := v.running.store.Lookup(at)
		if err != nil || !found {
			t.Fatalf("no link at %s: %v", at, err)
		}
		if entry.SpentBy.IsZero() {
			return state, at
		}
		stored, _, err := v.running.store.Transaction(entry.SpentBy)
		if err != nil {
			t.Fatal(err)
		}
		tx, err := utxo.Decode(stored.Raw, utxo.RulesOf(v.net.genesis))
		if err != nil {
			t.Fatal(err)
		}
		var read []*group.Peer
		for _, o := range tx.Reads() {
			entry, _, err := v.running.store.Lookup(o)
			if err != nil {
				t.Fatal(err)
			}
			p, err := group.DecodePeer(entry.Output.Data.Payload)
			if err != nil {
				t.Fatal(err)
			}
			read = append(read, p)
		}
		state, at = state.After(tx.Link, read), utxo.Outpoint{Tx: tx.ID}
	}
}

// link is what a node could propose next, computed from some of the metadata that no link has read.
func (v *notary) link(t *testing.T, state *epoch.State, at utxo.Outpoint, of ...*notary) *utxo.Tx {
	t.Helper()
	var read []*group.Peer
	var cut []utxo.Outpoint
	for _, other := range of {
		m, found, err := v.running.store.PeerMetadata(other.id())
		if err != nil || !found {
			t.Fatalf("no metadata of node %d: %v", other.index, err)
		}
		read, cut = append(read, m.Peer), append(cut, m.Outpoint)
	}
	next, err := state.Next(read, nil)
	if err != nil {
		t.Fatal(err)
	}
	return v.net.sign(utxo.NewLink(at, cut, next, v.net.genesis.EpochMS()), v.key)
}

// TestRivalLinks: two links of one epoch, both right, each from labels that the other has not read, are a double
// spend: one becomes final everywhere, and the links after it take up what it left out.
func TestRivalLinks(t *testing.T) {
	n := start(t, 4, setup{coins: 4, speak: true})
	a, b := n.nodes[0], n.nodes[1]
	a.label(t, n.nodes[2], 100)
	n.each(t, "the first link", func(v *notary) bool { s, _ := v.links(t); return s.Group().Epoch() > 0 })
	state, at := a.links(t) // of the first link or a later one; within the second before the next may come
	a.label(t, n.nodes[2], 900)
	b.label(t, n.nodes[3], 900)
	for _, v := range n.nodes {
		for _, speaker := range []*notary{a, b} {
			eventually(t, "the labels everywhere", func() bool {
				m, found, err := v.running.store.PeerMetadata(speaker.id())
				return err == nil && found && len(m.Peer.Labels) == 1 && m.Peer.Labels[0].Score == 900
			})
		}
	}
	one, other := a.link(t, state, at, a), b.link(t, state, at, b)
	if one.ID == other.ID || one.Spends()[0] != other.Spends()[0] {
		t.Fatal("no rivals")
	}
	for v, tx := range map[*notary]*utxo.Tx{a: one, b: other} {
		// On a machine that has much to do the second may be over.
		if _, err := v.submit(t, tx.Raw, waitNone); err != nil && reasonOf(err) != notaryv1.Reason_REASON_OUTPOINT_SPENT {
			t.Fatal(err)
		}
	}
	n.each(t, "the next link", func(v *notary) bool { s, _ := v.links(t); return s.Group().Epoch() > state.Group().Epoch() })
	n.each(t, "both labels in the cut", func(v *notary) bool {
		s, _ := v.links(t)
		for _, speaker := range []*notary{a, b} {
			if p := s.Read(speaker.id()); p == nil || p.Labels[0].Score != 900 {
				return false
			}
		}
		return true
	})
	eventually(t, "equal links", func() bool {
		s, _ := a.links(t)
		return !slices.ContainsFunc(n.nodes, func(v *notary) bool { o, _ := v.links(t); return o.Group().Link() != s.Group().Link() })
	})
	if a.final(t, one.ID) && a.final(t, other.ID) {
		t.Error("two links of one epoch are final")
	}
}

// TestOthersPropose: where the facilitator of the LINK outpoint is away, another member proposes the link.
func TestOthersPropose(t *testing.T) {
	n := start(t, 4, setup{coins: 4, speak: true})
	first := n.genesis.Group.Voters()[conflict.FacilitatorOf(n.genesis.Group, utxo.FirstLink(n.genesis), 1)].Key
	at := slices.IndexFunc(n.nodes, func(v *notary) bool { return v.key.Public() == first })
	n.nodes[at].kill(t)
	up := n.up()
	up[0].label(t, up[1], 900)
	n.each(t, "a link", func(v *notary) bool { s, _ := v.links(t); return s.Group().Epoch() > 0 })
}
