package node

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/notarynet/notaryd/conflict"
	"github.com/notarynet/notaryd/node/epoch"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
	"github.com/notarynet/notaryd/utxo"
)

// speakers are the first n voters of a village, each with the master key of its peer, all connected. Their rounds end by
// time too: they may go from one epoch to the next in different rounds.
func speakers(t *testing.T, n int, adjust ...func(*village)) (*village, []*villager) {
	t.Helper()
	v := newVillage(t, func(c *Config) { c.Contests = DefaultConfig().Contests })
	v.speak = true
	for _, do := range adjust {
		do(v)
	}
	var nodes []*villager
	for i := range n {
		nodes = append(nodes, v.start(i))
	}
	v.meet(nodes...)
	return v, nodes
}

func (v *village) peer(i int) domain.Hash { return group.PeerID(v.signers[i].Key.Public()) }

// label has a node say what its peer thinks of another.
func (n *villager) label(t *testing.T, peer domain.Hash, score int32) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), villagePatience)
	defer cancel()
	if err := n.SetTrustLabel(ctx, peer, score); err != nil {
		t.Fatal(err)
	}
}

// linked waits until the link that begins an epoch is final at every node, and returns its group, which must be
// everybody's. Later ones may be final by then.
func linked(t *testing.T, nodes []*villager, epoch uint64) *group.Group {
	t.Helper()
	eventually(t, "a link", func() bool {
		return !slices.ContainsFunc(nodes, func(n *villager) bool { return n.sh.keeper.seen.Load().state.Group().Epoch() < epoch })
	})
	var groups []*group.Group
	for _, n := range nodes {
		g, err := n.sh.lineage.group(epoch)
		if err != nil {
			t.Fatal(err)
		}
		groups = append(groups, g)
	}
	for _, g := range groups[1:] {
		if g.Link() != groups[0].Link() {
			t.Fatalf("two groups in epoch %d", epoch)
		}
	}
	return groups[0]
}

// TestLabelsMakeLinks: a label becomes final, the facilitator proposes a link, and everybody comes to the same
// group; the next link waits for an epoch to pass.
func TestLabelsMakeLinks(t *testing.T) {
	v, nodes := speakers(t, 3, func(v *village) { v.last = 2 })
	nodes[0].label(t, v.peer(1), 900)
	first := linked(t, nodes, 1)
	nodes[1].label(t, v.peer(0), 500)
	nodes[2].label(t, v.peer(0), -300)
	second := linked(t, nodes, 2)
	if second.Previous() != first.Link() {
		t.Error("the second link does not follow the first")
	}
	for _, n := range nodes {
		entry, found, err := n.sh.store.Lookup(utxo.FirstLink(v.genesis))
		if err != nil || !found || entry.SpentBy.IsZero() {
			t.Fatalf("the first link is not spent: %v", err)
		}
	}
	got, err := nodes[0].Trust(t.Context(), domain.Hash{}, domain.Hash{}, unpaid)
	if err != nil {
		t.Fatal(err)
	}
	var sum uint64
	for _, s := range got.Scores {
		sum += s.Relative
		if id := v.peer(1); domain.Hash(s.PeerId) == id && s.Label != 900 {
			t.Errorf("label %d", s.Label)
		}
	}
	if sum != uint64(group.Total) {
		t.Errorf("relative shares sum to %d", sum)
	}
	why, err := nodes[0].Trust(t.Context(), v.peer(1), v.peer(0), unpaid)
	if err != nil || len(why.Scores) != 1 || len(why.Account) < 3 {
		t.Errorf("%v, %v", why, err)
	}
	margin, err := nodes[0].Margin(t.Context(), unpaid)
	held, least := group.Weight(0), group.Total // of the fewest that hold a third: who these are hangs on which labels the links have read
	for _, m := range second.Members() {
		if slices.ContainsFunc(margin.GetSafetyPeers(), func(id []byte) bool { return domain.Hash(id) == m.PeerID }) {
			held, least = held+m.Weight, min(least, m.Weight)
		}
	}
	if err != nil || margin.SafetyWeight != uint64(held) || !group.Third(held) || group.Third(held-least) || len(margin.Account) < 3 {
		t.Errorf("%v, %v", margin, err)
	}
}

