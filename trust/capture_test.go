package trust

import (
	"testing"

	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
)

// captured runs links until nothing moves: five honest peers that label each other, one of which was
// fooled into a small label of an accomplice, whose region keeps to itself. It returns what the region
// holds in the first aggregate and in the end.
func captured(t *testing.T, bias float64, denounced bool) (first, last group.Weight) {
	var labels []Label
	s := DefaultSetting()
	s.Bias = bias
	var now []Share
	for i := range 5 {
		for j := range 5 {
			if i != j {
				labels = append(labels, Label{peer(i), peer(j), 900})
			}
		}
		s.Seeds = append(s.Seeds, Share{peer(i), 1})
		now = append(now, Share{peer(i), group.Total / 5})
		if denounced && i > 0 {
			labels = append(labels, Label{peer(i), peer("face"), -900})
		}
	}
	labels = append(labels, Label{peer(0), peer("face"), 100}, Label{peer("face"), peer("other"), 900}, Label{peer("other"), peer("face"), 900})
	n := netOf(t, graphOf(t, labels), s)
	region := []domain.Hash{peer("face"), peer("other")}
	for link := range 120 {
		a, err := n.Aggregate(now)
		if err != nil {
			t.Fatal(err)
		}
		if link == 0 {
			first = Behind(a.Weights(), region)
		}
		target := Elect(a.Weights(), func(domain.Hash) bool { return true }, group.MaxMembers)
		now = Step(now, target, DefaultStep, group.MaxMembers)
	}
	return first, Behind(now, region)
}

// What docs/trust.md, section 7, says of weight that has a voice: without bias any foothold becomes
// everything; with it, about c / (c+b); and negative labels by members leave what the fooled one and the
// region itself still give.
func TestCapturedWeightSettles(t *testing.T) {
	foothold, everything := captured(t, 0, false)
	if foothold > group.Total/15 || everything < group.Total*9/10 {
		t.Errorf("without bias %d became %d", foothold, everything)
	}
	for _, b := range []float64{0.1, 0.2, 0.4} {
		c, settled := captured(t, b, false)
		bound := group.Weight(1e9 * float64(c) / (float64(c) + 1e9*b))
		if settled < c || settled > bound*3/2 {
			t.Errorf("with bias %v %d became %d, expected about %d", b, c, settled, bound)
		}
	}
	_, open := captured(t, 0.2, false)
	if _, denounced := captured(t, 0.2, true); denounced >= open {
		t.Errorf("denounced, it still has %d of %d", denounced, open)
	}
}
