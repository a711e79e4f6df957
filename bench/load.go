package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/notarynet/notaryd/client"
	"github.com/notarynet/notaryd/internal/load"
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

// measured runs a load of transactions that are timed to a stage.
func measured(txs []*utxo.Tx, stage load.Stage, run func(load.Plan) (*load.Outcome, error)) (*Outcome, error) {
	plan := load.Plan{Stage: stage, Txs: make([][]byte, len(txs))}
	for i, tx := range txs {
		plan.Txs[i] = tx.Raw
	}
	cpu := selfCPU()
	out, err := run(plan)
	if err != nil {
		return nil, fmt.Errorf("bench: load: %w", err)
	}
	return &Outcome{Latencies: out.To[stage], Refused: out.Refused, Failed: out.Failed, Elapsed: out.Elapsed, CPU: selfCPU() - cpu}, nil
}

// streams is over how many streams a closed loop comes to each node: a node takes so many transactions of one at a time.
const streams = 4

// Closed submits transactions over streams, window of them under way at each node, and counts finals (load.Closed). Nodes take
// turns, so that a coin (one of coins that go round) comes round in order.
func (n *Network) Closed(ctx context.Context, txs []*utxo.Tx, coins, window int, duration time.Duration) (*Outcome, error) {
	var all []load.Opener
	for range streams {
		for _, node := range n.Nodes {
			all = append(all, node.Stream)
		}
	}
	return measured(txs, load.Final, func(plan load.Plan) (*load.Outcome, error) {
		return load.Closed(ctx, all, plan, load.Limits{Window: window * len(n.Nodes), Coins: coins, Duration: duration})
	})
}

// crowd is from how many addresses an open loop comes: a node bounds what one client may have under way, and the others do
// not reach a node.
const crowd = 16

// Open submits at a fixed rate whether or not earlier ones are final, over a stream to each node from each of so many
// clients, and times from the instant a transaction was due until its proof is here (load.Open).
func (n *Network) Open(ctx context.Context, txs []*utxo.Tx, rate, clients int) (out *Outcome, err error) {
	from, err := newStrangers(n, clients)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, from.close()) }()
	var all []load.Opener
	for _, s := range from {
		for _, api := range s.apis {
			all = append(all, func(ctx context.Context) (load.Stream, error) { return api.SubmitTransactions(ctx) })
		}
	}
	return measured(txs, load.Proof, func(plan load.Plan) (*load.Outcome, error) { return load.Open(ctx, all, plan, rate) })
}

// Calls is Open with each transaction in a call of its own.
func (n *Network) Calls(ctx context.Context, txs []*utxo.Tx, rate, clients int) (result *Outcome, err error) {
	from, err := newStrangers(n, clients)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, from.close()) }()
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

// overloaded reports whether a node turned a transaction away with OVERLOADED.
func overloaded(err error) bool { return status.Code(err) == codes.ResourceExhausted }
