package node

import (
	"fmt"
	"time"

	"github.com/notarynet/notaryd/node/store"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
)

// backing is what this node's own trust says of a quorum. HELD is for those who read: it changes no vote, no
// state, and nothing of what children may do.
type backing struct {
	// weight of the own trust behind those who accepted, and what it should be at least; both 0 where this
	// node's peer has labelled nobody.
	weight, threshold group.Weight
}

func (b backing) held() bool { return b.weight < b.threshold }

// backingOf sums this node's own trust in the peers whose votes made a transaction final, each for the part of
// its weight that voted, rounded down (docs/spec/proof.md, section 5).
func (sh *shell) backingOf(g *group.Group, info *store.FinalInfo) backing {
	own := sh.keeper.seen.Load().own()
	if own == nil || sh.config.HeldBelow == 0 {
		return backing{}
	}
	signed := make(map[domain.Hash]group.Weight, len(info.Edges))
	for _, e := range info.Edges {
		if at, ok := g.Voter(e.Key); ok {
			v := &g.Voters()[at]
			signed[v.PeerID] += v.Share
		}
	}
	b := backing{threshold: sh.config.HeldBelow}
	for _, m := range g.Members() {
		if w := signed[m.PeerID]; w > 0 {
			b.weight += own[m.PeerID] * w / m.Weight
		}
	}
	return b
}

// backed adds to the status of a final transaction what stands behind it.
func (sh *shell) backed(s *notaryv1.TransactionStatus, info *store.FinalInfo) {
	g, err := sh.lineage.group(info.GroupEpoch)
	if err != nil {
		sh.log.Error("the group of a final transaction is not known", "epoch", info.GroupEpoch, "err", err)
		return
	}
	for _, e := range info.Edges {
		s.AcceptedWeight += uint64(g.Share(e.Key))
	}
	b := sh.backingOf(g, info)
	s.OwnWeight, s.OwnThreshold, s.Held = uint64(b.weight), uint64(b.threshold), b.held()
}

// tellHeld is the sentence about a transaction that is held.
func tellHeld(s *notaryv1.TransactionStatus) string {
	return fmt.Sprintf("It is HELD at this node: %s of what its peer trusts accepted it, less than %s. The group has decided otherwise, and final it stays.",
		percent(group.Weight(s.GetOwnWeight())), percent(group.Weight(s.GetOwnThreshold())))
}

// heldEvery is how often the operator is told of transactions that are held.
const heldEvery = time.Minute

// heldLog tells the operator, not more often than that. It is the committer's.
type heldLog struct {
	since time.Time
	count int
}

// note counts a final transaction that is held.
func (sh *shell) note(info *store.FinalInfo, now time.Time) {
	g, err := sh.lineage.group(info.GroupEpoch)
	if err != nil {
		return // its status says so
	}
	b := sh.backingOf(g, info)
	if !b.held() {
		return
	}
	sh.metrics.held.Inc()
	sh.held.count++
	if now.Sub(sh.held.since) < heldEvery {
		return
	}
	sh.log.Warn("HELD: the group accepts what too little of this node's own trust stands behind", "transactions", sh.held.count,
		"own_weight", uint64(b.weight), "threshold", uint64(b.threshold))
	sh.held = heldLog{since: now}
}
