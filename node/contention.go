package node

import (
	"sync"

	"github.com/notarynet/notaryd/conflict"
	"github.com/notarynet/notaryd/node/lifecycle"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/utxo"
)

// contention is who claims which outpoint, in shards by outpoint, each under a lock that is held for as long as the
// map takes. It tells a new claimant of its rivals, rivals of a new claimant, and the losers when a winner is final. Of two
// rivals that meet at several outpoints, each is told of the other at every one.
type contention struct{ shards []contentionShard }

type contentionShard struct {
	mu     sync.Mutex
	claims *conflict.Claims[*flight]
}

// newContention makes so many shards, a power of two.
func newContention(shards int) *contention {
	c := &contention{shards: make([]contentionShard, shards)}
	for i := range c.shards {
		c.shards[i].claims = conflict.NewClaims[*flight]()
	}
	return c
}

// claim registers the outpoints that a flight spends, and returns who else does.
func (c *contention) claim(f *flight) (rivals []domain.Hash) {
	for _, o := range f.tx.Spends() {
		s := c.shard(o)
		s.mu.Lock()
		for _, rival := range s.claims.Claim(o, f) {
			rival.box.post(lifecycle.Rivaled{Rival: f.tx.ID})
			rivals = append(rivals, rival.tx.ID)
		}
		s.mu.Unlock()
	}
	return rivals
}

// won says that a flight is final: its rivals have lost.
func (c *contention) won(f *flight) {
	for _, o := range f.tx.Spends() {
		s := c.shard(o)
		s.mu.Lock()
		for _, rival := range s.claims.Release(o, f) {
			rival.box.post(lifecycle.Lost{Rival: f.tx.ID})
		}
		s.mu.Unlock()
	}
}

// drop takes a flight's claims back.
func (c *contention) drop(f *flight) {
	for _, o := range f.tx.Spends() {
		s := c.shard(o)
		s.mu.Lock()
		s.claims.Release(o, f)
		s.mu.Unlock()
	}
}

// shard spreads outpoints, those of one transaction too.
func (c *contention) shard(o utxo.Outpoint) *contentionShard {
	return &c.shards[int(o.Tx[0]^byte(o.Index))&(len(c.shards)-1)]
}
