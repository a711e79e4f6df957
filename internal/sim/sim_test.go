package sim

import (
	"bytes"
	"fmt"
	"reflect"
	"testing"
)

// Whatever goes wrong, honest nodes agree, lose nothing, contradict nobody, and decide once it is over.
func TestChaos(t *testing.T) {
	for _, c := range []struct{ nodes, faulty int }{{4, 0}, {4, 1}, {7, 2}, {10, 3}, {20, 6}} {
		t.Run(fmt.Sprintf("%d of %d faulty", c.faulty, c.nodes), func(t *testing.T) {
			t.Parallel()
			for seed := range int64(6) {
				r := Run(Config{Seed: seed, Nodes: c.nodes, Faulty: c.faulty, Scenario: "chaos"})
				for _, v := range r.Violations {
					t.Errorf("seed %d: %s", seed, v)
				}
			}
		})
	}
}

// Each kind of liar alone, as many as there may be.
func TestLiars(t *testing.T) {
	for _, kind := range Kinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			for seed := range int64(3) {
				r := Run(Config{Seed: seed, Nodes: 7, Faulty: 2, Kind: kind, Scenario: "chaos"})
				for _, v := range r.Violations {
					t.Errorf("seed %d: %s", seed, v)
				}
				if r.Faults[kind] == 0 {
					t.Errorf("seed %d: no %s did anything", seed, kind)
				}
			}
		})
	}
}

// Liars are convicted, by evidence that anybody checks; what spammers forge is refused. That nobody honest is convicted, and
// no liar gets away with what a node has seen, are oracles of every run.
func TestEvidence(t *testing.T) {
	found := make(map[string]int)
	for seed := range int64(6) {
		for _, kind := range []string{Halves, Everything, Spammer} {
			r := Run(Config{Seed: seed, Nodes: 7, Faulty: 2, Kind: kind, Scenario: "chaos"})
			for _, v := range r.Violations {
				t.Errorf("seed %d: %s", seed, v)
			}
			found[kind+" convicted"] += r.Faults["convictions"]
			found[kind+" refused"] += r.Faults["evidence refused"]
		}
	}
	if found[Halves+" convicted"] == 0 || found[Everything+" convicted"] == 0 || found[Spammer+" refused"] == 0 || found[Spammer+" convicted"] > 0 {
		t.Errorf("convictions and refusals: %v", found)
	}
}

// A seed decides everything: the same transcript, line by line.
func TestSeedReplays(t *testing.T) {
	run := func() (string, Result) {
		var log bytes.Buffer
		r := Run(Config{Seed: 5, Nodes: 7, Faulty: 2, Scenario: "chaos", Log: &log})
		return log.String(), r
	}
	logA, a := run()
	logB, b := run()
	if logA != logB || !reflect.DeepEqual(a, b) {
		t.Error("two runs of one seed differ")
	}
	if len(logA) < 10_000 {
		t.Errorf("transcript of %d bytes", len(logA))
	}
}

// The oracles can fail: with more than 1/3 of the weight faulty, double spends become final.
func TestTooManyLiars(t *testing.T) {
	for seed := range int64(40) {
		if r := Run(Config{Seed: seed, Nodes: 10, Faulty: 4, Scenario: "thirds"}); r.ConflictingFinals > 0 {
			return
		}
	}
	t.Error("40 % faulty weight made no rivals final in 40 seeds")
}

// Under every scenario honest nodes keep the rules.
func TestScenarios(t *testing.T) {
	for _, s := range Scenarios {
		t.Run(s.Name, func(t *testing.T) {
			t.Parallel()
			for seed := range int64(8) {
				for _, v := range Run(Config{Seed: seed, Scenario: s.Name}).Violations {
					t.Errorf("seed %d: %s", seed, v)
				}
			}
		})
	}
}

// Without liars and loss a double spend is over in a few hops.
func TestRaceIsQuick(t *testing.T) {
	var contested, uncontested []float64
	for seed := range int64(10) {
		r := Run(Config{Seed: seed, Nodes: 20})
		for _, v := range r.Violations {
			t.Errorf("seed %d: %s", seed, v)
		}
		contested, uncontested = append(contested, r.ContestedMS...), append(uncontested, r.UncontestedMS...)
	}
	// Simulated time, so these hold on any machine.
	if p := Percentile(contested, 99); p == 0 || p > 700 {
		t.Errorf("contested p99 %v ms", p)
	}
	if p := Percentile(uncontested, 99); p == 0 || p > 300 {
		t.Errorf("uncontested p99 %v ms", p)
	}
}

// A certificate that few were shown and nobody accepted on holds nobody back (docs/simulator.md).
func TestPrivateCertificates(t *testing.T) {
	for _, seed := range []int64{563, 1365} {
		for _, v := range Run(Config{Seed: seed, Scenario: "schemes"}).Violations {
			t.Errorf("seed %d: %s", seed, v)
		}
	}
}

// Clocks do go wrong by a day in the scenarios that are about it, and time locks hold nevertheless: that is an oracle.
func TestClocksGoWrong(t *testing.T) {
	for _, s := range []string{"clocks", "clocklinks", "allclocks"} {
		off, jumps := 0, 0
		for seed := range int64(8) {
			r := Run(Config{Seed: seed, Scenario: s})
			off += r.Faults["clock off by up to a day"]
			jumps += r.Faults["clock jump by a day"]
		}
		if off == 0 || jumps < 2 || jumps%2 != 0 {
			t.Errorf("%s: %d clocks were off, and %d jumped", s, off, jumps)
		}
	}
}

func TestPercentile(t *testing.T) {
	for _, test := range []struct {
		sample []float64
		p      float64
		want   float64
	}{{nil, 50, 0}, {[]float64{3}, 99, 3}, {[]float64{4, 1, 3, 2}, 50, 3}, {[]float64{4, 1, 3, 2}, 0, 1}, {[]float64{4, 1, 3, 2}, 100, 4}} {
		if got := Percentile(test.sample, test.p); got != test.want {
			t.Errorf("%v of %v is %v, want %v", test.p, test.sample, got, test.want)
		}
	}
}

func BenchmarkChaos(b *testing.B) {
	for seed := int64(0); b.Loop(); seed++ {
		Run(Config{Seed: seed, Nodes: 20, Faulty: 4, Scenario: "chaos"})
	}
}
