package client

import (
	"sync/atomic"

	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
)

// Memory keeps the groups that proofs have led to, so that later ones need fewer links: wallet.Networks
// is one. It is called concurrently.
type Memory interface {
	// Anchors are those kept of a network, genesis aside.
	Anchors(network domain.Hash) ([]observation.Anchor, error)
	// Remember keeps further ones.
	Remember(network domain.Hash, anchors []observation.Anchor) error
}

// WithMemory begins with the groups that a memory keeps of the network, and adds to them. Without one
// they are forgotten with the client.
func WithMemory(m Memory) Option { return func(o *options) { o.memory = m } }

// known is what a client trusts: the genesis document, and what was walked to from there.
type known struct {
	memory Memory
	root   atomic.Pointer[observation.Root]
}

// begin trusts a genesis document and what is remembered.
func (k *known) begin(g *group.Genesis) error {
	root := Root(g)
	if k.memory != nil {
		anchors, err := k.memory.Anchors(g.ID)
		if err != nil {
			return err
		}
		root = root.With(anchors...)
	}
	k.root.Store(&root)
	return nil
}

// learn keeps what a proof led to.
func (k *known) learn(network domain.Hash, anchors []observation.Anchor) error {
	if len(anchors) == 0 {
		return nil
	}
	for {
		old := k.root.Load()
		next := old.With(anchors...)
		if k.root.CompareAndSwap(old, &next) {
			break
		}
	}
	if k.memory == nil {
		return nil
	}
	return k.memory.Remember(network, anchors)
}

// Known is the latest group that this client knows to be final.
func (c *Client) Known() *group.Group { return c.known.root.Load().Latest() }
