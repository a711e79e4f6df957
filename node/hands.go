package node

import (
	"context"
	"slices"
	"sync"
)

// idleHands is how many goroutines wait for the next transaction at most.
const idleHands = 2048

// hands lends goroutines to flights. A goroutine that has brought one to its end, or that sees it wait for long, takes the
// next: its stack has grown by then, and growing a new one costs a busy node a twelfth of its time.
type hands struct {
	mu      sync.Mutex
	idle    []*workbench // who came last is asked first: his stack is in the caches still
	closed  bool         // nobody waits any more
	running sync.WaitGroup
}

func newHands() *hands { return new(hands) }

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
	h.mu.Lock()
	if h.closed { // the node ends: no goroutine begins any more, and the flight is over at once
		h.mu.Unlock()
		f.run(ctx, sh, newWorkbench(), true)
		return
	}
	last := len(h.idle) - 1
	if last < 0 {
		h.mu.Unlock()
		h.running.Go(func() { h.work(ctx, f, sh) })
		return
	}
	d := h.idle[last]
	h.idle[last], h.idle = nil, h.idle[:last]
	d.next, d.idle = f, false
	h.mu.Unlock()
	ring(d.wake)
}

// work runs flights one after the other until there are idle goroutines enough, or it is given none.
func (h *hands) work(ctx context.Context, f *flight, sh *shell) {
	d := newWorkbench()
	d.lent = true
	for f != nil {
		f = h.await(d, f.run(ctx, sh, d, false))
	}
}

// await is the next flight for whoever has none, or nil. Whose flight was seized becomes idle by release, which may be still to come: what
// rings may be late, and mean the flight before.
func (h *hands) await(d *workbench, seized bool) *flight {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !seized && !h.admit(d) {
		return nil
	}
	for d.idle || seized && !d.released {
		h.mu.Unlock()
		<-d.wake
		h.mu.Lock()
	}
	f := d.next
	d.next, d.released = nil, false
	return f
}

// admit makes somebody idle, where there is room. The lock is held.
func (h *hands) admit(d *workbench) bool {
	if h.closed || len(h.idle) >= idleHands {
		return false
	}
	d.idle = true
	h.idle = append(h.idle, d)
	return true
}

// release makes a goroutine that rests idle, since its flight was taken from it (mailbox.seize). It does not wake for that, but for the next
// flight, unless it is not needed any more.
func (h *hands) release(d *workbench) {
	h.mu.Lock()
	defer h.mu.Unlock()
	d.released = true
	if !d.lent || !h.admit(d) {
		ring(d.wake)
	}
}

// trim sends half of the idle home, those who have been so for longest: after a crowd their stacks, kept for nobody, would lie between those
// of others and keep the memory of both.
func (h *hands) trim() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.dismiss((len(h.idle) + 1) / 2)
}

// dismiss sends some of the idle home. The lock is held.
func (h *hands) dismiss(n int) {
	for _, d := range h.idle[:n] {
		d.idle = false
		ring(d.wake)
	}
	h.idle = slices.Delete(h.idle, 0, n)
}

// wait sends the idle home, now and from now on, and is until all flights have landed.
func (h *hands) wait() {
	h.mu.Lock()
	h.closed = true
	h.dismiss(len(h.idle))
	h.mu.Unlock()
	h.running.Wait()
}

// waiting is how many goroutines are idle.
func (h *hands) waiting() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.idle)
}
