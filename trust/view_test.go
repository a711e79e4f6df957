package trust

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/notarynet/notaryd/proto/domain"
)

// worked is the example of docs/trust.md: I label A and B, they label C, C labels D, D labels A.
func worked() []Label {
	return []Label{
		{peer("I"), peer("A"), 800}, {peer("I"), peer("B"), 500},
		{peer("A"), peer("C"), 1000}, {peer("B"), peer("C"), -400}, {peer("A"), peer("B"), -1000},
		{peer("C"), peer("D"), 600}, {peer("D"), peer("A"), -1000},
	}
}

func TestViewByHand(t *testing.T) {
	g := graphOf(t, worked())
	for _, c := range []struct {
		name string
		rule Rule
		want map[string]float64
		rank map[string]int
	}{
		{"plain", Plain, map[string]float64{
			"A": 0.8, "B": 0.5, "C": 0.5 * (0.8*1 - 0.5*0.4) / 2, "D": 0.25 * (0.5 * 0.6 / 2) * 0.6},
			map[string]int{"A": 1, "B": 1, "C": 2, "D": 3}},
		{"weighted by rater", RaterWeighted, map[string]float64{
			"A": 0.8, "B": 0.5, "C": 0.5 * (0.8*1 - 0.5*0.4) / 1.3, "D": 0.25 * 0.6},
			map[string]int{"A": 1, "B": 1, "C": 2, "D": 3}},
	} {
		v := g.ViewFrom(mustFind(t, g, peer("I")), c.rule)
		for name, want := range c.want {
			got, reached := v.Score(mustFind(t, g, peer(name)))
			if !reached || math.Abs(got-want) > 1e-9 || v.Rank(mustFind(t, g, peer(name))) != c.rank[name] {
				t.Errorf("%s: %s has %v (reached %v), want %v", c.name, name, got, reached, want)
			}
		}
		if _, reached := v.Score(mustFind(t, g, peer("I"))); reached {
			t.Errorf("%s: the source reaches itself", c.name)
		}
	}
}

// A second opinion: C and E are of rank 2; E's label of C counts a decay and a quarter less than A's.
func TestSecondOpinion(t *testing.T) {
	g := graphOf(t, []Label{{peer("I"), peer("A"), 1000}, {peer("A"), peer("C"), 1000}, {peer("A"), peer("E"), 1000}, {peer("E"), peer("C"), -1000}})
	v := g.ViewFrom(mustFind(t, g, peer("I")), Corroborated)
	second := 1.0 * 0.5 * 0.25 * 3 // score, decay, Equal, Negative
	want := 0.5 * (1 - second) / (1 + second)
	if got, _ := v.Score(mustFind(t, g, peer("C"))); math.Abs(got-want) > 1e-9 {
		t.Errorf("C has %v, want %v", got, want)
	}
}

func TestNegativeStops(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		labels, rule := drawLabels(t, 14), drawRule(t)
		g := graphOfRapid(t, labels)
		source, _ := g.Find(peer(0))
		v := g.ViewFrom(source, rule)
		// Whatever peers without a positive score say, nothing changes.
		var kept []Label
		for _, l := range labels {
			i, _ := g.Find(l.Rater)
			if score, _ := v.Score(i); score > 0 || l.Rater == peer(0) {
				kept = append(kept, l)
			}
		}
		same(t, v, graphOfRapid(t, kept).ViewFrom(source, rule), func(int) bool { return true })
	})
}

func TestHigherRanksNeverChangeLower(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		labels, rule := drawLabels(t, 14), drawRule(t)
		g := graphOfRapid(t, labels)
		source, _ := g.Find(peer(0))
		v := g.ViewFrom(source, rule)
		limit := rapid.IntRange(1, 4).Draw(t, "rank")
		// Labels by peers beyond a rank are drawn anew.
		var other []Label
		for _, l := range labels {
			i, _ := g.Find(l.Rater)
			if v.Rank(i) > limit {
				l.Score = rapid.Int32Range(-MaxScore, MaxScore).Draw(t, "other")
			}
			other = append(other, l)
		}
		same(t, v, graphOfRapid(t, other).ViewFrom(source, rule), func(i int) bool { return i == source || v.Rank(i) > 0 && v.Rank(i) <= limit })
	})
}

func TestUnratedPeerChangesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		labels, rule := drawLabels(t, 14), drawRule(t)
		g := graphOfRapid(t, labels)
		more := labels
		for range rapid.IntRange(0, 10).Draw(t, "count") {
			more = append(more[:len(more):len(more)], Label{peer("new"), peer(rapid.IntRange(0, 13).Draw(t, "ratee")), rapid.Int32Range(-MaxScore, MaxScore).Draw(t, "score")})
			if _, err := NewGraph(more, nil); err != nil {
				more = more[:len(more)-1] // twice the same ratee
			}
		}
		h := graphOfRapid(t, more, peer("new"))
		i, _ := g.Find(peer(0))
		j, _ := h.Find(peer(0))
		v, w := g.ViewFrom(i, rule), h.ViewFrom(j, rule)
		for k := range g.Len() {
			m, _ := h.Find(g.ID(k))
			a, _ := v.Score(k)
			b, _ := w.Score(m)
			if a != b || v.Rank(k) != w.Rank(m) {
				t.Fatalf("peer %d: %v of rank %d became %v of rank %d", k, a, v.Rank(k), b, w.Rank(m))
			}
		}
	})
}

