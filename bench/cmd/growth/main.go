// Command growth measures what a transaction costs one node as the live set and the group grow (see package growth),
// keeps the figures, and draws the plots of docs/scale.md:
//
//	go run ./bench/cmd/growth -live 100000,1000000,10000000 -peers 4,10,20,25,50,100 -batches 4,25,100
//
// It needs some 4 GB in -dir for ten million outputs. A run can be cut in pieces: each figure replaces the one of the
// same size in -out, and with -keep a store that was loaded by -payments 0 is there for the next run.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/notarynet/notaryd/bench"
	"github.com/notarynet/notaryd/bench/growth"
)

// batches are one, 20 and 1,000 transactions an observation: a network that has little to do and whose nodes speak at
// once, one with as much to do as -rate says whose disks are quick, and one with ten times as much.
var batches = []growth.Plan{
	{Rate: 200, Flush: 5 * time.Millisecond, Transactions: 600},
	{Rate: 2000, Flush: 10 * time.Millisecond, Transactions: 4000},
	{Rate: 20_000, Flush: 50 * time.Millisecond, Transactions: 20_000},
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "growth:", err)
		os.Exit(1)
	}
}

func run() error {
	var (
		live = flag.String("live", "", "numbers of live outputs, separated by commas")
		pays growth.LivePlan
		peer = flag.String("peers", "", "sizes of groups, separated by commas")
		plan growth.Plan
		also = flag.String("batches", "", "sizes of groups that are measured with smaller and larger batches too")
		out  = flag.String("out", "bench/results/growth.jsonl", "file of the figures")
		plot = flag.String("plots", "docs/scale", "directory of the plots; empty for none")
		dir  = flag.String("dir", "", "directory of the stores, on the disk that is meant; empty for a temporary one")
	)
	flag.IntVar(&pays.Payments, "payments", 200_000, "payments beside each live set; 0 only loads it")
	flag.BoolVar(&pays.Keep, "keep", false, "leave the stores of live sets in -dir, and take up those that are there")
	flag.IntVar(&plan.Transactions, "transactions", 10_000, "transactions in each group")
	flag.IntVar(&plan.Rate, "rate", 2000, "transactions a second in groups")
	flag.DurationVar(&plan.Flush, "flush", 50*time.Millisecond, "how often each node of a group signs an observation")
	flag.IntVar(&plan.Proofs, "proofs", 1000, "acceptance proofs made in each group")
	flag.IntVar(&plan.Compact, "compact", 60, "compact proofs made in each group")
	flag.Parse()
	sizes, err := bench.Numbers(*live)
	if err != nil {
		return err
	}
	peers, err := bench.Numbers(*peer)
	if err != nil {
		return err
	}
	batched, err := bench.Numbers(*also)
	if err != nil {
		return err
	}
	if *dir == "" {
		if *dir, err = os.MkdirTemp("", "notary-growth-"); err != nil {
			return err
		}
		defer os.RemoveAll(*dir)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	results, err := growth.Load(*out)
	if err != nil {
		return err
	}
	pays.Dir, plan.Dir, pays.PerFlush, pays.Lookups = *dir, *dir, 100, 20_000
	for _, pays.Outputs = range sizes {
		l, err := growth.MeasureLive(ctx, pays)
		if err != nil {
			return fmt.Errorf("%d outputs: %w", pays.Outputs, err)
		}
		fmt.Fprintf(os.Stderr, "%d outputs: %.1f us a payment; loading took %.1f us an output\n", l.Outputs, l.CPU, l.LoadUS)
		if pays.Payments > 0 {
			results.AddLive(l)
		}
	}
	group := func(p growth.Plan) error {
		g, err := growth.MeasureGroup(p)
		if err != nil {
			return fmt.Errorf("%d peers: %w", p.Peers, err)
		}
		fmt.Fprintf(os.Stderr, "%d peers, %d transactions an observation: %.1f us a transaction\n", g.Peers, g.PerFlush, g.CPU)
		results.AddGroup(g)
		return ctx.Err()
	}
	for _, plan.Peers = range peers {
		if err := group(plan); err != nil {
			return err
		}
	}
	for _, n := range batched {
		for _, b := range batches {
			b.Peers, b.Dir = n, *dir
			if err := group(b); err != nil {
				return err
			}
		}
	}
	grows := results.Report(os.Stdout, 100, func(name string, svg []byte) error {
		if *plot == "" {
			return nil
		}
		return os.WriteFile(filepath.Join(*plot, name), svg, 0o644)
	})
	return errors.Join(grows, results.Save(*out))
}
