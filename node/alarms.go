package node

import (
	"container/heap"
	"context"
	"sync"
	"time"
)

// alarms runs callbacks at their times, all on one goroutine with one timer: a time.Timer for each
// pending transaction costs two to three times the wake. Callbacks must not block.
type alarms struct {
	mu   sync.Mutex
	heap alarmHeap
	wake chan struct{}
}

type alarm struct {
	at time.Time // monotonic
	do func()
}

type alarmHeap []alarm

func (h alarmHeap) Len() int           { return len(h) }
func (h alarmHeap) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h alarmHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *alarmHeap) Push(x any)        { *h = append(*h, x.(alarm)) }
func (h *alarmHeap) Pop() any {
	old := *h
	last := old[len(old)-1]
	old[len(old)-1] = alarm{}
	*h = old[:len(old)-1]
	return last
}

func newAlarms() *alarms { return &alarms{wake: make(chan struct{}, 1)} }

// after runs do once d has passed.
func (a *alarms) after(d time.Duration, do func()) {
	at := time.Now().Add(d)
	a.mu.Lock()
	heap.Push(&a.heap, alarm{at, do})
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
			due = append(due, heap.Pop(&a.heap).(alarm).do)
		}
		a.mu.Unlock()
		for i, do := range due {
			do()
			due[i] = nil
		}
		if len(due) > 0 {
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
