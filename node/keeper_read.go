package node

import (
	"github.com/notarynet/notaryd/node/store"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	"github.com/notarynet/notaryd/utxo"
)

// What a link reads is for its proposer to choose, and there is room for little of it: whoever is proposed for must not be
// pushed out by those who can be made up at the price of some work. So members come first, then whom they label, then whom
// these label, and so on. Whom none of that leads to changes no group, whatever it says, and no link reads it.

// unread is the metadata that no link has read yet: of the members, the seeds and some others first, then of those that a positive
// label of theirs leads to, the nearest first.
func (k *keeper) unread(others ...domain.Hash) (read []*store.Metadata, err error) {
	roots := others
	for _, m := range k.state.Group().Members() {
		roots = append(roots, m.PeerID)
	}
	for _, s := range k.state.Seeds() {
		roots = append(roots, s.Peer)
	}
	full := k.circle.full
	if err := k.circle.draw(k.state.Group().Link(), roots); err != nil {
		return nil, err
	}
	if k.circle.full && !full {
		k.log.Warn("labels lead to more peers than there is room for: the nearest are looked at", "bytes", k.circle.room, "peers", len(k.circle.order))
	}
	for _, m := range k.circle.order {
		if old := k.state.Read(m.Peer.ID); old == nil || old.Version < m.Peer.Version {
			read = append(read, m)
		}
	}
	return read[:min(len(read), maxRead)], nil
}

// peersOf is what some metadata says.
func peersOf(read []*store.Metadata) []*group.Peer {
	peers := make([]*group.Peer, len(read))
	for i, m := range read {
		peers[i] = m.Peer
	}
	return peers
}

// outpoints are where some metadata is.
func outpoints(read []*store.Metadata) []utxo.Outpoint {
	at := make([]utxo.Outpoint, len(read))
	for i, m := range read {
		at[i] = m.Outpoint
	}
	return at
}
