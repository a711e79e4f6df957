package node

import (
	"context"
	"sync"
	"time"
)

// alarmSlack is how late an alarm may ring where another has just rung: a busy node then wakes for many at once.
const alarmSlack = time.Millisecond

// alarms ring at their times, all on one goroutine with one timer: a time.Timer each costs two to
// three times the wake. What is run may not block.
type alarms struct {
	mu   sync.Mutex
	heap alarmHeap
	wake chan struct{}
}

type alarm struct {
	at time.Time // monotonic
	do func()    // must not block
}

// alarmHeap is a binary heap, the next one first. container/heap allocates twice for each.
type alarmHeap []alarm

func (h *alarmHeap) push(a alarm) {
	*h = append(*h, a)
	s := *h
	for i := len(s) - 1; i > 0; {
		parent := (i - 1) / 2
		if !s[i].at.Before(s[parent].at) {
			return
		}
		s[i], s[parent] = s[parent], s[i]
		i = parent
	}
}

func (h *alarmHeap) pop() alarm {
	s := *h
	first, n := s[0], len(s)-1
	s[0], s[n] = s[n], alarm{}
	s = s[:n]
	*h = s
	for i := 0; ; {
		least := 2*i + 1
		if least >= n {
			return first
		}
		if right := least + 1; right < n && s[right].at.Before(s[least].at) {
			least = right
		}
		if !s[least].at.Before(s[i].at) {
			return first
		}
		s[i], s[least] = s[least], s[i]
		i = least
	}
}

func newAlarms() *alarms { return &alarms{wake: make(chan struct{}, 1)} }

// after runs do once d has passed.
func (a *alarms) after(d time.Duration, do func()) {
	at := time.Now().Add(d)
	a.mu.Lock()
	a.heap.push(alarm{at, do})
	first := a.heap[0].at.Equal(at)
	a.mu.Unlock()
	if first {
		select {
		case a.wake <- struct{}{}:
		default:
		}
	}
}

// run rings until the context ends.
func (a *alarms) run(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var due []func()
	for {
		due = due[:0]
		next := time.Hour
		a.mu.Lock()
		now := time.Now()
		for len(a.heap) > 0 {
			if d := a.heap[0].at.Sub(now); d > 0 {
				next = d
				break
			}
			due = append(due, a.heap.pop().do)
		}
		a.mu.Unlock()
		for i, do := range due {
			do()
			due[i] = nil
		}
		if len(due) > 0 {
			if next < alarmSlack && !pause(ctx, alarmSlack) {
				return
			}
			continue
		}
		timer.Reset(next)
		select {
		case <-ctx.Done():
			return
		case <-a.wake:
		case <-timer.C:
		}
	}
}
