package trust

import (
	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/notarynet/notaryd/trust/sparse"
)

// maxDense is the number of peers up to which EigenTrust runs on gonum's dense matrices.
const maxDense = 64

// walk is the random walk behind EigenTrust (Kamvar, Schlosser, Garcia-Molina, "The EigenTrust
// algorithm for reputation management in P2P networks", WWW 2003, section 4.5): from a rater to a ratee
// by the rater's positive labels among those in the filter, C_ij = label_ij / sum of i's labels; from a
// rater without any, by p.
type walk struct {
	labels *sparse.Matrix // row ratee, column rater
	in     []bool
	scale  []float64 // 1 / sum of the rater's positive labels within the filter; 0: it has none
	a      float64
	stop   float64
}

// walk of a filter. The sums of labels are corrected by what the filter takes out, so it costs as much
// as that.
func (n *Network) walk(mask []bool) *walk {
	w := &walk{labels: n.graph.positive, in: mask, scale: make([]float64, len(mask)), a: n.setting.Teleport, stop: n.setting.Epsilon}
	copy(w.scale, n.sums)
	for i := range n.graph.rows { // in whatever order: each has its own
		w.scale[i] = n.graph.positiveSum(i)
	}
	for j, in := range mask {
		if in {
			continue
		}
		w.scale[j] = 0
		r := w.labels.Row(j)
		for k, from := range r.Index {
			if mask[from] {
				w.scale[from] -= float64(r.Weight[k])
			}
		}
	}
	for i, sum := range w.scale {
		if sum > 0 {
			w.scale[i] = 1 / sum
		}
	}
	return w
}

// solution of a walk, and how near it is (push.go).
type solution struct {
	share      []float64
	iterations int
	change     float64 // at most what one more iteration would change, in L1

	feed     float64   // k: how much of p comes in at each iteration
	residual []float64 // what is known of the residual; nil: nothing
	left     norm      // of the residual
	unknown  float64   // L1 norm of what residual lacks, at most
}

// solve iterates t = (1-a) (C't + d p) + a p, where d is the weight of raters without labels, from a
// start that sums to 1 to an L1 change below stop. The map contracts by 1-a in L1, so the fixed point
// depends on C and p alone, and the result lies within change*(1-a)/a of it.
func (w *walk) solve(p, start []float64) solution {
	if len(p) <= maxDense {
		return w.solveDense(p, start)
	}
	return w.solveSparse(p, start)
}

// solveSparse does an iteration in one pass, chunk by chunk while it is in cache: rows' new weights, their
// changes, and their shares for the next iteration.
func (w *walk) solveSparse(p, start []float64) solution {
	t := make([]float64, len(p))
	now, next := make([]float64, len(p)), make([]float64, len(p))
	idle := 0.0
	for i, in := range w.in {
		if !in {
			continue
		}
		t[i] = start[i]
		now[i] = t[i] * w.scale[i]
		if w.scale[i] == 0 {
			idle += t[i]
		}
	}
	type moved struct {
		change, idle float64
		_            [6]uint64 // a cache line each: written by different cores
	}
	parts := make([]moved, w.labels.Chunks())
	keep := 1 - w.a
	for s := (solution{share: t}); ; {
		jump := float64(keep*idle) + w.a
		w.labels.Sweep(func(chunk, lo, hi int) {
			var change, rest float64
			w.labels.MulChunk(next, now, w.in, chunk)
			for i := lo; i < hi; i++ {
				if !w.in[i] {
					continue
				}
				fresh := float64(keep*next[i]) + float64(jump*p[i])
				change += max(fresh-t[i], t[i]-fresh)
				t[i] = fresh
				next[i] = fresh * w.scale[i]
				if w.scale[i] == 0 {
					rest += fresh
				}
			}
			parts[chunk] = moved{change: change, idle: rest}
		})
		s.iterations++
		s.change, idle = 0, 0
		for _, p := range parts {
			s.change += p.change
			idle += p.idle
		}
		now, next = next, now
		if s.change < w.stop {
			s.feed, s.unknown = float64(keep*idle)+w.a, keep*s.change
			return s
		}
	}
}

// Dense is C' of a walk, raters in columns, for few peers. Columns of raters without labels are p.
func (w *walk) dense(p []float64) *mat.Dense {
	n := len(p)
	c := mat.NewDense(n, n, nil)
	for i := range n {
		if w.in[i] && w.scale[i] == 0 {
			c.SetCol(i, p)
		}
		if !w.in[i] {
			continue
		}
		r := w.labels.Row(i)
		for k, from := range r.Index {
			if w.in[from] {
				c.Set(i, int(from), float64(r.Weight[k])*w.scale[from])
			}
		}
	}
	return c
}

// solveDense is the formula of solve in gonum's own types.
func (w *walk) solveDense(p, start []float64) solution {
	n := len(p)
	c := w.dense(p)
	t, fresh := mat.NewVecDense(n, nil), mat.NewVecDense(n, nil)
	t.CopyVec(mat.NewVecDense(n, start))
	jump := mat.NewVecDense(n, p)
	for s := (solution{}); ; {
		fresh.MulVec(c, t)
		fresh.ScaleVec(1-w.a, fresh)
		fresh.AddScaledVec(fresh, w.a, jump)
		s.iterations++
		s.change = floats.Distance(fresh.RawVector().Data, t.RawVector().Data, 1)
		t, fresh = fresh, t
		if s.change < w.stop {
			s.share = t.RawVector().Data
			return s
		}
	}
}
