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
// which decides when to stop. A residual that has spread over much of the graph goes on in whole sweeps,
// until then only where it is.

const (
	// rounding is more, in L1, than what the sums of one round of a repair may lose.
	rounding = 1e-15
	// followed is the part of all labels after which following them one by one, or looking whom to follow,
	// gives way to sweeps, in which a label costs a tenth of that.
	followed = 1. / 16
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
	total       float64  // sum of x
}

// norm is the L1 norm and the sum of a vector.
type norm struct{ size, sum float64 }

func (n *norm) add(x float64) { n.size += math.Abs(x); n.sum += x }

func (n *norm) drop(x float64) { n.size -= math.Abs(x); n.sum -= x }

// repair makes the solution of w for p out of that of an older class with the same filter, on a graph
// from before some raters changed what they say. Its change is at most within. It returns false where
// the old solution is too coarse for that.
func (w *walk) repair(old *class, p []float64, before, g *Graph, changed []int, within float64) (solution, bool) {
	was := &old.result
	room := within - 2*was.unknown
	if room <= within/64 || len(p) <= maxDense {
		return solution{}, false
	}
	f := &fixing{walk: w, graph: g, p: p, feed: was.feed, x: slices.Clone(was.share), queued: make([]bool, len(p)), rest: was.left, total: 1}
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
	for _, i := range before.touched(g, changed) {
		if w.in[i] {
			f.take(i)
			f.residual[i] = float64(was.feed*p[i]) + float64((1-w.a)*f.inflow(i)) - f.x[i]
		}
	}
	rounds := f.settle(room)
	return f.solution(was, rounds), true
}

// touched are the peers whom changed raters label or labelled, ascending.
func (g *Graph) touched(next *Graph, changed []int) []uint32 {
	var out []uint32
	for _, i := range changed {
		out = append(out, g.said(i).ratee...)
		out = append(out, next.said(i).ratee...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// inflow is what raters give a peer in one iteration, before (1-a).
func (f *fixing) inflow(i uint32) float64 {
	sum := 0.0
	r := f.labels.Row(int(i))
	for k, from := range r.Index {
		if f.in[from] {
			sum += float64(float64(r.Weight[k]) * float64(f.x[from]*f.scale[from]))
		}
	}
	return sum
}

// take makes a peer active, before its residual changes.
func (f *fixing) take(i uint32) {
	if !f.queued[i] {
		f.queued[i] = true
		f.active = append(f.active, i)
		f.rest.drop(f.residual[i])
	}
}

// settled reports whether one iteration would change no more than room.
func (f *fixing) settled(room float64) bool {
	return f.left.size+math.Abs(f.left.sum) <= room*f.total
}

// settle pushes until no more than room is left, the largest first: what is below half the mean waits,
// since much of it meets its like with the other sign, and is never worth its labels.
func (f *fixing) settle(room float64) (rounds int) {
	labels := int(followed * float64(f.labels.Entries()))
	for ; ; rounds++ {
		here := norm{}
		for _, i := range f.active {
			here.add(f.residual[i])
		}
		f.left = norm{f.rest.size + here.size, f.rest.sum + here.sum}
		if f.settled(room) {
			return rounds
		}
		large := f.large(here.size / float64(len(f.active)) / 2)
		labels -= len(f.active) + len(large)
		for _, i := range large {
			labels -= len(f.graph.said(int(i)).ratee)
		}
		if here.size <= f.rest.size || labels < 0 {
			return rounds + f.sweep(room)
		}
		f.push(large)
	}
}

// large takes those out of the active whose residual is above a bound.
func (f *fixing) large(bound float64) []uint32 {
	var large []uint32
	rest := f.active[:0]
	for _, i := range f.active {
		if math.Abs(f.residual[i]) >= bound {
			f.queued[i] = false
			large = append(large, i)
		} else {
			rest = append(rest, i)
		}
	}
	f.active = rest
	return large
}

// push moves the residuals of some peers into the solution and on to those they label.
func (f *fixing) push(work []uint32) {
	moving := make([]float64, len(work))
	for n, i := range work {
		moving[n] = f.residual[i]
		f.x[i] += moving[n]
		f.total += moving[n]
		f.residual[i] = 0
	}
	for n, i := range work {
		per := (1 - f.a) * moving[n] * f.scale[i]
		said := f.graph.said(int(i))
		for k, to := range said.ratee {
			if said.score[k] > 0 && f.in[to] {
				f.take(to)
				f.residual[to] += float64(per * float64(said.score[k]))
			}
		}
	}
}

// part is what one chunk of rows adds to sums over all rows.
type part struct {
	norm            // of the residual
	idle  float64   // sum of it at raters without labels
	total float64   // of x, or what was added to it
	_     [4]uint64 // a cache line each: parts are written by different cores
}

// overChunks calls do for every chunk of rows, from several cores, and adds up what it returns, in order.
func (f *fixing) overChunks(do func(chunk, lo, hi int) part) (all part) {
	parts := make([]part, f.labels.Chunks())
	f.labels.Sweep(func(chunk, lo, hi int) { parts[chunk] = do(chunk, lo, hi) })
	for _, p := range parts {
		all.size += p.size
		all.sum += p.sum
		all.idle += p.idle
		all.total += p.total
	}
	return all
}

// sweep pushes everything at once, over all rows, until no more than room is left. Raters without labels
// push along p here, as in solve. Since k is free, that is a change of k; and so is taking the sum out of the
// residual, which would otherwise only fade by a each round.
func (f *fixing) sweep(room float64) (rounds int) {
	now, next := make([]float64, len(f.x)), make([]float64, len(f.x))
	excess := f.left.sum
	f.feed -= excess
	all := f.overChunks(func(_, lo, hi int) (c part) {
		for i := lo; i < hi; i++ {
			c.put(f, next, i, f.residual[i]-float64(excess*f.p[i]))
		}
		return c
	})
	keep := 1 - f.a
	for f.left = all.norm; !f.settled(room); f.left = all.norm {
		now, next = next, now
		jump := float64(keep * all.idle)
		f.feed += jump
		all = f.overChunks(func(chunk, lo, hi int) (c part) {
			f.labels.MulChunk(next, now, f.in, chunk)
			for i := lo; i < hi; i++ {
				r := f.residual[i]
				f.x[i] += r
				c.total += r
				c.put(f, next, i, float64(keep*next[i])+float64(jump*f.p[i]))
			}
			return c
		})
		f.total += all.total
		rounds++
	}
	return rounds
}

// put gives a peer a residual, and what its raters' labels make of it to the next round.
func (c *part) put(f *fixing, next []float64, i int, r float64) {
	f.residual[i] = r
	next[i] = r * f.scale[i]
	c.add(r)
	if f.scale[i] == 0 {
		c.idle += r
	}
}

// solution scales what was repaired to sum to 1.
func (f *fixing) solution(was *solution, rounds int) solution {
	by := 1 / f.overChunks(func(_, lo, hi int) (c part) {
		for _, x := range f.x[lo:hi] {
			c.total += x
		}
		return c
	}).total
	left := f.overChunks(func(_, lo, hi int) (c part) {
		for i := lo; i < hi; i++ {
			f.x[i] *= by
			f.residual[i] *= by
			c.add(f.residual[i])
		}
		return c
	}).norm
	unknown := float64(was.unknown*by) + float64(float64(rounds+1)*rounding)
	return solution{share: f.x, iterations: rounds, change: left.size + math.Abs(left.sum) + 2*unknown,
		feed: f.feed * by, residual: f.residual, left: left, unknown: unknown}
}
