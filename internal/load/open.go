package load

import (
	"context"
	"time"
)

// Open hands in a transaction every 1/rate seconds, whether or not earlier ones have their answers: transaction i is
// due at i/rate, goes over stream i modulo their number, and is timed from the instant at which it was due, so that a slow
// network cannot hide by taking less. What is due together goes in one message. A busy node is asked to turn transactions
// away rather than hold the stream back, and those are not repeated. What is not handed in when ctx ends has failed.
func Open(ctx context.Context, streams []Opener, plan Plan, rate int) (*Outcome, error) {
	count := min(len(streams), len(plan.Txs))
	out, err := plan.run(ctx, streams[:count], func(k int, l *lane) driver {
		l.shed = true
		return func(ctx context.Context, start time.Time) {
			due := func(i int) time.Time { return start.Add(time.Duration(i) * time.Second / time.Duration(rate)) }
			for i := k; i < len(plan.Txs) && sleepUntil(ctx, due(i)); {
				var now []request
				first := due(i)
				for n := 0; n < together && i < len(plan.Txs) && !due(i).After(time.Now()); n++ {
					now = append(now, l.requests(&transfer{index: i, since: due(i)}, plan.sampled(i))...)
					l.out.Sent++
					i += count
				}
				if l.send(now) != nil {
					return // receive says why
				}
				l.out.Late = max(l.out.Late, time.Since(first))
			}
		}
	})
	if out != nil {
		out.Failed += len(plan.Txs) - out.Sent
	}
	return out, err
}

// sampled reports whether transaction i is one of the sample, which is spread evenly over all.
func (p *Plan) sampled(i int) bool {
	return (i+1)*p.Sample/len(p.Txs) > i*p.Sample/len(p.Txs)
}

// sleepUntil waits for an instant; false says that ctx has ended.
func sleepUntil(ctx context.Context, until time.Time) bool {
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
