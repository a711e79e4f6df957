package node

import (
	"context"
	"crypto/rand"
	"time"

	"github.com/notarynet/notaryd/proto/domain"
)

// Limits of the verifier's batches: beyond 256 signatures a batch gains little, and the oldest request
// must not wait long for company.
const (
	verifyBatch = 256
	verifyQueue = 1024
)

// request is a set of signatures that stand or fall together, and whom to tell.
type request struct {
	checks []domain.Check
	// done is called once, on the verifier's goroutine, with the position of the first bad signature, or
	// -1 where all are valid. It must not block.
	done func(bad int)
}

// busyGap is the time between two signatures, on average of late, below which waiting for more is worth it:
// a batch then gathers so many within gatherTime that each costs half.
const (
	gatherTime = time.Millisecond
	busyGap    = gatherTime / 4
)

// verifier collects signatures across transactions, observations and connections and verifies them in
// batches, which halves their cost. On a node that has little to do it takes what is there and never waits
// for more; under load a batch gathers for a millisecond.
type verifier struct {
	queue   chan request
	metrics *Metrics
}

func newVerifier(m *Metrics) *verifier {
	return &verifier{queue: make(chan request, verifyQueue), metrics: m}
}

// submit queues a request, waiting for room.
func (v *verifier) submit(ctx context.Context, r request) error {
	if !put(ctx, v.queue, r) {
		return ctx.Err()
	}
	return nil
}

// verify waits for the verdict on a request of the caller's own.
func (v *verifier) verify(ctx context.Context, checks []domain.Check) (bad int, err error) {
	verdict := make(chan int, 1)
	if err := v.submit(ctx, request{checks, func(bad int) { verdict <- bad }}); err != nil {
		return 0, err
	}
	select {
	case bad := <-verdict:
		return bad, nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// run verifies until the context ends, then answers what is queued.
func (v *verifier) run(ctx context.Context) {
	var batch []request
	last, busy := time.Now(), false // when the last batch began, and whether signatures came fast since
	for {
		select {
		case <-ctx.Done():
			return
		case r := <-v.queue:
			batch = append(batch[:0], r)
		}
		n := len(batch[0].checks)
		batch, n = v.gather(ctx, batch, n, busy)
		start := time.Now()
		judge(batch, n)
		busy = start.Sub(last) < time.Duration(n)*busyGap
		last = start
		v.metrics.verified(n, time.Since(start))
		clear(batch)
	}
}

// gather adds what is queued, and on a busy node what comes within gatherTime, up to a full batch.
func (v *verifier) gather(ctx context.Context, batch []request, n int, busy bool) ([]request, int) {
	var enough <-chan time.Time
	for n < verifyBatch {
		select {
		case r := <-v.queue:
			batch, n = append(batch, r), n+len(r.checks)
			continue
		default:
		}
		if !busy {
			return batch, n
		}
		if enough == nil {
			enough = time.After(gatherTime)
		}
		select {
		case r := <-v.queue:
			batch, n = append(batch, r), n+len(r.checks)
		case <-enough:
			return batch, n
		case <-ctx.Done():
			return batch, n
		}
	}
	return batch, n
}

// judge verifies all signatures of a batch at once and tells each request its own verdict.
func judge(batch []request, n int) {
	all := make([]domain.Check, 0, n)
	for i := range batch {
		all = append(all, batch[i].checks...)
	}
	verdicts := domain.VerifyBatch(all, rand.Reader)
	for i := range batch {
		k := len(batch[i].checks)
		bad := -1
		for j, ok := range verdicts[:k] {
			if !ok {
				bad = j
				break
			}
		}
		verdicts = verdicts[k:]
		batch[i].done(bad)
	}
}
