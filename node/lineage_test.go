package node

import (
	"testing"

	"github.com/notarynet/notaryd/node/store"
	"github.com/notarynet/notaryd/observation"
	kit "github.com/notarynet/notaryd/observation/observationtest"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	"github.com/notarynet/notaryd/utxo"
)

// history is a village whose links have become final in a store.
type history struct {
	*village
	store  *store.Store
	group  *group.Group
	holds  utxo.Outpoint
	groups []*group.Group
}

// final has three of four accept a transaction in the present epoch, and commits it.
func (h *history) final(tx *utxo.Tx) {
	h.t.Helper()
	f := store.Final{Tx: tx, FinalMS: kit.StartMS, GroupEpoch: h.group.Epoch(), Link: h.group.Link()}
	for _, s := range h.signers[:3] {
		o := s.Observe(h.group, kit.StartMS, kit.Vote(domain.Hash{1}, observation.Pending, 0, 1), kit.Vote(tx.ID, observation.Accepted, 0, kit.StartMS))
		if s != h.signers[0] { // its own chain is the store's to write
			if err := h.store.SaveObservations([]*observation.Observation{o}); err != nil {
				h.t.Fatal(err)
			}
		} else if err := h.store.SaveVotes(store.VoteBatch{Observations: []*observation.Observation{o}}); err != nil {
			h.t.Fatal(err)
		}
		f.Edges = append(f.Edges, store.EdgeRef{Key: s.Head.Key, SigningEpoch: s.Head.SigningEpoch, Height: o.Header.Height, Leaf: 1})
	}
	if err := h.store.CommitFinal([]store.Final{f}); err != nil {
		h.t.Fatal(err)
	}
}

// link makes the next link, with some weight moved from the last member to the first.
func (h *history) link(moved group.Weight) {
	h.t.Helper()
	members := append([]group.Member(nil), h.group.Members()...)
	members[0].Weight += moved
	members[3].Weight -= moved
	next, err := group.New(h.genesis.ID, h.group.Epoch()+1, h.group.Link(), members, nil)
	if err != nil {
		h.t.Fatal(err)
	}
	d, err := utxo.NewLink(h.holds, nil, next, h.genesis.EpochMS()).Build()
	if err != nil {
		h.t.Fatal(err)
	}
	tx, err := d.Sign(h.signers[0].Key).Finish()
	if err != nil {
		h.t.Fatal(err)
	}
	h.final(tx)
	h.group, h.holds, h.groups = next, utxo.Outpoint{Tx: tx.ID}, append(h.groups, next)
}

