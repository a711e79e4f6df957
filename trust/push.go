package trust

import (
	"math"
	"slices"
)

// Incremental recomputation. A solution solves x = (1-a) C0' x + q, where C0 has empty rows instead of p
// in the rows of raters without labels, and q = ((1-a) d + a) p: their weight d only scales the whole,
// and shares sum to 1 anyway. After labels changed, an old x leaves a residual r = q + (1-a) C0' x - x
// that is zero but near the changes. Pushing it along the labels (Andersen, Chung, Lang, "Local graph
// partitioning using PageRank vectors", FOCS 2006; Jeh and Widom 2003), round by round, repairs x; since
// the map contracts by 1-a in L1,
//
//	|x - x*| <= |r| / a    and, after scaling to sum 1,    |t - t*| <= 2 |r| / (a * sum x),
//
// which is the bound that decides when to stop. A residual that has spread over much of the graph goes
// on in whole sweeps, until then only where it is.

// repair makes the solution of w for p out of that of an older class with the same filter: dirty are the peers
// whose residual may not be zero. What the old solution lacked in the first place is in its change, and
// the new one's is within what is asked for; each repair takes half of the room there is. It returns
// false where there is too little.
func (w *walk) repair(old *class, p []float64, dirty []uint32, g *Graph, within float64) (solution, bool) {
	// The weight that raters without labels had: any other would leave a residual along all of p.
	idle := 0.0
	for i, in := range w.in {
		if in && old.walk.scale[i] == 0 {
			idle += old.result.share[i]
		}
	}
	room := within - old.result.change
	if room <= within/64 || len(p) <= maxDense {
		return solution{}, false
	}
	f := &fixing{walk: w, graph: g, x: slices.Clone(old.result.share), residual: make([]float64, len(p)), queued: make([]bool, len(p))}
	f.measure(dirty, p, float64((1-w.a)*idle)+w.a)
	rounds := f.settle(room / 4)
	sum := 0.0
	for _, x := range f.x {
		sum += x
	}
	for i := range f.x {
		f.x[i] /= sum
	}
	// Once for the residual, once for the weight of idle raters that fits this x only to within it.
	return solution{share: f.x, iterations: rounds, change: old.result.change + 2*f.left/sum}, true
}

// fixing is a repair under way.
type fixing struct {
	*walk
	x, residual []float64
	active      []uint32 // whose residual may not be zero
	queued      []bool
	graph       *Graph
	left        float64 // L1 norm of the residual not pushed
}

// measure computes the residuals of dirty peers; those of all in a sweep, if they are many.
func (f *fixing) measure(dirty []uint32, p []float64, jump float64) {
	scaled := make([]float64, len(f.x))
	for i, x := range f.x {
		scaled[i] = x * f.scale[i]
	}
	residual := func(i int) float64 {
		if !f.in[i] {
			return 0
		}
		return float64(jump*p[i]) + float64((1-f.a)*f.labels.Row(i).Dot(scaled)) - f.x[i]
	}
	for _, i := range dirty {
		f.queued[i] = true
	}
	f.active = dirty
	if len(dirty) < len(p)/8 {
		for _, i := range dirty {
			f.residual[i] = residual(int(i))
		}
		return
	}
	f.labels.Sweep(func(_, lo, hi int) {
		for i := lo; i < hi; i++ {
			if f.queued[i] {
				f.residual[i] = residual(i)
			}
		}
	})
}

// settle pushes until no more than target is left.
func (f *fixing) settle(target float64) (rounds int) {
	small := target / 2 / float64(len(f.x))
	for ; ; rounds++ {
		f.left = 0
		edges := 0
		for _, i := range f.active {
			f.left += math.Abs(f.residual[i])
			if math.Abs(f.residual[i]) > small {
				edges += len(f.graph.said(int(i)).ratee)
			}
		}
		if f.left <= target {
			return rounds
		}
		if edges > f.labels.Entries()/8 {
			return rounds + f.sweep(target)
		}
		f.push(small)
	}
}

// push moves every residual above small into the solution and on to those its peer labels.
func (f *fixing) push(small float64) {
	work := f.active
	f.active = nil
	moving := make([]float64, len(work))
	for n, i := range work {
		if r := f.residual[i]; math.Abs(r) > small {
			moving[n] = r
			f.residual[i] = 0
			f.x[i] += r
		}
	}
	for _, i := range work {
		f.queued[i] = false
	}
	keep := func(i uint32) {
		if !f.queued[i] {
			f.queued[i] = true
			f.active = append(f.active, i)
		}
	}
	for n, i := range work {
		if moving[n] == 0 {
			if f.residual[i] != 0 {
				keep(i)
			}
			continue
		}
		per := (1 - f.a) * moving[n] * f.scale[i]
		said := f.graph.said(int(i))
		for k, to := range said.ratee {
			if said.score[k] > 0 && f.in[to] {
				f.residual[to] += float64(per * float64(said.score[k]))
				keep(to)
			}
		}
	}
}

// sweep pushes everything at once, over all rows, until no more than target is left.
func (f *fixing) sweep(target float64) (rounds int) {
	scaled := make([]float64, len(f.x))
	parts := make([]float64, f.labels.Chunks())
	for ; f.left > target; rounds++ {
		for i, r := range f.residual {
			f.x[i] += r
			scaled[i] = r * f.scale[i]
		}
		f.labels.Sweep(func(chunk, lo, hi int) {
			sum := 0.0
			f.labels.MulChunk(f.residual, scaled, f.in, chunk) // outside the filter it stays 0
			for i := lo; i < hi; i++ {
				f.residual[i] *= 1 - f.a
				sum += math.Abs(f.residual[i])
			}
			parts[chunk] = sum
		})
		f.left = 0
		for _, s := range parts {
			f.left += s
		}
	}
	return rounds
}
