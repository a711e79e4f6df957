package conflict

import (
	"slices"

	"github.com/notarynet/notaryd/utxo"
)

// Claims say which live transactions want which outpoint: two on one outpoint are rivals. Transactions are named by
// whatever is at hand, an id or a pointer. A contention shard holds the claims of its outpoints. Not for concurrent use.
type Claims[T comparable] struct {
	claimants map[utxo.Outpoint]claimants[T]
}

// claimants of one outpoint in the order of their claims. Nearly all outpoints have one for ever.
type claimants[T comparable] struct {
	first T
	more  []T
}

// NewClaims makes an empty set of claims.
func NewClaims[T comparable]() *Claims[T] {
	return &Claims[T]{claimants: make(map[utxo.Outpoint]claimants[T])}
}

// Claim enters a transaction for an outpoint that it spends and returns its rivals there, in the order of their claims. A
// claim made twice is one claim.
func (c *Claims[T]) Claim(o utxo.Outpoint, tx T) (rivals []T) {
	at, taken := c.claimants[o]
	if !taken {
		c.claimants[o] = claimants[T]{first: tx}
		return nil
	}
	if at.first != tx && !slices.Contains(at.more, tx) {
		at.more = append(at.more, tx)
		c.claimants[o] = at
	}
	return at.others(tx)
}

// Release withdraws a transaction's claim of an outpoint, if it has one, and returns who else claims that: it is final,
// rejected or given up.
func (c *Claims[T]) Release(o utxo.Outpoint, tx T) (rivals []T) {
	at, taken := c.claimants[o]
	if !taken {
		return nil
	}
	rivals = at.others(tx)
	if len(rivals) == 0 {
		delete(c.claimants, o)
		return nil
	}
	c.claimants[o] = claimants[T]{first: rivals[0], more: slices.Clone(rivals[1:])}
	return rivals
}

// others are all claimants but one.
func (a *claimants[T]) others(tx T) []T {
	var others []T
	if a.first != tx {
		others = append(others, a.first)
	}
	for _, other := range a.more {
		if other != tx {
			others = append(others, other)
		}
	}
	return others
}

// Claimants are the transactions that spend an outpoint, in the order of their claims.
func (c *Claims[T]) Claimants(o utxo.Outpoint) []T {
	at, taken := c.claimants[o]
	if !taken {
		return nil
	}
	return append([]T{at.first}, at.more...)
}

// Len is the number of outpoints that are claimed.
func (c *Claims[T]) Len() int { return len(c.claimants) }
