package node

import (
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
	c.each(f, func(s *contentionShard, spends []utxo.Outpoint) {
		here := s.claims.Claim(f.tx.ID, spends)
		s.flights[f.tx.ID] = f
		s.tell(here, lifecycle.Rivaled{Rival: f.tx.ID})
		rivals = append(rivals, here...)
	})
	return rivals
}

// won says that a flight is final: its rivals have lost.
func (c *contention) won(f *flight) {
	c.each(f, func(s *contentionShard, _ []utxo.Outpoint) {
		s.tell(s.claims.Rivals(f.tx.ID), lifecycle.Lost{Rival: f.tx.ID})
		s.release(f.tx.ID)
	})
}

// drop takes a flight's claims back.
func (c *contention) drop(f *flight) {
	c.each(f, func(s *contentionShard, _ []utxo.Outpoint) { s.release(f.tx.ID) })
}

// each visits every shard that holds one of the outpoints that a flight spends, with those.
func (c *contention) each(f *flight, visit func(*contentionShard, []utxo.Outpoint)) {
	all := f.tx.Spends()
	for i := range c.shards {
		spends := all
		if len(all) > 1 {
			spends = nil
			for _, o := range all {
				if c.shardOf(o) == i {
					spends = append(spends, o)
				}
			}
		}
		if len(spends) == 0 || c.shardOf(spends[0]) != i {
			continue
		}
		s := &c.shards[i]
		s.mu.Lock()
		visit(s, spends)
		s.mu.Unlock()
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
