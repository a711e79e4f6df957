package node

import "testing"

// TestLateRing: a goroutine whose flight was seized, and that a late ring wakes before it is released, is idle once, and runs what it
// is given; where nobody may be idle any more, it ends.
func TestLateRing(t *testing.T) {
	for _, closed := range []bool{false, true} {
		h, d, f := newHands(), newWorkbench(), bare("a", "x")
		h.closed, d.lent = closed, true
		ring(d.wake)
		given := make(chan *flight)
		go func() { given <- h.await(d, true) }()
		eventually(t, "the late ring to be heard", func() bool { return len(d.wake) == 0 })
		h.release(d)
		if closed {
			if got := <-given; got != nil || h.waiting() != 0 {
				t.Errorf("given %v, %d idle", got, h.waiting())
			}
			continue
		}
		if h.waiting() != 1 {
			t.Fatalf("%d times idle", h.waiting())
		}
		h.take(t.Context(), f, nil)
		if got := <-given; got != f || h.waiting() != 0 {
			t.Errorf("given %v, %d idle", got, h.waiting())
		}
	}
}
