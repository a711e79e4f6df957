package trust

import (
	"errors"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// drawNetwork draws a network of few peers, or of enough to be sparse.
func drawNetwork(t *rapid.T, most int) (*Network, []Label) {
	labels := drawLabels(t, 14)
	extra := allPeers(14)
	if rapid.Bool().Draw(t, "sparse") {
		extra = allPeers(maxDense + 20)
	}
	g, err := NewGraph(labels, extra)
	if err != nil {
		t.Fatal(err)
	}
	s := Setting{Rule: drawRule(t), Teleport: rapid.Float64Range(0.05, 1).Draw(t, "a"), Bias: rapid.Float64Range(0, 1).Draw(t, "b"), Epsilon: 1e-12}
	for i := range rapid.IntRange(1, 4).Draw(t, "seeds") {
		s.Seeds = append(s.Seeds, Share{peer(i), group.Weight(rapid.IntRange(1, 1000).Draw(t, "weight"))})
	}
	if rapid.Bool().Draw(t, "convict") {
		s.Convicted = []domain.Hash{peer(rapid.IntRange(4, most-1).Draw(t, "convicted"))}
	}
	n, err := New(g, s)
	if err != nil {
		t.Fatal(err)
	}
	return n, labels
}

// eigenTwin iterates over labels in maps.
func eigenTwin(labels []Label, in map[domain.Hash]bool, p map[domain.Hash]float64, a float64) map[domain.Hash]float64 {
	t := p
	for range 2000 {
		next := map[domain.Hash]float64{}
		for id := range in {
			next[id] += a * p[id]
			sum := 0.0
			for _, l := range labels {
				if l.Rater == id && l.Ratee != id && in[l.Ratee] && l.Score > 0 {
					sum += float64(l.Score)
				}
			}
			for other := range in {
				if sum == 0 {
					next[other] += (1 - a) * t[id] * p[other]
				}
			}
			for _, l := range labels {
				if l.Rater == id && l.Ratee != id && in[l.Ratee] && l.Score > 0 {
					next[l.Ratee] += (1 - a) * t[id] * float64(l.Score) / sum
				}
			}
		}
		change := 0.0
		for id := range in {
			change += math.Abs(next[id] - t[id])
		}
		if t = next; change < 1e-12 {
			break
		}
	}
	return t
}

func TestEigenTrustAgainstTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, labels := drawNetwork(t, 14)
		i, _ := n.graph.Find(peer(0))
		v := n.View(i)
		mask := n.Filter(v)
		p, err := n.Preference(v, mask)
		if err != nil {
			t.Fatal(err)
		}
		in := map[domain.Hash]bool{}
		for k, yes := range mask {
			if yes {
				in[n.graph.ID(k)] = true
			}
		}
		want := eigenTwin(labels, in, byID(n.graph, p), n.setting.Teleport)
		got, err := n.Relative(peer(0))
		if err != nil {
			t.Fatal(err)
		}
		for k := range mask {
			if math.Abs(got.Share(k)-want[n.graph.ID(k)]) > 1e-10 {
				t.Fatalf("peer %d: %v, twin %v", k, got.Share(k), want[n.graph.ID(k)])
			}
		}
	})
}

func TestWeightsSumToTotal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, _ := drawNetwork(t, 14)
		got, err := n.Relative(peer(0))
		if err != nil {
			t.Fatal(err)
		}
		w := got.Weights()
		if sumOf(w) != group.Total {
			t.Fatalf("weights sum to %d", sumOf(w))
		}
		for k, s := range w {
			i, _ := n.graph.Find(s.Peer)
			if s.Weight == 0 || math.Abs(float64(s.Weight)-got.Share(i)*1e9) > 1.001 {
				t.Fatalf("share %v became %d", got.Share(i), s.Weight)
			}
			if k > 0 && w[k-1].Peer.Compare(s.Peer) >= 0 {
				t.Fatal("not ascending by id")
			}
		}
	})
}

// drawShares draws a vector that sums to 1 over the first peers of a filter.
func drawShares(t *rapid.T, name string, n int) []float64 {
	p := make([]float64, n)
	sum := 0.0
	for i := range 14 {
		p[i] = rapid.Float64Range(0, 1).Draw(t, name)
		if i == 0 {
			p[i] += 0.01
		}
		sum += p[i]
	}
	for i := range p {
		p[i] /= sum
	}
	return p
}

