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
	tx, err := sh.received(ctx, raw)
	if err != nil {
		return nil, err
	}
	for {
		f, final, err := sh.submitted(ctx, tx, origin)
		if f == nil {
			return final, err
		}
		status, err := sh.await(ctx, f, level)
		if f.tx.FullHash != tx.FullHash && witnessed(err) {
			continue // the flight was that of a copy with a corrupt witness
		}
		return status, err
	}
}

// received decodes what a client sent, once the node has begun.
func (sh *shell) received(ctx context.Context, raw []byte) (*utxo.Tx, error) {
	tx, err := utxo.Decode(raw, sh.rules)
	if err != nil {
		return nil, err
	}
	return tx, sh.begun(ctx)
}

// submitted takes a client's transaction in. There is no flight where it is refused; but what is final stays so, room or
// not, and the answer is that. One that is final otherwise ends as soon as it has looked at what it spends.
func (sh *shell) submitted(ctx context.Context, tx *utxo.Tx, origin string) (*flight, *notaryv1.TransactionStatus, error) {
	f, err := sh.intake(ctx, tx, client(origin), false)
	if err == nil {
		return f, nil, nil
	}
	final, err := sh.refused(tx.ID, err)
	return nil, final, err
}

// refused is what a client is told whose transaction was not taken in: that it is final, or why it was not.
func (sh *shell) refused(id domain.Hash, why error) (*notaryv1.TransactionStatus, error) {
	if final, err := sh.finalStatus(id); final != nil || err != nil {
		return final, err
	}
	return nil, why
}

// client is the origin of what a client brings.
func client(name string) Origin { return Origin{kind: fromAPI, name: name} }

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
func (n *Node) Validate(_ context.Context, raw []byte, pay func(bytes int) error) (domain.Hash, error) {
	sh := n.sh
	if err := pay(len(raw)); err != nil {
		return domain.Hash{}, err
	}
	tx, err := utxo.Decode(raw, sh.rules)
	if err != nil {
		return domain.Hash{}, err
	}
	if final, err := sh.store.IsFinal(tx.ID); final || err != nil {
		return tx.ID, err
	}
	view := sh.store.View()
	at := utxo.Moment{NowMS: nowMS()}
	entries, known := utxo.Inputs(tx, view)
	if view.Err() != nil {
		return tx.ID, view.Err()
	}
	if err := utxo.ValidateAmong(tx, entries, known, at); err != nil {
		return tx.ID, err
	}
	if err := pay(costOfSignature * len(tx.Checks())); err != nil {
		return tx.ID, err
	}
	if err := tx.VerifySignatures(); err != nil {
		return tx.ID, err
	}
	return tx.ID, sh.config.Fees.At(at.NowMS).Check(tx, entries)
}
