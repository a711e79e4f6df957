package bench

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// Figure is one measurement of a network, a line of bench/results/latest.json.
type Figure struct {
	Nodes int `json:"nodes"`
	// Live is how many outputs there were at the start.
	Live int `json:"live_outputs"`
	// Offered is the rate of an open loop; 0 for a closed one, which offers what is taken.
	Offered int `json:"offered_tx_per_s"`
	// Final is finals a second, as clients saw them.
	Final float64 `json:"final_tx_per_s"`
	// Refused and Failed are how many transactions were turned away and had no good answer.
	Refused int     `json:"refused"`
	Failed  int     `json:"failed"`
	CPU     float64 `json:"cpu_us_per_tx_per_node"`
	// Load is the processor time of the clients, in microseconds a transaction: they share the machine.
	Load float64 `json:"client_us_per_tx"`
	P50  float64 `json:"p50_ms"`
	P99  float64 `json:"p99_ms"`
	// OfPeak and P99OfPeak are Final and P99 over those at the peak, past saturation; 0 otherwise.
	OfPeak    float64 `json:"of_peak,omitempty"`
	P99OfPeak float64 `json:"p99_of_peak,omitempty"`
	// Beside is the processor time of the nodes that ran another program over that of the others; 0 where none did.
	Beside float64 `json:"beside,omitempty"`
	// Ratio is the sum of the ceilings over the processor time a transaction took a node: 1 cannot be beaten.
	Ratio  float64 `json:"ceiling_ratio"`
	Wire   float64 `json:"wire_bytes_per_tx_per_node"`
	Disk   float64 `json:"disk_bytes_per_tx_per_node"`
	Allocs float64 `json:"allocs_per_tx"`
	// PeakMB is the most memory that one node held.
	PeakMB   float64  `json:"peak_mb"`
	Ceilings Ceilings `json:"ceilings"`
}

// figure divides what a network used by what it did.
func figure(n *Network, live, offered int, out *Outcome, used Usage, c Ceilings) Figure {
	nodes := len(n.Nodes)
	each := used.Finals * float64(nodes)
	f := Figure{
		Nodes: nodes, Live: live, Offered: offered, Final: out.Rate(), Refused: out.Refused, Failed: out.Failed,
		P50: out.Percentile(50), P99: out.Percentile(99), PeakMB: used.PeakRSS / 1e6, Ceilings: c,
	}
	if n.others != nil {
		f.Beside = besideRatio(used.Each)
	}
	if each > 0 {
		f.CPU = float64(used.CPU.Microseconds()) / each
		f.Load = float64(out.CPU.Microseconds()) / used.Finals
		f.Wire, f.Disk, f.Allocs = used.WireBytes/each, used.DiskBytes/each, used.Allocs/each
		f.Ratio = c.SumUS() / f.CPU
	}
	return f
}

// Write prints a figure for people, beside the one of an earlier run where there is one.
func (f *Figure) Write(w io.Writer, before *Figure) {
	load := "closed loop"
	if f.Offered > 0 {
		load = fmt.Sprintf("%d tx/s offered", f.Offered)
	}
	fmt.Fprintf(w, "%d nodes, %d outputs, %s: %.0f tx/s final%s, p50 %.1f ms, p99 %.1f ms\n", f.Nodes, f.Live, load, f.Final,
		change(f, before, func(f *Figure) float64 { return f.Final }), f.P50, f.P99)
	fmt.Fprintf(w, "    a transaction and node: %.1f us of processor%s, ratio to the ceilings %.2f%s, %.0f allocations, %.0f B sent, %.0f B written; %.0f MB at most; clients %.1f us\n",
		f.CPU, change(f, before, func(f *Figure) float64 { return f.CPU }),
		f.Ratio, change(f, before, func(f *Figure) float64 { return f.Ratio }), f.Allocs, f.Wire, f.Disk, f.PeakMB, f.Load)
	if f.Beside > 0 {
		fmt.Fprintf(w, "    the nodes beside took %.3f of the processor time of the others\n", f.Beside)
	}
	if f.OfPeak > 0 {
		fmt.Fprintf(w, "    past saturation: %.2f of the finals at the peak, p99 %.2f times as long\n", f.OfPeak, f.P99OfPeak)
	}
	if f.Refused+f.Failed > 0 {
		fmt.Fprintf(w, "    %d refused as overloaded, %d without a good answer\n", f.Refused, f.Failed)
	}
}

// change is how a value moved since the run before.
func change(f, before *Figure, of func(*Figure) float64) string {
	if before == nil || of(before) == 0 {
		return ""
	}
	return fmt.Sprintf(" (%+.0f %%)", 100*(of(f)/of(before)-1))
}

// Load reads the figures of an earlier run; none is no error.
func Load(path string) (figures []Figure, err error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return figures, json.Unmarshal(b, &figures)
}

// Save writes figures as a list.
func Save(path string, figures []Figure) error {
	b, err := json.MarshalIndent(figures, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(b, '\n'), 0o644)
}

// Same is the figure of an earlier run that measured the same thing, or nil.
func Same(figures []Figure, f *Figure) *Figure {
	for i := range figures {
		if e := &figures[i]; e.Nodes == f.Nodes && e.Live == f.Live && e.Offered == f.Offered {
			return e
		}
	}
	return nil
}

// What Check lets pass: figures within one run move by some percent from run to run.
const (
	ratioSlack = 0.7  // of the ratio to the ceilings
	allocSlack = 1.15 // of the allocations
)

// Check holds a figure against the kept one that measured the same. It looks at what does not depend on the speed of the
// machine: the ratio to ceilings of the same run, and allocations.
func Check(f, kept *Figure) error {
	switch {
	case kept == nil:
		return fmt.Errorf("bench: nothing is kept for %d nodes, %d outputs, %d tx/s", f.Nodes, f.Live, f.Offered)
	case f.Failed > 0:
		return fmt.Errorf("bench: %d transactions had no good answer", f.Failed)
	case f.Ratio < kept.Ratio*ratioSlack:
		return fmt.Errorf("bench: %d nodes reach %.3f of the ceilings, kept is %.3f", f.Nodes, f.Ratio, kept.Ratio)
	case f.Allocs > kept.Allocs*allocSlack:
		return fmt.Errorf("bench: %.0f allocations a transaction and node, kept is %.0f", f.Allocs, kept.Allocs)
	}
	return nil
}