// The start does not matter: whatever one starts from, the same p leads to the same place.
func TestStartDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, _ := drawNetwork(t, 14)
		w := n.walk(everybody(n.graph))
		p, q := drawShares(t, "p", n.graph.Len()), drawShares(t, "start", n.graph.Len())
		if a, b := w.solve(p, p), w.solve(p, q); l1(a.share, b.share) > 1e-9 {
			t.Fatalf("from another start it ends %v away", l1(a.share, b.share))
		}
	})
}

// Half the L1 distance of two results never exceeds that of their p where everybody labels somebody;
// where some do not, that of their p with every peer weighed by the visits of a walk from it.
func TestDistanceOfResults(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, labels := drawNetwork(t, 14)
		if rapid.Bool().Draw(t, "everybody labels") {
			for i := range n.graph.Len() {
				next := n.graph.ID((i + 1) % n.graph.Len())
				if !slices.ContainsFunc(labels, func(l Label) bool { return l.Rater == n.graph.ID(i) && l.Ratee == next }) {
					labels = append(labels, Label{n.graph.ID(i), next, 100})
				} else {
					t.Skip("labelled already")
				}
			}
			g, err := NewGraph(labels, nil)
			if err != nil {
				t.Fatal(err)
			}
			if n, err = New(g, n.setting); err != nil {
				t.Fatal(err)
			}
		}
		w := n.walk(everybody(n.graph))
		h := w.visits(n.graph)
		p, q := drawShares(t, "p", n.graph.Len()), drawShares(t, "q", n.graph.Len())
		a, b := w.solve(p, p), w.solve(q, q)
		if h != nil {
			ph, qh := dot(h, p), dot(h, q)
			for i := range p {
				p[i], q[i] = p[i]*h[i]/ph, q[i]*h[i]/qh
			}
		}
		if halfDistance(a.share, b.share) > halfDistance(p, q)+1e-9 {
			t.Fatalf("results differ by %v, p by %v", halfDistance(a.share, b.share), halfDistance(p, q))
		}
	})
}

// What docs/adr/0008 says against the protocol's first wording: A hands half of p's weight back to p, B
// keeps it, so results can differ by more than their p do.
func TestIdleRatersBreakLinearity(t *testing.T) {
	g := graphOf(t, []Label{{peer("B"), peer("C"), 100}, {peer("C"), peer("B"), 100}}, peer("A"))
	s := DefaultSetting()
	s.Teleport, s.Epsilon = 0.1, 1e-12
	n := netOf(t, g, s)
	w := n.walk(everybody(g))
	at := func(x, y float64) []float64 {
		p := make([]float64, g.Len())
		p[mustFind(t, g, peer("A"))], p[mustFind(t, g, peer("B"))] = x, y
		return p
	}
	p, q := at(1, 0), at(0.9, 0.1)
	a, b := w.solve(p, p), w.solve(q, q)
	if got := halfDistance(a.share, b.share); got < 5*halfDistance(p, q) {
		t.Errorf("results differ by %v, p by %v", got, halfDistance(p, q))
	}
}

func everybody(g *Graph) []bool {
	mask := make([]bool, g.Len())
	for i := range mask {
		mask[i] = true
	}
	return mask
}

// An aggregate is the sum of its members' relative vectors, each by its weight.
func TestAggregateIsSum(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, _ := drawNetwork(t, 14)
		var members []Share
		for i := range rapid.IntRange(1, 5).Draw(t, "members") {
			members = append(members, Share{peer(i), group.Weight(rapid.IntRange(1, 1000).Draw(t, "weight"))})
		}
		got, err := n.Aggregate(members)
		if errors.Is(err, ErrNoTrust) {
			t.Skip("nobody trusts anybody")
		}
		if err != nil {
			t.Fatal(err)
		}
		want, total := make([]float64, n.graph.Len()), 0.0
		for _, m := range members {
			if slices.Contains(n.setting.Convicted, m.Peer) {
				continue
			}
			v, err := n.Relative(m.Peer)
			if err != nil {
				continue
			}
			for i := range want {
				want[i] += float64(m.Weight) * v.Share(i)
			}
			total += float64(m.Weight)
		}
		for i := range want {
			if math.Abs(want[i]/total-got.Share(i)) > 1e-9 {
				t.Fatalf("peer %d: %v, want %v", i, got.Share(i), want[i]/total)
			}
		}
	})
}

