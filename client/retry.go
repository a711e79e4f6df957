package client

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc"
)

// Retry says how often and how soon a call is repeated that failed for a passing reason: the node out
// of reach, overloaded, or limiting this client. All calls are idempotent.
type Retry struct {
	// Attempts is how often a call is made in all; 1 never repeats.
	Attempts int
	// Base is the pause after the first failure. It doubles up to Max; a random half of it is left out,
	// so that clients that failed together do not come back together.
	Base, Max time.Duration
	// Patience is the longest pause a node may ask for; when it wants more, the call fails at once.
	Patience time.Duration
}

// DefaultRetry gives a restarting node about ten seconds.
var DefaultRetry = Retry{Attempts: 10, Base: 50 * time.Millisecond, Max: 2 * time.Second, Patience: 10 * time.Second}

// Validate reports whether the numbers make sense.
func (r Retry) Validate() error {
	switch {
	case r.Attempts < 1:
		return fmt.Errorf("retry: %d attempts, want at least 1", r.Attempts)
	case r.Patience < 0:
		return fmt.Errorf("retry: patience of %v", r.Patience)
	case r.Base <= 0 || r.Max < r.Base:
		return fmt.Errorf("retry: pauses from %v to %v, want 0 < base <= max", r.Base, r.Max)
	}
	return nil
}

// pause is how long to wait after the n-th failure, n from 1: exponential with half of it random, but
// never less than the node asked for. Random is in [0, 1).
func (r Retry) pause(n int, asked time.Duration, random float64) time.Duration {
	d := r.Max
	if shift := n - 1; shift < 32 && r.Base<<shift>>shift == r.Base && r.Base<<shift < r.Max {
		d = r.Base << shift
	}
	d = d/2 + time.Duration(random*float64(d/2))
	return max(d, asked)
}

// do calls fn until it succeeds, fails for good, or the attempts or ctx run out; the last error is
// returned then. It does not begin a pause that ctx would cut short.
func (r Retry) do(ctx context.Context, fn func(context.Context) error) error {
	for n := 1; ; n++ {
		err := fromStatus(ctx, fn(ctx))
		var e *Error
		if !errors.As(err, &e) || !r.again(n, e) {
			return err
		}
		if !sleep(ctx, r.pause(n, e.RetryAfter, rand.Float64())) {
			return err
		}
	}
}

// again reports whether a call that failed n times is worth another attempt.
func (r Retry) again(n int, e *Error) bool {
	return e.Temporary() && n < r.Attempts && e.RetryAfter <= r.Patience
}

// sleep waits for d and reports true, or false as soon as ctx ends or when it will end before.
func sleep(ctx context.Context, d time.Duration) bool {
	if end, ok := ctx.Deadline(); ok && time.Until(end) < d {
		return false
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// call makes one unary call with the client's retries.
func call[Req, Resp any](ctx context.Context, c *Client, method func(context.Context, Req, ...grpc.CallOption) (Resp, error), req Req) (Resp, error) {
	var resp Resp
	err := c.retry.do(ctx, func(ctx context.Context) (err error) {
		resp, err = method(ctx, req)
		return err
	})
	return resp, err
}
