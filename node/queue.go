package node

import (
	"context"
	"time"
)

// put queues a message, waiting for room; false says that ctx ended first. Where there is room it locks nothing but
// the queue: a select would lock the one channel of ctx too, which everybody shares.
func put[T any](ctx context.Context, queue chan<- T, m T) bool {
	select {
	case queue <- m:
		return true
	default:
	}
	select {
	case queue <- m:
		return true
	case <-ctx.Done():
		return false
	}
}

// pause waits; false says that ctx ended.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
