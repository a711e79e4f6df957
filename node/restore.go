package node

import (
	"context"
	"errors"

	"github.com/notarynet/notaryd/conflict"
	"github.com/notarynet/notaryd/node/lifecycle"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/utxo"
)

// restore takes up what an earlier life left undecided: the votes on it that are stored are counted
// again, and each transaction starts its life over, knowing what this node has voted.
func (n *Node) restore(ctx context.Context) error {
	sh := n.sh
	var since uint64
	var undecided []*flight
	for p, err := range sh.store.PendingTransactions() {
		if err != nil {
			return err
		}
		tx, err := utxo.Decode(p.Raw, sh.rules)
		if err != nil {
			return errors.Join(errors.New("a transaction that this node voted on cannot be read back"), err)
		}
		if since == 0 || p.VotedMS < since {
			since = p.VotedMS
		}
		f := newFlight(tx, Origin{kind: fromStore, name: "store"}, sh.config.Fees)
		for _, r := range sh.batcher.guard.Records(tx.Spends()[0]) {
			if r.Tx == tx.ID {
				f.box.post(restored(r))
			}
		}
		undecided = append(undecided, f)
	}
	if len(undecided) == 0 {
		return nil
	}
	if err := n.recount(ctx, since); err != nil {
		return err
	}
	for _, f := range undecided {
		if err := sh.admission.admit(f.origin); err != nil {
			return err
		}
		if _, added := sh.flights.add(f); !added {
			sh.admission.leave()
			continue
		}
		sh.launch(f)
		sh.counting.join(ctx, f)
	}
	sh.log.Info("took up undecided transactions", "n", len(undecided))
	return nil
}

func restored(r conflict.Record) lifecycle.Restored {
	return lifecycle.Restored{
		Pending:  r.State == observation.Pending && r.Round == 0,
		Accepted: r.State == observation.Accepted,
		Round:    r.Round,
	}
}

// recountMargin is how much earlier than this node's first vote on an undecided transaction others may
// have voted on it, in milliseconds.
const recountMargin = 10 * 60 * 1000

// recount hands the stored votes since a time to the tallies.
func (n *Node) recount(ctx context.Context, sinceMS uint64) error {
	sh := n.sh
	for o, err := range sh.store.ObservationsSince(sinceMS - min(sinceMS, recountMargin)) {
		if err != nil {
			return err
		}
		if voter, ok := sh.group.Voter(o.Header.Key); ok && o.Header.Link == sh.group.Link() {
			sh.counting.count(ctx, ballots{o, sh.group, voter})
		}
	}
	return nil
}
