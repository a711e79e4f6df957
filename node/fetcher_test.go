package node

import (
	"context"
	"encoding/binary"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/notarynet/notaryd/internal/bubble"
	"github.com/notarynet/notaryd/node/gossip"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
)

// fetching is a fetcher that pulls nothing, under a fake clock.
func fetching(ctx context.Context, known func(domain.Hash) bool) *fetcher {
	a := newAlarms()
	go a.run(ctx)
	f := newFetcher(a, slog.New(slog.DiscardHandler))
	f.known = known
	return f
}

// TestVotesDoNotRunAhead: a chain whose votes name more than has come waits, no other does, and none for ever.
func TestVotesDoNotRunAhead(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		here := false
		f := fetching(ctx, func(domain.Hash) bool { return here })
		eager, other := domain.PublicKey{1}, domain.PublicKey{2}
		for range 2 { // asked for once, however often it is named
			for i := range uint32(askedMost + 100) {
				f.want(wanted{id: domain.Sum("test", binary.BigEndian.AppendUint32(nil, i)), from: []domain.PublicKey{eager}})
			}
		}
		time.Sleep(2 * fetchPatience)
		if f.owes(eager) != askedMost {
			t.Fatalf("%d owed", f.owes(eager))
		}
		if !f.paced(ctx, other) {
			t.Error("a chain waits for what another one named")
		}
		start := time.Now()
		if f.paced(ctx, eager) || time.Since(start) < owedPatience || time.Since(start) > 2*owedPatience {
			t.Errorf("waited %v for what does not come", time.Since(start))
		}
		here = true
		if batch := f.gather(); len(batch) != 0 || f.owes(eager) != 0 {
			t.Fatalf("%d to be pulled and %d owed, and everything is here", len(batch), f.owes(eager))
		}
		if !f.paced(ctx, eager) {
			t.Error("everything is here, and the chain waits")
		}
	})
}

// TestInventionsKeepNobodyWaiting: however many transactions some signers invent, what another one names is in the next
// pull, and there is an end to what is kept of the inventions.
func TestInventionsKeepNobodyWaiting(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		f := fetching(ctx, func(domain.Hash) bool { return false })
		id := func(signer byte, i uint32) domain.Hash {
			return domain.Sum("test", binary.BigEndian.AppendUint32([]byte{signer}, i))
		}
		for signer := byte(1); signer <= 20; signer++ {
			for i := range uint32(askedMost) {
				f.want(wanted{id: id(signer, i), from: []domain.PublicKey{{signer}}})
			}
		}
		if n := len(f.asked); n > 2*askedInAll { // without shares it would be 20 times askedMost, more than that
			t.Errorf("%d inventions are asked for", n)
		}
		honest := domain.PublicKey{99}
		f.want(wanted{id: id(99, 0), from: []domain.PublicKey{honest}})
		time.Sleep(2 * fetchPatience)
		if !slices.ContainsFunc(f.gather(), func(w wanted) bool { return w.signer() == honest }) {
			t.Error("what an honest signer named is not in the next pull")
		}
	})
}

// TestRangesLeaveRoom: pulls of chains that wait for the transactions that these chains name leave room for the pulls that
// bring them.
func TestRangesLeaveRoom(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		f := fetching(ctx, func(domain.Hash) bool { return false })
		blocked, pulled := make(chan struct{}), make(chan struct{}, 1)
		f.pullBatch = func(context.Context, []wanted) {
			select {
			case pulled <- struct{}{}:
			default:
			}
		}
		f.pullChain = func(context.Context, rangeWanted) { <-blocked }
		f.head = func(observation.ChainID) uint64 { return 0 }
		done := make(chan struct{})
		go func() { defer close(done); f.run(ctx) }()
		defer func() { cancel(); close(blocked); <-done }()
		for i := range byte(2 * fetchAtOnce) {
			f.wantRange(observation.ChainID{Key: domain.PublicKey{i + 1}}, 1, 256)
		}
		time.Sleep(fetchPatience)
		f.want(wanted{id: domain.Hash{1}, from: []domain.PublicKey{{1}}})
		time.Sleep(2 * fetchPatience)
		select {
		case <-pulled:
		default:
			t.Error("pulls of chains keep those of transactions waiting")
		}
	})
}

// TestWhoIsAskedFirst: those named, then members, then others; in each part whoever was silent of late comes last.
func TestWhoIsAskedFirst(t *testing.T) {
	key := func(i byte) domain.PublicKey { return domain.PublicKey{i} }
	peers := []gossip.Peer{
		{Key: key(1)}, {Key: key(2), Points: 3}, {Key: key(3), Member: true, Points: 25}, {Key: key(4), Member: true},
		{Key: key(5), Member: true, Points: 1}, {Key: key(6), Member: true, Points: 0.3}, {Key: key(7)},
	}
	named := []domain.PublicKey{key(5), key(9), key(3), key(6), key(9)} // 9 is not connected
	got := inTurn(named, peers)
	if want := []domain.PublicKey{key(9), key(6), key(5), key(3), key(4), key(1), key(7), key(2)}; !slices.Equal(got, want) {
		t.Errorf("asked in the order %v", got)
	}
	if named[0] != key(5) {
		t.Error("the order of the caller's has changed")
	}
}
