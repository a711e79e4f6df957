package trust

import (
	"math"
	"slices"
)

// Incremental recomputation. A solution solves x = (1-a) C0' x + k p, where C0 has empty rows instead of p
// in the rows of raters without labels, and k, a number, only scales the whole: shares sum to 1 anyway.
// After labels changed, an old x leaves a residual r = k p + (1-a) C0' x - x, which differs from the old
// one near the changes alone. Pushing it along the labels (Andersen, Chung, Lang, "Local graph
// partitioning using PageRank vectors", FOCS 2006; Jeh and Widom 2003), round by round, repairs x. What is
// left of it is kept, so that the next repair starts from where this one ended and nothing adds up.
//
// For t = x / s, where x sums to s, one iteration of solve would change t by (r - p sum(r)) / s; and since
// an iteration contracts by 1-a in L1,
//
//	change <= (|r| + |sum r|) / s,    |t - t*| <= change / a,
//
// which decides when to stop. While the residual is where it is, it is pushed label by label, from the largest
// on, one after the other, as Gauss and Southwell relax equations; once it has spread over much of the graph, in
// whole sweeps.

const (
	// rounding is more, in L1, than a round of a repair loses in x and in products, and more than its start
	// and its end lose. Sums of residuals come on top.
	rounding = 1e-15
	// addition is what one addition loses at most, of its result.
	addition = 1. / (1 << 53)
	// followed is the part of all labels after which following them one by one, or looking whom to follow,
	// gives way to sweeps, in which a label costs a twentieth of that.
	followed = 1. / 32
)

// fixing is a repair under way.
type fixing struct {
	*walk
	graph       *Graph
	p           []float64
	feed        float64 // k
	x, residual []float64
	active      []uint32 // whose residual has changed and not been pushed
	queued      []bool   // who is among them
	rest        norm     // of the residuals of all others
	left        norm     // of all residuals
	added       float64  // to the sum of x, which was 1
	unknown     float64  // L1 norm of what residual lacks, at most
}

// norm is the L1 norm and the sum of a vector.
type norm struct{ size, sum float64 }

// normOf is the norm of a vector.
func normOf(x []float64) norm {
	size, sum := 0.0, 0.0
	for _, x := range x {
		size += math.Abs(x)
		sum += x
	}
	return norm{size, sum}
}

func (n *norm) add(x float64) { n.size += math.Abs(x); n.sum += x }

func (n *norm) drop(x float64) { n.size -= math.Abs(x); n.sum -= x }

// repair makes the solution of w for p out of that of an older class with the same filter, on a graph
// from before some raters changed what they say. Its change is at most within. It returns false where
// the old solution is too coarse for that.
func (w *walk) repair(old *class, p []float64, before, g *Graph, changed []int, within float64) (solution, bool) {
	was := &old.result
	if within-2*was.unknown <= within/64 || len(p) <= maxDense {
		return solution{}, false
	}
	f := &fixing{walk: w, graph: g, p: p, feed: was.feed, x: slices.Clone(was.share), queued: make([]bool, len(p)), rest: was.left, unknown: was.unknown + rounding}
	if f.residual = slices.Clone(was.residual); f.residual == nil {
		f.residual = make([]float64, len(p))
	}
	if &p[0] != &old.p[0] {
		for i, x := range p {
			if d := float64(was.feed * (x - old.p[i])); d != 0 {
				f.take(uint32(i))
				f.residual[i] += d
			}
		}
	}
	for _, i := range changed {
		f.turn(i, before.said(i), -old.walk.scale[i])
		f.turn(i, g.said(i), f.scale[i])
	}
	rounds, ok := f.settle(within)
	if !ok {
		return solution{}, false
	}
	return f.solution(rounds), true
}

// turn adds to residuals what a rater gives by its labels in one iteration, at so much for a label of 1.
func (f *fixing) turn(i int, said row, scale float64) {
	per := (1 - f.a) * f.x[i] * scale
	for k, to := range said.ratee {
		if said.score[k] > 0 && f.in[to] {
			f.take(to)
			f.residual[to] += float64(per * float64(said.score[k]))
		}
	}
}

// take makes a peer active, before its residual changes.
func (f *fixing) take(i uint32) {
	if !f.queued[i] {
		f.queued[i] = true
		f.active = append(f.active, i)
		f.rest.drop(f.residual[i])
	}
}

// excess is by how much one iteration would change more than it may, both as yet unscaled.
func (f *fixing) excess(within float64) float64 {
	return f.left.size + math.Abs(f.left.sum) + float64(2*f.unknown) - float64(within*(1+f.added))
}

// lose accounts for what a round loses that began with residuals of some L1 norm and pushed along some
// labels: pushing never makes that norm grow, so that no single sum is ever larger.
func (f *fixing) lose(size float64, labels int) {
	f.unknown += float64(float64(addition*size)*float64(labels)) + rounding
}

