package trust

import (
	"fmt"
	"math"
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

// twinView is DATT by the text of docs/trust.md, section 2, over maps and rank by rank: slow and obvious, with the
// same whole numbers, so that scores must be the same to the last bit.
func twinView(labels []Label, source domain.Hash, r Rule, silent map[domain.Hash]bool) (score map[domain.Hash]float64, rank map[domain.Hash]int) {
	score, rank = map[domain.Hash]float64{}, map[domain.Hash]int{source: 0}
	mean := map[domain.Hash]float64{source: 1} // before decay
	decay := 1.0
	for k := 1; ; k++ {
		if k > 1 {
			decay *= r.Decay
		}
		speaks := func(id domain.Hash) bool {
			return inRank(rank, id) && rank[id] == k-1 && (id == source || mean[id] > 0 && !silent[id])
		}
		reached := map[domain.Hash]bool{}
		for _, l := range labels {
			if l.Rater != l.Ratee && !inRank(rank, l.Ratee) && speaks(l.Rater) {
				reached[l.Ratee] = true
			}
		}
		if len(reached) == 0 {
			return score, rank
		}
		first := map[domain.Hash]float64{}
		for id := range reached {
			first[id] = twinMean(labels, id, r, func(rater domain.Hash) (factor, weight float64) {
				switch {
				case !speaks(rater):
					return 0, 0
				case k == 1:
					return 1, 1
				case r.ByRater:
					return mean[rater], mean[rater]
				}
				return mean[rater] * decay / r.Decay, 1
			})
			if k == 1 { // as the label says, to the last bit
				for _, l := range labels {
					if l.Rater == source && l.Ratee == id {
						first[id] = r.value(int16(l.Score))
					}
				}
			}
		}
		for id := range reached {
			mean[id] = first[id]
			if r.Equal > 0 && k > 1 {
				second := twinMean(labels, id, r, func(rater domain.Hash) (factor, weight float64) {
					if speaks(rater) {
						return mean[rater], mean[rater]
					}
					if w := first[rater] * r.Decay * r.Equal; w > 0 && !silent[rater] {
						return w, w
					}
					return 0, 0
				})
				if first[id] > 0 {
					mean[id] = max(second, first[id]/8)
				} else {
					mean[id] = min(second, first[id]/8)
				}
			}
		}
		for id := range reached {
			rank[id], score[id] = k, decay*mean[id]
		}
	}
}

// twinMean is sum(factor * value) / sum(weight) over the raters of a peer, in whole multiples of 2^-40.
func twinMean(labels []Label, id domain.Hash, r Rule, of func(domain.Hash) (factor, weight float64)) float64 {
	var sum, all int64
	for _, l := range labels {
		if l.Ratee != id || l.Rater == id {
			continue
		}
		factor, weight := of(l.Rater)
		heavy := 1.0
		if l.Score < 0 {
			heavy = r.Negative
		}
		sum += int64(factor * (unit * r.value(int16(l.Score)) * heavy))
		all += int64(weight * (unit * heavy))
	}
	if all == 0 {
		return 0
	}
	return float64(sum) / float64(all)
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
			if reached != want || v.Rank(j) != rank[id] || got != score[id] {
				t.Fatalf("peer %s: got %v (reached %v, rank %d), twin %v (%v, %d)", id, got, reached, v.Rank(j), score[id], want, rank[id])
			}
		}
	})
}
