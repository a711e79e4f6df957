package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/notarynet/notaryd/client"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/utxo"
)

// Outcome is what became of a load.
type Outcome struct {
	// Latencies are from the instant a transaction was due until its answer was here.
	Latencies []time.Duration
	// Refused were turned away with a reason and a time to try again, Failed for any other cause.
	Refused, Failed int
	Elapsed         time.Duration
	// CPU is what handing in and taking answers used.
	CPU time.Duration
}

// Rate is finals a second.
func (o *Outcome) Rate() float64 { return float64(len(o.Latencies)) / o.Elapsed.Seconds() }

// Percentile is the latency that p percent stay within, in milliseconds.
func (o *Outcome) Percentile(p int) float64 {
	if len(o.Latencies) == 0 {
		return 0
	}
	slices.Sort(o.Latencies)
	at := max((len(o.Latencies)*p+99)/100, 1) - 1
	return float64(o.Latencies[at].Microseconds()) / 1000
}

// streams is over how many streams a closed loop comes to each node: a node takes so many transactions of one at a time.
const streams = 4

// Closed submits transactions over streams, up to 32 in a message, window of them under way at each node, and counts finals. Nodes take turns,
// so that a coin comes round in order; what one turns away as OVERLOADED is offered to it again, as a wallet would, since all
// that spends it would fail. A coin (one of coins that go round) is spent again once it is final. It stops handing in after the duration, or when there are no more.
func (n *Network) Closed(ctx context.Context, txs []*utxo.Tx, coins, window int, duration time.Duration) (*Outcome, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var (
		all     sync.WaitGroup
		mu      sync.Mutex
		next    atomic.Int64
		out     Outcome
		start   = time.Now()
		cpu     = selfCPU()
		failure error
	)
	final := make([]atomic.Bool, len(txs))
	for i := range streams * len(n.Nodes) {
		node := n.Nodes[i%len(n.Nodes)]
		stream, err := node.Stream(ctx)
		if err != nil {
			return nil, err
		}
		l := lane{
			final: final, coins: coins,
			stream: stream, txs: txs, next: &next, end: start.Add(duration),
			sent: make([]time.Time, len(txs)), places: make(chan struct{}, window/streams), again: make(chan int, window/streams),
		}
		all.Go(func() { l.send(ctx) })
		all.Go(func() {
			err := l.receive()
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failure = errors.Join(failure, err)
				cancel()
			}
			out.Latencies = append(out.Latencies, l.out.Latencies...)
			out.Refused += l.out.Refused
			out.Failed += l.out.Failed
		})
	}
	all.Wait()
	out.Elapsed, out.CPU = time.Since(start), selfCPU()-cpu
	return &out, failure
}

// lane is the closed loop over one stream.
type lane struct {
	stream grpc.BidiStreamingClient[notaryv1.SubmitTransactionsRequest, notaryv1.SubmitTransactionsResponse]
	txs    []*utxo.Tx
	next   *atomic.Int64 // of txs, shared by all lanes
	end    time.Time
	final  []atomic.Bool // of txs, shared by all lanes
	coins  int
	sent   []time.Time   // for the first time
	places chan struct{} // taken from the first sending to the last answer
	again  chan int      // turned away before, or not due yet
	out    Outcome

	mu    sync.Mutex
	order []int // which of txs each sequence number is, in the order of sending
}

// notDue is how long to wait for a coin that is not final.
const notDue = 5 * time.Millisecond

// together is how many transactions a message brings at most, where so many may be sent.
const together = 32

// send hands in until the time is over.
func (l *lane) send(ctx context.Context) {
	over := time.NewTimer(time.Until(l.end))
	defer over.Stop()
	defer l.stream.CloseSend() // receive says whether the stream failed
	for {
		i, ok := l.wait(ctx, over.C)
		var due []int
		for ; ok; i, ok = l.ready() {
			if l.due(i) {
				due = append(due, i)
			}
			if len(due) == together {
				break
			}
		}
		if len(due) == 0 {
			if ctx.Err() != nil || !time.Now().Before(l.end) || int(l.next.Load()) >= len(l.txs) {
				return
			}
			continue
		}
		if time.Now().After(l.end) || l.stream.Send(l.request(due)) != nil {
			return
		}
	}
}

// wait is for a transaction that may be sent; false says that none will.
func (l *lane) wait(ctx context.Context, over <-chan time.Time) (i int, ok bool) {
	if i, ok = l.ready(); ok {
		return i, true
	}
	select {
	case i = <-l.again:
		return i, true
	case l.places <- struct{}{}:
		return l.new()
	case <-over:
	case <-ctx.Done():
	}
	return 0, false
}

