package study

import "testing"

// Nobody captures anything without labels by honest peers, and everybody something with many.
func TestNothingForNothing(t *testing.T) {
	for _, threat := range threats() {
		for _, m := range methods() {
			for _, labels := range []int{0, 64} {
				w := newWorld(3)
				first := threat.mount(w, labels)
				weights, err := m.weights(w)
				if err != nil {
					t.Fatal(err)
				}
				if got := held(w, weights, first); (got > 0) != (labels > 0) {
					t.Errorf("%s against %s: %v for %d labels", threat.name, m.name, got, labels)
				}
			}
		}
	}
}

// The finding of docs/adr/0007: made-up peers add up where p is made of scores, and do not where it
// is divided as it is handed on.
func TestSybilsDoNotAddUp(t *testing.T) {
	m := methods()
	byScore, vouched := 0.0, 0.0
	for seed := range uint64(3) {
		w := newWorld(seed + 1)
		first := threats()[4].mount(w, 4)
		for i, sum := range map[int]*float64{2: &byScore, 3: &vouched} {
			weights, err := m[i].weights(w)
			if err != nil {
				t.Fatal(err)
			}
			*sum += held(w, weights, first)
		}
	}
	if byScore < 2*vouched {
		t.Errorf("by score %v, vouched %v", byScore/3, vouched/3)
	}
}
