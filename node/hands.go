package node

import (
	"context"
	"sync"
	"sync/atomic"
)

// idleHands is how many goroutines wait for the next transaction at most.
const idleHands = 2048

// hands lends goroutines to flights. A goroutine that has brought one to its end, or that sees it wait for long, takes the
// next: its stack has grown by then, and growing a new one costs a busy node a twelfth of its time.
type hands struct {
	next    chan *flight // to whoever is idle
	idle    atomic.Int64
	running sync.WaitGroup
}

func newHands() *hands {
	return &hands{next: make(chan *flight)}
}

// fresh goes on with a flight on a goroutine of its own that nobody has used yet.
func (h *hands) fresh(ctx context.Context, f *flight, sh *shell, d *workbench) {
	h.running.Add(1)
	go h.alone(ctx, f, sh, d)
}

func (h *hands) alone(ctx context.Context, f *flight, sh *shell, d *workbench) {
	defer h.running.Done()
	f.run(ctx, sh, d, true)
}

// take runs a flight on a goroutine that is lent to it.
func (h *hands) take(ctx context.Context, f *flight, sh *shell) {
	select {
	case h.next <- f:
	default:
		h.running.Go(func() { h.work(ctx, f, sh) })
	}
}

// work runs flights one after the other until there are idle goroutines enough, or it is given none.
func (h *hands) work(ctx context.Context, f *flight, sh *shell) {
	d := newWorkbench()
	for f != nil {
		f.run(ctx, sh, d, false)
		f = nil
		if h.idle.Add(1) <= idleHands {
			f = <-h.next
		}
		h.idle.Add(-1)
	}
}

// trim sends half of the idle home: after a crowd their stacks, kept for nobody, would lie between those of others
// and keep the memory of both.
func (h *hands) trim() {
	for range (h.idle.Load() + 1) / 2 {
		select {
		case h.next <- nil:
		default:
			return
		}
	}
}

// wait sends the idle home and is until all flights have landed.
func (h *hands) wait() {
	landed := make(chan struct{})
	go func() {
		h.running.Wait()
		close(landed)
	}()
	for {
		select {
		case h.next <- nil:
		case <-landed:
			return
		}
	}
}
