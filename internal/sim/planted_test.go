//go:build planted

package sim

import "testing"

// The bugs that show at once; cmd/sim -planted tries all of them on as many seeds as it takes.
func TestPlantedBugsAreCaught(t *testing.T) {
	defer func() {
		if err := Plant(""); err != nil {
			t.Error(err)
		}
	}()
	for _, bug := range []string{"guard-by-contest", "no-pull", "carried-votes", "free-timers", "window-gates-rounds", "send-before-save", "verdict-by-id"} {
		if err := Plant(bug); err != nil {
			t.Fatal(err)
		}
		caught := false
		for seed := int64(1); seed <= 40 && !caught; seed++ {
			caught = len(Run(PlantedConfig(bug, seed)).Violations) > 0
		}
		if !caught {
			t.Errorf("%s was not caught", bug)
		}
	}
}
