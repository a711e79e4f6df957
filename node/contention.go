package node

import (
	"context"

	"github.com/notarynet/notaryd/conflict"
	"github.com/notarynet/notaryd/node/lifecycle"
	"github.com/notarynet/notaryd/proto/domain"
)

// contention owns who claims which outpoint. It tells a new claimant of its rivals, rivals of a new
// claimant, and the losers when a winner is final.
type contention struct {
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

type claim struct {
	kind   claimKind
	flight *flight
}

func newContention() *contention {
	return &contention{
		queue:   make(chan claim, 1024),
		claims:  conflict.NewClaims(),
		flights: make(map[domain.Hash]*flight),
	}
}

// claim registers the outpoints that a flight spends; answered by Claimed in its mailbox.
func (c *contention) claim(ctx context.Context, f *flight) bool { return c.send(ctx, claimMade, f) }

// won says that a flight is final: its rivals have lost.
func (c *contention) won(ctx context.Context, f *flight) bool { return c.send(ctx, claimWon, f) }

// drop takes a flight's claims back.
func (c *contention) drop(ctx context.Context, f *flight) bool { return c.send(ctx, claimDropped, f) }

func (c *contention) send(ctx context.Context, kind claimKind, f *flight) bool {
	select {
	case c.queue <- claim{kind, f}:
		return true
	case <-ctx.Done():
		return false
	}
}

func (c *contention) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case m := <-c.queue:
			c.handle(m)
		}
	}
}

func (c *contention) handle(m claim) {
	id := m.flight.tx.ID
	switch m.kind {
	case claimMade:
		rivals := c.claims.Claim(id, m.flight.tx.Spends())
		c.flights[id] = m.flight
		for _, r := range rivals {
			c.tell(r, lifecycle.Rivaled{Rival: id})
		}
		m.flight.box.post(lifecycle.Claimed{Rivals: rivals})
	case claimWon:
		for _, r := range c.claims.Rivals(id) {
			c.tell(r, lifecycle.Lost{Rival: id})
		}
		c.release(id)
	case claimDropped:
		c.release(id)
	}
}

func (c *contention) release(id domain.Hash) {
	if _, ok := c.flights[id]; ok {
		c.claims.Release(id)
		delete(c.flights, id)
	}
}

func (c *contention) tell(id domain.Hash, in lifecycle.Input) {
	if f := c.flights[id]; f != nil {
		f.box.post(in)
	}
}
