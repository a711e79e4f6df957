package trust

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// drawFixing is a repair amid its work: any residuals, on any graph, of peers in the filter.
func drawFixing(t *rapid.T) (*Network, *fixing) {
	n, w, p := drawWalk(t)
	f := &fixing{walk: w, graph: n.graph, p: p, feed: 1, x: slices.Clone(p), residual: make([]float64, len(p)), queued: make([]bool, len(p))}
	for i, in := range w.in {
		if in && rapid.Bool().Draw(t, "off") {
			size := math.Pow(10, rapid.Float64Range(-9, 0).Draw(t, "size"))
			f.take(uint32(i))
			f.residual[i] = rapid.SampledFrom([]float64{-size, size}).Draw(t, "sign")
		}
	}
	f.left = normOf(f.residual)
	return n, f
}

// A round moves residuals by the labels of those it pushes, and no more: what it leaves is the residual of
// the x and the k that it leaves, to within what it says that it lost; be it label by label or in a sweep.
func TestPushesKeepTheAccount(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, f := drawFixing(t)
		missing := func() []float64 { // what no push may change: the residual kept less that of x and k
			out := residualTwin(n, f.in, f.p, f.x, f.feed)
			for i := range out {
				out[i] = f.residual[i] - out[i]
			}
			return out
		}
		was, size, sum := missing(), f.left.size, 0.0
		for _, x := range f.x {
			sum += x
		}
		if rapid.Bool().Draw(t, "sweep") {
			f.level(f.left)
			f.lose(f.left.size, f.labels.Entries())
			f.sweep(make([]float64, len(f.x)))
		} else {
			labels := 0
			for _, i := range f.large(rapid.Float64Range(0, 1).Draw(t, "bound")) {
				labels += len(n.graph.said(int(i)).ratee)
				f.push(i)
			}
			f.lose(size, labels)
			f.left = normOf(f.residual)
		}
		twin := 4 * addition * (1 + size) * float64(len(f.x)) // what the twin's own sums may lose
		if d := l1(was, missing()); d > f.unknown+twin {
			t.Fatalf("%v lost, %v said", d, f.unknown)
		}
		if f.left.size > 2*size { // a sum taken out adds as much as it was
			t.Fatalf("%v became %v", size, f.left.size)
		}
		now := 0.0
		for i, x := range f.x {
			now += x
			if !f.in[i] && (f.residual[i] != 0 || x != 0) {
				t.Fatalf("peer %d is out, and has %v and %v to come", i, x, f.residual[i])
			}
		}
		if math.Abs(now-sum-f.added) > twin {
			t.Fatalf("x grew by %v, said %v", now-sum, f.added)
		}
	})
}

// A repair that is asked for more than sums of floats can tell ends, and says so.
func TestRepairGivesUp(t *testing.T) {
	const peers = 3000
	n := clusteredNetwork(t, peers, peers, 0, 2)
	p := slices.Repeat([]float64{1. / peers}, peers)
	f := &fixing{walk: n.walk(everybody(n.graph)), graph: n.graph, p: p, feed: 1, x: slices.Clone(p), residual: make([]float64, peers), queued: make([]bool, peers)}
	f.take(5)
	f.take(6)
	f.residual[5], f.residual[6] = 1, -1
	if rounds, ok := f.settle(1e-16); ok || rounds > 200 {
		t.Errorf("%d rounds to %v, settled: %v", rounds, f.left.size, ok)
	}
}

// A filter of a network whose labels changed counts the labels that there are now, as that of a new one does.
func TestWalkCountsChangedLabels(t *testing.T) {
	const peers = 300
	n := largeNetwork(t, peers, 6)
	c := chance(8)
	mask := everybody(n.graph)
	for i := range peers / 10 {
		mask[10*i] = false
	}
	for range 5 {
		g, err := n.graph.With(largeChanges(&c, peers, 4))
		if err != nil {
			t.Fatal(err)
		}
		n = n.after(g)
		fresh := netOf(t, g, n.setting)
		if len(g.rows) == 0 || !slices.Equal(n.walk(mask).scale, fresh.walk(mask).scale) {
			t.Fatalf("%d changed peers, and the sums of labels differ", len(g.rows))
		}
	}
}
