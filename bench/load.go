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

// Closed submits transactions over streams, window of them under way at each node, and counts finals. It stops
// handing in after the duration, or when there are no more. Nodes take turns, so that no transaction is submitted
// twice and a coin comes round in order.
func (n *Network) Closed(ctx context.Context, txs []*utxo.Tx, window int, duration time.Duration) (*Outcome, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var (
		all     sync.WaitGroup
		mu      sync.Mutex
		next    atomic.Int64
		out     Outcome
		start   = time.Now()
		failure error
	)
	fail := func(err error) {
		mu.Lock()
		failure = errors.Join(failure, err)
		mu.Unlock()
		cancel()
	}
	for _, node := range n.Nodes {
		stream, err := node.Stream(ctx)
		if err != nil {
			return nil, err
		}
		sent := make([]time.Time, len(txs))
		places := make(chan struct{}, window)
		all.Go(func() {
			for time.Since(start) < duration {
				select {
				case places <- struct{}{}:
				case <-ctx.Done():
					return
				}
				i := int(next.Add(1) - 1)
				if i >= len(txs) {
					break
				}
				sent[i] = time.Now()
				if err := stream.Send(&notaryv1.SubmitTransactionsRequest{Sequence: uint64(i), Transaction: txs[i].Raw, WaitFor: client.WaitFinal}); err != nil {
					return // Recv says why
				}
			}
			_ = stream.CloseSend() // Recv says whether it failed
		})
		all.Go(func() {
			var latencies []time.Duration
			refused, failed := 0, 0
			for {
				answer, err := stream.Recv()
				if err != nil {
					if !ended(err) {
						fail(fmt.Errorf("bench: stream: %w", err))
					}
					break
				}
				<-places
				switch status := answer.GetStatus(); {
				case status.GetState() == notaryv1.TransactionState_TRANSACTION_STATE_FINAL:
					latencies = append(latencies, time.Since(sent[answer.GetSequence()]))
				case status.GetRejection().GetReason() == notaryv1.Reason_REASON_OVERLOADED:
					refused++
				default:
					failed++
				}
			}
			mu.Lock()
			out.Latencies = append(out.Latencies, latencies...)
			out.Refused += refused
			out.Failed += failed
			mu.Unlock()
		})
	}
	all.Wait()
	out.Elapsed = time.Since(start)
	return &out, failure
}

// Open submits at a fixed rate whether or not earlier ones are final, each in a call of its own that waits for the
// proof, and times from the instant it was due until the proof is here.
func (n *Network) Open(ctx context.Context, txs []*utxo.Tx, rate int) (*Outcome, error) {
	var (
		all   sync.WaitGroup
		mu    sync.Mutex
		out   Outcome
		start = time.Now()
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
			answer, err := n.Nodes[i%len(n.Nodes)].API().SubmitTransaction(ctx, &notaryv1.SubmitTransactionRequest{
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
	out.Elapsed = time.Since(start)
	return &out, ctx.Err()
}

// ended reports whether a stream came to its end in order.
func ended(err error) bool { return errors.Is(err, io.EOF) || status.Code(err) == codes.Canceled }

// overloaded reports whether a node turned a transaction away for now.
func overloaded(err error) bool { return status.Code(err) == codes.ResourceExhausted }
