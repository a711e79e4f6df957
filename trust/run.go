package trust

import (
	"slices"

	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// Run is EigenTrust for one filter and one preference, kept so that it can follow changes of labels.
// Aggregates and relative vectors are made of such runs. Immutable.
type Run struct {
	network *Network
	class   class
	Vector
}

// Preference is p for a view and a filter: (1-b) * what the view vouches for, normalised, + b * seeds,
// normalised; where one of the two is empty the other is all of it. ErrNoTrust where both are.
func (n *Network) Preference(v *View, mask []bool) ([]float64, error) { return n.preference(v, mask) }

// Run computes t = (1-a) C't + a p over the positive labels within a filter, from p. It refuses slices
// of the wrong length, and a p that is negative, outside the filter, or sums to nothing; p is scaled
// to sum to 1.
func (n *Network) Run(mask []bool, p []float64) (*Run, error) {
	p, err := n.checked(mask, p)
	if err != nil {
		return nil, err
	}
	r := &Run{network: n, class: class{mass: 1, p: p, walk: n.walk(slices.Clone(mask))}}
	return r.with(r.class.walk.solve(p, p)), nil
}

func (n *Network) checked(mask []bool, p []float64) ([]float64, error) {
	if len(mask) != n.graph.Len() || len(p) != n.graph.Len() {
		return nil, refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, "p", "%d and %d entries for %d peers", len(mask), len(p), n.graph.Len())
	}
	sum := 0.0
	for i, x := range p {
		if !(x >= 0) || x > 0 && !mask[i] {
			return nil, refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, "p", "%v for peer %d", x, i)
		}
		sum += x
	}
	if !(sum > 0) {
		return nil, ErrNoTrust
	}
	out := slices.Clone(p)
	for i := range out {
		out[i] /= sum
	}
	return out, nil
}

func (r *Run) with(s solution) *Run {
	r.class.result = s
	r.Vector = Vector{graph: r.network.graph, share: s.share, Iterations: s.iterations, Change: s.change}
	return r
}

// Update is the run after changes of labels between peers that it knows, with the same filter and a
// new p, or the old one where p is nil. It repairs what the changes touch until Change is at most what is
// asked for, and what it leaves is known to the next update, so that nothing adds up; where the last full
// run was too coarse for that, it runs again from the old shares. Within Setting.Epsilon the result is as
// good as a full run's; within Precision * a it is proven to lie within Precision of the fixed point.
func (r *Run) Update(changes []Change, p []float64, within float64) (*Run, error) {
	old := r.network.graph
	g, err := old.With(changes)
	if err != nil {
		return nil, err
	}
	if !old.numbersAs(g) {
		return nil, refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, "changes", "a peer that the run does not know, or too many changes for one graph")
	}
	changed := raters(g, changes)
	next := &Run{network: r.network.after(g), class: class{mass: 1, p: r.class.p}}
	if p != nil {
		if next.class.p, err = next.network.checked(r.class.walk.in, p); err != nil {
			return nil, err
		}
	}
	w := r.class.walk.after(next.network, changed)
	next.class.walk = w
	if s, ok := w.repair(&r.class, next.class.p, old, g, changed, within); ok {
		return next.with(s), nil
	}
	return next.with(w.solve(next.class.p, r.share)), nil
}

// after is a walk on a network that differs in what some raters say.
func (w *walk) after(n *Network, changed []int) *walk {
	out := *w
	out.labels = n.graph.positive
	out.scale = slices.Clone(w.scale)
	for _, i := range changed {
		out.scale[i] = 0
		if !w.in[i] {
			continue
		}
		sum := 0
		said := n.graph.said(i)
		for k, to := range said.ratee {
			if w.in[to] {
				sum += int(max(said.score[k], 0))
			}
		}
		if sum > 0 {
			out.scale[i] = 1 / float64(sum)
		}
	}
	return &out
}
