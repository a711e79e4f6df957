// Package load submits signed transactions over streams of the API and times what comes of them: at a fixed rate
// whether or not earlier ones are final (Open), or so many under way at any time (Closed). It keeps what is under way
// and the latencies, and reads a transaction only to send it.
package load

import (
	"context"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc"

	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
)

// Stream is a stream of submissions.
type Stream = grpc.BidiStreamingClient[notaryv1.SubmitTransactionsRequest, notaryv1.SubmitTransactionsResponse]

// Opener opens a stream that ends with the context. The Stream method of a client is one.
type Opener func(context.Context) (Stream, error)

// Plan is what is submitted and what is timed.
type Plan struct {
	// Txs are the transactions, encoded and signed, in the order in which they are handed in.
	Txs [][]byte
	// Stage is what each of them is timed to: Final or Proof.
	Stage Stage
	// Sample is how many of them are timed to the other stages too, about, spread evenly over all; 0 is none. The same
	// bytes are submitted again for each stage, right after the transaction: a node that has them just waits.
	Sample int
	// Answered, where set, is called with each answer about a transaction at Stage, from several goroutines.
	Answered func()
}

// Outcome is what became of a load.
type Outcome struct {
	// To are the latencies to each stage, in the order of the answers of each stream. Those to Plan.Stage count what
	// became final.
	To [Stages][]time.Duration
	// Sent is how many transactions were handed in.
	Sent int
	// Refused is how often a transaction was turned away as OVERLOADED, Failed how many had no good answer for any other
	// cause. What is asked at the other stages counts for neither.
	Refused, Failed int
	// Late is the most that a transaction went out after it was due, in an open loop: the load generator, or the flow
	// control of a node, held it back.
	Late time.Duration
	// Elapsed is from the first submission to the last answer.
	Elapsed time.Duration
}

// together is how many transactions a message brings at most.
const together = 32

// driver hands in over a lane until it has no more to do or ctx ends.
type driver func(ctx context.Context, start time.Time)

// run has a lane driven for each stream, and is over when all that was handed in has its answer or ctx ends. A stream
// that breaks ends all. The outcome is there in any case, once all streams are open.
func (p *Plan) run(ctx context.Context, streams []Opener, driverOf func(k int, l *lane) driver) (*Outcome, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	lanes := make([]*lane, len(streams))
	for k, open := range streams {
		stream, err := open(ctx)
		if err != nil {
			return nil, err
		}
		lanes[k] = &lane{plan: p, stream: stream, open: make(map[uint64]request)}
	}
	var all sync.WaitGroup
	start := time.Now()
	for k, l := range lanes {
		drive := driverOf(k, l)
		all.Go(func() {
			drive(ctx, start)
			_ = l.stream.CloseSend() // receive says whether the stream failed
		})
		all.Go(func() {
			if err := l.receive(); err != nil {
				cancel(err)
			}
		})
	}
	all.Wait()
	out := &Outcome{Elapsed: time.Since(start)}
	for _, l := range lanes {
		if l.leave() > 0 {
			cancel(io.ErrUnexpectedEOF) // unless there is a better reason
		}
		out.add(&l.out)
	}
	return out, context.Cause(ctx)
}

// add adds what one lane did.
func (o *Outcome) add(more *Outcome) {
	for s := range o.To {
		o.To[s] = append(o.To[s], more.To[s]...)
	}
	o.Sent += more.Sent
	o.Refused += more.Refused
	o.Failed += more.Failed
	o.Late = max(o.Late, more.Late)
}
