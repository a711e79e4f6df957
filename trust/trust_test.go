package trust

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
)

// peer is the id of a peer with a name.
func peer(name any) domain.Hash { return domain.Sum("test", []byte(fmt.Sprint(name))) }

// drawLabels draws a graph of up to most peers named by numbers.
func drawLabels(t *rapid.T, most int) []Label {
	n := rapid.IntRange(2, most).Draw(t, "peers")
	count := rapid.IntRange(0, 5*n).Draw(t, "labels")
	seen := map[[2]int]bool{}
	var out []Label
	for range count {
		a, b := rapid.IntRange(0, n-1).Draw(t, "rater"), rapid.IntRange(0, n-1).Draw(t, "ratee")
		if seen[[2]int{a, b}] {
			continue
		}
		seen[[2]int{a, b}] = true
		score := rapid.OneOf(rapid.Int32Range(1, MaxScore), rapid.Int32Range(-MaxScore, MaxScore)).Draw(t, "score")
		out = append(out, Label{peer(a), peer(b), score})
	}
	return out
}

func drawRule(t *rapid.T) Rule {
	return rapid.SampledFrom([]Rule{Plain, RaterWeighted, Corroborated}).Draw(t, "rule")
}

// allPeers puts every peer of a drawn graph into it, labelled or not.
func allPeers(most int) []domain.Hash {
	var out []domain.Hash
	for i := range most {
		out = append(out, peer(i))
	}
	return out
}

func graphOf(t testing.TB, labels []Label, extra ...domain.Hash) *Graph {
	t.Helper()
	g, err := NewGraph(labels, extra)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func mustFind(t testing.TB, g *Graph, id domain.Hash) int {
	t.Helper()
	i, ok := g.Find(id)
	if !ok {
		t.Fatalf("peer %s is not in the graph", id)
	}
	return i
}

func netOf(t testing.TB, g *Graph, s Setting) *Network {
	t.Helper()
	n, err := New(g, s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func sumOf(shares []Share) (sum group.Weight) {
	for _, s := range shares {
		sum += s.Weight
	}
	return sum
}

func l1(a, b []float64) (sum float64) {
	for i := range a {
		sum += math.Abs(a[i] - b[i])
	}
	return sum
}

func byID(g *Graph, share []float64) map[domain.Hash]float64 {
	out := map[domain.Hash]float64{}
	for i, s := range share {
		out[g.ID(i)] = s
	}
	return out
}

// twinView is DATT by the text, over maps and with recursion by rank: slow and obvious.
func twinView(labels []Label, source domain.Hash, r Rule, silent map[domain.Hash]bool) (score map[domain.Hash]float64, rank map[domain.Hash]int) {
	score, rank = map[domain.Hash]float64{}, map[domain.Hash]int{source: 0}
	speaks := func(id domain.Hash) bool { return id == source || score[id] > 0 && !silent[id] }
	scoreOf := func(id domain.Hash) float64 {
		if id == source {
			return 1
		}
		return score[id]
	}
	for k := 1; ; k++ {
		var reached []domain.Hash
		for _, l := range labels {
			_, known := rank[l.Ratee]
			if l.Rater != l.Ratee && !known && rank[l.Rater] == k-1 && inRank(rank, l.Rater) && speaks(l.Rater) && !slices.Contains(reached, l.Ratee) {
				reached = append(reached, l.Ratee)
			}
		}
		if len(reached) == 0 {
			return score, rank
		}
		mean := func(id domain.Hash, first map[domain.Hash]float64) float64 {
			var sum, weight float64
			for _, l := range labels {
				if l.Ratee != id || l.Rater == id {
					continue
				}
				s, w := 0.0, 0.0
				if second, ok := first[l.Rater]; ok && k > 1 {
					if second <= 0 || silent[l.Rater] {
						continue
					}
					s, w = second*r.Equal, second*r.Equal
				} else if inRank(rank, l.Rater) && rank[l.Rater] == k-1 && speaks(l.Rater) {
					s, w = scoreOf(l.Rater), scoreOf(l.Rater)
					if !r.ByRater {
						w = 1
					}
				}
				if l.Score < 0 {
					s, w = s*r.Negative, w*r.Negative
				}
				sum += s * r.value(int16(l.Score))
				weight += w
			}
			if weight == 0 {
				return 0
			}
			return math.Pow(r.Decay, float64(k-1)) * sum / weight
		}
		first := map[domain.Hash]float64{}
		for _, id := range reached {
			first[id] = mean(id, nil)
		}
		for _, id := range reached {
			score[id] = first[id]
			if r.Equal > 0 && k > 1 {
				score[id] = mean(id, first)
				if first[id] > 0 {
					score[id] = max(score[id], first[id]/8)
				} else {
					score[id] = min(score[id], first[id]/8)
				}
			}
		}
		for _, id := range reached {
			rank[id] = k
		}
	}
}

func inRank(rank map[domain.Hash]int, id domain.Hash) bool { _, ok := rank[id]; return ok }

func TestViewAgainstTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		labels := drawLabels(t, 14)
		rule := drawRule(t)
		g, err := NewGraph(labels, allPeers(14))
		if err != nil {
			t.Fatal(err)
		}
		source := peer(0)
		i, _ := g.Find(source)
		v := g.ViewFrom(i, rule)
		score, rank := twinView(labels, source, rule, nil)
		for j := range g.Len() {
			id := g.ID(j)
			got, reached := v.Score(j)
			_, want := score[id]
			if reached != want || v.Rank(j) != rank[id] || math.Abs(got-score[id]) > 1e-9 {
				t.Fatalf("peer %s: got %v (reached %v, rank %d), twin %v (%v, %d)", id, got, reached, v.Rank(j), score[id], want, rank[id])
			}
		}
	})
}
