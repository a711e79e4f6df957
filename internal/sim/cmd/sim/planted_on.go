//go:build planted

package main

import (
	"fmt"
	"os"

	"github.com/notarynet/notaryd/internal/sim"
)

// runPlanted switches each bug on in turn and stops at the first seed of a scenario that catches it.
func runPlanted(o options) int {
	caught, tried := 0, 0
	for _, bug := range sim.Planted() {
		if o.bug != "" && o.bug != bug {
			continue
		}
		tried++
		if err := sim.Plant(bug); err != nil {
			fmt.Println(err)
			return 2
		}
		if by, ok := catch(o, bug); ok {
			caught++
			fmt.Printf("%-20s %s\n", bug, by)
		} else {
			fmt.Printf("%-20s NOT CAUGHT in %d seeds of each scenario\n", bug, o.seeds)
		}
	}
	fmt.Println("transcript: go run -tags planted ./internal/sim/cmd/sim -planted -bug NAME -scenario SCENARIO -seed SEED -seeds 1 -trace")
	fmt.Printf("planted bugs caught: %d/%d\n", caught, tried)
	if caught < tried || tried == 0 {
		return 1
	}
	return 0
}

func catch(o options, bug string) (string, bool) {
	names := sim.Catchers(bug)
	if o.scenario != "" {
		names = []string{o.scenario}
	}
	for _, name := range names {
		for i := range o.seeds {
			c := sim.Config{Scenario: name, Seed: int64(o.first + i)}
			if o.trace {
				c.Log = os.Stdout
			}
			if r := sim.Run(c); len(r.Violations) > 0 {
				return fmt.Sprintf("%-10s seed %-4d %s", name, r.Seed, r.Violations[0]), true
			}
		}
	}
	return "", false
}
