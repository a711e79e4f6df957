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

// catchers are the scenarios in which a bug shows, the quickest first.
var catchers = map[string][]string{}

// Catchers are the scenarios to look for a bug in, most promising first: all of them, as none may miss what it could see.
func Catchers(bug string) (names []string) {
	names = slices.Clone(catchers[bug])
	for _, s := range Scenarios {
		if s.Name != "race" && !slices.Contains(names, s.Name) {
			names = append(names, s.Name)
		}
	}
	return names
}
