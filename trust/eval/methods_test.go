package eval

import (
	"math"
	"testing"

	"gonum.org/v1/gonum/mat"
	"pgregory.net/rapid"

	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/trust"
)

// drawGraph draws a signed graph of few peers and its labels as a matrix, -1 to 1, rater by ratee.
func drawGraph(t *rapid.T) (*trust.Graph, *mat.Dense) {
	n := rapid.IntRange(2, 8).Draw(t, "peers")
	ids := make([]domain.Hash, n)
	for i := range ids {
		ids[i] = domain.Hash{byte(i)}
	}
	labels := mat.NewDense(n, n, nil)
	var list []trust.Label
	for i := range n {
		for j := range n {
			if i == j || rapid.IntRange(0, 2).Draw(t, "there") > 0 {
				continue
			}
			score := rapid.Int32Range(1, trust.MaxScore).Draw(t, "score")
			if rapid.Bool().Draw(t, "negative") {
				score = -score
			}
			labels.Set(i, j, float64(score)/trust.MaxScore)
			list = append(list, trust.Label{Rater: ids[i], Ratee: ids[j], Score: score})
		}
	}
	g, err := trust.NewGraph(list, ids)
	if err != nil {
		t.Fatal(err)
	}
	return g, labels
}

// solved is x = m x + b.
func solved(t *rapid.T, m *mat.Dense, b *mat.VecDense) *mat.VecDense {
	n, _ := m.Dims()
	var system mat.Dense
	system.Scale(-1, m)
	for i := range n {
		system.Set(i, i, system.At(i, i)+1)
	}
	var x mat.VecDense
	if err := x.SolveVec(&system, b); err != nil {
		t.Fatal(err)
	}
	return &x
}

// Walks with restart end where elimination says: t = (1-a) (C' t + d p) + a p is linear in t.
func TestWalkAgainstElimination(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g, labels := drawGraph(t)
		n := g.Len()
		a := rapid.SampledFrom([]float64{0.1, 0.15}).Draw(t, "a")
		rater := rapid.IntRange(0, n-1).Draw(t, "rater")
		p := make([]float64, n)
		p[rater] = 1
		m := mat.NewDense(n, n, nil) // row ratee, column rater
		for i := range n {
			sum := 0.0
			for j := range n {
				sum += max(0, labels.At(i, j))
			}
			for j := range n {
				if sum > 0 {
					m.Set(j, i, (1-a)*max(0, labels.At(i, j))/sum)
				} else {
					m.Set(j, i, (1-a)*p[j])
				}
			}
		}
		jump := mat.NewVecDense(n, nil)
		jump.SetVec(rater, a)
		want := solved(t, m, jump)
		for i, got := range walkFrom(adjacent(g), p, a) {
			if math.Abs(got-want.AtVec(i)) > 1e-3 { // as many steps as matter
				t.Fatalf("peer %d: %v, want %v", i, got, want.AtVec(i))
			}
		}
	})
}

// Fairness and goodness satisfy the equations that define them (Kumar et al., "Edge weight prediction in weighted
// signed networks", ICDM 2016).
func TestFairnessGoodnessIsAFixedPoint(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g, labels := drawGraph(t)
		n := g.Len()
		predict := fairnessGoodness(g, nil)
		// What it predicts is a product; a rater of mean fairness 1 is not at hand, so both are found anew.
		fair, good := make([]float64, n), make([]float64, n)
		for i := range fair {
			fair[i], good[i] = 1, 1
		}
		for range 400 {
			for j := range n {
				sum, count := 0.0, 0.0
				for i := range n {
					if l := labels.At(i, j); l != 0 {
						sum, count = sum+fair[i]*l, count+1
					}
				}
				if count > 0 {
					good[j] = sum / count
				}
			}
			for i := range n {
				off, count := 0.0, 0.0
				for j := range n {
					if l := labels.At(i, j); l != 0 {
						off, count = off+math.Abs(l-good[j])/2, count+1
					}
				}
				if count > 0 {
					fair[i] = 1 - off/count
				}
			}
		}
		for i := range n {
			for j := range n {
				got, known := predict(i)(j)
				rated := mat.Norm(labels.ColView(j), 1) > 0
				if known != rated || rated && math.Abs(got-fair[i]*good[j]) > 1e-5 {
					t.Fatalf("%d of %d: %v (%v), want %v", i, j, got, known, fair[i]*good[j])
				}
			}
		}
	})
}

// The signed walk is two coupled linear recurrences, here as one of twice the size.
func TestSignedWalkAgainstMatrix(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g, labels := drawGraph(t)
		n := g.Len()
		bySize := rapid.Bool().Draw(t, "by size")
		rater := rapid.IntRange(0, n-1).Draw(t, "rater")
		const restart, beta, gamma = 0.15, 0.5, 0.9
		m := mat.NewDense(2*n, 2*n, nil) // friends first, then foes
		for i := range n {
			total := 0.0
			for j := range n {
				if l := labels.At(i, j); l != 0 && bySize {
					total += math.Abs(l)
				} else if l != 0 {
					total++
				}
			}
			for j := range n {
				l := labels.At(i, j)
				if l == 0 {
					continue
				}
				w := 1 / total
				if bySize {
					w = math.Abs(l) / total
				}
				w *= 1 - restart
				if l > 0 {
					m.Set(j, i, w)
					m.Set(j, n+i, w*(1-gamma))
					m.Set(n+j, n+i, w*gamma)
				} else {
					m.Set(j, n+i, w*beta)
					m.Set(n+j, i, w)
					m.Set(n+j, n+i, w*(1-beta))
				}
			}
		}
		x := mat.NewVecDense(2*n, nil)
		x.SetVec(rater, 1)
		for range 25 {
			var next mat.VecDense
			next.MulVec(m, x)
			next.SetVec(rater, next.AtVec(rater)+restart)
			x = &next
		}
		predict := signedWalk(bySize)(g, nil)(rater)
		for j := range n {
			got, known := predict(j)
			visits := x.AtVec(j) + x.AtVec(n+j)
			if known != (visits > 0) || known && math.Abs(got-(x.AtVec(j)-x.AtVec(n+j))/visits) > 1e-9 {
				t.Fatalf("peer %d: %v (%v), want %v", j, got, known, (x.AtVec(j)-x.AtVec(n+j))/visits)
			}
		}
	})
}
