package trust

import (
	"math"
	"runtime"
	"slices"
	"testing"

	"gonum.org/v1/gonum/mat"
	"pgregory.net/rapid"

	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
)

// drawWalk draws a walk over some peers of a graph, enough of them to be sparse or not, and a p within it.
func drawWalk(t *rapid.T) (*Network, *walk, []float64) {
	n, _ := drawNetwork(t, 14)
	mask := everybody(n.graph)
	for i := range 14 {
		mask[i] = rapid.Bool().Draw(t, "in")
	}
	p := drawShares(t, "p", n.graph.Len())
	sum := 0.0
	for i := range p {
		if !mask[i] {
			p[i] = 0
		}
		sum += p[i]
	}
	if sum == 0 {
		t.Skip("no p within the filter")
	}
	for i := range p {
		p[i] /= sum
	}
	return n, n.walk(mask), p
}

// gonum's dense matrices for few peers and compressed rows for many are one formula.
func TestDenseAndSparseAgree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		_, w, p := drawWalk(t)
		dense, compressed := w.solveDense(p, p), w.solveSparse(p, p)
		if d := l1(dense.share, compressed.share); d > 1e-10 {
			t.Fatalf("%v apart", d)
		}
		if dense.iterations-compressed.iterations > 1 || compressed.iterations-dense.iterations > 1 {
			t.Fatalf("%d and %d iterations", dense.iterations, compressed.iterations)
		}
	})
}

// transitions is C0 of a walk, raters in rows, label by label; rows of raters without labels are empty.
func transitions(n *Network, in []bool) *mat.Dense {
	c := mat.NewDense(len(in), len(in), nil)
	n.graph.All(func(l Label) bool {
		i, _ := n.graph.Find(l.Rater)
		j, _ := n.graph.Find(l.Ratee)
		if in[i] && in[j] && l.Score > 0 {
			c.Set(i, j, float64(l.Score))
		}
		return true
	})
	for i := range in {
		if sum := mat.Sum(c.RowView(i)); sum > 0 {
			for j := range in {
				c.Set(i, j, c.At(i, j)/sum)
			}
		}
	}
	return c
}

// The iteration ends where elimination says: (I - (1-a) C0') x = p, t = x / |x|.
func TestEigenTrustIsALinearSystem(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, w, p := drawWalk(t)
		var system mat.Dense
		system.Scale(w.a-1, transitions(n, w.in).T())
		for i := range p {
			system.Set(i, i, system.At(i, i)+1)
		}
		var x mat.VecDense
		if err := x.SolveVec(&system, mat.NewVecDense(len(p), slices.Clone(p))); err != nil {
			t.Fatal(err)
		}
		sum := mat.Sum(&x)
		got := w.solve(p, p)
		for i, share := range got.share {
			if math.Abs(share-x.AtVec(i)/sum) > 1e-10 {
				t.Fatalf("peer %d: %v, elimination says %v", i, share, x.AtVec(i)/sum)
			}
		}
	})
}

// So do the visits: (I - (1-a) C0) h = 1; and |x| = h p.
func TestVisitsAgainstElimination(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, w, p := drawWalk(t)
		var system mat.Dense
		system.Scale(w.a-1, transitions(n, w.in))
		for i := range p {
			system.Set(i, i, system.At(i, i)+1)
		}
		ones := mat.NewVecDense(len(p), nil)
		for i := range p {
			ones.SetVec(i, 1)
		}
		var h mat.VecDense
		if err := h.SolveVec(&system, ones); err != nil {
			t.Fatal(err)
		}
		got := w.visits(n.graph)
		for i, in := range w.in {
			want := h.AtVec(i)
			switch {
			case !in:
			case got == nil && math.Abs(want*w.a-1) > 1e-9:
				t.Fatalf("peer %d: a walk ends after %v visits, and visits says none does", i, want)
			case got != nil && math.Abs(got[i]-want) > 1e-9:
				t.Fatalf("peer %d: %v visits, elimination says %v", i, got[i], want)
			case want < 1 || want > 1/w.a+1e-9:
				t.Fatalf("peer %d: %v visits", i, want)
			}
		}
	})
}

