package trust

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/notarynet/notaryd/proto/group"
)

// drawChanges draws changes among the first peers, and sometimes of new ones.
func drawChanges(t *rapid.T, most int) []Change {
	var out []Change
	for range rapid.IntRange(1, most).Draw(t, "changes") {
		out = append(out, Change{
			Label:  Label{peer(rapid.IntRange(0, 13).Draw(t, "rater")), peer(rapid.IntRange(0, 13).Draw(t, "ratee")), rapid.Int32Range(-MaxScore, MaxScore).Draw(t, "score")},
			Remove: rapid.Bool().Draw(t, "remove"),
		})
	}
	return out
}

// applied is a list of labels after changes, the slow way.
func applied(labels []Label, changes []Change) []Label {
	out := slices.Clone(labels)
	for _, c := range changes {
		out = slices.DeleteFunc(out, func(l Label) bool { return l.Rater == c.Rater && l.Ratee == c.Ratee })
		if !c.Remove {
			out = append(out, c.Label)
		}
	}
	return out
}

func TestWithIsANewGraph(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		labels := drawLabels(t, 14)
		extra := allPeers(14)
		if rapid.Bool().Draw(t, "large") {
			extra = allPeers(200) // patched, not rebuilt
		}
		g, err := NewGraph(labels, extra)
		if err != nil {
			t.Fatal(err)
		}
		for range rapid.IntRange(1, 4).Draw(t, "rounds") {
			changes := drawChanges(t, 6)
			labels = applied(labels, changes)
			if g, err = g.With(changes); err != nil {
				t.Fatal(err)
			}
			want, err := NewGraph(labels, extra)
			if err != nil {
				t.Fatal(err)
			}
			equalGraphs(t, g, want)
		}
	})
}

func equalGraphs(t *rapid.T, got, want *Graph) {
	if !slices.Equal(slices.Collect(got.All), slices.Collect(want.All)) || got.Labels() != want.Labels() {
		t.Fatalf("labels differ: %d and %d", got.Labels(), want.Labels())
	}
	for i := range got.Len() {
		a, b := got.positive.Row(i), want.positive.Row(i)
		if !slices.Equal(a.Index, b.Index) || !slices.Equal(a.Weight, b.Weight) {
			t.Fatalf("raters of %d differ: %v and %v", i, a, b)
		}
	}
}

func TestWithNewPeer(t *testing.T) {
	g := graphOf(t, worked())
	local, err := g.Localise()
	if err != nil {
		t.Fatal(err)
	}
	for _, from := range []*Graph{g, local} {
		h, err := from.With([]Change{{Label: Label{peer("A"), peer("new"), 100}}, {Label: Label{peer("A"), peer("gone"), 100}, Remove: true}})
		if err != nil {
			t.Fatal(err)
		}
		if score, ok := h.Score(mustFind(t, h, peer("A")), mustFind(t, h, peer("new"))); !ok || score != 100 || h.Labels() != g.Labels()+1 {
			t.Errorf("score %d, %v, %d labels", score, ok, h.Labels())
		}
	}
}

func TestDifferences(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		old, next := drawLabels(t, 8), drawLabels(t, 8)
		got := slices.Clone(applied(old, Differences(old, next)))
		order := func(a, b Label) int {
			if c := a.Rater.Compare(b.Rater); c != 0 {
				return c
			}
			return a.Ratee.Compare(b.Ratee)
		}
		slices.SortFunc(got, order)
		slices.SortFunc(next, order)
		if !slices.Equal(got, next) {
			t.Fatalf("got %v, want %v", got, next)
		}
		if d := Differences(next, next); len(d) != 0 {
			t.Fatalf("no difference gives %v", d)
		}
	})
}

// chance is a fixed stream of numbers for graphs too large to be drawn by rapid.
type chance uint64

func (c *chance) below(n int) int {
	*c = *c*6364136223846793005 + 1442695040888963407
	return int(uint64(*c) >> 33 % uint64(n))
}

// largeNetwork has enough peers that repairs stay local for a while; one in five labels nobody.
func largeNetwork(t testing.TB, peers int, seed uint64) *Network {
	c := chance(seed)
	seen := map[[2]int]bool{}
	var labels []Label
	for i := range peers {
		for range 5 {
			j := c.below(peers)
			if i%5 == 4 || seen[[2]int{i, j}] {
				continue
			}
			seen[[2]int{i, j}] = true
			score := int32(1 + c.below(MaxScore))
			if c.below(20) == 0 {
				score = -score
			}
			labels = append(labels, Label{peer(i), peer(j), score})
		}
	}
	g := graphOf(t, labels, allPeers(peers)...)
	s := DefaultSetting()
	s.Epsilon = 1e-11
	for i := range 3 {
		s.Seeds = append(s.Seeds, Share{peer(i), 1})
	}
	return netOf(t, g, s)
}

