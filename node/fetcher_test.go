package node

import (
	"context"
	"encoding/binary"
	"log/slog"
	"testing"
	"time"

	"github.com/notarynet/notaryd/internal/bubble"
	"github.com/notarynet/notaryd/proto/domain"
)

// TestVotesDoNotRunAhead: a chain whose votes name more than has come waits, no other does, and none for ever.
func TestVotesDoNotRunAhead(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		a := newAlarms()
		go a.run(ctx)
		f := newFetcher(a, slog.New(slog.DiscardHandler))
		here := false
		f.known = func(domain.Hash) bool { return here }
		eager, other := domain.PublicKey{1}, domain.PublicKey{2}
		for range 2 { // asked for once, however often it is named
			for i := range uint32(askedMost + 100) {
				f.want(wanted{id: domain.Sum("test", binary.BigEndian.AppendUint32(nil, i)), from: []domain.PublicKey{eager}})
			}
		}
		time.Sleep(2 * fetchPatience)
		if len(f.txs) != fetchQueue || f.owes(eager) != askedMost {
			t.Fatalf("%d queued, %d owed", len(f.txs), f.owes(eager))
		}
		if !f.paced(ctx, other) {
			t.Error("a chain waits for what another one named")
		}
		start := time.Now()
		if f.paced(ctx, eager) || time.Since(start) < owedPatience || time.Since(start) > 2*owedPatience {
			t.Errorf("waited %v for what does not come", time.Since(start))
		}
		here = true
		for f.owes(eager) > 0 { // what found no place in the queue finds one later
			if batch := f.gather(<-f.txs); len(batch) != 0 {
				t.Fatalf("%d to be pulled, and everything is here", len(batch))
			}
		}
		if !f.paced(ctx, eager) {
			t.Error("everything is here, and the chain waits")
		}
	})
}
