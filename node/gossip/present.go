package gossip

import (
	"slices"
	"sync"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
)

// present knows the connections of each peer, as the host reports them one by one. How many the host has by the time that it reports one
// says nothing of that: two that dial each other at once have two at both reports. That one is closed may be reported after the next one
// has come: it counts no more as soon as it is.
type present struct {
	mu    sync.Mutex
	conns map[peer.ID][]network.Conn
}

// enter takes in a connection, and reports whether it is the only open one of its peer.
func (p *present) enter(c network.Conn) (first bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conns == nil {
		p.conns = make(map[peer.ID][]network.Conn)
	}
	id := c.RemotePeer()
	first = !slices.ContainsFunc(p.conns[id], func(o network.Conn) bool { return !o.IsClosed() })
	p.conns[id] = append(p.conns[id], c)
	return first
}

// leave forgets one that has been closed.
func (p *present) leave(c network.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	id := c.RemotePeer()
	left := slices.DeleteFunc(p.conns[id], func(o network.Conn) bool { return o == c })
	if len(left) == 0 {
		delete(p.conns, id)
		return
	}
	p.conns[id] = left
}
