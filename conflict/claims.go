package conflict

import (
	"slices"

	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/utxo"
)

// Claims say which live transactions want which outpoint: two on one outpoint are rivals. A contention shard holds
// the claims of its outpoints. Not for concurrent use.
type Claims struct {
	claimants map[utxo.Outpoint]claimants
	spends    map[domain.Hash][]utxo.Outpoint
}

// claimants of one outpoint in the order of their claims. Nearly all outpoints have one for ever.
type claimants struct {
	first domain.Hash
	more  []domain.Hash
}

// NewClaims makes an empty set of claims.
func NewClaims() *Claims {
	return &Claims{claimants: make(map[utxo.Outpoint]claimants), spends: make(map[domain.Hash][]utxo.Outpoint)}
}

// Claim enters a transaction for the outpoints it spends (those of this shard) and returns its rivals here, by
// ascending id. spends is kept and must not change. A claim made twice is one claim.
func (c *Claims) Claim(tx domain.Hash, spends []utxo.Outpoint) (rivals []domain.Hash) {
	if _, again := c.spends[tx]; !again {
		c.spends[tx] = spends
		for _, o := range spends {
			if at, taken := c.claimants[o]; taken {
				at.more = append(at.more, tx)
				c.claimants[o] = at
			} else {
				c.claimants[o] = claimants{first: tx}
			}
		}
	}
	return c.Rivals(tx)
}

// Rivals are the transactions that share an outpoint with tx, by ascending id, none twice.
func (c *Claims) Rivals(tx domain.Hash) []domain.Hash {
	var rivals []domain.Hash
	for _, o := range c.spends[tx] {
		at := c.claimants[o]
		if at.first != tx {
			rivals = append(rivals, at.first)
		}
		for _, id := range at.more {
			if id != tx {
				rivals = append(rivals, id)
			}
		}
	}
	if len(rivals) > 1 {
		slices.SortFunc(rivals, domain.Hash.Compare)
		rivals = slices.Compact(rivals)
	}
	return rivals
}

// Claimed reports whether a transaction has entered its claim.
func (c *Claims) Claimed(tx domain.Hash) bool {
	_, ok := c.spends[tx]
	return ok
}

// Claimants are the transactions that spend an outpoint, in the order of their claims.
func (c *Claims) Claimants(o utxo.Outpoint) []domain.Hash {
	at, taken := c.claimants[o]
	if !taken {
		return nil
	}
	return append([]domain.Hash{at.first}, at.more...)
}

// Release withdraws a transaction: it is final, rejected or given up.
func (c *Claims) Release(tx domain.Hash) {
	for _, o := range c.spends[tx] {
		at := c.claimants[o]
		switch {
		case at.first != tx:
			at.more = slices.DeleteFunc(at.more, func(id domain.Hash) bool { return id == tx })
		case len(at.more) > 0:
			at.first, at.more = at.more[0], at.more[1:]
		default:
			delete(c.claimants, o)
			continue
		}
		c.claimants[o] = at
	}
	delete(c.spends, tx)
}

// Len is the number of claims.
func (c *Claims) Len() int { return len(c.spends) }
