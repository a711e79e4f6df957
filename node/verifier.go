package node

import (
	"context"
	"crypto/rand"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/utxo"
)

// Limits of the verifier: beyond 1024 signatures, 8 ms, a batch gains little. keptKeys is what each of its goroutines keeps of
// the keys that it met, 7 MB at most.
const (
	verifyBatch = 1024
	verifyQueue = 2 * verifyBatch
	keptKeys    = 2048
)

// request is a set of signatures that stand or fall together, those of a transaction or others, and whom to tell.
type request struct {
	tx     *utxo.Tx
	checks []domain.Check // where tx is nil
	asker  asker
}

// asker is told once, on the verifier's goroutine, the position of the first bad signature, or -1 where all are valid. It
// must not block.
type asker interface{ verdict(bad int) }

// verdicts tells whoever waits at a channel, which has room.
type verdicts chan int

func (v verdicts) verdict(bad int) { v <- bad }

// busyGap is the time between two signatures, on average of late, below which waiting for more is worth it: a batch then
// gathers so many within gatherTime that each costs half. It gathers for longer, gatherMost at most, where that makes little difference to
// how long signatures take: for gatherShare times as long as the last batch took, which is the longer the less of the
// processor there is for it.
const (
	gatherTime  = 3 * time.Millisecond
	gatherMost  = 25 * time.Millisecond
	gatherShare = 8
	busyGap     = gatherTime / 6
)

// verifier collects signatures across transactions, observations and connections and verifies them in
// batches, which halves their cost. On a node that has little to do it takes what is there and never waits
// for more; under load a batch gathers. Any number of goroutines run it; they gather in turn, so that each
// has all there is.
type verifier struct {
	queue   chan request
	metrics *Metrics

	turn sync.Mutex // of whoever gathers, with what follows
	last time.Time  // when the last batch began
	busy bool       // signatures came fast since the one before

	took atomic.Int64 // nanoseconds that the last batch took
}

// batch is what is verified at once.
type batch struct {
	requests []request
	counts   []int // of checks, by request
	checks   []domain.Check
}

func (b *batch) add(r request) {
	n := len(b.checks)
	if r.tx != nil {
		b.checks = r.tx.AppendChecks(b.checks)
	} else {
		b.checks = append(b.checks, r.checks...)
	}
	b.requests, b.counts = append(b.requests, r), append(b.counts, len(b.checks)-n)
}

func (b *batch) clear() {
	clear(b.requests)
	b.requests, b.counts, b.checks = b.requests[:0], b.counts[:0], b.checks[:0]
}

func newVerifier(m *Metrics) *verifier {
	return &verifier{queue: make(chan request, verifyQueue), metrics: m, last: time.Now()}
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
	verdict := make(verdicts, 1)
	if err := v.submit(ctx, request{checks: checks, asker: verdict}); err != nil {
		return 0, err
	}
	select {
	case bad := <-verdict:
		return bad, nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// run verifies until the context ends.
func (v *verifier) run(ctx context.Context) {
	keys := domain.NewVerifier(keptKeys, rand.Reader)
	var b batch
	for v.gather(ctx, &b) {
		start := time.Now()
		judge(&b, keys)
		took := time.Since(start)
		v.took.Store(int64(took))
		v.metrics.verified(len(b.checks), took)
		b.clear()
	}
}

// gather waits for a request and takes what else is queued, on a busy node after a while, up to a full batch; false
// says that ctx has ended. It does not wake for each.
func (v *verifier) gather(ctx context.Context, b *batch) bool {
	v.turn.Lock()
	defer v.turn.Unlock()
	select {
	case <-ctx.Done():
		return false
	case r := <-v.queue:
		b.add(r)
	}
	if v.busy && time.Since(v.last) < 2*gatherMost && !v.await(ctx) {
		return false
	}
	for len(b.checks) < verifyBatch {
		select {
		case r := <-v.queue:
			b.add(r)
			continue
		default:
		}
		break
	}
	now := time.Now()
	v.last, v.busy = now, now.Sub(v.last) < time.Duration(len(b.checks))*busyGap
	return true
}

// await gives requests time to come, unless there are enough for a full batch; false says that ctx has ended.
func (v *verifier) await(ctx context.Context) bool {
	wait := min(max(gatherShare*time.Duration(v.took.Load()), gatherTime), gatherMost)
	for ; wait > 0 && len(v.queue) < verifyBatch; wait -= gatherTime {
		if !pause(ctx, min(wait, gatherTime)) {
			return false
		}
	}
	return true
}

// judge verifies all signatures of a batch at once and tells each request its own verdict.
func judge(b *batch, keys *domain.Verifier) {
	verdicts := keys.Verify(b.checks)
	for i, r := range b.requests {
		n := b.counts[i]
		r.asker.verdict(slices.Index(verdicts[:n], false))
		verdicts = verdicts[n:]
	}
}
