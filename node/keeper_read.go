package node

import (
	"cmp"
	"slices"

	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	"github.com/notarynet/notaryd/utxo"
)

// What a link reads is for its proposer to choose, and there is room for little of it: whoever is proposed for must not be
// pushed out by those who can be made up at the price of some work. So members come first, then whom they label, then whom
// these label, and so on. Whom none of that leads to changes no group, whatever it says, and no link reads it.

// unread is the metadata that no link has read yet: of the members, the seeds and some others first, then of those that a positive
// label of theirs leads to, the nearest first. reached is how many these are; all further ones follow.
func (k *keeper) unread(others ...domain.Hash) (read []*group.Peer, reached int) {
	near := k.near(others)
	rank := func(p *group.Peer) int {
		if r, ok := near[p.ID]; ok {
			return r
		}
		return len(near) // none is as far away
	}
	link := k.state.Group().Link()
	late := func(p *group.Peer) int { return max(0, link.Compare(p.ID)) } // ids from the link on come first, so that nobody is always the last
	for id, m := range k.newest {
		if old := k.state.Read(id); old == nil || old.Version < m.Peer.Version {
			read = append(read, m.Peer)
			if _, ok := near[id]; ok {
				reached++
			}
		}
	}
	slices.SortFunc(read, func(a, b *group.Peer) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(late(a), late(b)), a.ID.Compare(b.ID))
	})
	return read, reached
}

// near is how many positive labels lead to a peer, by the newest metadata that is known: 0 for the members, the seeds and some others.
func (k *keeper) near(others []domain.Hash) map[domain.Hash]int {
	near := make(map[domain.Hash]int)
	var queue []domain.Hash
	enter := func(id domain.Hash, rank int) {
		if _, there := near[id]; !there && !id.IsZero() {
			near[id] = rank
			queue = append(queue, id)
		}
	}
	for _, m := range k.state.Group().Members() {
		enter(m.PeerID, 0)
	}
	for _, s := range k.state.Seeds() {
		enter(s.Peer, 0)
	}
	for _, id := range others {
		enter(id, 0)
	}
	for len(queue) > 0 {
		id := queue[0]
		queue = queue[1:]
		m, spoke := k.newest[id]
		if !spoke {
			continue
		}
		for _, l := range m.Peer.Labels {
			if _, speaks := k.newest[l.Peer]; speaks && l.Score > 0 {
				enter(l.Peer, near[id]+1)
			}
		}
	}
	return near
}

// fresh is what the next link should read: as much as it may of what could change the group.
func (k *keeper) fresh() []*group.Peer {
	read, reached := k.unread()
	return read[:min(reached, maxRead)]
}

// outpoints are where the newest metadata of some peers is.
func (k *keeper) outpoints(read []*group.Peer) []utxo.Outpoint {
	at := make([]utxo.Outpoint, len(read))
	for i, p := range read {
		at[i] = k.newest[p.ID].Outpoint
	}
	return at
}