// ready is a transaction that may be sent at once, if there is one.
func (l *lane) ready() (i int, ok bool) {
	select {
	case i = <-l.again:
		return i, true
	default:
	}
	select {
	case l.places <- struct{}{}:
		return l.new()
	default:
		return 0, false
	}
}

// new is the next that nobody has sent.
func (l *lane) new() (i int, ok bool) {
	i = int(l.next.Add(1) - 1)
	return i, i < len(l.txs)
}

// due reports whether the coin that a transaction spends is final; where it is not, the transaction comes again later.
func (l *lane) due(i int) bool {
	if i >= l.coins && !l.final[i-l.coins].Load() {
		time.AfterFunc(notDue, func() { l.again <- i })
		return false
	}
	if l.sent[i].IsZero() {
		l.sent[i] = time.Now()
	}
	return true
}

// request brings some transactions in one message.
func (l *lane) request(due []int) *notaryv1.SubmitTransactionsRequest {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := &notaryv1.SubmitTransactionsRequest{Sequence: uint64(len(l.order)), Transaction: l.txs[due[0]].Raw, WaitFor: client.WaitFinal}
	for _, i := range due[1:] {
		r.More = append(r.More, l.txs[i].Raw)
	}
	l.order = append(l.order, due...)
	return r
}

// receive takes the answers until the stream ends.
func (l *lane) receive() error {
	for {
		answer, err := l.stream.Recv()
		switch {
		case ended(err):
			return nil
		case err != nil:
			return fmt.Errorf("bench: stream: %w", err)
		}
		l.answered(answer)
		for _, more := range answer.GetMore() {
			l.answered(more)
		}
	}
}

// answered notes what came of one transaction.
func (l *lane) answered(answer *notaryv1.SubmitTransactionsResponse) {
	l.mu.Lock()
	i := l.order[answer.GetSequence()]
	l.mu.Unlock()
	rejection := answer.GetStatus().GetRejection()
	switch {
	case answer.GetStatus().GetState() == notaryv1.TransactionState_TRANSACTION_STATE_FINAL:
		l.out.Latencies = append(l.out.Latencies, time.Since(l.sent[i]))
		l.final[i].Store(true)
	case rejection.GetReason() == notaryv1.Reason_REASON_OVERLOADED:
		l.out.Refused++
		wait := time.Duration(max(rejection.GetRetryAfterMs(), 1)) * time.Millisecond
		time.AfterFunc(wait, func() { l.again <- i }) // it has kept its place
		return
	default:
		l.out.Failed++
	}
	<-l.places
}

// crowd is from how many addresses an open loop comes: one client may have a few hundred calls open, and the others do
// not reach a node.
const crowd = 16

// Open submits at a fixed rate whether or not earlier ones are final, each in a call of its own that waits for the
// proof, from one of so many clients, and times from the instant it was due until the proof is here.
func (n *Network) Open(ctx context.Context, txs []*utxo.Tx, rate, clients int) (result *Outcome, err error) {
	from := make([]*stranger, clients)
	for i := range from {
		if from[i], err = newStranger(n, fmt.Sprint("127.0.1.", i+1)); err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, from[i].close()) }()
	}
	var (
		all   sync.WaitGroup
		mu    sync.Mutex
		out   Outcome
		start = time.Now()
		cpu   = selfCPU()
	)
	for i, tx := range txs {
		due := start.Add(time.Duration(i) * time.Second / time.Duration(rate))
		if wait := time.Until(due); wait > 0 {
			time.Sleep(wait)
		}
		if ctx.Err() != nil {
			break
		}
		all.Go(func() {
			answer, err := from[i/len(n.Nodes)%clients].apis[i%len(n.Nodes)].SubmitTransaction(ctx, &notaryv1.SubmitTransactionRequest{
				Transaction: tx.Raw, WaitFor: client.WaitFinal, WithProof: true,
			})
			took := time.Since(due)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil && len(answer.GetProof()) > 0:
				out.Latencies = append(out.Latencies, took)
			case overloaded(err):
				out.Refused++
			default:
				out.Failed++
			}
		})
	}
	all.Wait()
	out.Elapsed, out.CPU = time.Since(start), selfCPU()-cpu
	return &out, ctx.Err()
}

// ended reports whether a stream came to its end in order.
func ended(err error) bool { return errors.Is(err, io.EOF) || status.Code(err) == codes.Canceled }

// overloaded reports whether a node turned a transaction away with OVERLOADED.
func overloaded(err error) bool { return status.Code(err) == codes.ResourceExhausted }
