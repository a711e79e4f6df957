package node

import (
	"context"
	"time"

	"github.com/notarynet/notaryd/node/store"
)

// commitBatch is the most finals in one synced write.
const commitBatch = 2048

// A committer that had several finals at once, but not many, lets the next gather for commitShare times as long as these took, commitPause at
// most: what a batch costs beside its finals is then spread over more of them.
const (
	severalFinals = 16
	manyFinals    = 256
	commitShare   = 3
	commitPause   = 25 * time.Millisecond
)

// committer is the only writer of the live set: group commit of final transactions.
type committer struct {
	queue   chan commit
	store   *store.Store
	done    func(ctx context.Context, fs []*flight, finals []store.Final)
	landed  func(*flight)
	fail    func(error)
	space   *space
	metrics *Metrics
}

type commit struct {
	flight *flight
	final  store.Final
}

// commit queues a final transaction, whose flight is the committer's from then on.
func (c *committer) commit(ctx context.Context, f *flight, final store.Final) bool {
	return put(ctx, c.queue, commit{f, final})
}

func (c *committer) run(ctx context.Context) {
	var flights []*flight
	var finals []store.Final
	for {
		flights, finals = flights[:0], finals[:0]
		select {
		case <-ctx.Done():
			return
		case m := <-c.queue:
			flights, finals = append(flights, m.flight), append(finals, m.final)
		}
	gather:
		for len(finals) < commitBatch {
			select {
			case m := <-c.queue:
				flights, finals = append(flights, m.flight), append(finals, m.final)
			default:
				break gather
			}
		}
		start := time.Now()
		if err := c.space.write(ctx, func() error { return c.store.CommitFinal(finals) }); err != nil {
			c.fail(err)
			return
		}
		c.metrics.committed(finals)
		// First the rivals and children, then the flights: one that has landed has given up its claims, and its
		// rivals would not be found any more.
		c.done(ctx, flights, finals)
		now := time.Now()
		for _, f := range flights {
			f.committed(now)
			c.landed(f)
		}
		few := len(finals) >= severalFinals && len(finals) < manyFinals
		clear(flights)
		clear(finals)
		if few && !pause(ctx, min(commitShare*time.Since(start), commitPause)) {
			return
		}
	}
}