func TestOwnLabelsGiveNoWeight(t *testing.T) {
	g := graphOf(t, []Label{{peer("I"), peer("I"), 1000}, {peer("I"), peer("A"), 500}, {peer("A"), peer("B"), 500}})
	n := netOf(t, g, DefaultSetting())
	v, err := n.Relative(peer("I"))
	if err != nil {
		t.Fatal(err)
	}
	if s := v.Share(mustFind(t, g, peer("I"))); s != 0 {
		t.Errorf("nobody labels me, and I have %v", s)
	}
}

func TestConvictedAndNegativeAreOut(t *testing.T) {
	labels := []Label{
		{peer("I"), peer("A"), 900}, {peer("I"), peer("B"), -900}, {peer("A"), peer("C"), 900}, {peer("A"), peer("B"), 900},
		{peer("C"), peer("D"), 900}, {peer("C"), peer("S"), -900},
	}
	g := graphOf(t, labels, peer("S"), peer("T"))
	s := DefaultSetting()
	s.Seeds = []Share{{peer("S"), 1}, {peer("T"), 1}}
	s.Convicted = []domain.Hash{peer("C"), peer("stranger")}
	n := netOf(t, g, s)
	v, err := n.Relative(peer("I"))
	if err != nil {
		t.Fatal(err)
	}
	for name, in := range map[string]bool{"A": true, "B": false, "C": false, "D": false, "S": true, "T": true} {
		if has := v.Share(mustFind(t, g, peer(name))) > 0; has != in {
			t.Errorf("%s has a share: %v, want %v", name, has, in)
		}
	}
}

func TestRefusals(t *testing.T) {
	g := graphOf(t, worked(), peer("alone"))
	n := netOf(t, g, DefaultSetting())
	invalid := refusal.Because(notaryv1.Reason_REASON_INVALID_ARGUMENT)
	try := func(err error) error { return err }
	_, twice := NewGraph([]Label{{peer(1), peer(2), 1}, {peer(1), peer(2), 2}}, nil)
	_, range_ := NewGraph([]Label{{peer(1), peer(2), 1001}}, nil)
	_, unknown := n.Relative(peer("stranger"))
	_, alone := n.Relative(peer("alone"))
	_, seeds := New(g, Setting{Rule: Plain, Teleport: 0.1, Epsilon: 1e-9, Seeds: []Share{{peer("stranger"), 1}}})
	_, members := n.Aggregate([]Share{{peer("A"), 1}, {peer("A"), 2}})
	_, nobody := n.Aggregate([]Share{{peer("alone"), 1}})
	_, short := n.Run(make([]bool, 1), make([]float64, 1))
	_, outside := n.Run(make([]bool, g.Len()), append(make([]float64, g.Len()-1), 1))
	_, change := g.With([]Change{{Label: Label{peer("A"), peer("B"), -1001}}})
	for _, c := range []struct {
		name      string
		got, want error
	}{
		{"two labels of one peer", twice, invalid}, {"score out of range", range_, invalid},
		{"stranger", unknown, refusal.Because(notaryv1.Reason_REASON_NOT_FOUND)}, {"no trust", alone, ErrNoTrust},
		{"unknown seed", seeds, invalid}, {"member twice", members, invalid}, {"no voice", nobody, ErrNoTrust},
		{"wrong length", short, invalid}, {"p outside the filter", outside, invalid}, {"change out of range", change, invalid},
		{"decay", try(Rule{Decay: 2, Negative: 1}.Validate()), invalid}, {"second opinion of equals", try(Rule{Decay: 0.5, Negative: 1, Equal: 0.5}.Validate()), invalid},
		{"negative", try(Rule{Decay: 0.5}.Validate()), invalid}, {"roots", try(Rule{Decay: 0.5, Negative: 1, Roots: 9}.Validate()), invalid},
		{"prior", try(Rule{Decay: 0.5, Negative: 1, Prior: math.NaN()}.Validate()), invalid},
		{"teleport", try(Setting{Rule: Plain, Epsilon: 1e-9}.Validate()), invalid}, {"bias", try(Setting{Rule: Plain, Teleport: 0.1, Bias: 2, Epsilon: 1e-9}.Validate()), invalid},
		{"epsilon", try(Setting{Rule: Plain, Teleport: 0.1}.Validate()), invalid},
		{"seed twice", try(Setting{Rule: Plain, Teleport: 0.1, Epsilon: 1e-9, Seeds: []Share{{peer(1), 1}, {peer(1), 1}}}.Validate()), invalid},
	} {
		if !errors.Is(c.got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, c.got, c.want)
		}
	}
	for _, r := range []Rule{Plain, RaterWeighted, Corroborated} {
		if err := r.Validate(); err != nil {
			t.Error(err)
		}
	}
}
