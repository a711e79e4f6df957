//go:build planted

package main

import (
	"fmt"

	"github.com/notarynet/notaryd/internal/sim"
)

// runPlanted switches each bug on in turn and stops at the first seed that catches it.
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
			fmt.Printf("%-20s caught by %s\n", bug, by)
		} else {
			fmt.Printf("%-20s NOT CAUGHT in %d seeds\n", bug, o.seeds)
		}
	}
	fmt.Printf("planted bugs caught: %d/%d\n", caught, tried)
	if caught < tried {
		return 1
	}
	return 0
}

func catch(o options, bug string) (string, bool) {
	for i := range o.seeds {
		r := sim.Run(sim.PlantedConfig(bug, int64(o.first+i)))
		if len(r.Violations) > 0 {
			return fmt.Sprintf("seed %d: %s", r.Seed, r.Violations[0]), true
		}
	}
	return "", false
}
