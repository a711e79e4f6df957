package gossip

import (
	"bytes"
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/notarynet/notaryd/internal/bubble"
)

type sent struct {
	raws [][]byte
	at   time.Duration
}

// coalesceIn runs f against a coalescer under a fake clock and returns what was sent, and when.
func coalesceIn(t *testing.T, limit int, f func(put func(...[]byte))) []sent {
	return coalesceFor(t, 0, limit, f)
}

// coalesceFor is coalesceIn with so many neighbours.
func coalesceFor(t *testing.T, neighbours, limit int, f func(put func(...[]byte))) []sent {
	var out []sent
	bubble.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		start := time.Now()
		c := &coalescer{in: make(chan [][]byte, 64), wait: 2 * time.Millisecond, bytes: limit, neighbours: func() int { return neighbours }}
		c.send = func(_ context.Context, data []byte, items int) {
			raws, ok := splitBatch(data)
			if !ok || len(raws) != items {
				t.Errorf("batch of %d items splits into %d, %v", items, len(raws), ok)
			}
			out = append(out, sent{raws, time.Since(start)})
		}
		ended := make(chan struct{})
		go func() { c.run(ctx); close(ended) }()
		f(func(raws ...[]byte) { c.in <- raws })
		time.Sleep(time.Second) // the fake clock: until nothing more can happen
		cancel()
		<-ended
	})
	return out
}

func TestCoalescerIdleSendsAtOnce(t *testing.T) {
	out := coalesceIn(t, 1<<16, func(put func(...[]byte)) {
		for range 3 {
			put([]byte("tx"))
			synctest.Wait()
			time.Sleep(5 * time.Millisecond)
		}
	})
	if len(out) != 3 {
		t.Fatalf("%d batches", len(out))
	}
	for i, s := range out {
		if want := time.Duration(i) * 5 * time.Millisecond; s.at != want || len(s.raws) != 1 {
			t.Errorf("batch %d of %d left at %v, want %v", i, len(s.raws), s.at, want)
		}
	}
}

func TestCoalescerJoinsUnderLoad(t *testing.T) {
	out := coalesceIn(t, 1<<16, func(put func(...[]byte)) {
		for i := range 10 { // one every half millisecond
			put([]byte{byte(i + 1)})
			synctest.Wait()
			time.Sleep(500 * time.Microsecond)
		}
	})
	var all []byte
	for i, s := range out {
		if want := time.Duration(i) * 2 * time.Millisecond; s.at != want {
			t.Errorf("batch %d left at %v, want %v", i, s.at, want)
		}
		all = append(all, bytes.Join(s.raws, nil)...)
	}
	if !bytes.Equal(all, []byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}) {
		t.Errorf("sent % x", all)
	}
	if len(out) != 4 {
		t.Errorf("%d batches, want 4", len(out))
	}
}

// A crowd is heard at once for a while, and then in fewer and larger batches, the more neighbours hear each of them.
func TestCoalescerGathersInTheLongRun(t *testing.T) {
	for neighbours, every := range map[int]time.Duration{3: 3 * gatherEach, 100: gatherMost} {
		out := coalesceFor(t, neighbours, 1<<16, func(put func(...[]byte)) {
			for range 2000 { // one every millisecond
				put([]byte("tx"))
				synctest.Wait()
				time.Sleep(time.Millisecond)
			}
		})
		total := 0
		for i, s := range out {
			total += len(s.raws)
			switch {
			case i == 0:
			case i < atOnce && s.at-out[i-1].at != 2*time.Millisecond:
				t.Errorf("%d neighbours: batch %d left %v after the one before", neighbours, i, s.at-out[i-1].at)
			case i > 2*atOnce && i < len(out)-1 && s.at-out[i-1].at != every:
				t.Errorf("%d neighbours: batch %d left %v after the one before, want %v", neighbours, i, s.at-out[i-1].at, every)
			}
		}
		if total != 2000 {
			t.Errorf("%d neighbours: %d transactions came out", neighbours, total)
		}
	}
}

func TestCoalescerBounds(t *testing.T) {
	out := coalesceIn(t, 1000, func(put func(...[]byte)) {
		put(bytes.Repeat([]byte{1}, 600), bytes.Repeat([]byte{2}, 600), []byte{3}) // full by bytes, then a rest
		synctest.Wait()
		many := make([][]byte, MaxBatchItems+5)
		for i := range many {
			many[i] = []byte{4}
		}
		time.Sleep(10 * time.Millisecond)
		put(many...)
	})
	var sizes []int
	for _, s := range out {
		sizes = append(sizes, len(s.raws))
	}
	// 600 + 600 bytes close the first batch; one waits; 3 bytes an item close at 334 of 1000 bytes.
	want := []int{2, 1, 334, 334, 334, 27}
	if len(sizes) != len(want) {
		t.Fatalf("batches of %v, want %v", sizes, want)
	}
	for i := range want {
		if sizes[i] != want[i] {
			t.Fatalf("batches of %v, want %v", sizes, want)
		}
	}
}

// The largest transactions still fit the largest batch, whatever the configured size.
func TestCoalescerNeverExceedsLimit(t *testing.T) {
	out := coalesceIn(t, MaxBatch/2, func(put func(...[]byte)) {
		big := bytes.Repeat([]byte{1}, MaxTransaction)
		put(big[:1], big, big, big, big, big)
		items := make([][]byte, MaxBatchItems)
		for i := range items {
			items[i] = []byte{9}
		}
		put(items...)
	})
	total := 0
	for _, s := range out {
		total += len(s.raws)
	}
	if total != 6+MaxBatchItems {
		t.Errorf("%d transactions came out", total)
	}
}
