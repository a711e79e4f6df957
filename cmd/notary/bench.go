package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/notarynet/notaryd/client"
	"github.com/notarynet/notaryd/client/wallet"
	"github.com/notarynet/notaryd/utxo"
)

// benchFlags choose the kind of load.
type benchFlags struct {
	sequential int
	rate       int
	max        bool
	window     int
	duration   time.Duration
	streams    int
	histogram  bool
}

func (a *app) benchCommand() *cobra.Command {
	var f benchFlags
	c := &cobra.Command{
		Use: "bench", GroupID: "dev", Short: "Measure the time to finality, and the load a devnet bears",
		Long: "With --sequential: one transfer after the other, each timed from its submission until its proof is\n" +
			"here and verified. With --rate: transfers submitted at a fixed rate whether or not earlier ones are\n" +
			"final (open loop), each timed from the instant it was due. With --max: --window transfers under way at\n" +
			"any time (closed loop), which is as many a second as the node takes.\n\n" +
			"For --rate and --max transfers are signed beforehand and go to one node over --streams streams. All are\n" +
			"timed to FINAL, and about 2,000 of them, spread evenly, also to this node's PENDING and ACCEPTED votes\n" +
			"and to the proof. The faucet of the local devnet pays itself. The timeout counts from the end of the\n" +
			"preparations.",
		Example: "  notary bench --sequential 50 --json\n  notary bench --rate 500 --duration 10s --histogram\n  notary bench --max --window 500",
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
	c.Flags().BoolVar(&f.max, "max", false, "as many transfers as the node takes, closed loop")
	c.Flags().IntVar(&f.window, "window", 2000, "transfers under way at once with --max, over all streams")
	c.Flags().DurationVar(&f.duration, "duration", 10*time.Second, "how long to submit with --rate and --max")
	c.Flags().IntVar(&f.streams, "streams", 4, "streams of submissions with --rate and --max")
	c.Flags().BoolVar(&f.histogram, "histogram", false, "draw histograms of the latencies")
	return c
}

// Bounds of a load: of the transfers signed beforehand, and of those under way at once, where a node takes no more.
const (
	mostTransfers = 1_000_000
	mostWindow    = 20_000
)

func (f benchFlags) check() error {
	modes := 0
	for _, chosen := range []bool{f.sequential != 0, f.rate != 0, f.max} {
		if chosen {
			modes++
		}
	}
	switch {
	case modes != 1:
		return usage("bench wants one of --sequential N, --rate R and --max")
	case f.sequential < 0 || f.rate < 0 || f.streams < 1 || f.streams > 256:
		return usage("numbers must be positive, and --streams at most 256")
	case f.window < 1 || f.window > mostWindow:
		return usage("--window must be from 1 to %d", mostWindow)
	case f.duration <= 0:
		return usage("--duration must be positive")
	case f.rate > 0 && f.transfers() < 1:
		return usage("--duration is too short for --rate")
	case f.transfers() > mostTransfers:
		return usage("more than %d transfers; make --rate or --duration smaller", mostTransfers)
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
	switch {
	case f.sequential > 0:
		return a.benchSequential(ctx, c, account, f)
	case f.max:
		return a.benchMax(ctx, c, account, f)
	}
	return a.benchRate(ctx, c, account, f)
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
	bar := a.countBar("%d of %d", f.sequential)
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
