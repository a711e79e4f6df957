// Command flood measures what floods do to honest clients (see bench.Floods), a JSON line for each:
//
//	go run ./bench/cmd/flood -factors 10,100 -seconds 20
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/notarynet/notaryd/bench"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "flood:", err)
		os.Exit(1)
	}
}

func run() error {
	var plan bench.FloodPlan
	kinds := flag.String("kinds", strings.Join(bench.Floods, ","), "floods, one after the other")
	factors := flag.String("factors", "10,100", "times the honest rate")
	flag.StringVar(&plan.Notaryd, "notaryd", "bin/notaryd", "the program")
	flag.IntVar(&plan.Nodes, "nodes", 4, "size of the network")
	flag.IntVar(&plan.Honest, "honest", 50, "honest transactions a second")
	flag.IntVar(&plan.Seconds, "seconds", 20, "length of each baseline and each flood")
	flag.Parse()
	plan.Kinds = strings.Split(*kinds, ",")
	var err error
	if plan.Factors, err = bench.Numbers(*factors); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "notary-flood-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	out := json.NewEncoder(os.Stdout)
	return bench.RunFloods(ctx, plan, dir, func(f bench.FloodFigure) { _ = out.Encode(f) })
}
