package node

import (
	"context"
	"time"

	"github.com/notarynet/notaryd/conflict"
	"github.com/notarynet/notaryd/node/lifecycle"
	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
	"github.com/notarynet/notaryd/utxo"
)

// longWait is how long a transaction stands where it is before its goroutine gives its stack up.
const longWait = time.Second

// sweep tells flights whose votes have led to nothing for too long that rounds must begin, and has those that wait for
// long already do so on a small stack. One walk over all of them now and then is cheaper than a timer each.
func (sh *shell) sweep(ctx context.Context) {
	tick := time.NewTicker(min(sh.config.StallAfter/4, longWait))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		sh.space.look()
		sh.hands.trim()
		for _, f := range sh.flights.all() {
			f.mu.Lock()
			waits := f.state == lifecycle.Valid || f.state == lifecycle.Pending || f.state == lifecycle.Accepted
			stands := time.Since(f.since)
			stout := !f.slim && !f.since.IsZero() && stands > longWait
			f.mu.Unlock()
			switch {
			case waits && stands > sh.config.StallAfter:
				f.box.post(lifecycle.Stalled{})
			case stout:
				f.box.tire()
			}
		}
	}
}

// support takes a transaction that lost to a final rival, and that somebody still votes for, into the
// contests together with the winner, so that the winner is supported there: without this, a peer that
// missed a few votes can be left behind for ever. One that is in the contests already must hear of the
// winner in any case, or it would stay there for ever.
func (sh *shell) support(ctx context.Context, lost *flight) error {
	votes, err := sh.counting.votes(ctx, lost.tx.ID)
	if err != nil || len(votes) == 0 && !lost.contested {
		return err
	}
	for _, o := range lost.tx.Spends() {
		entry, found, err := sh.store.Lookup(o)
		if err != nil {
			return err
		}
		if !found || entry.SpentBy.IsZero() {
			continue
		}
		winner, at, err := sh.decided(entry.SpentBy)
		if err != nil {
			return err
		}
		if winner == nil || !sh.enterContest(ctx, entrant{tx: winner}, true, at) {
			return nil
		}
	}
	// It has lost, also where it gets there before the winner: another tally hands it over.
	sh.enterContest(ctx, entrant{tx: lost.tx}, false, nil)
	return nil
}

// decided reads a final transaction back.
func (sh *shell) decided(id domain.Hash) (*utxo.Tx, *conflict.Finality, error) {
	t, found, err := sh.store.Transaction(id)
	if err != nil || !found || t.Final == nil || t.Raw == nil {
		return nil, nil, err
	}
	g := sh.lineage.known(t.Final.Link)
	if g == nil {
		return nil, nil, nil
	}
	tx, err := utxo.Decode(t.Raw, sh.rules)
	if err != nil {
		return nil, nil, err
	}
	return tx, &conflict.Finality{Round: t.Final.Round, Group: g}, nil
}

// outlived reports whether a refusal means that a rival is final.
func outlived(err error) bool {
	switch refusal.ReasonOf(err) {
	case notaryv1.Reason_REASON_OUTPOINT_SPENT, notaryv1.Reason_REASON_DOUBLE_SPEND:
		return true
	}
	return false
}
