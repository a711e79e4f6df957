package gossip

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
)

const (
	// redialBase is the first wait, redialCap the longest.
	redialBase = 50 * time.Millisecond
	redialCap  = 15 * time.Second
	// redialStable is how long a connection must last for the waits to start over: a peer that lets
	// us in and closes at once is not dialled in a tight loop.
	redialStable = 10 * time.Second
	dialTimeout  = 10 * time.Second
)

// redialDelay is the wait before attempt n (from 0): doubling from redialBase to redialCap, of which the
// second half is drawn by r in [0, 1), so that nodes that lost the same peer do not come back in step.
func redialDelay(n int, r float64) time.Duration {
	d := redialCap
	if n < 16 {
		d = min(redialBase<<n, redialCap)
	}
	return d/2 + time.Duration(r*float64(d/2))
}

// keeper holds connections to configured peers.
type keeper struct {
	host    host.Host
	metrics Metrics
	// lost wakes the goroutine of each kept peer; the map itself never changes.
	lost map[peer.ID]chan struct{}
}

func newKeeper(h host.Host, m Metrics, peers []peer.AddrInfo) *keeper {
	k := &keeper{host: h, metrics: m, lost: map[peer.ID]chan struct{}{}}
	for _, p := range peers {
		k.lost[p.ID] = make(chan struct{}, 1)
		h.Peerstore().AddAddrs(p.ID, p.Addrs, peerstore.PermanentAddrTTL)
		h.ConnManager().Protect(p.ID, "kept")
	}
	return k
}

// keeps reports whether a peer is a configured one.
func (k *keeper) keeps(p Peer) bool {
	_, kept := k.lost[PeerID(p.Key)]
	return kept
}

// disconnected notes that the last connection to a peer has gone.
func (k *keeper) disconnected(id peer.ID) {
	if lost, kept := k.lost[id]; kept {
		offer(lost, struct{}{})
	}
}

// keep dials one peer whenever it is not connected, until ctx ends.
func (k *keeper) keep(ctx context.Context, id peer.ID) {
	attempt, first := 0, true
	for {
		if !first {
			select {
			case <-ctx.Done():
				return
			case <-time.After(redialDelay(attempt, rand.Float64())):
			}
			attempt++
		}
		first = false
		if k.dial(ctx, id) != nil {
			if ctx.Err() != nil {
				return
			}
			continue
		}
		up := time.Now()
		for k.host.Network().Connectedness(id) == network.Connected {
			select {
			case <-ctx.Done():
				return
			case <-k.lost[id]:
			}
		}
		if time.Since(up) > redialStable {
			attempt = 0
		}
	}
}

// dial connects unless connected. libp2p's own back-off of 5 s and more after a refused dial is cleared
// first: waiting is the keeper's business, and a network that starts up all at once cannot wait that long.
func (k *keeper) dial(ctx context.Context, id peer.ID) error {
	if k.host.Network().Connectedness(id) == network.Connected {
		return nil
	}
	if s, ok := k.host.Network().(interface{ Backoff() *swarm.DialBackoff }); ok {
		s.Backoff().Clear(id)
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	if err := k.host.Connect(ctx, peer.AddrInfo{ID: id}); err != nil {
		k.metrics.Dials.WithLabelValues("failed").Inc()
		return err
	}
	k.metrics.Dials.WithLabelValues("ok").Inc()
	return nil
}