// TestLabelsRefused: what cannot be said is refused before anything is signed.
func TestLabelsRefused(t *testing.T) {
	v := newVillage(t, nil)
	mute := v.start(0)
	if err := mute.SetTrustLabel(t.Context(), v.peer(1), 1); refusal.ReasonOf(err) != notaryv1.Reason_REASON_NOT_FOUND {
		t.Errorf("without a master key: %v", err)
	}
	v.speak = true
	n := v.start(1)
	for name, c := range map[string]struct {
		err  error
		want notaryv1.Reason
	}{
		"itself":         {n.SetTrustLabel(t.Context(), v.peer(1), 1), notaryv1.Reason_REASON_INVALID_ARGUMENT},
		"too good":       {n.SetTrustLabel(t.Context(), v.peer(2), 1001), notaryv1.Reason_REASON_INVALID_ARGUMENT},
		"never labelled": {n.RemoveTrustLabel(t.Context(), v.peer(2)), notaryv1.Reason_REASON_NOT_FOUND},
	} {
		if refusal.ReasonOf(c.err) != c.want {
			t.Errorf("%s: %v", name, c.err)
		}
	}
}

// TestConvictedLeave: evidence removes a member with the next link, which waits for nothing.
func TestConvictedLeave(t *testing.T) {
	v, nodes := speakers(t, 3)
	nodes[0].label(t, v.peer(1), 900)
	before := linked(t, nodes, 1)
	guilty := v.signers[3]
	a := observation.Seal(guilty.Head, v.genesis.Group, nil, 1).Sign(guilty.Key)
	b := observation.Seal(guilty.Head, v.genesis.Group, nil, 2).Sign(guilty.Key)
	e, err := observation.ForkedChain(a.Signed(), b.Signed())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := nodes[0].sh.archive.keep(e, ownEvidence); err != nil { // the others hear of it by gossip
		t.Fatal(err)
	}
	eventually(t, "a link without the convicted", func() bool {
		return !slices.ContainsFunc(nodes, func(n *villager) bool { return len(n.sh.keeper.seen.Load().state.Convicted()) == 0 })
	})
	for _, n := range nodes {
		s := n.sh.keeper.seen.Load().state
		if s.Group().Share(guilty.Key.Public()) != 0 || s.Convicted()[0] != v.peer(3) || s.Group().Epoch() <= before.Epoch() {
			t.Errorf("epoch %d, %d members", s.Group().Epoch(), len(s.Group().Members()))
		}
	}
}

// TestWrongLinkIsRefused: a member that proposes a group of its own liking finds nobody to vote for it.
func TestWrongLinkIsRefused(t *testing.T) {
	v, nodes := speakers(t, 3, func(v *village) { v.last = 1 }) // or the next one, which is right, might come first
	nodes[0].label(t, v.peer(1), 900)
	linked(t, nodes, 1)
	k := nodes[0].sh.keeper
	state := k.seen.Load().state
	members := slices.Clone(state.Group().Members())
	members[0].Weight, members[1].Weight = members[0].Weight-10_000_000, members[1].Weight+10_000_000
	mine, err := group.New(v.genesis.ID, state.Group().Epoch()+1, state.Group().Link(), members, nil)
	if err != nil {
		t.Fatal(err)
	}
	entry, _, err := nodes[0].sh.store.Lookup(utxo.FirstLink(v.genesis))
	if err != nil {
		t.Fatal(err)
	}
	d, err := utxo.NewLink(utxo.Outpoint{Tx: entry.SpentBy}, nil, mine, v.genesis.EpochMS()).Build()
	if err != nil {
		t.Fatal(err)
	}
	tx, err := d.Sign(v.signers[3].Key).Finish()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), villagePatience)
	defer cancel()
	if _, err := nodes[0].Submit(ctx, "test", tx.Raw, notaryv1.WaitLevel_WAIT_LEVEL_FINAL); refusal.ReasonOf(err) != notaryv1.Reason_REASON_WRONG_GROUP {
		t.Errorf("a group of its own liking: %v", err)
	}
}

// TestKeeperRestores: what an earlier life made final is found again.
func TestKeeperRestores(t *testing.T) {
	v, nodes := speakers(t, 3)
	nodes[0].label(t, v.peer(1), 900)
	nodes[1].label(t, v.peer(0), 900)
	linked(t, nodes, 1)
	k := nodes[0].sh.keeper
	eventually(t, "the same state", func() bool {
		again := newKeeper(v.genesis, v.signers[0].Key, nodes[0].sh.store, nodes[0].sh.rules, nodes[0].sh.log)
		if err := again.catchUp(); err != nil {
			t.Fatal(err)
		}
		said := again.circle.order
		return len(said) == 2 && said[0].Peer.Labels[0].Score == 900 && said[1].Peer.Labels[0].Score == 900 &&
			again.state.Group().Link() == k.seen.Load().state.Group().Link()
	})
}

