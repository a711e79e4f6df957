//go:build planted

package sim

import (
	"slices"

	"github.com/notarynet/notaryd/conflict"
)

var planted = ""

// shellBugs are those of the shell around the cores.
var shellBugs = []string{"send-before-save", "lock-lost", "drop-forked", "verdict-by-id", "clock-from-peers", "recount-by-clock", "clock-gates-observations"}

// Planted are all bugs that Plant can switch on and that may show here.
func Planted() []string {
	return append(slices.Clone(conflict.Planted), shellBugs...)
}

// Plant switches on one bug, and off all others.
func Plant(name string) error {
	planted = ""
	if slices.Contains(shellBugs, name) {
		planted, name = name, ""
	}
	return conflict.Plant(name)
}

// catchers are the scenarios that steer towards what a bug needs in order to show.
var catchers = map[string]string{
	"quorum-at-least":          "thirds",    // liars of all but 1/3 who vote for both sides
	"guard-by-contest":         "chains",    // contests that end while outpoints of theirs live on
	"latest-lock":              "conducted", // certificates of two rounds at a blow, the lower one last
	"no-pull":                  "schemes",   // locks whose certificates one node alone has seen
	"kept-locks":               "conducted", // a lock on what loses against something that its other rival does not touch
	"no-support":               "windows",   // finality by votes that one node was not shown
	"lost-timers":              "cut",       // splits while nobody hears a quorum
	"carried-votes":            "plots",
	"free-timers":              "cut",
	"window-gates-rounds":      "windows",
	"send-before-save":         "chaos",     // crashes with unsynced writes
	"lock-lost":                "conducted", // crashes between an ACCEPTED and the network
	"drop-forked":              "conducted", // certificates behind which there are liars' votes
	"verdict-by-id":            "poison",
	"clock-from-peers":         "clocks",    // time locks, and peers whose clocks are ahead
	"recount-by-clock":         "allclocks", // restarts of nodes whose clocks are off, or whose peers' are
	"clock-gates-observations": "allclocks", // what was sealed by a clock that was off
	"carried-epochs":           "links",
	"no-asking":                "links", // chains and certificates that did not come by themselves
	"no-adoption":              "heirs", // finality that one node alone has seen, and a link that moves weight to its rival
}

// Catchers are the scenarios to look for a bug in: first the one made for it, then all others.
func Catchers(bug string) (names []string) {
	if first := catchers[bug]; first != "" {
		names = append(names, first)
	}
	for _, s := range Scenarios {
		if s.Name != "race" && !slices.Contains(names, s.Name) {
			names = append(names, s.Name)
		}
	}
	return names
}
