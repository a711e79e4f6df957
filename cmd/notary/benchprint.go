package main

import (
	"fmt"
	"io"
	"math/bits"
	"slices"
	"strings"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/notarynet/notaryd/internal/load"
)

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

// stagesView are the latencies to each stage in JSON.
type stagesView struct {
	Pending  summary `json:"pending"`
	Accepted summary `json:"accepted"`
	Final    summary `json:"final"`
	Proof    summary `json:"proof"`
}

// viewStages summarizes the latencies to each stage.
func viewStages(to [load.Stages][]time.Duration) stagesView {
	return stagesView{summarize(to[load.Pending]), summarize(to[load.Accepted]), summarize(to[load.Final]), summarize(to[load.Proof])}
}

// write draws a table with a row for each stage.
func (v stagesView) write(w io.Writer) {
	fmt.Fprintf(w, "%-10s%9s%10s%10s%10s%10s%10s\n", "ms to", "timed", "median", "90 %", "99 %", "fastest", "slowest")
	for s, row := range []summary{v.Pending, v.Accepted, v.Final, v.Proof} {
		fmt.Fprintf(w, "%-10v%9d%10.1f%10.1f%10.1f%10.1f%10.1f\n", load.Stage(s), row.N, row.P50, row.P90, row.P99, row.Min, row.Max)
	}
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

// counter shows how far a count has come.
type counter struct {
	all *mpb.Progress
	bar *mpb.Bar
}

// countBar draws on a terminal and stays silent elsewhere. The text has a place for how many and one for the total.
func (a *app) countBar(text string, total int) *counter {
	if a.json || !a.terminal {
		return &counter{}
	}
	all := mpb.New(mpb.WithOutput(a.err), mpb.WithAutoRefresh(), mpb.WithWidth(48))
	return &counter{all, all.AddBar(int64(total), mpb.AppendDecorators(decor.CountersNoUnit(text)))}
}

func (c *counter) add(n int) {
	if c.bar != nil {
		c.bar.IncrBy(n)
	}
}

func (c *counter) set(n int) {
	if c.bar != nil {
		c.bar.SetCurrent(int64(n))
	}
}

func (c *counter) close() {
	if c.bar != nil {
		c.bar.Abort(false)
		c.all.Wait()
		c.bar = nil
	}
}