func largeChanges(c *chance, peers, count int) []Change {
	var out []Change
	for range count {
		out = append(out, Change{Label: Label{peer(c.below(peers)), peer(c.below(peers)), int32(c.below(2*MaxScore) - MaxScore)}, Remove: c.below(4) == 0})
	}
	return out
}

// An update is a full run on the changed labels, to within 1e-6 in L1, however often it is repeated.
func TestUpdateEqualsFullRun(t *testing.T) {
	const peers = 2000
	for seed := range uint64(3) {
		n := largeNetwork(t, peers, seed)
		members := []Share{{peer(0), 5}, {peer(1), 3}, {peer(2), 2}, {peer(7), 1}}
		a, err := n.Aggregate(members)
		if err != nil {
			t.Fatal(err)
		}
		c := chance(seed + 100)
		for round := range 6 {
			changes := largeChanges(&c, peers, 5)
			if a, err = a.Update(changes); err != nil {
				t.Fatal(err)
			}
			fresh, err := New(a.Network().Graph(), n.setting)
			if err != nil {
				t.Fatal(err)
			}
			want, err := fresh.Aggregate(members)
			if err != nil {
				t.Fatal(err)
			}
			if d := l1(a.share, want.share); d > 1e-6 || !Agree(a.Weights(), want.Weights()) {
				t.Fatalf("seed %d, round %d: %v away", seed, round, d)
			}
			if a.Classes() != want.Classes() {
				t.Fatalf("%d classes, want %d", a.Classes(), want.Classes())
			}
		}
	}
}

// A repaired run is as near as it says, also when raters lose their last label or gain their first.
func TestRepairBound(t *testing.T) {
	const peers = 3000
	n := largeNetwork(t, peers, 9)
	v := n.View(mustFind(t, n.graph, peer(0)))
	mask := n.Filter(v)
	p, err := n.Preference(v, mask)
	if err != nil {
		t.Fatal(err)
	}
	r, err := n.Run(mask, p)
	if err != nil {
		t.Fatal(err)
	}
	c := chance(5)
	repaired := 0
	for range 8 {
		changes := largeChanges(&c, peers, 3)
		lone := mustFind(t, r.network.graph, peer(4+5*c.below(peers/5))) // says nothing until now
		changes = append(changes, Change{Label: Label{r.network.graph.ID(lone), peer(0), 500}})
		silenced := c.below(peers)
		ratees, _ := r.network.graph.Said(mustFind(t, r.network.graph, peer(silenced)))
		for _, to := range ratees {
			changes = append(changes, Change{Label: Label{peer(silenced), r.network.graph.ID(int(to)), 0}, Remove: true})
		}
		within := 1e-7
		next, err := r.Update(changes, nil, within)
		if err != nil {
			t.Fatal(err)
		}
		full, err := next.network.Run(mask, p)
		if err != nil {
			t.Fatal(err)
		}
		if d := l1(next.share, full.share); d > (next.Change+full.Change)/n.setting.Teleport || next.Change > within {
			t.Fatalf("%v away, said to change by %v", d, next.Change)
		}
		if next.Change > n.setting.Epsilon {
			repaired++
		}
		r = next
	}
	if repaired < 8 {
		t.Errorf("only %d of 8 updates were repairs", repaired)
	}
}

func TestUpdateWithNewPeer(t *testing.T) {
	n := largeNetwork(t, 200, 1)
	a, err := n.Aggregate([]Share{{peer(0), 1}})
	if err != nil {
		t.Fatal(err)
	}
	changes := []Change{{Label: Label{peer(0), peer("new"), MaxScore}}}
	b, err := a.Update(changes)
	if err != nil {
		t.Fatal(err)
	}
	if Behind(b.Weights(), allPeers(200)) >= group.Total {
		t.Error("a new peer that a member labels has no weight")
	}
	mask := everybody(n.graph)
	r, err := n.Run(mask, a.classes[0].p)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Update(changes, nil, 1e-6); err == nil {
		t.Error("a run follows peers that its filter does not know")
	}
}

func TestLocaliseKeepsResults(t *testing.T) {
	n := largeNetwork(t, 500, 3)
	local, err := n.graph.Localise()
	if err != nil {
		t.Fatal(err)
	}
	m := netOf(t, local, n.setting)
	a, err := n.Relative(peer(1))
	if err != nil {
		t.Fatal(err)
	}
	b, err := m.Relative(peer(1))
	if err != nil {
		t.Fatal(err)
	}
	if !Agree(a.Weights(), b.Weights()) || 2*Distance(a.Weights(), b.Weights()) > 100 {
		t.Errorf("numbering moves %d", Distance(a.Weights(), b.Weights()))
	}
	if _, ok := local.Find(peer("stranger")); ok {
		t.Error("found a stranger")
	}
}
