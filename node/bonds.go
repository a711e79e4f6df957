package node

import (
	"slices"

	"github.com/notarynet/notaryd/conflict"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/utxo"
)

// bonds are the transactions that this node is bound to by inheritance, with all that they spend, until they are settled. The zero
// value has none. Not for concurrent use.
type bonds struct {
	of map[domain.Hash][]utxo.Outpoint
	by map[utxo.Outpoint][]domain.Hash
}

// add notes a bond; of one that is there already what it spends comes together.
func (b *bonds) add(bond conflict.Bond) {
	if b.of == nil {
		b.of, b.by = make(map[domain.Hash][]utxo.Outpoint), make(map[utxo.Outpoint][]domain.Hash)
	}
	for _, o := range bond.Spends {
		if !slices.Contains(b.of[bond.Tx], o) {
			b.of[bond.Tx] = append(b.of[bond.Tx], o)
			b.by[o] = append(b.by[o], bond.Tx)
		}
	}
}

// end forgets a transaction that is settled.
func (b *bonds) end(tx domain.Hash) {
	for _, o := range b.of[tx] {
		if left := slices.DeleteFunc(b.by[o], func(id domain.Hash) bool { return id == tx }); len(left) > 0 {
			b.by[o] = left
		} else {
			delete(b.by, o)
		}
	}
	delete(b.of, tx)
}

// spends is what a transaction spends so far as is known, nil where this node is not bound to it.
func (b *bonds) spends(tx domain.Hash) []utxo.Outpoint { return b.of[tx] }

// on are the transactions that spend an outpoint. The caller may end them while it goes through the list.
func (b *bonds) on(o utxo.Outpoint) []domain.Hash {
	if len(b.by) == 0 {
		return nil
	}
	return slices.Clone(b.by[o])
}

// carry are the bonds of the next epoch, ascending: those that were taken over now, and those of before that are not settled.
func carry(before bonds, e *conflict.Enter) (carried []conflict.Bond) {
	now := bondsOf(e.Bonds)
	for _, l := range e.Stated {
		spends := now.spends(l.Tx)
		if spends == nil {
			spends = before.spends(l.Tx)
		}
		if spends != nil {
			carried = append(carried, conflict.Bond{Tx: l.Tx, Spends: spends})
		}
	}
	return carried
}

// bondsOf indexes bonds.
func bondsOf(list []conflict.Bond) (b bonds) {
	for _, bond := range list {
		b.add(bond)
	}
	return b
}
