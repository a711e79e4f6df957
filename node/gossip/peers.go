package gossip

import (
	"context"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/notarynet/notaryd/proto/domain"
)

// Peer is a connected node as operators see it.
type Peer struct {
	Key domain.PublicKey
	// Addr is the remote address of its oldest connection.
	Addr string
	// Inbound is set where the peer dialled.
	Inbound bool
	// Since is when that connection was made.
	Since time.Time
	// Topics is how many of the four topics it relays.
	Topics int
	// Meshes is in how many of their meshes it is, seen from here.
	Meshes int
	// Score is the router's, at most a second old.
	Score float64
	// Points of offences stand against it; they halve every five minutes.
	Points float64
	Member bool
}

// Peers lists the connected nodes by key.
func (n *Net) Peers() []Peer {
	relays := map[peer.ID]int{}
	for _, t := range n.topics {
		for _, id := range t.ListPeers() {
			relays[id]++
		}
	}
	var scores map[peer.ID]float64
	if s := n.scores.Load(); s != nil {
		scores = *s
	}
	now, meshes := time.Now(), n.tracer.meshes()
	oldest := map[domain.PublicKey]Peer{}
	for _, c := range n.host.Network().Conns() {
		id := c.RemotePeer()
		key, ok := NodeKey(id)
		if !ok {
			continue
		}
		if p, seen := oldest[key]; seen && !c.Stat().Opened.Before(p.Since) {
			continue
		}
		oldest[key] = Peer{
			Key: key, Addr: c.RemoteMultiaddr().String(), Inbound: c.Stat().Direction == network.DirInbound,
			Since: c.Stat().Opened, Topics: relays[id], Meshes: meshes[id], Score: scores[id],
			Points: n.ledger.points(key, now), Member: n.ledger.isMember(key),
		}
	}
	peers := make([]Peer, 0, len(oldest))
	for _, p := range oldest {
		peers = append(peers, p)
	}
	slices.SortFunc(peers, func(a, b Peer) int { return a.Key.Compare(b.Key) })
	return peers
}

// watchEvery is how often kept peers are looked at.
const watchEvery = 5 * time.Second

// watch reconnects to kept peers that are connected but, at two looks in a row, relay nothing: the router
// stops reopening its stream after four failures in ten minutes and would leave such a peer deaf.
func (n *Net) watch(ctx context.Context) {
	deaf := map[peer.ID]bool{}
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		relaying := n.topics[topicObs].ListPeers()
		for id := range n.keeper.lost {
			silent := n.host.Network().Connectedness(id) == network.Connected && !slices.Contains(relaying, id)
			if silent && deaf[id] {
				n.log.Warn("reconnecting to a peer that relays nothing", "peer", id.String())
				n.host.Network().ClosePeer(id)
				silent = false
			}
			deaf[id] = silent
		}
	}
}
