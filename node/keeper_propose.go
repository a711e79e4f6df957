package node

import (
	"context"
	"slices"
	"time"

	"github.com/notarynet/notaryd/conflict"
	"github.com/notarynet/notaryd/node/epoch"
	"github.com/notarynet/notaryd/node/lifecycle"
	"github.com/notarynet/notaryd/node/store"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	"github.com/notarynet/notaryd/utxo"
)

// How the next link comes about. The facilitator that rule 5 of contests names for the LINK outpoint in round 1
// proposes at once, the next one after proposePatience, and so on, leaving out the convicted; whoever facilitates none
// of the first rounds comes after the last of them. Members that compute from the same metadata propose the same transaction, so
// who is first matters little; that not everybody answers each label at once does.
const (
	proposers       = 8 // rounds
	proposePatience = 3 * time.Second
	// startUp is how long the keeper waits before it asks again whether the node is up.
	startUp = 200 * time.Millisecond
	// idle is how often the keeper looks without having been told of anything.
	idle = 30 * time.Second
	// maxRead is how much metadata a link may read: its inputs but the last link.
	maxRead = utxo.MaxInputs - 1
)

// need is that a link is worth making, since when and to what end.
type need struct {
	epoch   uint64
	removes bool
	since   time.Time
}

// consider proposes the next link, if it is worth making, may be made, and it is this node's turn. It returns
// when to look again.
func (k *keeper) consider(ctx context.Context, now time.Time) (time.Duration, error) {
	select {
	case <-k.up:
	default:
		return startUp, nil
	}
	present := k.state.Group()
	if _, votes := present.Voter(k.self.Public()); !votes || k.underWay() || k.voting().Link() != present.Link() {
		return idle, nil
	}
	var fresh []*store.Metadata
	acted := k.unacted()
	if len(acted) == 0 {
		var err error
		if fresh, err = k.unread(); err != nil {
			return 0, err
		}
	}
	next, err := k.state.Next(peersOf(fresh), acted)
	if err != nil {
		k.log.Warn("the next group cannot be computed", "epoch", present.Epoch()+1, "err", err)
		k.need = need{}
		return idle, nil
	}
	if !epoch.Worth(present, next) {
		k.need = need{}
		return idle, nil
	}
	if want := (need{epoch: next.Epoch(), removes: len(acted) > 0}); k.need.epoch != want.epoch || k.need.removes != want.removes {
		k.need, k.need.since = want, now
	}
	if wait := k.turn(now); wait > 0 {
		return wait, nil
	}
	draft, err := utxo.NewLink(k.last, outpoints(fresh), next, k.rules.EpochMS).Build()
	if err != nil {
		return 0, err
	}
	tx, err := draft.Sign(k.self).Finish()
	if err != nil {
		return 0, err
	}
	k.log.Info("proposing a link", "epoch", next.Epoch(), "tx", tx.ID, "reads", len(fresh), "removes", len(acted), "members", len(next.Members()))
	if err := k.propose(ctx, tx); err != nil {
		k.log.Warn("the link was not taken in", "tx", tx.ID, "err", err)
		return proposePatience, nil
	}
	return proposers * proposePatience, nil
}

// underWay reports whether a link that was found right is on its way here: another one would be its rival.
func (k *keeper) underWay() bool {
	k.right = slices.DeleteFunc(k.right, func(f *flight) bool {
		state, _ := f.standing()
		return state == lifecycle.Rejected
	})
	return len(k.right) > 0
}

// turn is how long this node has to wait before it proposes.
func (k *keeper) turn(now time.Time) time.Duration {
	rank := proposer(k.state.Group(), k.last, k.self.Public(), k.convicts)
	since := k.need.since
	if opens := time.UnixMilli(int64(min(k.opensMS, 1<<62))); !k.need.removes && opens.After(since) {
		since = opens
	}
	return since.Add(time.Duration(rank) * proposePatience).Sub(now)
}

// proposer is how many others come before a voter when a link has to be proposed: the facilitators of the first rounds
// for its outpoint, each once, without those that are to leave.
func proposer(g *group.Group, last utxo.Outpoint, self domain.PublicKey, leaves func(domain.PublicKey) bool) int {
	var before []domain.PublicKey
	for r := range uint32(proposers) {
		switch key := g.Voters()[conflict.FacilitatorOf(g, last, r+1)].Key; {
		case key == self:
			return len(before)
		case !leaves(key) && !slices.Contains(before, key):
			before = append(before, key)
		}
	}
	return len(before)
}

// convicts reports whether there is evidence against a key or another one of its peer.
func (k *keeper) convicts(key domain.PublicKey) bool {
	peer, known := k.state.PeerOf(key)
	return known && slices.ContainsFunc(k.evidence, func(c epoch.Conviction) bool {
		of, known := k.state.PeerOf(c.Key)
		return known && of == peer
	})
}

// unacted is the evidence against members, the lowest piece for each.
func (k *keeper) unacted() []epoch.Conviction {
	best := make(map[domain.Hash]epoch.Conviction)
	for _, c := range k.evidence {
		peer, known := k.state.PeerOf(c.Key)
		if !known || !slices.ContainsFunc(k.state.Group().Members(), func(m group.Member) bool { return m.PeerID == peer }) {
			continue
		}
		if old, there := best[peer]; !there || c.Evidence.Compare(old.Evidence) < 0 {
			best[peer] = c
		}
	}
	out := make([]epoch.Conviction, 0, len(best))
	for _, c := range best {
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b epoch.Conviction) int { return a.Evidence.Compare(b.Evidence) })
	return out
}
