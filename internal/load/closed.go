package load

import (
	"context"
	"sync/atomic"
	"time"
)

// Limits bound a closed loop.
type Limits struct {
	// Window is how many transactions are under way at most, shared out over the streams; at least 1.
	Window int
	// Coins is how many coins go round: transaction i spends what transaction i - Coins makes, and waits until that is
	// final. 0 says that no transaction waits for another.
	Coins int
	// Duration is for how long transactions are handed in.
	Duration time.Duration
}

// Closed keeps as many transactions under way as it may. Streams take turns, so that coins come round in order. A busy
// node may hold a stream back; what it turns away as OVERLOADED is offered again when it says, as a wallet would, since all that
// spends it would fail, and is timed from when it was offered first. Closed stops handing in after the duration, or when there
// are no more transactions: then Sent is their number.
func Closed(ctx context.Context, streams []Opener, plan Plan, limits Limits) (*Outcome, error) {
	c := &circle{Limits: limits, sample: plan.Sample, finals: make([]atomic.Int32, limits.Coins)}
	count := min(len(streams), limits.Window)
	return plan.run(ctx, streams[:count], func(k int, l *lane) driver {
		places := (limits.Window + k) / count
		t := &turn{lane: l, circle: c, places: make(chan struct{}, places), waiting: make(chan request, int(Stages)*places)}
		l.again, l.over = t.later, t.over
		return t.drive
	})
}

// circle is what the lanes of a closed loop share.
type circle struct {
	Limits
	sample int            // Plan.Sample
	next   atomic.Int64   // of the transactions
	finals []atomic.Int32 // of the transactions that spend each coin

	sampleNext atomic.Int64 // the transaction from which on the next one is of the sample
}

// due reports whether the coin that a transaction spends is there.
func (c *circle) due(i int) bool {
	if c.Coins == 0 {
		return true
	}
	return int(c.finals[i%c.Coins].Load()) >= i/c.Coins
}

// sampled reports whether transaction i, which goes out some time after the start, is one of the sample. Every k-th is, and k
// follows from how many there will be if it goes on as it has until now, a first moment aside.
func (c *circle) sampled(i int, since time.Duration) bool {
	next := c.sampleNext.Load()
	if c.sample == 0 || int64(i) < next {
		return false
	}
	all := float64(max(i, c.Window)) * float64(c.Duration) / float64(max(since, c.Duration/100))
	return c.sampleNext.CompareAndSwap(next, int64(i)+max(int64(all)/int64(c.sample), 1))
}

// turn is a lane of a closed loop.
type turn struct {
	*lane
	*circle
	places  chan struct{} // taken by a transaction until all that was asked about it has its last answer
	waiting chan request  // turned away before, or not due yet; there is room for all that places allow
	none    int           // places taken for transactions that there are not
}

// notDue is how long to wait for a coin that is not there.
const notDue = 5 * time.Millisecond

// drive hands in until the time is over, or until there are no more transactions and none under way.
func (t *turn) drive(ctx context.Context, start time.Time) {
	over := time.NewTimer(t.Duration)
	defer over.Stop()
	for {
		var now []request
		r, more := t.wait(ctx, over.C)
		if !more {
			return
		}
		for n := 0; r.transfer != nil; r = t.ready() {
			now = append(now, t.offer(r, start)...)
			if n++; n == together {
				break
			}
		}
		if len(now) > 0 && t.send(now) != nil {
			return // receive says why
		}
	}
}

// wait is for something to offer; more is false where there will be nothing. The request may be none all the same.
func (t *turn) wait(ctx context.Context, over <-chan time.Time) (r request, more bool) {
	select {
	case <-over:
		return r, false
	case <-ctx.Done():
		return r, false
	default:
	}
	if r = t.ready(); r.transfer != nil {
		return r, true
	}
	if t.none == cap(t.places) {
		return r, false
	}
	select {
	case r = <-t.waiting:
	case t.places <- struct{}{}:
		r = t.new()
	case <-over:
		return r, false
	case <-ctx.Done():
		return r, false
	}
	return r, true
}

// ready is what may be offered at once, or none.
func (t *turn) ready() request {
	select {
	case r := <-t.waiting:
		return r
	default:
	}
	select {
	case t.places <- struct{}{}:
		return t.new()
	default:
		return request{}
	}
}

// new is the next transaction, which nobody has taken. Where there is none its place stays taken: when all are, nothing is
// under way.
func (t *turn) new() request {
	i := int(t.next.Add(1) - 1)
	if i >= len(t.plan.Txs) {
		t.none++
		return request{}
	}
	return request{&transfer{index: i}, t.plan.Stage}
}

// offer is what is sent for a request: nothing where its coin is not there, and it comes again later; with a sampled
// transaction, what is asked at the other stages.
func (t *turn) offer(r request, start time.Time) []request {
	switch {
	case !r.since.IsZero(): // it was turned away
		return []request{r}
	case !t.due(r.index):
		t.later(r, notDue)
		return nil
	}
	r.since = time.Now()
	t.out.Sent++
	return t.requests(r.transfer, t.sampled(r.index, r.since.Sub(start)))
}

// later has a request come again after a time.
func (t *turn) later(r request, after time.Duration) {
	time.AfterFunc(after, func() { t.waiting <- r })
}

// over notes the last answer to a request.
func (t *turn) over(r request, reached bool) {
	if reached && r.stage == t.plan.Stage && t.Coins > 0 {
		t.finals[r.index%t.Coins].Add(1)
	}
	if r.open--; r.open == 0 {
		<-t.places
	}
}
