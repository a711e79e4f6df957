package client_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/notarynet/notaryd/client"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// A stream that begins with what comes next has no place to be taken up at before its first element: what became
// final while it was broken would be left out in silence.
func TestBrokenBeforeTheFirstElement(t *testing.T) {
	n, c, ann := start(t)
	for name, follow := range map[string]func(context.Context) error{
		"acceptances": func(ctx context.Context) error {
			for _, err := range c.WatchAcceptances(ctx, "", false) {
				return err
			}
			return nil
		},
		"address": func(ctx context.Context) error {
			for _, err := range c.WatchAddress(ctx, ann.Address, "") {
				return err
			}
			return nil
		},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		ended := make(chan error, 1)
		go func() { ended <- follow(ctx) }()
		for n.Idling() == 0 && ctx.Err() == nil {
			time.Sleep(time.Millisecond)
		}
		if _, err := c.Send(ctx, ann, client.Terms{}, client.Payment{To: ann.Address, Amount: 1}); err != nil {
			t.Fatal(err)
		}
		n.BreakStreams()
		if err := <-ended; !errors.Is(err, refusal.Because(notaryv1.Reason_REASON_CURSOR_GAP)) {
			t.Errorf("%s: %v", name, err)
		}
		cancel()
	}
}
