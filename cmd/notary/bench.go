package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/notarynet/notaryd/client"
	"github.com/notarynet/notaryd/client/wallet"
	"github.com/notarynet/notaryd/utxo"
)

// benchFlags choose the kind of load.
type benchFlags struct {
	sequential int
	rate       int
	duration   time.Duration
	streams    int
	histogram  bool
}

func (a *app) benchCommand() *cobra.Command {
	var f benchFlags
	c := &cobra.Command{
		Use: "bench", GroupID: "dev", Short: "Measure the time to finality, and the load a devnet bears",
		Long: "With --sequential: one transfer after the other, each timed from its submission until its proof is\n" +
			"here and verified. With --rate and --duration: transfers signed beforehand and submitted at a fixed\n" +
			"rate whether or not earlier ones are final (open loop), each timed from the instant it was due.\n" +
			"The faucet of the local devnet pays itself. The timeout counts from the end of the preparations.",
		Example: "  notary bench --sequential 50 --json\n  notary bench --rate 500 --duration 10s",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := f.check(); err != nil {
				return err
			}
			conn, err := a.connect(c.Context())
			if err != nil {
				return err
			}
			return errors.Join(a.bench(c.Context(), conn, f), conn.Close())
		},
	}
	c.Flags().IntVar(&f.sequential, "sequential", 0, "`number` of transfers one after the other")
	c.Flags().IntVar(&f.rate, "rate", 0, "transfers a second, open loop")
	c.Flags().DurationVar(&f.duration, "duration", 10*time.Second, "how long to submit at --rate")
	c.Flags().IntVar(&f.streams, "streams", 4, "streams of submissions at --rate")
	c.Flags().BoolVar(&f.histogram, "histogram", false, "draw a histogram of the latencies")
	return c
}

func (f benchFlags) check() error {
	switch {
	case (f.sequential > 0) == (f.rate > 0):
		return usage("bench wants either --sequential N or --rate R")
	case f.sequential < 0 || f.rate < 0 || f.streams < 1 || f.streams > 256:
		return usage("numbers must be positive, and --streams at most 256")
	case f.rate > 0 && f.transfers() < 1:
		return usage("--duration is too short for --rate")
	case f.transfers() > 1_000_000:
		return usage("more than 1,000,000 transfers; make --rate or --duration smaller")
	}
	return nil
}

// transfers is how many the open loop submits.
func (f benchFlags) transfers() int { return int(float64(f.rate) * f.duration.Seconds()) }

// bench runs alone on the faucet's coins.
func (a *app) bench(ctx context.Context, c *client.Client, f benchFlags) (err error) {
	account, path, err := a.faucet(c)
	if err != nil {
		return err
	}
	wait, cancel := a.deadline(ctx)
	unlock, err := wallet.LockFile(wait, path+".lock")
	cancel()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	if f.sequential > 0 {
		return a.benchSequential(ctx, c, account, f)
	}
	return a.benchOpen(ctx, c, account, f)
}

// largest is the account's coin with the most native units.
func largest(ctx context.Context, c *client.Client, account *client.Account, nowMS uint64) (client.Coin, error) {
	all, err := c.Coins(ctx, account.Address)
	if err != nil {
		return client.Coin{}, err
	}
	var best client.Coin
	for _, coin := range all {
		if coin.Output.Product.IsZero() && coin.Spendable(nowMS) && coin.Output.Amount > best.Output.Amount {
			best = coin
		}
	}
	if best.Output.Amount == 0 {
		return best, &client.FundsError{Need: 1}
	}
	return best, nil
}

// benchSequential sends a coin round and round; each transfer spends what the one before created.
func (a *app) benchSequential(ctx context.Context, c *client.Client, account *client.Account, f benchFlags) error {
	coin, err := largest(ctx, c, account, uint64(a.now().UnixMilli()))
	if err != nil {
		return err
	}
	bar := a.countBar(f.sequential)
	defer bar.close()
	latencies := make([]time.Duration, 0, f.sequential)
	for range f.sequential {
		tx, err := c.Spend(account, client.Terms{}, []client.Coin{coin}, []utxo.Output{payTo(account, coin.Output.Amount)})
		if err != nil {
			return err
		}
		step, cancel := a.deadline(ctx)
		started := a.now()
		_, err = c.SubmitFinal(step, tx)
		latencies = append(latencies, a.now().Sub(started))
		cancel()
		if err != nil {
			return fmt.Errorf("transfer %d of %d: %w", len(latencies), f.sequential, err)
		}
		coin = client.Coin{Outpoint: utxo.Outpoint{Tx: tx.ID}, Output: tx.Outputs[0]}
		bar.add(1)
	}
	bar.close()
	s := summarize(latencies)
	return a.print(s, func(w io.Writer) {
		fmt.Fprintf(w, "%d transfers, submission to verified proof: median %.1f ms, 99 %% within %.1f ms, fastest %.1f ms, slowest %.1f ms\n", s.N, s.P50, s.P99, s.Min, s.Max)
		if f.histogram {
			histogram(w, latencies)
		}
	})
}

// summary is a set of latencies in JSON, in milliseconds.
type summary struct {
	N   int     `json:"n"`
	P50 float64 `json:"p50_ms"`
	P90 float64 `json:"p90_ms"`
	P99 float64 `json:"p99_ms"`
	Min float64 `json:"min_ms"`
	Max float64 `json:"max_ms"`
}

// summarize sorts the latencies and takes percentiles by nearest rank.
func summarize(latencies []time.Duration) summary {
	slices.Sort(latencies)
	n := len(latencies)
	if n == 0 {
		return summary{}
	}
	at := func(percent int) float64 { return millis(latencies[max((n*percent+99)/100, 1)-1]) }
	return summary{N: n, P50: at(50), P90: at(90), P99: at(99), Min: millis(latencies[0]), Max: millis(latencies[n-1])}
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// counter shows how far a count has come.
type counter struct {
	all *mpb.Progress
	bar *mpb.Bar
}

// countBar draws on a terminal and stays silent elsewhere.
func (a *app) countBar(total int) *counter {
	if a.json || !a.terminal {
		return &counter{}
	}
	all := mpb.New(mpb.WithOutput(a.err), mpb.WithAutoRefresh(), mpb.WithWidth(48))
	return &counter{all, all.AddBar(int64(total), mpb.AppendDecorators(decor.CountersNoUnit("%d of %d")))}
}

func (c *counter) add(n int) {
	if c.bar != nil {
		c.bar.IncrBy(n)
	}
}

func (c *counter) close() {
	if c.bar != nil {
		c.bar.Abort(false)
		c.all.Wait()
		c.bar = nil
	}
}
