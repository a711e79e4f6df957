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
	received := make(chan error, 1)
	go func() { received <- g.protect(c, next) }()
	late := time.NewTimer(g.receiveTimeout)
	defer late.Stop()
	select {
	case err := <-received:
		return err
	case <-late.C:
		return refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, "", "the request did not arrive within %v", g.receiveTimeout)
	case <-ctx.Done():
		if errors.Is(context.Cause(ctx), errStopping) {
			return ctx.Err()
		}
		return <-received // the client has ended the call, so gRPC waits no more
	}
}