// However peers are numbered, scores are the same to the last bit.
func TestNumberingDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := graphOfRapid(t, drawLabels(t, 14))
		h, err := g.Localise()
		if err != nil {
			t.Fatal(err)
		}
		i, _ := g.Find(peer(0))
		j, _ := h.Find(peer(0))
		rule := drawRule(t)
		v, w := g.ViewFrom(i, rule), h.ViewFrom(j, rule)
		for k := range g.Len() {
			m, ok := h.Find(g.ID(k))
			a, _ := v.Score(k)
			b, _ := w.Score(m)
			if !ok || a != b || v.Rank(k) != w.Rank(m) {
				t.Fatalf("peer %d: %v and %v", k, a, b)
			}
		}
	})
}

func TestExpect(t *testing.T) {
	g := graphOf(t, worked(), peer("nobody"))
	v := g.ViewFrom(mustFind(t, g, peer("I")), Corroborated)
	if label, known := v.Expect(mustFind(t, g, peer("nobody"))); known || label != v.own {
		t.Errorf("unknown peer: %v, %v", label, known)
	}
	c := mustFind(t, g, peer("C"))
	label, known := v.Expect(c)
	score, _ := v.Score(c)
	low, high := min(v.own, score/0.5), max(v.own, score/0.5)
	if !known || label <= low || label >= high {
		t.Errorf("C: %v, want between the mean of its labels and mine, %v and %v", label, low, high)
	}
}

// vouchedTwin hands on parts by recursion over paths.
func vouchedTwin(labels []Label, v *View, g *Graph) map[domain.Hash]float64 {
	out := map[domain.Hash]float64{}
	scoreOf := func(id domain.Hash) float64 { i, _ := g.Find(id); s, _ := v.Score(i); return s }
	rankOf := func(id domain.Hash) int { i, _ := g.Find(id); return v.Rank(i) }
	var visit func(id domain.Hash, part float64)
	visit = func(id domain.Hash, part float64) {
		out[id] += part
		all := 0.0
		for _, l := range labels {
			if l.Rater == id && l.Ratee != id && l.Score > 0 {
				all += float64(l.Score)
			}
		}
		for _, l := range labels {
			if l.Rater == id && l.Score > 0 && rankOf(l.Ratee) == rankOf(id)+1 && scoreOf(l.Ratee) > 0 {
				visit(l.Ratee, part*v.rule.Decay*float64(l.Score)/all)
			}
		}
	}
	total := 0.0
	for i := range g.Len() {
		if s, _ := v.Score(i); v.Rank(i) == 1 && s > 0 {
			total += s
		}
	}
	for i := range g.Len() {
		if s, _ := v.Score(i); v.Rank(i) == 1 && s > 0 {
			visit(g.ID(i), s/total)
		}
	}
	return out
}

func TestVouchedAgainstTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		labels := drawLabels(t, 10)
		g := graphOfRapid(t, labels)
		i, _ := g.Find(peer(0))
		v := g.ViewFrom(i, drawRule(t))
		mask := make([]bool, g.Len())
		for k := range mask {
			mask[k] = true
		}
		want, sum := vouchedTwin(labels, v, g), 0.0
		for k, part := range v.vouched(mask, nil) {
			sum += part
			if math.Abs(part-want[g.ID(k)]) > 1e-12 {
				t.Fatalf("peer %d: %v, twin %v", k, part, want[g.ID(k)])
			}
		}
		if sum > 1/(1-v.rule.Decay)+1e-9 {
			t.Fatalf("parts sum to %v", sum)
		}
	})
}

// However many peers a fooled peer's accomplice makes up, they share what it was given.
func TestMadeUpPeersShare(t *testing.T) {
	labels := []Label{{peer("I"), peer("A"), 900}, {peer("I"), peer("B"), 900}, {peer("A"), peer("face"), 900}, {peer("A"), peer("C"), 900}}
	held := func(count int) float64 {
		all := labels
		for i := range count {
			all = append(all[:len(all):len(all)], Label{peer("face"), peer([2]int{1, i}), MaxScore})
		}
		g := graphOf(t, all)
		n := netOf(t, g, DefaultSetting())
		v := n.View(mustFind(t, g, peer("I")))
		p, err := n.Preference(v, n.Filter(v))
		if err != nil {
			t.Fatal(err)
		}
		sum := p[mustFind(t, g, peer("face"))]
		for i := range count {
			sum += p[mustFind(t, g, peer([2]int{1, i}))]
		}
		return sum
	}
	if one, many := held(1), held(1000); math.Abs(one-many) > 1e-12 {
		t.Errorf("one made-up peer makes %v of p, a thousand %v", one, many)
	}
}

func graphOfRapid(t *rapid.T, labels []Label, extra ...domain.Hash) *Graph {
	g, err := NewGraph(labels, append(allPeers(14), extra...))
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// same compares two views of graphs with the same peers, for the peers asked for.
func same(t *rapid.T, v, w *View, who func(int) bool) {
	for i := range v.rank {
		a, _ := v.Score(i)
		b, _ := w.Score(i)
		if who(i) && (a != b || v.Rank(i) != w.Rank(i)) {
			t.Fatalf("peer %d: %v of rank %d became %v of rank %d", i, a, v.Rank(i), b, w.Rank(i))
		}
		before, known := v.Expect(i)
		if after, still := w.Expect(i); who(i) && (before != after || known != still) {
			t.Fatalf("peer %d: expected %v (%v), then %v (%v)", i, before, known, after, still)
		}
	}
}
