package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/notarynet/notaryd/client"
	"github.com/notarynet/notaryd/internal/load"
)

// sample is about how many transfers are timed to all stages.
const sample = 2000

// loadView is what became of a load in JSON. The latencies are those to FINAL.
type loadView struct {
	summary
	Submitted int `json:"submitted"`
	// Failed is what did not become final, as far as is known: what was turned away for good, or had no good
	// answer in time.
	Failed int `json:"failed"`
	// Refused is how often a transfer was turned away since the node had too many.
	Refused int `json:"refused"`
	// Final is what became final a second, from the first submission to the last answer.
	Final  float64    `json:"final_per_s"`
	Stages stagesView `json:"stages"`
}

func viewLoad(out *load.Outcome) loadView {
	stages := viewStages(out.To)
	return loadView{
		summary: stages.Final, Submitted: out.Sent, Failed: out.Failed, Refused: out.Refused,
		Final: float64(stages.Final.N) / out.Elapsed.Seconds(), Stages: stages,
	}
}

// rateView is an open loop in JSON.
type rateView struct {
	loadView
	// Rate is what was asked for, a second.
	Rate int `json:"rate_per_s"`
	// LateMS is the most that a submission came after it was due: above a few milliseconds the load
	// generator, or the node's flow control, held the load back.
	LateMS float64 `json:"late_ms"`
}

// benchRate submits at a fixed rate what was signed before.
func (a *app) benchRate(ctx context.Context, c *client.Client, account *client.Account, f benchFlags) error {
	n := f.transfers()
	txs, err := a.prepare(ctx, c, account, n, n)
	if err != nil {
		return err
	}
	bar := a.countBar("%d of %d answered", n)
	defer bar.close()
	ctx, cancel := context.WithTimeoutCause(ctx, f.duration+a.timeout, errTimeout)
	defer cancel()
	plan := load.Plan{Txs: txs, Stage: load.Final, Sample: sample, Answered: func() { bar.add(1) }}
	out, err := load.Open(ctx, slices.Repeat([]load.Opener{c.Stream}, f.streams), plan, f.rate)
	bar.close()
	if out == nil {
		return err
	}
	v := rateView{viewLoad(out), f.rate, millis(out.Late)}
	v.Submitted, v.Failed = n, n-v.N
	return errors.Join(a.print(v, func(w io.Writer) {
		v.write(w)
		f.histograms(w, out)
	}), endedEarly(ctx, err))
}

func (v rateView) write(w io.Writer) {
	fmt.Fprintf(w, "%d of %d transfers final, %.0f a second of %d asked for; submissions at most %.1f ms late\n", v.N, v.Submitted, v.Final, v.Rate, v.LateMS)
	if v.Refused > 0 {
		fmt.Fprintf(w, "%d were refused since the node had too many\n", v.Refused)
	}
	if v.Failed > v.Refused {
		fmt.Fprintf(w, "%d had no good answer\n", v.Failed-v.Refused)
	}
	v.Stages.write(w)
}

// maxView is a closed loop in JSON.
type maxView struct {
	loadView
	// Window is how many transfers were under way at once.
	Window int `json:"window"`
	// RanOut says that all transfers were submitted before the time was over.
	RanOut bool `json:"ran_out"`
	// Seconds are from the first submission to the last answer.
	Seconds float64 `json:"seconds"`
}

// benchMax keeps transfers under way that were signed before.
func (a *app) benchMax(ctx context.Context, c *client.Client, account *client.Account, f benchFlags) error {
	n := min(max(int(signedPerSecond*f.duration.Seconds()), f.window), mostTransfers)
	coins := min(f.window*coinsPerPlace, n)
	txs, err := a.prepare(ctx, c, account, coins, n)
	if err != nil {
		return err
	}
	bar := a.countBar("%d of %d s", int(f.duration.Seconds()))
	defer bar.close()
	ctx, cancel := context.WithTimeoutCause(ctx, f.duration+a.timeout, errTimeout)
	defer cancel()
	start := a.now()
	plan := load.Plan{Txs: txs, Stage: load.Final, Sample: sample, Answered: func() { bar.set(int(a.now().Sub(start).Seconds())) }}
	limits := load.Limits{Window: f.window, Coins: coins, Duration: f.duration}
	out, err := load.Closed(ctx, slices.Repeat([]load.Opener{c.Stream}, f.streams), plan, limits)
	bar.close()
	if out == nil {
		return err
	}
	v := maxView{viewLoad(out), f.window, out.Sent == n, out.Elapsed.Seconds()}
	return errors.Join(a.print(v, func(w io.Writer) {
		v.write(w)
		f.histograms(w, out)
	}), endedEarly(ctx, err))
}

func (v maxView) write(w io.Writer) {
	fmt.Fprintf(w, "%d transfers final in %.1f s, %.0f a second with %d under way at once\n", v.N, v.Seconds, v.Final, v.Window)
	if v.RanOut {
		fmt.Fprintf(w, "the %d transfers signed beforehand ran out before the time was over\n", v.Submitted)
	}
	if v.Refused > 0 {
		fmt.Fprintf(w, "%d times one was refused since the node had too many, to be offered again\n", v.Refused)
	}
	if v.Failed > 0 {
		fmt.Fprintf(w, "%d had no good answer\n", v.Failed)
	}
	v.Stages.write(w)
}

// histograms draws one for each stage, where they are wanted.
func (f benchFlags) histograms(w io.Writer, out *load.Outcome) {
	for s := load.Pending; f.histogram && s < load.Stages; s++ {
		fmt.Fprintf(w, "to %v:\n", s)
		histogram(w, out.To[s])
	}
}

// endedEarly says why a load ended before all had their answers, if it did.
func endedEarly(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errTimeout):
		return &failure{exitOpen, "WAIT_EXPIRED", "give it longer with --timeout", err}
	}
	return fmt.Errorf("the load ended early: %w", client.FromStatus(ctx, err))
}
