package gossip

import (
	"cmp"
	"context"
	"math/rand/v2"
	"slices"
	"time"
)

const (
	// rotateEvery is how often one neighbour makes room while others are turned away, rotateGrace how long each
	// may stay at the least, and rotateAway how long it stays away, or it would be the first to take the room.
	rotateEvery = 10 * time.Second
	rotateGrace = time.Minute
	rotateAway  = 30 * time.Second
)

// rotate makes room where a crowd holds every connection that is anybody's: libp2p trims nobody whom the router has in
// a mesh, and a crowd gets there by being early. Members and configured peers stay.
func (n *Net) rotate(ctx context.Context) {
	tick := time.NewTicker(rotateEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			// Where there is no connection left at all, whoever comes is refused before the gate sees him.
			full := n.gate.open.Load() >= int64(n.config.MaxConnections)
			if !n.gate.turnedAway.Swap(false) && !full {
				continue
			}
			if p, ok := leaver(n.Peers(), n.keeper.keeps, now, rand.IntN); ok {
				n.log.Debug("making room", "peer", p.Key, "score", p.Score)
				n.gate.ban(PeerID(p.Key), now, now.Add(rotateAway))
				n.host.Network().ClosePeer(PeerID(p.Key))
			}
		}
	}
}

// leaver draws one of the worse half, by score, of those that may have to go.
func leaver(peers []Peer, kept func(Peer) bool, now time.Time, draw func(n int) int) (Peer, bool) {
	peers = slices.DeleteFunc(peers, func(p Peer) bool { return p.Member || kept(p) || now.Sub(p.Since) < rotateGrace })
	if len(peers) == 0 {
		return Peer{}, false
	}
	slices.SortStableFunc(peers, func(a, b Peer) int { return cmp.Compare(a.Score, b.Score) })
	return peers[draw((len(peers)+1)/2)], true
}
