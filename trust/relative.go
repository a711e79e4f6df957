package trust

import (
	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// Vector is trust in everybody: shares that sum to 1, and how they came about. Immutable.
type Vector struct {
	graph *Graph
	share []float64
	// Iterations and Change say how EigenTrust ended: what one more iteration would change is at most
	// Change in L1, and the distance from the fixed point at most Change / a.
	Iterations int
	Change     float64
}

// Share of a peer by number, 0 to 1.
func (v *Vector) Share(i int) float64 { return v.share[i] }

// Weights are the shares in integers that sum to exactly 1e9, by ascending id, without zeros.
func (v *Vector) Weights() []Share { return quantise(v.graph.ids, v.share) }

// Relative is the relative vector of a peer: what everybody's labels are worth seen from it.
// Its own weight in it is what others' labels give it. It is ErrNoTrust where the peer trusts nobody
// and no seed is left, and a refusal where nobody knows the peer.
func (n *Network) Relative(id domain.Hash) (*Vector, error) {
	i, ok := n.graph.Find(id)
	if !ok {
		return nil, refusal.New(notaryv1.Reason_REASON_NOT_FOUND, "peer_id", "no label by or of %s", id)
	}
	view := n.View(i)
	mask := n.Filter(view)
	p, err := n.preference(view, mask)
	if err != nil {
		return nil, err
	}
	t := n.walk(mask).solve(p, p)
	return &Vector{graph: n.graph, share: t.share, Iterations: t.iterations, Change: t.change}, nil
}

// Filter says, by number, who has a place in the relative vector of a view: the source, whom it
// reached with a score that is not negative, and seeds it has not found negative; never the convicted.
func (n *Network) Filter(v *View) []bool {
	mask := make([]bool, n.graph.Len())
	for _, s := range n.seeds {
		mask[s.peer] = true
	}
	if v.source >= 0 {
		mask[v.source] = true
	}
	for _, i := range v.reach {
		mask[i] = v.mean[i] >= 0
	}
	for i, bad := range n.convicted {
		if bad {
			mask[i] = false
		}
	}
	return mask
}

// preference is p = (1-b) * what the view vouches for, normalised, + b * seeds, normalised; where one of
// the two is empty the other is all of it.
func (n *Network) preference(v *View, mask []bool) ([]float64, error) {
	p := make([]float64, n.graph.Len())
	if err := n.addPreference(p, 1, v, mask); err != nil {
		return nil, err
	}
	return p, nil
}

// addPreference adds weight * p to dst.
func (n *Network) addPreference(dst []float64, weight float64, v *View, mask []bool) error {
	parts := n.parts(v, mask)
	var trusted, seeded float64
	for _, i := range v.reach {
		trusted += parts[i]
	}
	for _, s := range n.seeds {
		if mask[s.peer] {
			seeded += s.weight
		}
	}
	b := n.setting.Bias
	switch {
	case trusted == 0 && seeded == 0:
		return ErrNoTrust
	case trusted == 0:
		b = 1
	case seeded == 0:
		b = 0
	}
	if b < 1 {
		f := weight * (1 - b) / trusted
		for _, i := range v.reach {
			dst[i] += float64(f * parts[i])
		}
	}
	if b > 0 {
		f := weight * b / seeded
		for _, s := range n.seeds {
			if mask[s.peer] {
				dst[s.peer] += float64(f * s.weight)
			}
		}
	}
	return nil
}

// parts are what p is made of, by number, besides seeds.
func (n *Network) parts(v *View, mask []bool) []float64 {
	if !n.setting.ByScore {
		return v.vouched(mask, n.convicted)
	}
	parts := make([]float64, n.graph.Len())
	for _, i := range v.reach {
		if mask[i] {
			parts[i] = max(0, v.score(i))
		}
	}
	return parts
}

// Expectation predicts labels: the view of a peer, and behind it that of the seeds for whom the peer
// does not reach.
type Expectation struct {
	own, seeds *View
}

// Expect is the Expectation of a peer by number.
func (n *Network) Expect(i int) Expectation {
	if len(n.seeds) == 0 {
		return n.ExpectBeside(i, nil)
	}
	return n.ExpectBeside(i, n.SeedView())
}

// ExpectBeside is Expect with the view of the seeds at hand, or nil, for asking about many peers.
func (n *Network) ExpectBeside(i int, seeds *View) Expectation {
	return Expectation{own: n.View(i), seeds: seeds}
}

// Of is the label, -1 to 1, to be expected for a peer; known is false where nobody says anything.
func (e Expectation) Of(i int) (label float64, known bool) {
	label, known = e.own.Expect(i)
	if known || e.seeds == nil {
		return label, known
	}
	return e.seeds.expect(i, e.own.own, e.own.spoke)
}

// halfDistance is half the sum of absolute differences: the share on which two vectors differ.
func halfDistance(a, b []float64) float64 {
	var sum float64
	for i := range a {
		sum += max(a[i]-b[i], b[i]-a[i])
	}
	return sum / 2
}
