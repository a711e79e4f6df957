package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/notarynet/notaryd/client"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/utxo"
)

// fan is how many outputs one preparing transaction makes: one less than a transaction may have.
const fan = utxo.MaxOutputs - 1

// openSummary is an open loop in JSON.
type openSummary struct {
	summary
	// Submitted is what was due, Failed what was refused or had no answer in time.
	Submitted int `json:"submitted"`
	Failed    int `json:"failed"`
	// Rate is what was asked for, Final what became final, both a second, from the first submission to
	// the last answer.
	Rate  int     `json:"rate_per_s"`
	Final float64 `json:"final_per_s"`
	// LateMS is the most that a submission came after it was due: above a few milliseconds the load
	// generator, or the node's flow control, held the load back.
	LateMS float64 `json:"late_ms"`
}

// benchOpen submits at a fixed rate what was signed before.
func (a *app) benchOpen(ctx context.Context, c *client.Client, account *client.Account, f benchFlags) error {
	txs, err := a.prepare(ctx, c, account, f.transfers())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, f.duration+a.timeout, errTimeout)
	defer cancel()
	loop := openLoop{client: c, txs: txs, interval: time.Second / time.Duration(f.rate), now: a.now, bar: a.countBar(len(txs))}
	defer loop.bar.close()
	result, err := loop.run(ctx, f.streams)
	if err != nil {
		return err
	}
	loop.bar.close()
	s := openSummary{
		summary: summarize(result.latencies), Submitted: len(txs), Failed: len(txs) - len(result.latencies),
		Rate: f.rate, Final: float64(len(result.latencies)) / result.elapsed.Seconds(), LateMS: millis(result.late),
	}
	return a.print(s, func(w io.Writer) {
		fmt.Fprintf(w, "%d of %d transfers final, %.0f a second of %d asked for\n", s.N, s.Submitted, s.Final, s.Rate)
		fmt.Fprintf(w, "from due to final: median %.1f ms, 99 %% within %.1f ms, slowest %.1f ms; submissions at most %.1f ms late\n", s.P50, s.P99, s.Max, s.LateMS)
		if f.histogram {
			histogram(w, result.latencies)
		}
	})
}

// benchUnits is what one prepared coin holds, in base units.
const benchUnits = 1000

// prepare splits a part of the largest coin into n coins, level by level, and signs a transfer of each.
func (a *app) prepare(ctx context.Context, c *client.Client, account *client.Account, n int) ([]*client.Transaction, error) {
	root, err := largest(ctx, c, account, uint64(a.now().UnixMilli()))
	if err != nil {
		return nil, err
	}
	if root.Output.Amount < benchUnits*uint64(n) {
		return nil, &client.FundsError{Need: benchUnits * uint64(n), Have: root.Output.Amount}
	}
	// The rest of the largest coin stays whole.
	coins, err := a.spendFinal(ctx, c, account, root, []utxo.Output{payTo(account, benchUnits*uint64(n))})
	for err == nil && len(coins) < n {
		coins, err = a.split(ctx, c, account, coins, n)
	}
	if err != nil {
		return nil, fmt.Errorf("prepare coins: %w", err)
	}
	txs := make([]*client.Transaction, n)
	for i := range txs {
		out := []utxo.Output{payTo(account, coins[i].Output.Amount)}
		if txs[i], err = c.Spend(account, client.Terms{Validity: time.Hour}, coins[i:i+1], out); err != nil {
			return nil, err
		}
	}
	return txs, nil
}

// split turns coins into more coins, no more than n in all, taking the first ones apart as far as one
// transaction each can.
func (a *app) split(ctx context.Context, c *client.Client, account *client.Account, coins []client.Coin, n int) ([]client.Coin, error) {
	var next []client.Coin
	for i, coin := range coins {
		count := min(fan, n-len(next)-(len(coins)-i-1))
		if count <= 1 {
			next = append(next, coin)
			continue
		}
		outputs := make([]utxo.Output, count)
		for j := range outputs {
			outputs[j] = payTo(account, coin.Output.Amount/uint64(count))
		}
		outputs[0].Amount += coin.Output.Amount % uint64(count)
		made, err := a.spendFinal(ctx, c, account, coin, outputs)
		if err != nil {
			return nil, err
		}
		next = append(next, made...)
	}
	return next, nil
}

