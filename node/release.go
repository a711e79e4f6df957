package node

import (
	"context"
	"slices"

	"github.com/notarynet/notaryd/conflict"
	"github.com/notarynet/notaryd/node/store"
	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
	"github.com/notarynet/notaryd/utxo"
)

// How the batcher's guard comes to let go: of what is final, and of what is refused for good.

// rejected is a transaction that is refused for good.
type rejected struct {
	tx  *utxo.Tx
	err error
}

// reject releases the locks on a transaction that is refused for good.
func (b *batcher) reject(ctx context.Context, tx *utxo.Tx, err error) {
	put(ctx, b.lost, rejected{tx, err})
}

// lose ends what binds this node to a transaction that is refused for good: its own votes, and locks that it inherited.
func (b *batcher) lose(ctx context.Context, r rejected) error {
	if b.voting(r.tx.ID) {
		if err := b.flush(ctx); err != nil { // else its votes would be written after its end
			return err
		}
	}
	stored, found, err := b.store.Transaction(r.tx.ID)
	if err != nil {
		return err
	}
	return b.free(ctx, r.tx.ID, r.tx.Spends(), r.err, found && stored.Pending)
}

// voting reports whether votes on a transaction wait to be written.
func (b *batcher) voting(tx domain.Hash) bool {
	return slices.ContainsFunc(b.batch.Transactions, func(t *utxo.Tx) bool { return t.ID == tx })
}

// free writes down that a transaction is refused for good, where this node voted on it or is locked on it, and tells
// the contests of the locks that go with it: they may have been refused votes for its rivals till now.
func (b *batcher) free(ctx context.Context, tx domain.Hash, spends []utxo.Outpoint, why error, voted bool) error {
	b.bonds.end(tx)
	released := b.guard.Reject(tx, spends)
	if !voted && len(released) == 0 {
		return nil
	}
	rejection := store.Rejection{Tx: tx, Reason: refusal.ReasonOf(why), Detail: why.Error(), TimeMS: nowMS()}
	err := b.space.write(ctx, func() error {
		return b.store.Reject([]store.Rejected{{Rejection: rejection, Released: released}})
	})
	if err == nil && len(released) > 0 {
		b.freed(conflict.Freed{Spends: spends, Records: b.records(spends)})
	}
	return err
}

// bind notes what was taken over, and frees what is locked on transactions that lost against something final before: nobody will
// tell of their rejection again.
func (b *batcher) bind(ctx context.Context, taken []conflict.Bond) error {
	for _, bond := range taken {
		b.bonds.add(bond)
	}
	for _, bond := range taken {
		for _, o := range b.bonds.spends(bond.Tx) {
			entry, found, err := b.store.Lookup(o)
			if err != nil {
				return err
			}
			if !found || entry.SpentBy.IsZero() {
				continue
			}
			if entry.SpentBy == bond.Tx {
				b.bonds.end(bond.Tx)
			} else if err := b.unbind(ctx, bond.Tx, o, entry.SpentBy); err != nil {
				return err
			}
			break
		}
	}
	return nil
}

// unbind frees what is locked on a transaction by inheritance, since another one has spent an outpoint for good.
func (b *batcher) unbind(ctx context.Context, tx domain.Hash, o utxo.Outpoint, by domain.Hash) error {
	why := refusal.New(notaryv1.Reason_REASON_OUTPOINT_SPENT, "inputs", "outpoint %v: %v %s", o, errSpentByRival, by)
	return b.free(ctx, tx, b.bonds.spends(tx), why, false)
}

// settle drops the guard's records of what a final transaction spends, as the store has done: rivals are refused from
// now on by looking at the live set. One that this node is bound to by inheritance alone need not be on its way here, and
// then nobody else will say that it has lost.
func (b *batcher) settle(ctx context.Context, final *utxo.Tx) error {
	b.bonds.end(final.ID)
	for _, o := range final.Spends() {
		b.guard.Settle(o, final.ID)
		for _, tx := range b.bonds.on(o) {
			if b.voting(tx) {
				continue // it is on its way and will be rejected
			}
			if err := b.unbind(ctx, tx, o, final.ID); err != nil {
				return err
			}
		}
	}
	return nil
}
