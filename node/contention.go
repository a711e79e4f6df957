package node

import (
	"context"

	"github.com/notarynet/notaryd/conflict"
	"github.com/notarynet/notaryd/node/lifecycle"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/utxo"
)

// contention owns who claims which outpoint, in shards by outpoint, one goroutine each. It tells a new
// claimant of its rivals, rivals of a new claimant, and the losers when a winner is final. Shards need not
// agree with each other: of two rivals that meet in several, each is told of the other in every one.
type contention struct{ shards []*contentionShard }

type contentionShard struct {
	queue   chan claim
	claims  *conflict.Claims
	flights map[domain.Hash]*flight
}

type claimKind uint8

const (
	claimMade claimKind = iota
	claimWon
	claimDropped
)

// claim is a message to one shard, about those outpoints of a flight that lie in it.
type claim struct {
	kind   claimKind
	flight *flight
	spends []utxo.Outpoint
}

// claimedPart is one shard's answer to a claim. The machine is told when all have answered.
type claimedPart struct{ lifecycle.Claimed }

func newContention(shards int) *contention {
	c := &contention{}
	for range shards {
		c.shards = append(c.shards, &contentionShard{
			queue:   make(chan claim, 1024),
			claims:  conflict.NewClaims(),
			flights: make(map[domain.Hash]*flight),
		})
	}
	return c
}

// claim registers the outpoints that a flight spends. Every shard concerned answers with a claimedPart in
// the flight's mailbox; parts is how many.
func (c *contention) claim(ctx context.Context, f *flight) (parts int, ok bool) {
	return c.send(ctx, claimMade, f)
}

// won says that a flight is final: its rivals have lost.
func (c *contention) won(ctx context.Context, f *flight) { c.send(ctx, claimWon, f) }

// drop takes a flight's claims back.
func (c *contention) drop(ctx context.Context, f *flight) { c.send(ctx, claimDropped, f) }

// send tells every shard that holds one of the outpoints.
func (c *contention) send(ctx context.Context, kind claimKind, f *flight) (parts int, ok bool) {
	spends := f.tx.Spends()
	for i, s := range c.shards {
		m := claim{kind: kind, flight: f}
		for _, o := range spends {
			if c.shardOf(o) == i {
				m.spends = append(m.spends, o)
			}
		}
		if len(m.spends) == 0 {
			continue
		}
		select {
		case s.queue <- m:
			parts++
		case <-ctx.Done():
			return parts, false
		}
	}
	return parts, true
}

// shardOf spreads outpoints, those of one transaction too. The number of shards is a power of two.
func (c *contention) shardOf(o utxo.Outpoint) int {
	return int(o.Tx[0]^byte(o.Index)) & (len(c.shards) - 1)
}

func (s *contentionShard) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case m := <-s.queue:
			s.handle(m)
		}
	}
}

func (s *contentionShard) handle(m claim) {
	id := m.flight.tx.ID
	switch m.kind {
	case claimMade:
		rivals := s.claims.Claim(id, m.spends)
		s.flights[id] = m.flight
		for _, r := range rivals {
			s.tell(r, lifecycle.Rivaled{Rival: id})
		}
		m.flight.box.post(claimedPart{lifecycle.Claimed{Rivals: rivals}})
	case claimWon:
		for _, r := range s.claims.Rivals(id) {
			s.tell(r, lifecycle.Lost{Rival: id})
		}
		s.release(id)
	case claimDropped:
		s.release(id)
	}
}

func (s *contentionShard) release(id domain.Hash) {
	if _, ok := s.flights[id]; ok {
		s.claims.Release(id)
		delete(s.flights, id)
	}
}

func (s *contentionShard) tell(id domain.Hash, in lifecycle.Input) {
	if f := s.flights[id]; f != nil {
		f.box.post(in)
	}
}
