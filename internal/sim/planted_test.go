//go:build planted

package sim

import "testing"

// Every planted bug is caught by the first of its scenarios; cmd/sim -planted tries as many seeds as it takes.
func TestPlantedBugsAreCaught(t *testing.T) {
	defer func() {
		if err := Plant(""); err != nil {
			t.Error(err)
		}
	}()
	for _, bug := range Planted() {
		if err := Plant(bug); err != nil {
			t.Fatal(err)
		}
		caught := false
		for seed := int64(1); seed <= 300 && !caught; seed++ {
			caught = len(Run(Config{Scenario: Catchers(bug)[0], Seed: seed}).Violations) > 0
		}
		if !caught {
			t.Errorf("%s was not caught", bug)
		}
	}
}
