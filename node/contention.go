package node

import (
	"iter"
	"sync"

	"github.com/notarynet/notaryd/conflict"
	"github.com/notarynet/notaryd/node/lifecycle"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/utxo"
)

// contention is who claims which outpoint, in shards by outpoint, each under a lock that is held for as long as the
// maps take. It tells a new claimant of its rivals, rivals of a new claimant, and the losers when a winner is final.
// Shards need not agree with each other: of two rivals that meet in several, each is told of the other in every one.
type contention struct{ shards []contentionShard }

type contentionShard struct {
	mu      sync.Mutex
	claims  *conflict.Claims
	flights map[domain.Hash]*flight
}

// newContention makes so many shards, a power of two.
func newContention(shards int) *contention {
	c := &contention{shards: make([]contentionShard, shards)}
	for i := range c.shards {
		c.shards[i].claims, c.shards[i].flights = conflict.NewClaims(), make(map[domain.Hash]*flight)
	}
	return c
}

// claim registers the outpoints that a flight spends, and returns who else does.
func (c *contention) claim(f *flight) (rivals []domain.Hash) {
	for i, spends := range c.parts(f) {
		s := &c.shards[i]
		s.mu.Lock()
		here := s.claims.Claim(f.tx.ID, spends)
		s.flights[f.tx.ID] = f
		if len(here) > 0 {
			s.tell(here, lifecycle.Rivaled{Rival: f.tx.ID})
			rivals = append(rivals, here...)
		}
		s.mu.Unlock()
	}
	return rivals
}

// won says that a flight is final: its rivals have lost.
func (c *contention) won(f *flight) {
	for i := range c.parts(f) {
		s := &c.shards[i]
		s.mu.Lock()
		if rivals := s.claims.Rivals(f.tx.ID); len(rivals) > 0 {
			s.tell(rivals, lifecycle.Lost{Rival: f.tx.ID})
		}
		s.release(f.tx.ID)
		s.mu.Unlock()
	}
}

// drop takes a flight's claims back.
func (c *contention) drop(f *flight) {
	for i := range c.parts(f) {
		s := &c.shards[i]
		s.mu.Lock()
		s.release(f.tx.ID)
		s.mu.Unlock()
	}
}

// parts are the shards that hold one of the outpoints that a flight spends, each with those.
func (c *contention) parts(f *flight) iter.Seq2[int, []utxo.Outpoint] {
	return func(yield func(int, []utxo.Outpoint) bool) {
		all := f.tx.Spends()
		if len(all) == 1 {
			yield(c.shardOf(all[0]), all)
			return
		}
		for i := range c.shards {
			var here []utxo.Outpoint
			for _, o := range all {
				if c.shardOf(o) == i {
					here = append(here, o)
				}
			}
			if len(here) > 0 && !yield(i, here) {
				return
			}
		}
	}
}

// shardOf spreads outpoints, those of one transaction too.
func (c *contention) shardOf(o utxo.Outpoint) int {
	return int(o.Tx[0]^byte(o.Index)) & (len(c.shards) - 1)
}

func (s *contentionShard) release(id domain.Hash) {
	if _, ok := s.flights[id]; ok {
		s.claims.Release(id)
		delete(s.flights, id)
	}
}

func (s *contentionShard) tell(ids []domain.Hash, in lifecycle.Input) {
	for _, id := range ids {
		if f := s.flights[id]; f != nil {
			f.box.post(in)
		}
	}
}
