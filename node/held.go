package node

import (
	"context"
	"fmt"

	"github.com/notarynet/notaryd/node/store"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
)

// backing is what this node's own trust says of those who accepted. HELD is for those who read: it changes no
// vote, no state, and nothing of what children may do.
type backing struct {
	// accepted is the weight of the group that accepted, as far as it is known.
	accepted group.Weight
	// weight of the own trust behind them, and what it should be at least; both 0 where this node's peer has
	// labelled nobody.
	weight, threshold group.Weight
}

func (b backing) held() bool { return b.weight < b.threshold }

// viewing reports whether this node holds what is accepted against trust of its own.
func (sh *shell) viewing() bool { return sh.config.HeldBelow > 0 && sh.keeper.seen.Load().own() != nil }

// backing sums this node's own trust in the peers that accepted, each for the part of its weight that did,
// rounded down (docs/spec/proof.md, section 5). Late are those whose votes came after the quorum.
func (sh *shell) backing(info *store.FinalInfo, late []domain.PublicKey) backing {
	if began := sh.store.Began(); began != nil && info.Seq > 0 && info.Seq <= began.Finals && len(info.Edges) == 0 {
		return backing{accepted: began.Weight} // whoever vouched for it; nobody's trust is held against that
	}
	g, err := sh.lineage.group(info.GroupEpoch)
	if err != nil {
		sh.log.Error("the group of a final transaction is not known", "epoch", info.GroupEpoch, "err", err)
		return backing{}
	}
	var b backing
	var signed map[domain.Hash]group.Weight // by peer, where there is a view to hold it against
	own := sh.keeper.seen.Load().own()
	if own != nil && sh.config.HeldBelow > 0 {
		b.threshold, signed = sh.config.HeldBelow, make(map[domain.Hash]group.Weight, len(info.Edges)+len(late))
	}
	add := func(key domain.PublicKey) {
		if at, ok := g.Voter(key); ok {
			v := &g.Voters()[at]
			b.accepted += v.Share
			if signed != nil {
				signed[v.PeerID] += v.Share
			}
		}
	}
	for _, e := range info.Edges {
		add(e.Key)
	}
	for _, key := range late {
		add(key)
	}
	if signed == nil {
		return b
	}
	for _, m := range g.Members() {
		if w := signed[m.PeerID]; w > 0 {
			b.weight += own[m.PeerID] * w / m.Weight
		}
	}
	return b
}

// backed adds to the status of a final transaction who accepted it, and what of this node's trust they are.
func (sh *shell) backed(id domain.Hash, s *notaryv1.TransactionStatus, info *store.FinalInfo) {
	b := sh.backing(info, sh.backers.lateFor(id))
	s.AcceptedWeight, s.OwnWeight, s.OwnThreshold, s.Held = uint64(b.accepted), uint64(b.weight), uint64(b.threshold), b.held()
}

// settle waits until it is known whether a final transaction is held, which takes no longer than
// Config.HeldPatience, or until ctx ends.
func (sh *shell) settle(ctx context.Context, id domain.Hash) {
	if settled := sh.backers.waits(id); settled != nil {
		select {
		case <-settled:
		case <-ctx.Done():
		case <-sh.ctx.Done():
		}
	}
}

// tellHeld is the sentence about a transaction that is held.
func tellHeld(s *notaryv1.TransactionStatus) string {
	return fmt.Sprintf("It is HELD at this node: %s of what its peer trusts accepted it, less than %s. The group has decided otherwise, and final it stays.",
		percent(group.Weight(s.GetOwnWeight())), percent(group.Weight(s.GetOwnThreshold())))
}
