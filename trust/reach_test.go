package trust

import (
	"errors"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/notarynet/notaryd/proto/group"
)

// TestTrustsWhoHasAShare: whom labels lead to is whoever has a share, where shares are large enough to be told from nothing.
func TestTrustsWhoHasAShare(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		labels := drawLabels(t, 10)
		g, err := NewGraph(labels, allPeers(10))
		if err != nil {
			t.Fatal(err)
		}
		s := DefaultSetting()
		s.Rule = drawRule(t)
		s.Bias = rapid.SampledFrom([]float64{0, 0.2, 1}).Draw(t, "bias")
		s.ByScore = rapid.Bool().Draw(t, "by score")
		for i := range rapid.IntRange(0, 3).Draw(t, "seeds") {
			s.Seeds = append(s.Seeds, Share{peer(2 * i), group.Weight(i + 1)})
		}
		if rapid.Bool().Draw(t, "convicts") {
			s.Convicted = append(s.Convicted, peer(rapid.IntRange(0, 9).Draw(t, "convicted")))
		}
		n, err := New(g, s)
		if err != nil {
			t.Fatal(err)
		}
		var members []Share
		for i := range rapid.IntRange(1, 4).Draw(t, "members") {
			members = append(members, Share{peer(i), 100})
		}
		a, err := n.Aggregate(members)
		if errors.Is(err, ErrNoTrust) {
			t.Skip("nobody has a voice")
		}
		if err != nil {
			t.Fatal(err)
		}
		for i := range g.Len() {
			if has := a.Share(i) > 0; a.Trusts(g.ID(i)) != has {
				t.Fatalf("share %g of %s, trusted %v", a.Share(i), g.ID(i), !has)
			}
		}
	})
}

// TestTrustsBeyondFloats: a part too small for a float is a part. Everybody labels the next one with 1, and another with 1000, who speaks of nobody.
func TestTrustsBeyondFloats(t *testing.T) {
	const long = 400
	var labels []Label
	for i := range long {
		labels = append(labels, Label{peer(i), peer(i + 1), 1}, Label{peer(i), peer(fmt.Sprint("beside ", i)), MaxScore})
	}
	labels = append(labels, Label{peer(long), peer("foe"), -1}, Label{peer("stranger"), peer("praised"), 1})
	n := netOf(t, graphOf(t, labels), DefaultSetting())
	a, err := n.Aggregate([]Share{{peer(0), 1}})
	if err != nil {
		t.Fatal(err)
	}
	if last := a.Share(mustFind(t, n.Graph(), peer(long))); last != 0 {
		t.Fatalf("the last has %g: make the chain longer", last)
	}
	for id, want := range map[any]bool{1: true, long / 2: true, long: true, "beside 399": true, 0: false, "foe": false, "stranger": false, "praised": false} {
		if a.Trusts(peer(id)) != want {
			t.Errorf("%v: trusted %v", id, !want)
		}
	}
}