// wide is a network with more peers than one block of columns, made from rows.
func wide(t testing.TB, peers int) *Network {
	t.Helper()
	c := chance(peers)
	ids := make([]domain.Hash, peers)
	start := make([]uint32, peers+1)
	var ratee []uint32
	var score []int16
	for i := range ids {
		ids[i] = domain.Hash{byte(i >> 16), byte(i >> 8), byte(i)}
		var line []uint32
		for range c.below(7) {
			if j := c.below(peers); j != i {
				line = append(line, uint32(j))
			}
		}
		slices.Sort(line)
		for _, j := range slices.Compact(line) {
			ratee, score = append(ratee, j), append(score, int16(c.below(2*MaxScore)-MaxScore/5))
			score[len(score)-1] = min(score[len(score)-1], MaxScore)
		}
		start[i+1] = uint32(len(ratee))
	}
	g, err := FromRows(ids, start, ratee, score)
	if err != nil {
		t.Fatal(err)
	}
	s := DefaultSetting()
	s.Seeds = []Share{{ids[1], 1}, {ids[peers/2], 2}}
	return netOf(t, g, s)
}

// plainTwin iterates t = (1-a) (C0' t + d p) + a p over the labels of one rater after the other.
func plainTwin(n *Network, mask []bool, p []float64, iterations int) []float64 {
	t := p
	for range iterations {
		t = iterationTwin(n, mask, p, t)
	}
	return t
}

// A graph too large for one block of columns: against the twin, and the same to the last bit, and so in
// integers, on any number of cores.
func TestLargeRunOnAnyCores(t *testing.T) {
	const peers = 70_000
	n := wide(t, peers)
	mask := everybody(n.graph)
	for i := 0; i < peers; i += 10 {
		mask[i] = false
	}
	p := make([]float64, peers)
	for i := range p {
		if mask[i] && i%3 == 1 {
			p[i] = 1
		}
	}
	var first *Run
	for _, cores := range []int{1, 2, 5} {
		old := runtime.GOMAXPROCS(cores)
		r, err := n.Run(mask, p)
		runtime.GOMAXPROCS(old)
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = r
		}
		for i := range r.share {
			if math.Float64bits(r.share[i]) != math.Float64bits(first.share[i]) {
				t.Fatalf("peer %d on %d cores: %v and %v", i, cores, r.share[i], first.share[i])
			}
		}
		if w := r.Weights(); sumOf(w) != group.Total || !slices.Equal(w, first.Weights()) {
			t.Fatalf("weights differ on %d cores, or sum to %d", cores, sumOf(w))
		}
	}
	want := plainTwin(n, mask, first.class.p, first.Iterations)
	if d := l1(first.share, want); d > 1e-12 {
		t.Errorf("%v from the twin", d)
	}
	c := chance(2)
	var changes []Change
	for range 50 {
		changes = append(changes, Change{Label: Label{n.graph.ID(c.below(peers)), n.graph.ID(c.below(peers)), MaxScore}})
	}
	var repaired *Run
	for _, cores := range []int{1, 5} {
		old := runtime.GOMAXPROCS(cores)
		r, err := first.Update(changes, nil, 1e-8)
		runtime.GOMAXPROCS(old)
		if err != nil {
			t.Fatal(err)
		}
		if repaired != nil && !slices.Equal(r.share, repaired.share) {
			t.Fatalf("a repair differs on %d cores", cores)
		}
		repaired = r
	}
	checkRepair(t, repaired, "many peers")
}

// Graphs made of rows and of labels are the same, and all stand the same questions.
func TestFromRowsIsNewGraph(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := graphOfRapid(t, drawLabels(t, 14))
		start, ratee, score := []uint32{0}, []uint32{}, []int16{}
		ids := make([]domain.Hash, want.Len())
		for i := range ids {
			ids[i] = want.ID(i)
			r, s := want.Said(i)
			ratee, score = append(ratee, r...), append(score, s...)
			start = append(start, uint32(len(ratee)))
		}
		got, err := FromRows(ids, start, ratee, score)
		if err != nil {
			t.Fatal(err)
		}
		equalGraphs(t, got, want)
		for i := range ids {
			for j := range ids {
				a, b := want.Score(i, j)
				if c, d := got.Score(i, j); a != c || b != d {
					t.Fatalf("%d of %d: %d (%v), want %d (%v)", i, j, c, d, a, b)
				}
			}
		}
	})
}
