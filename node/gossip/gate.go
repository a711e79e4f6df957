package gossip

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/control"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// gate decides who may connect: no banned peer, no banned network, nobody without a node key. Of all
// connections the last quarter is for members and configured peers, so that a crowd of others cannot
// keep them out. How many a subnet may hold is the resource manager's to count.
type gate struct {
	networks []netip.Prefix
	// most is how many connections there may be before the rest is reserved; open is how many there are.
	most int64
	open atomic.Int64
	// reserved reports whether a peer may use the rest.
	reserved func(peer.ID) bool
	// turnedAway is set when somebody is refused for want of room.
	turnedAway atomic.Bool

	mu     sync.RWMutex
	banned map[peer.ID]time.Time
}

var _ connmgr.ConnectionGater = (*gate)(nil)

func newGate(c *Config, reserved func(peer.ID) bool) *gate {
	return &gate{networks: c.Banned, most: int64(c.MaxConnections) * 3 / 4, reserved: reserved, banned: map[peer.ID]time.Time{}}
}

// maxBans bounds the bans remembered. Beyond it those that end first are lifted.
const maxBans = 4096

// ban shuts a peer out until then.
func (g *gate) ban(id peer.ID, now, until time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.banned) >= maxBans {
		var first time.Time
		var who peer.ID
		for b, end := range g.banned {
			if !end.After(now) {
				delete(g.banned, b)
			} else if who == "" || end.Before(first) {
				first, who = end, b
			}
		}
		if len(g.banned) >= maxBans {
			delete(g.banned, who)
		}
	}
	g.banned[id] = until
}

func (g *gate) isBanned(id peer.ID, now time.Time) bool {
	g.mu.RLock()
	defer g.mu.RUnlock()
	until, ok := g.banned[id]
	return ok && now.Before(until)
}

// admits reports whether no banned network contains the address.
func (g *gate) admits(a ma.Multiaddr) bool {
	if len(g.networks) == 0 {
		return true
	}
	ip, err := manet.ToIP(a)
	if err != nil {
		return true // a name, resolved and asked again before it is dialled
	}
	addr, ok := netip.AddrFromSlice(ip)
	if !ok {
		return false
	}
	addr = addr.Unmap()
	for _, n := range g.networks {
		if n.Contains(addr) {
			return false
		}
	}
	return true
}

// InterceptPeerDial implements connmgr.ConnectionGater.
func (g *gate) InterceptPeerDial(id peer.ID) bool {
	_, node := NodeKey(id)
	return node && !g.isBanned(id, time.Now())
}

// InterceptAddrDial implements connmgr.ConnectionGater.
func (g *gate) InterceptAddrDial(_ peer.ID, a ma.Multiaddr) bool { return g.admits(a) }

// InterceptAccept implements connmgr.ConnectionGater.
func (g *gate) InterceptAccept(c network.ConnMultiaddrs) bool { return g.admits(c.RemoteMultiaddr()) }

// InterceptSecured implements connmgr.ConnectionGater.
func (g *gate) InterceptSecured(d network.Direction, id peer.ID, _ network.ConnMultiaddrs) bool {
	if !g.InterceptPeerDial(id) {
		return false
	}
	if d == network.DirOutbound || g.open.Load() < g.most || g.reserved(id) {
		return true
	}
	g.turnedAway.Store(true)
	return false
}

// InterceptUpgraded implements connmgr.ConnectionGater.
func (g *gate) InterceptUpgraded(network.Conn) (bool, control.DisconnectReason) { return true, 0 }
