package gossip

import (
	"sync"

	"github.com/libp2p/go-libp2p/core/peer"
)

// present counts the connections of each peer, as the host reports them one by one. How many the host has by the time that it reports one
// says nothing of that: two that dial each other at once have two at both reports.
type present struct {
	mu    sync.Mutex
	conns map[peer.ID]int
}

// enter counts a connection more, and reports whether it is the first of a peer.
func (p *present) enter(id peer.ID) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conns == nil {
		p.conns = make(map[peer.ID]int)
	}
	p.conns[id]++
	return p.conns[id] == 1
}

// leave counts one less.
func (p *present) leave(id peer.ID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conns[id]--; p.conns[id] <= 0 {
		delete(p.conns, id)
	}
}
