package node

import (
	"context"

	"github.com/notarynet/notaryd/node/lifecycle"
	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/utxo"
)

// Submit takes a transaction in and waits until it has reached a level, is rejected, or ctx ends.
func (n *Node) Submit(ctx context.Context, origin string, raw []byte, level notaryv1.WaitLevel) (*notaryv1.TransactionStatus, error) {
	sh := n.sh
	tx, err := utxo.Decode(raw, sh.rules)
	if err != nil {
		return nil, err
	}
	if err := sh.begun(ctx); err != nil {
		return nil, err
	}
	for {
		// One that is final already ends as soon as it has looked at what it spends.
		f, err := sh.intake(ctx, tx, Origin{kind: fromAPI, name: origin}, false)
		if err != nil {
			// No room, or refused as spent: but what is final stays so, and the answer the same.
			if s, e := sh.finalStatus(tx.ID); s != nil || e != nil {
				return s, e
			}
			return nil, err
		}
		status, err := sh.await(ctx, f, level)
		if f.tx.FullHash != tx.FullHash && witnessed(err) {
			continue // the flight was that of a copy with a corrupt witness
		}
		return status, err
	}
}

// arrival is closed when a flight is where somebody waits for it.
type arrival chan struct{}

func (a arrival) arrived(lifecycle.State) { close(a) }

// await waits until a flight has reached a level.
func (sh *shell) await(ctx context.Context, f *flight, level notaryv1.WaitLevel) (*notaryv1.TransactionStatus, error) {
	arrived := make(arrival)
	if f.await(vigil{level, arrived}) {
		select {
		case <-arrived:
		case <-ctx.Done():
			f.leave(arrived)
			return sh.status(context.WithoutCancel(ctx), f), ctx.Err()
		}
	}
	return sh.awaited(ctx, f, level)
}

// awaited is what came of a wait that is over.
func (sh *shell) awaited(ctx context.Context, f *flight, level notaryv1.WaitLevel) (*notaryv1.TransactionStatus, error) {
	switch state, err := f.standing(); {
	case state == lifecycle.Rejected:
		return sh.status(ctx, f), err
	case reached(state, level):
		if state == lifecycle.Final {
			sh.settle(ctx, f.tx.ID)
		}
		return sh.status(ctx, f), nil
	default:
		return nil, shuttingDown()
	}
}

// reached reports whether a state is at or beyond a level.
func reached(s lifecycle.State, level notaryv1.WaitLevel) bool {
	switch level {
	case notaryv1.WaitLevel_WAIT_LEVEL_PENDING:
		return s == lifecycle.Pending || s == lifecycle.Accepted || s == lifecycle.Final
	case notaryv1.WaitLevel_WAIT_LEVEL_ACCEPTED:
		return s == lifecycle.Accepted || s == lifecycle.Final
	case notaryv1.WaitLevel_WAIT_LEVEL_FINAL:
		return s == lifecycle.Final
	default:
		return true
	}
}

// Validate checks a transaction as a vote would and changes nothing.
func (n *Node) Validate(_ context.Context, raw []byte) (domain.Hash, error) {
	sh := n.sh
	tx, err := utxo.Decode(raw, sh.rules)
	if err != nil {
		return domain.Hash{}, err
	}
	if final, err := sh.store.IsFinal(tx.ID); final || err != nil {
		return tx.ID, err
	}
	view := sh.store.View()
	at := utxo.Moment{NowMS: nowMS()}
	delta, err := utxo.ValidateSigned(tx, view, at)
	if view.Err() != nil {
		return tx.ID, view.Err()
	}
	if err != nil {
		return tx.ID, err
	}
	return tx.ID, sh.config.Fees.At(at.NowMS).Check(tx, delta)
}
