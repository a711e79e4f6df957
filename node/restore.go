package node

import (
	"context"
	"errors"

	"github.com/notarynet/notaryd/conflict"
	"github.com/notarynet/notaryd/node/lifecycle"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/utxo"
)

// undecided is what an earlier life left undecided.
type undecided struct {
	flights []*flight
	sinceMS uint64 // of the first vote
}

// undecided reads back what this node voted on. The batcher, whose guard it asks, must not run yet.
func (n *Node) undecided() (u undecided, err error) {
	sh := n.sh
	for p, err := range sh.store.PendingTransactions() {
		if err != nil {
			return u, err
		}
		tx, err := utxo.Decode(p.Raw, sh.rules)
		if err != nil {
			return u, errors.Join(errors.New("a transaction that this node voted on cannot be read back"), err)
		}
		if u.sinceMS == 0 || p.VotedMS < u.sinceMS {
			u.sinceMS = p.VotedMS
		}
		f := newFlight(tx, Origin{kind: fromStore, name: "store"}, &sh.config.Fees)
		f.box.post(restored(tx.ID, sh.batcher.guard.Records(tx.Spends()[0])))
		u.flights = append(u.flights, f)
	}
	return u, nil
}

// restore takes up what an earlier life left undecided: the votes on it that are stored are counted
// again, and each transaction starts its life over, knowing what this node has voted.
func (n *Node) restore(ctx context.Context, u undecided) error {
	sh := n.sh
	if len(u.flights) == 0 {
		return n.recount(ctx, sh.recentMS(), recentMargin)
	}
	for _, f := range u.flights {
		sh.counting.know(ctx, f.tx.ID) // or a busy hour's votes on others would push them out
	}
	if err := n.recount(ctx, u.sinceMS, recountMargin); err != nil {
		return err
	}
	for _, f := range u.flights {
		if err := sh.admission.admit(ctx, f.origin, len(f.tx.Raw)); err != nil {
			return err
		}
		if _, added := sh.flights.add(f); !added {
			sh.admission.leave(f.origin, len(f.tx.Raw), f.aside)
			continue
		}
		sh.join(f)
	}
	sh.log.Info("took up undecided transactions", "n", len(u.flights))
	return nil
}

// restored is what this node voted on a transaction, by the records of an outpoint of it: of several ACCEPTED the
// one of the highest round.
func restored(tx domain.Hash, records []conflict.Record) (in lifecycle.Restored) {
	for _, r := range records {
		switch {
		case r.Tx != tx:
		case r.State == observation.Accepted:
			in.Accepted, in.Round = true, max(in.Round, r.Round)
		case r.State == observation.Pending && r.Round == 0:
			in.Pending = true
		}
	}
	return in
}

// recountMargin is how much earlier than this node's first vote on an undecided transaction others may
// have voted on it, in milliseconds. Where nothing is undecided, recentMargin is how long before the end
// of this node's earlier life others may have named transactions that never reached it: their votes are
// stored, and counting them again asks for what is missing. Clocks that are off may put the others' votes
// earlier than that: the last recountFew observations of each chain are counted in any case.
const (
	recountFew    = 2000
	recountMargin = 10 * 60 * 1000
	recentMargin  = 30 * 1000
)

// recentMS is when this node last spoke, Unix milliseconds; 0 where it never has.
func (sh *shell) recentMS() uint64 {
	chain := observation.ChainID{Key: sh.self, SigningEpoch: sh.store.Signing().Epoch}
	o, found, err := sh.store.Observation(chain, sh.store.Head(chain).Height)
	if err != nil || !found {
		return 0 // a store that fails says so to whoever reads next
	}
	return o.Header.TimeMS
}

// recount hands the stored votes since a time to the tallies.
func (n *Node) recount(ctx context.Context, sinceMS, margin uint64) error {
	sh := n.sh
	if sinceMS == 0 {
		return nil
	}
	for o, err := range sh.store.ObservationsSince(sinceMS-min(sinceMS, margin), recountFew) {
		if err != nil {
			return err
		}
		if g, voter := sh.groupOf(&o.Header); g != nil {
			sh.counting.count(ctx, ballots{o, g, voter})
		}
	}
	return nil
}
