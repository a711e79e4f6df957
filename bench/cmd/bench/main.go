// Command bench measures networks of real processes (see package bench) and keeps the figures.
//
//	go run ./bench/cmd/bench -nodes 1,4,10 -seconds 30 -out bench/results/latest.json
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/notarynet/notaryd/bench"
	"github.com/notarynet/notaryd/internal/hugepages"
)

// clientHeap is how much memory the load and the ceilings take at the most.
const clientHeap = 2 << 30

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run() error {
	var (
		plan     bench.Plan
		nodes    = flag.String("nodes", "1,4,10", "sizes of the networks, one after the other")
		rates    = flag.String("rates", "200,2000", "open loops, transactions a second; empty for none")
		out      = flag.String("out", "", "file of the figures: compared with, then replaced")
		check    = flag.String("check", "", "file of kept figures: fail where ratios or allocations are worse")
		settings = flag.String("set", "", "settings for every node, key=value, separated by commas")
	)
	still := flag.Duration("still", 0, "in place of all that, for how long the last node of each network stands still in a closed loop at the others")
	flag.StringVar(&plan.Notaryd, "notaryd", "bin/notaryd", "the program")
	flag.StringVar(&plan.Beside, "beside", "", "another program that half of the nodes run: what each kind takes is compared")
	flag.IntVar(&plan.Live, "live", 100_000, "outputs at the start")
	flag.IntVar(&plan.Seconds, "seconds", 30, "length of the closed loop; 0 for none")
	flag.IntVar(&plan.Window, "window", 4000, "transactions under way in the closed loop, at all nodes together")
	flag.StringVar(&plan.Profile, "profile", "", "file for a processor profile of the first node in the closed loop")
	flag.BoolVar(&plan.Calls, "calls", false, "open loops: each transaction a call of its own, not over streams")
	flag.BoolVar(&plan.Past, "past", false, "after the open loops one at twice the peak, the most that became final in any of them: fail where much is lost")
	flag.IntVar(&plan.OpenSeconds, "open-seconds", 10, "length of each open loop")
	flag.Parse()
	if _, _, err := hugepages.WhereDear(clientHeap); err != nil && !errors.Is(err, hugepages.ErrNone) { // as the nodes do
		return err
	}
	var err error
	if plan.Rates, err = bench.Numbers(*rates); err != nil {
		return err
	}
	sizes, err := bench.Numbers(*nodes)
	if err != nil {
		return err
	}
	if *settings != "" {
		plan.Settings = strings.Split(*settings, ",")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if *still > 0 {
		return runLag(ctx, plan, sizes, *still)
	}
	var before, figures []bench.Figure
	if *out != "" {
		if before, err = bench.Load(*out); err != nil {
			return err
		}
	}
	if *check != "" {
		if before, err = bench.Load(*check); err != nil {
			return err
		}
	}
	var worse []error
	var failed error
	for _, n := range sizes {
		plan.Nodes = n
		err := bench.Run(ctx, plan, func(f bench.Figure) {
			kept := bench.Same(before, &f)
			f.Write(os.Stdout, kept)
			figures = append(figures, f)
			if *check != "" {
				worse = append(worse, bench.Check(&f, kept))
			}
		})
		if err != nil {
			failed = fmt.Errorf("%d nodes: %w", n, err)
			break // what was measured before is kept all the same
		}
	}
	if len(figures) > 0 {
		c := figures[len(figures)-1].Ceilings
		fmt.Printf("ceilings of the last run, us of processor a transaction: signature %.1f, hashing %.2f, decoding %.2f, synced commit %.1f; a page of memory %.1f\n",
			c.VerifyUS, c.HashUS, c.DecodeUS, c.CommitUS, c.PageUS)
	}
	failed = errors.Join(append(worse, failed)...)
	if *out == "" || len(figures) == 0 {
		return failed
	}
	return errors.Join(failed, bench.Save(*out, figures))
}

// runLag says how nodes catch up that stood still.
func runLag(ctx context.Context, plan bench.Plan, sizes []int, still time.Duration) error {
	for _, n := range sizes {
		plan.Nodes = n
		lag, err := bench.RunLag(ctx, plan, still)
		if err != nil {
			return fmt.Errorf("%d nodes, one of them still for %v: %w", n, still, err)
		}
		fmt.Println(lag)
	}
	return nil
}