// spendFinal spends one coin and returns the coins made of it, change aside, once they are final.
func (a *app) spendFinal(ctx context.Context, c *client.Client, account *client.Account, coin client.Coin, outputs []utxo.Output) ([]client.Coin, error) {
	tx, err := c.Spend(account, client.Terms{}, []client.Coin{coin}, outputs)
	if err != nil {
		return nil, err
	}
	ctx, cancel := a.deadline(ctx)
	defer cancel()
	if _, err := c.Submit(ctx, tx.Raw, client.WaitFinal); err != nil {
		return nil, err
	}
	made := make([]client.Coin, len(outputs))
	for j := range made {
		made[j] = client.Coin{Outpoint: utxo.Outpoint{Tx: tx.ID, Index: uint32(j)}, Output: tx.Outputs[j]}
	}
	return made, nil
}

func payTo(account *client.Account, amount uint64) utxo.Output {
	return utxo.Output{Kind: notaryv1.OutputKind_OUTPUT_KIND_PAYMENT, Address: account.Address, Amount: amount}
}

// openLoop submits transaction i at start + i * interval, over several streams in turn.
type openLoop struct {
	client   *client.Client
	txs      []*client.Transaction
	interval time.Duration
	now      func() time.Time
	bar      *counter
}

// openResult is what came of it.
type openResult struct {
	latencies     []time.Duration
	late, elapsed time.Duration
}

type submissions = grpc.BidiStreamingClient[notaryv1.SubmitTransactionsRequest, notaryv1.SubmitTransactionsResponse]

// run returns when every transaction has its answer or ctx ends; what is missing then has failed.
func (l *openLoop) run(ctx context.Context, count int) (openResult, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	streams := make([]submissions, min(count, len(l.txs)))
	for i := range streams {
		var err error
		if streams[i], err = l.client.Stream(ctx); err != nil {
			return openResult{}, err
		}
	}
	var (
		wg     sync.WaitGroup
		mu     sync.Mutex
		result openResult
		start  = l.now()
		due    = func(i uint64) time.Time { return start.Add(time.Duration(i) * l.interval) }
	)
	for s, stream := range streams {
		wg.Go(func() {
			late := l.submit(ctx, stream, s, len(streams), due)
			mu.Lock()
			defer mu.Unlock()
			result.late = max(result.late, late)
		})
		wg.Go(func() {
			for {
				answer, err := stream.Recv()
				if err != nil {
					return // the end, or a stream that broke: its transactions have no answer
				}
				final := answer.GetStatus().GetState() == notaryv1.TransactionState_TRANSACTION_STATE_FINAL
				took := l.now().Sub(due(answer.GetSequence()))
				mu.Lock()
				if final && answer.GetSequence() < uint64(len(l.txs)) {
					result.latencies = append(result.latencies, took)
				}
				l.bar.add(1)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	result.elapsed = l.now().Sub(start)
	return result, nil
}

// submit sends every step-th transaction from first on, each when it is due, and says how late the
// latest was.
func (l *openLoop) submit(ctx context.Context, stream submissions, first, step int, due func(uint64) time.Time) (late time.Duration) {
	for i := first; i < len(l.txs); i += step {
		at := due(uint64(i))
		if wait := at.Sub(l.now()); wait > 0 {
			select {
			case <-time.After(wait):
			case <-ctx.Done():
				return late
			}
		}
		req := &notaryv1.SubmitTransactionsRequest{Sequence: uint64(i), Transaction: l.txs[i].Raw, WaitFor: client.WaitFinal}
		if err := stream.Send(req); err != nil {
			return late // Recv says why
		}
		late = max(late, l.now().Sub(at))
	}
	if err := stream.CloseSend(); err != nil && !errors.Is(err, io.EOF) {
		return late
	}
	return late
}

// histogram draws latencies in buckets that double.
func histogram(w io.Writer, latencies []time.Duration) {
	if len(latencies) == 0 {
		return
	}
	var buckets [40]int
	low, high, most := len(buckets), 0, 0
	for _, d := range latencies {
		i := min(bits.Len64(uint64(max(d.Milliseconds(), 0))), len(buckets)-1)
		buckets[i]++
		low, high, most = min(low, i), max(high, i), max(most, buckets[i])
	}
	for i := low; i <= high; i++ {
		fmt.Fprintf(w, "  < %6d ms  %6d  %s\n", 1<<i, buckets[i], strings.Repeat("#", buckets[i]*50/most))
	}
}