// TestLinkOfAnEpochNotEntered: no node votes for the link that ends an epoch, nor proposes one, before it votes
// in that epoch itself.
func TestLinkOfAnEpochNotEntered(t *testing.T) {
	v, nodes := speakers(t, 3)
	nodes[0].label(t, v.peer(1), 900)
	linked(t, nodes, 1)
	k := newKeeper(v.genesis, v.signers[0].Key, nodes[0].sh.store, nodes[0].sh.rules, nodes[0].sh.log)
	up := make(chan struct{})
	close(up)
	k.up, k.voting = up, func() *group.Group { return v.genesis.Group }
	k.propose = func(context.Context, *utxo.Tx) error {
		t.Error("a link was proposed")
		return nil
	}
	if err := k.catchUp(); err != nil {
		t.Fatal(err)
	}
	next, err := group.New(v.genesis.ID, k.state.Group().Epoch()+1, k.state.Group().Link(), k.state.Group().Members(), nil)
	if err != nil {
		t.Fatal(err)
	}
	d, err := utxo.NewLink(k.last, nil, next, v.genesis.EpochMS()).Build()
	if err != nil {
		t.Fatal(err)
	}
	err = k.verdict(d.Tx())
	if refusal.ReasonOf(err) != notaryv1.Reason_REASON_LOCK_NOT_OPEN || !utxo.NotYet(err) {
		t.Errorf("in epoch 0: %v", err)
	}
	k.circle = newCircle(spoken{v.peer(2): {Outpoint: utxo.Outpoint{Tx: domain.Hash{1}}, Peer: &group.Peer{
		ID: v.peer(2), Version: 1, Labels: []group.Label{{Peer: v.peer(0), Score: 1000}},
	}}}.read, circleBytes)
	if _, err := k.consider(t.Context(), time.Now().Add(time.Hour)); err != nil {
		t.Error(err)
	}
	k.voting = func() *group.Group { return k.state.Group() }
	if err := k.verdict(d.Tx()); refusal.ReasonOf(err) == notaryv1.Reason_REASON_LOCK_NOT_OPEN {
		t.Errorf("in epoch %d: %v", k.state.Group().Epoch(), err)
	}
	// The link before it may have become final after the keeper caught up.
	present := k.state.Group()
	k.state, k.voting = epoch.Start(v.genesis.Group), func() *group.Group { return present }
	if err := k.verdict(d.Tx()); present.Epoch() == 0 || refusal.ReasonOf(err) != notaryv1.Reason_REASON_LOCK_NOT_OPEN {
		t.Errorf("by a keeper that is behind: %v", err)
	}
}

// TestProposerOrder: one voter proposes a link at once, each of the others after as many as facilitate a round before
// it, and nobody waits for those that are to leave.
func TestProposerOrder(t *testing.T) {
	v := newVillage(t, nil)
	g := v.genesis.Group
	for i := range 100 {
		last := utxo.Outpoint{Tx: domain.Sum("test", []byte{byte(i)})}
		first := g.Voters()[conflict.FacilitatorOf(g, last, 1)].Key
		for _, leaving := range []domain.PublicKey{{}, first} {
			var ranks []int
			for _, voter := range g.Voters() {
				rank := proposer(g, last, voter.Key, func(key domain.PublicKey) bool { return key == leaving })
				if voter.Key == leaving {
					continue
				}
				if voter.Key == first && rank != 0 {
					t.Errorf("the facilitator of round 1 comes after %d others", rank)
				}
				ranks = append(ranks, rank)
			}
			slices.Sort(ranks)
			for at, rank := range ranks {
				if rank > at {
					t.Errorf("leaving %v: ranks %v", leaving == first, ranks)
				}
			}
		}
	}
}

// TestSignsInWhatItHasEntered: whether a node votes in an epoch does not hang on whether its batcher is there yet.
func TestSignsInWhatItHasEntered(t *testing.T) {
	v, nodes := speakers(t, 1)
	sh := &shell{self: nodes[0].sh.self, store: nodes[0].sh.store, batcher: &batcher{}}
	if !sh.signsIn(v.genesis.Group) {
		t.Error("a member is taken for none before its batcher has entered the epoch")
	}
	sh.batcher.convicted = true
	if sh.signsIn(v.genesis.Group) {
		t.Error("a convicted key signs")
	}
}

// TestPeerBesideTheOwner: whoever asks for this node's peer does not look at what the keeper changes meanwhile (with -race).
func TestPeerBesideTheOwner(t *testing.T) {
	v := newVillage(t, nil)
	k, _ := v.keeper()
	k.seen.Store(&trusted{state: k.state})
	done := make(chan struct{})
	go func() {
		defer close(done)
		k.state = k.state.After(k.state.Group(), nil)
	}()
	if k.me() != v.peer(0) {
		t.Error("not the peer of its key")
	}
	<-done
}
