package api

import (
	"context"
	"errors"
	"time"

	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// receive waits for the one request of a call, for as long as it may take. gRPC itself waits for ever, and what it answers when it
// is made to stop has no reason; so it goes on waiting beside the call, which ends with one, and is released by that.
func (g *guard) receive(ctx context.Context, c *call, next func() error) error {
	if c.via == viaREST { // it has arrived
		return next()
	}
	return g.within(ctx, c, g.receiveTimeout, next, func() error {
		return refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, "", "the request did not arrive within %v", g.receiveTimeout)
	})
}

// receiveNext waits for the next message of a stream on which nothing is under way.
func (g *guard) receiveNext(ctx context.Context, c *call, next func() error) error {
	return g.within(ctx, c, g.idleTimeout, next, g.idle)
}

// idle is why a stream ends on which nothing comes.
func (g *guard) idle() error {
	return refusal.New(notaryv1.Reason_REASON_WAIT_EXPIRED, "", "no message has come for %v; open the stream again to go on", g.idleTimeout)
}

// within waits for something to be received.
func (g *guard) within(ctx context.Context, c *call, timeout time.Duration, next, tooLate func() error) error {
	received := make(chan error, 1)
	go func() { received <- g.protect(c, next) }()
	late := time.NewTimer(timeout)
	defer late.Stop()
	select {
	case err := <-received:
		return err
	case <-late.C:
		return tooLate()
	case <-ctx.Done():
		if errors.Is(context.Cause(ctx), errStopping) {
			return ctx.Err()
		}
		return <-received // the client has ended the call, so gRPC waits no more
	}
}
