// Command sim runs many seeds of the simulator and prints, as its last line, what they came to as JSON. It exits with
// status 1 where an oracle was violated or a kind of fault never happened.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"os"
	"runtime"
	"slices"
	"sync"

	"github.com/notarynet/notaryd/internal/sim"
)

// report is the last line.
type report struct {
	Seeds             int            `json:"seeds"`
	SimHours          float64        `json:"sim_hours"`
	Faulty            float64        `json:"faulty"`
	Faults            map[string]int `json:"faults"`
	ConflictingFinals int            `json:"conflicting_finals"`
	Reversed          int            `json:"reversed"`
	Undecided         int            `json:"undecided"`
	OtherViolations   int            `json:"other_violations"`
	UncontestedP50MS  float64        `json:"uncontested_p50_ms"`
	UncontestedP99MS  float64        `json:"uncontested_p99_ms"`
	ContestedP50MS    float64        `json:"contested_p50_ms"`
	ContestedP99MS    float64        `json:"contested_p99_ms"`
	LossyP50MS        float64        `json:"contested_lossy_p50_ms"`
	LossyP99MS        float64        `json:"contested_lossy_p99_ms"`
}

type options struct {
	seeds, first, nodes int
	faulty              float64
	kind                string
	trace               bool
	planted             bool
	bug                 string
}

func main() {
	var o options
	flag.IntVar(&o.seeds, "seeds", 200, "number of seeds")
	flag.IntVar(&o.first, "seed", 1, "first seed")
	flag.IntVar(&o.nodes, "nodes", 20, "nodes of equal weight")
	flag.Float64Var(&o.faulty, "faulty", 0.2, "share of Byzantine nodes")
	flag.StringVar(&o.kind, "kind", "", "kind of all Byzantine nodes; empty for a mixture")
	flag.BoolVar(&o.trace, "trace", false, "print a transcript of each run in chaos")
	flag.BoolVar(&o.planted, "planted", false, "try every planted bug (build with -tags planted)")
	flag.StringVar(&o.bug, "bug", "", "with -planted: one bug alone")
	flag.Parse()
	if o.planted {
		os.Exit(runPlanted(o))
	}
	os.Exit(run(o))
}

// configs are the runs of one seed: chaos, and the timing of a double spend without and with lost messages.
func (o *options) configs(seed int) []sim.Config {
	c := sim.Config{Seed: int64(seed), Nodes: o.nodes, Faulty: int(math.Floor(float64(o.nodes)*o.faulty + 1e-9)), Kind: o.kind}
	chaos, race, lossy := c, c, c
	chaos.Chaos = true
	lossy.Loss = 0.03
	if o.trace {
		chaos.Log = os.Stdout
		return []sim.Config{chaos}
	}
	return []sim.Config{chaos, race, lossy}
}

func run(o options) int {
	results := make([][]sim.Result, o.seeds)
	var group sync.WaitGroup
	next := make(chan int)
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() {
			for i := range next {
				for _, c := range o.configs(o.first + i) {
					results[i] = append(results[i], sim.Run(c))
				}
			}
		})
	}
	for i := range o.seeds {
		next <- i
		if (i+1)%100 == 0 {
			fmt.Fprintf(os.Stderr, "seed %d of %d\n", i+1, o.seeds)
		}
	}
	close(next)
	group.Wait()
	return summarise(o, results)
}

func summarise(o options, results [][]sim.Result) int {
	r := report{Seeds: o.seeds, Faulty: o.faulty, Faults: make(map[string]int)}
	var uncontested, contested, lossy []float64
	violations := 0
	for _, seed := range results {
		for i, x := range seed {
			r.SimHours += x.SimMS / 3_600_000
			r.ConflictingFinals += x.ConflictingFinals
			r.Reversed += x.Reversed
			r.Undecided += x.Undecided
			violations += len(x.Violations)
			for kind, n := range x.Faults {
				r.Faults[kind] += n
			}
			switch i {
			case 1:
				uncontested, contested = append(uncontested, x.UncontestedMS...), append(contested, x.ContestedMS...)
			case 2:
				lossy = append(lossy, x.ContestedMS...)
			}
			if len(x.Violations) > 0 {
				fmt.Printf("seed %d run %d: %s\n  replay: go run ./internal/sim/cmd/sim -seed %d -seeds 1 -nodes %d -faulty %v -kind=%q -trace\n",
					x.Seed, i, x.Violations[0], x.Seed, o.nodes, o.faulty, o.kind)
			}
		}
	}
	r.OtherViolations = violations - r.ConflictingFinals - r.Reversed - r.Undecided
	r.UncontestedP50MS, r.UncontestedP99MS = sim.Percentile(uncontested, 50), sim.Percentile(uncontested, 99)
	r.ContestedP50MS, r.ContestedP99MS = sim.Percentile(contested, 50), sim.Percentile(contested, 99)
	r.LossyP50MS, r.LossyP99MS = sim.Percentile(lossy, 50), sim.Percentile(lossy, 99)
	missing := missingFaults(o, r.Faults)
	if len(missing) > 0 {
		fmt.Println("never injected:", missing)
	}
	line, err := json.Marshal(r)
	if err != nil {
		panic(err)
	}
	fmt.Println(string(line))
	if violations > 0 || len(missing) > 0 && o.seeds >= 100 {
		return 1
	}
	return 0
}

// missingFaults are the kinds that should have happened and did not.
func missingFaults(o options, faults map[string]int) (missing []string) {
	want := slices.Clone(sim.ChaosFaults)
	if int(float64(o.nodes)*o.faulty+1e-9) > 0 {
		if o.kind != "" {
			want = append(want, o.kind)
		} else {
			want = append(want, sim.Kinds...)
		}
	}
	for _, kind := range want {
		if faults[kind] == 0 {
			missing = append(missing, kind)
		}
	}
	return missing
}
