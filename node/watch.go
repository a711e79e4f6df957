package node

import (
	"context"
	"iter"
	"strconv"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/notarynet/notaryd/node/store"
	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
	"github.com/notarynet/notaryd/utxo"
)

// weightTick is how often a watched transaction's weight is looked at while its state does not change.
const weightTick = 20 * time.Millisecond

// WatchTransaction yields the present status, then changes, and ends after FINAL or REJECTED.
func (n *Node) WatchTransaction(ctx context.Context, id domain.Hash) iter.Seq2[*notaryv1.TransactionStatus, error] {
	return func(yield func(*notaryv1.TransactionStatus, error) bool) {
		sh := n.sh
		if err := sh.begun(ctx); err != nil {
			yield(nil, err)
			return
		}
		var last *notaryv1.TransactionStatus
		tick := time.NewTicker(weightTick)
		defer tick.Stop()
		for {
			var changed <-chan struct{}
			if f := sh.flights.get(id); f != nil {
				_, changed, _ = f.snapshot()
			}
			s, _, err := n.Transaction(ctx, id)
			if err == nil && s.GetHeld() {
				sh.settle(ctx, id)
				s, _, err = n.Transaction(ctx, id)
			}
			if err != nil {
				yield(nil, err)
				return
			}
			if !proto.Equal(s, last) {
				last = s
				if !yield(s, nil) || ended(s) {
					return
				}
			}
			select {
			case <-changed:
			case <-tick.C:
			case <-ctx.Done():
				yield(nil, ctx.Err())
				return
			case <-sh.ctx.Done():
				yield(nil, shuttingDown())
				return
			}
		}
	}
}

func ended(s *notaryv1.TransactionStatus) bool {
	return s.State == notaryv1.TransactionState_TRANSACTION_STATE_FINAL ||
		s.State == notaryv1.TransactionState_TRANSACTION_STATE_REJECTED
}

// logPage is how much of a log is read at once; acceptancesAtOnce how much of the log of finals for a client, each of which may be a
// quarter of a megabyte, before it is paid for.
const (
	logPage           = 256
	acceptancesAtOnce = 32
)

// WatchAcceptances yields every transaction that becomes final here, from a cursor on. A cursor is the
// place in the log of finals after which to go on. Proofs carry the links from a known epoch on, as in Proof. pay is told
// what was read for each, and of each proof.
func (n *Node) WatchAcceptances(ctx context.Context, cursor string, withProofs bool, known uint64, pay func(bytes int) error) iter.Seq2[*notaryv1.WatchAcceptancesResponse, error] {
	sh := n.sh
	from, err := n.start(cursor) // now, not at the first pull: what becomes final in between is not missed
	return func(yield func(*notaryv1.WatchAcceptancesResponse, error) bool) {
		if err != nil {
			yield(nil, err)
			return
		}
		n.follow(ctx, func() (bool, error) {
			page, err := sh.store.FinalLog(from, acceptancesAtOnce)
			if err != nil {
				return false, err
			}
			for _, e := range page {
				r := &notaryv1.WatchAcceptancesResponse{Cursor: strconv.FormatUint(e.Seq, 10), TransactionId: e.Tx[:]}
				if withProofs {
					if r.Proof, err = n.Proof(ctx, e.Tx, true, known); pruned(err) {
						return false, refusal.New(notaryv1.Reason_REASON_CURSOR_GAP, "cursor", "the proof of %s was pruned here", e.Tx)
					} else if err != nil {
						return false, err
					}
				}
				if err := pay(e.Read + costOfProof(r.Proof)); err != nil {
					return false, err
				}
				if !yield(r, nil) {
					return false, errStopped
				}
				from = e.Seq + 1
			}
			return len(page) == acceptancesAtOnce, nil
		}, func(err error) { yield(nil, err) })
	}
}

// WatchAddress yields every output of an address that is created or spent, from a cursor on. pay is told what was read for each.
func (n *Node) WatchAddress(ctx context.Context, address, cursor string, pay func(bytes int) error) iter.Seq2[*notaryv1.WatchAddressResponse, error] {
	sh := n.sh
	addr, err := n.address(address)
	from := store.CursorAfter(sh.store.LastSeq())
	if err == nil && cursor != "" {
		from, err = parseCursor(cursor, from)
	}
	return func(yield func(*notaryv1.WatchAddressResponse, error) bool) {
		if err != nil {
			yield(nil, err)
			return
		}
		n.follow(ctx, func() (bool, error) {
			page, more, err := sh.store.AddressLog(addr, from, logPage)
			if err != nil {
				return false, err
			}
			for _, e := range page {
				if err := pay(costOfEvent + e.Read); err != nil {
					return false, err
				}
				r := &notaryv1.WatchAddressResponse{
					Cursor: strconv.FormatUint(e.Cursor+1, 10), TransactionId: e.Tx[:], Spent: e.Spent,
					Output: unspent(e.Outpoint, e.Output, e.FinalMS),
				}
				if !yield(r, nil) {
					return false, errStopped
				}
				from = e.Cursor + 1
			}
			return more, nil
		}, func(err error) { yield(nil, err) })
	}
}

// errStopped says that the reader of a sequence wants no more.
var errStopped = refusal.New(notaryv1.Reason_REASON_UNSPECIFIED, "", "the reader stopped")

// follow reads pages of a log until it is stopped, waiting for news at the end of the log.
func (n *Node) follow(ctx context.Context, read func() (more bool, err error), failed func(error)) {
	if err := n.sh.begun(ctx); err != nil {
		failed(err)
		return
	}
	for {
		news := n.sh.news.next()
		more, err := read()
		switch {
		case err == errStopped:
			return
		case err != nil:
			failed(err)
			return
		case more:
			continue
		}
		select {
		case <-news:
		case <-ctx.Done():
			failed(ctx.Err())
			return
		case <-n.sh.ctx.Done():
			failed(shuttingDown())
			return
		}
	}
}

// start is the first place of the log of finals to be read: after a cursor, or what comes next.
func (n *Node) start(cursor string) (uint64, error) {
	if cursor == "" {
		return n.sh.store.LastSeq() + 1, nil
	}
	seq, err := parseCursor(cursor, n.sh.store.LastSeq())
	return seq + 1, err
}

// parseCursor reads a cursor of a log that goes as far as last. One beyond that is of another node, or of this one before it was restored: to wait until
// the log gets there would be to miss what comes before.
func parseCursor(cursor string, last uint64) (uint64, error) {
	n, err := strconv.ParseUint(cursor, 10, 63)
	if err != nil {
		return 0, refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, "cursor", "not a cursor of this stream")
	}
	if n > last {
		return 0, refusal.New(notaryv1.Reason_REASON_CURSOR_GAP, "cursor", "the log ends at %d here", last)
	}
	return n, nil
}

// address reads an address of this network.
func (n *Node) address(text string) (utxo.Address, error) {
	return utxo.ParseAddress(n.sh.genesis.Doc.AddressPrefix, text)
}
