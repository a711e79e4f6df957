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
	"sync/atomic"

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
	UncontestedP50MS  float64        `json:"uncontested_p50_ms"`
	UncontestedP99MS  float64        `json:"uncontested_p99_ms"`
	ContestedP50MS    float64        `json:"contested_p50_ms"`
	ContestedP99MS    float64        `json:"contested_p99_ms"`
}

type options struct {
	seeds, first, nodes int
	faulty              float64
	kind, scenario      string
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
	flag.StringVar(&o.scenario, "scenario", "", "this scenario alone, with as many nodes as it has unless -nodes is given too; list names them")
	flag.BoolVar(&o.trace, "trace", false, "print transcripts")
	flag.BoolVar(&o.planted, "planted", false, "try every planted bug (build with -tags planted)")
	flag.StringVar(&o.bug, "bug", "", "with -planted: one bug alone")
	flag.Parse()
	switch {
	case o.scenario == "list":
		for _, s := range sim.Scenarios {
			fmt.Printf("%-10s %s\n", s.Name, s.About)
		}
	case o.planted:
		os.Exit(runPlanted(o))
	default:
		os.Exit(run(o))
	}
}

// configs are the runs of one seed: the timing of a double spend without and with lost messages, chaos, liars that are of
// one mind, and one of the scenarios with few nodes in turn. One scenario alone where it is named.
func (o *options) configs(seed int) (out []sim.Config) {
	base := sim.Config{Seed: int64(seed), Nodes: o.nodes, Faulty: o.liars(o.nodes), Kind: o.kind}
	if o.trace {
		base.Log = os.Stdout
	}
	add := func(scenario string, change func(*sim.Config)) {
		c := base
		c.Scenario = scenario
		if change != nil {
			change(&c)
		}
		out = append(out, c)
	}
	if o.scenario != "" {
		given := false
		flag.Visit(func(f *flag.Flag) { given = given || f.Name == "nodes" })
		add(o.scenario, func(c *sim.Config) {
			if !given {
				c.Nodes, c.Faulty = 0, 0
			}
		})
		return out
	}
	add("race", nil)
	add("race", func(c *sim.Config) { c.Loss = 0.03 })
	add("chaos", nil)
	add("thirds", nil)
	small := sim.Scenarios[seed%len(sim.Scenarios)]
	if small.Name != "race" && small.Name != "chaos" && small.Name != "thirds" {
		add(small.Name, func(c *sim.Config) {
			c.Nodes = small.Sizes[seed/len(sim.Scenarios)%len(small.Sizes)][0]
			c.Faulty = o.liars(c.Nodes)
		})
	}
	return out
}

// liars is how many of so many nodes are Byzantine.
func (o *options) liars(nodes int) int { return int(math.Floor(float64(nodes)*o.faulty + 1e-9)) }

// total adds up what runs came to.
type total struct {
	report
	uncontested, contested, lossy []float64
	violations                    int
}

func run(o options) int {
	t := total{report: report{Seeds: o.seeds, Faulty: o.faulty, Faults: make(map[string]int)}}
	var mu sync.Mutex
	var group sync.WaitGroup
	var next, done atomic.Int64
	for range workers(o) {
		group.Go(func() {
			for i := int(next.Add(1)) - 1; i < o.seeds; i = int(next.Add(1)) - 1 {
				for _, c := range o.configs(o.first + i) {
					r := sim.Run(c)
					mu.Lock()
					t.add(o, c, r)
					mu.Unlock()
				}
				if n := done.Add(1); n%100 == 0 {
					fmt.Fprintf(os.Stderr, "%d of %d seeds\n", n, o.seeds)
				}
			}
		})
	}
	group.Wait()
	return t.tell(o)
}

func workers(o options) int {
	if o.trace {
		return 1
	}
	return runtime.GOMAXPROCS(0)
}

func (t *total) add(o options, c sim.Config, r sim.Result) {
	t.SimHours += r.SimMS / 3_600_000
	t.ConflictingFinals += r.ConflictingFinals
	t.Reversed += r.Reversed
	t.Undecided += r.Undecided
	t.violations += len(r.Violations)
	for kind, n := range r.Faults {
		t.Faults[kind] += n
	}
	switch {
	case c.Scenario != "race":
	case c.Loss == 0:
		t.uncontested, t.contested = append(t.uncontested, r.UncontestedMS...), append(t.contested, r.ContestedMS...)
	default:
		t.lossy = append(t.lossy, r.ContestedMS...)
	}
	if len(r.Violations) > 0 {
		fmt.Printf("seed %d, %s: %s\n  replay: go run ./internal/sim/cmd/sim -scenario %s -seed %d -seeds 1 -nodes %d -faulty %v -kind=%q -trace\n",
			r.Seed, c.Scenario, r.Violations[0], c.Scenario, r.Seed, c.Nodes, o.faulty, o.kind)
	}
}

// tell prints the report and returns the exit status.
func (t *total) tell(o options) int {
	t.UncontestedP50MS, t.UncontestedP99MS = sim.Percentile(t.uncontested, 50), sim.Percentile(t.uncontested, 99)
	t.ContestedP50MS, t.ContestedP99MS = sim.Percentile(t.contested, 50), sim.Percentile(t.contested, 99)
	if len(t.lossy) > 0 {
		fmt.Printf("contested with 3 %% of messages lost: p50 %.0f ms, p99 %.0f ms\n", sim.Percentile(t.lossy, 50), sim.Percentile(t.lossy, 99))
	}
	fmt.Printf("violations: %d\n", t.violations)
	missing := o.missing(t.Faults)
	if len(missing) > 0 {
		fmt.Println("never injected:", missing)
	}
	line, err := json.Marshal(t.report)
	if err != nil {
		panic(err)
	}
	fmt.Println(string(line))
	if t.violations > 0 || len(missing) > 0 {
		return 1
	}
	return 0
}

// missing are the kinds of faults that should have happened and did not. Few seeds, or one scenario, may well miss some.
func (o *options) missing(faults map[string]int) (missing []string) {
	if o.seeds < 100 || o.scenario != "" {
		return nil
	}
	want := slices.Clone(sim.ChaosFaults)
	if o.liars(o.nodes) > 0 {
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