// TestProofsAcrossEpochs: a node gives the links from any epoch on, from its store alone.
func TestProofsAcrossEpochs(t *testing.T) {
	h := &history{village: newVillage(t, nil)}
	h.group, h.groups = h.genesis.Group, []*group.Group{h.genesis.Group}
	h.holds = utxo.Outpoint{Tx: h.genesis.ID, Index: h.genesis.LinkIndex()}
	var paid []*utxo.Tx
	n := h.idle(func(s *store.Store) {
		h.store = s
		for epoch := range uint32(2) {
			tx := h.pay(epoch, "paid")
			h.final(tx)
			paid = append(paid, tx)
			if epoch == 0 {
				h.link(10_000_000)
				h.link(10_000_000)
				h.link(10_000_000)
			}
		}
	})
	for _, c := range []struct {
		tx           *utxo.Tx
		known, group uint64
	}{{paid[0], 0, 0}, {paid[0], 2, 0}, {paid[1], 0, 3}, {paid[1], 1, 3}, {paid[1], 2, 3}, {paid[1], 3, 3}, {paid[1], 9, 3}} {
		raw, err := n.Proof(t.Context(), c.tx.ID, true, c.known)
		if err != nil {
			t.Fatal(err)
		}
		p, err := observation.DecodeProof(raw, observation.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		root := observation.GenesisRoot(h.genesis)
		if c.known <= 3 {
			root = observation.NewRoot(h.groups[c.known])
		}
		if c.known > c.group && c.known <= 3 {
			root = root.With(observation.Anchor{Group: h.genesis.Group})
		}
		v, err := p.Verify(root)
		if err != nil || v.Conclusion != observation.Valid || v.GroupEpoch != c.group {
			t.Errorf("epoch %d known: %s by epoch %d, %v", c.known, v.Conclusion, v.GroupEpoch, err)
		}
		if (len(p.Links) == 0) != (c.known == c.group || c.group == 0) {
			t.Errorf("epoch %d known: %d links", c.known, len(p.Links))
		}
	}
	l := n.sh.lineage
	if r, err := n.prune(t.Context(), nowMS()+1<<40, nil); err != nil || r.GetProofsKept() != 0 {
		t.Fatal(r, err)
	}
	l.links = map[uint64]*observation.Link{} // from the store, whose observations are gone
	for epoch := uint64(1); epoch <= 3; epoch++ {
		k, err := l.link(epoch)
		if err != nil || k.Group.Link() != h.groups[epoch].Link() {
			t.Errorf("link to epoch %d: %v", epoch, err)
		}
	}
	if _, err := l.link(4); err == nil {
		t.Error("a link that was never made")
	}
	if _, err := l.link(0); err == nil {
		t.Error("a link to genesis")
	}
}

// TestLineageOfARealLink: a link that the network made, of labels that were given, leads a verifier that knows
// genesis to its group, proven and vouched for.
func TestLineageOfARealLink(t *testing.T) {
	v, nodes := speakers(t, 3)
	nodes[0].label(t, v.peer(1), 900)
	next := linked(t, nodes, 1)
	l := nodes[1].sh.lineage
	item := observation.Item{ID: domain.Hash{7}}
	for i := range 3 {
		s := &kit.Signer{Key: kit.Key(i), Head: observation.Head{Key: kit.Key(i).Public()}}
		item.Edges = append(item.Edges, s.Observe(next, kit.StartMS, kit.Vote(item.ID, observation.Accepted, 0, kit.StartMS)).Edge(0))
	}
	p, err := observation.BuildProof(next, nil, []observation.Item{item})
	if err != nil {
		t.Fatal(err)
	}
	proven, err := l.link(1)
	if err != nil {
		t.Fatal(err)
	}
	for name, links := range map[string][]*observation.Link{"proven": {proven}, "vouched for": {observation.Vouched(next)}} {
		p.Links = links
		verdict, err := p.Verify(observation.GenesisRoot(v.genesis))
		if err != nil || verdict.Conclusion != observation.Valid {
			t.Errorf("%s: %s, %v, %v", name, verdict.Conclusion, verdict.Links, err)
		}
	}
	if err := l.linkFrom(p, 1, 0); err != nil || len(p.Links) != 1 {
		t.Errorf("%d links, %v", len(p.Links), err)
	}
}

// TestProofsBesideForks: a liar that says the same at one place of two branches, under two links, keeps nobody from the
// proof: it is made of the branch that counts.
func TestProofsBesideForks(t *testing.T) {
	h := &history{village: newVillage(t, nil)}
	h.group, h.groups = h.genesis.Group, []*group.Group{h.genesis.Group}
	h.holds = utxo.Outpoint{Tx: h.genesis.ID, Index: h.genesis.LinkIndex()}
	var tx *utxo.Tx
	n := h.idle(func(s *store.Store) {
		h.store = s
		h.link(10_000_000)
		tx = h.pay(0, "paid")
		liar := h.signers[1]
		head := liar.Head
		other := liar.Observe(h.groups[0], kit.StartMS, kit.Vote(domain.Hash{1}, observation.Pending, 0, 1), kit.Vote(tx.ID, observation.Accepted, 0, kit.StartMS))
		if err := s.SaveObservations([]*observation.Observation{other}); err != nil {
			t.Fatal(err)
		}
		liar.Head = head
		h.final(tx)
	})
	raw, err := n.Proof(t.Context(), tx.ID, true, 1)
	if err != nil {
		t.Fatal(err)
	}
	p, err := observation.DecodeProof(raw, observation.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if v, err := p.Verify(observation.NewRoot(h.group)); err != nil || v.Conclusion != observation.Valid {
		t.Errorf("%s, %v", v.Conclusion, err)
	}
}
