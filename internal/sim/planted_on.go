//go:build planted

package sim

import (
	"slices"

	"github.com/notarynet/notaryd/conflict"
)

var planted = ""

// shellBugs are those of the shell around the cores.
var shellBugs = []string{"send-before-save", "lock-lost", "drop-forked", "verdict-by-id"}

// Planted are all bugs that Plant can switch on.
func Planted() []string { return append(slices.Clone(conflict.Planted), shellBugs...) }

// Plant switches on one bug, and off all others.
func Plant(name string) error {
	planted = ""
	if slices.Contains(shellBugs, name) {
		planted, name = name, ""
	}
	return conflict.Plant(name)
}

// PlantedConfig is the run in which a bug should show.
func PlantedConfig(bug string, seed int64) Config {
	c := Config{Seed: seed, Nodes: 7, Faulty: 2, Chaos: true}
	switch bug {
	case "quorum-at-least":
		c.Nodes = 6 // 2 of 6 are exactly a third
	case "latest-lock":
		c.Crashes = 12 // lives that know nothing but their own votes
	case "no-pull", "kept-locks":
		c.Kind = Schemer
	}
	return c
}