// settle pushes until one iteration would change no more than within: whoever's residual is above the mean of
// those that have one. What is below it waits, since much of it meets its like with the other sign, and is
// never worth its labels. It returns false where that is beyond what sums of floats can tell.
func (f *fixing) settle(within float64) (rounds int, ok bool) {
	budget := int(followed * float64(f.labels.Entries()))
	for ; ; rounds++ {
		here := norm{}
		for _, i := range f.active {
			here.add(f.residual[i])
		}
		f.left = norm{f.rest.size + here.size, f.rest.sum + here.sum}
		if f.excess(within) <= 0 {
			return rounds, true
		}
		large := f.large(here.size / float64(len(f.active)))
		labels := 0
		for _, i := range large {
			labels += len(f.graph.said(int(i)).ratee)
		}
		budget -= len(f.active) + len(large) + labels
		if here.size <= f.rest.size || budget < 0 {
			more, ok := f.sweeps(within)
			return rounds + more, ok
		}
		for _, i := range large {
			f.push(i)
		}
		f.lose(f.left.size, labels)
	}
}

// large takes those out of the active whose residual is above a bound.
func (f *fixing) large(bound float64) []uint32 {
	var large []uint32
	rest := f.active[:0]
	for _, i := range f.active {
		if math.Abs(f.residual[i]) >= bound {
			large = append(large, i)
		} else {
			rest = append(rest, i)
		}
	}
	f.active = rest
	return large
}

// push moves the residual of a peer into the solution and on to those it labels.
func (f *fixing) push(i uint32) {
	r := f.residual[i]
	f.x[i] += r
	f.added += r
	f.residual[i], f.queued[i] = 0, false
	per := (1 - f.a) * r * f.scale[i]
	said := f.graph.said(int(i))
	for k, to := range said.ratee {
		if said.score[k] > 0 && f.in[to] {
			f.take(to)
			f.residual[to] += float64(per * float64(said.score[k]))
		}
	}
}

// overChunks calls do for every chunk of rows, from several cores, and adds up what it returns, in order.
func (f *fixing) overChunks(do func(chunk, lo, hi int) norm) (all norm) {
	parts := make([]norm, f.labels.Chunks())
	f.labels.Sweep(func(chunk, lo, hi int) { parts[chunk] = do(chunk, lo, hi) })
	for _, p := range parts {
		all.size += p.size
		all.sum += p.sum
	}
	return all
}

// sweeps pushes everything at once, over all rows, until one iteration would change no more than within, or
// returns false as settle does.
func (f *fixing) sweeps(within float64) (rounds int, ok bool) {
	now := make([]float64, len(f.x))
	for f.level(f.left); f.excess(within) > 0; rounds++ {
		if 4*f.unknown > within {
			return rounds, false
		}
		f.lose(f.left.size, f.labels.Entries())
		f.sweep(now)
	}
	return rounds, true
}

// level notes what residuals are left. A sum of any size is taken out of them: it would only fade by a each
// round, and since k is free, less of it takes the sum away at once.
func (f *fixing) level(left norm) {
	if f.left = left; math.Abs(left.sum) <= left.size/8 {
		return
	}
	f.feed -= left.sum
	f.left = f.overChunks(func(_, lo, hi int) norm {
		for i := lo; i < hi; i++ {
			f.residual[i] -= float64(left.sum * f.p[i])
		}
		return normOf(f.residual[lo:hi])
	})
}

// sweep is one round over all rows, in which now holds what labels multiply. New residuals take the place of
// those that were pushed.
func (f *fixing) sweep(now []float64) {
	f.added += f.overChunks(func(_, lo, hi int) norm {
		sum := 0.0
		for i := lo; i < hi; i++ {
			r := f.residual[i]
			f.x[i] += r
			now[i] = r * f.scale[i]
			sum += r
		}
		return norm{sum: sum}
	}).sum
	keep := 1 - f.a
	f.level(f.overChunks(func(chunk, lo, hi int) norm {
		f.labels.MulChunk(f.residual, now, f.in, chunk)
		for i := lo; i < hi; i++ {
			f.residual[i] *= keep
		}
		return normOf(f.residual[lo:hi])
	}))
}

// solution scales what was repaired to sum to 1.
func (f *fixing) solution(rounds int) solution {
	by := 1 / (1 + f.added)
	left := f.overChunks(func(_, lo, hi int) norm {
		for i := lo; i < hi; i++ {
			f.x[i] *= by
			f.residual[i] *= by
		}
		return normOf(f.residual[lo:hi])
	})
	unknown := float64(f.unknown * by)
	return solution{share: f.x, iterations: rounds, change: left.size + math.Abs(left.sum) + 2*unknown,
		feed: f.feed * by, residual: f.residual, left: left, unknown: unknown}
}
