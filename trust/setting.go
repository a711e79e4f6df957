package trust

import (
	"cmp"
	"errors"
	"slices"

	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// MaxSeeds bounds the list of seeds: a bias must be small enough to be read.
const MaxSeeds = group.MaxMembers

// ErrNoTrust says that a peer trusts nobody and that no seed is left to start from.
var ErrNoTrust = errors.New("trust: no trusted peer and no seed to start from")

// Share is a peer and its weight.
type Share struct {
	Peer   domain.Hash
	Weight group.Weight
}

// Setting is what a result depends on besides labels.
type Setting struct {
	Rule Rule
	// Teleport is a in t = (1-a) C't + a p: how much of every weight comes from p at once, rather than
	// through others' labels. Above 0, at most 1. What a captured rater can hand to its accomplices
	// grows with (1-a)/a (docs/trust.md).
	Teleport float64
	// Bias is b in p = (1-b) vouched + b seeds, 0 to 1. It is all that draws weight back from peers that
	// have some and give none (docs/trust.md).
	Bias float64
	// ByScore makes p of positive scores themselves instead of what a view vouches for. It lets made-up
	// peers add up to any weight (docs/adr/0007), and is here to show just that.
	ByScore bool
	// Epsilon is the L1 change of one iteration at which EigenTrust stops, above 0.
	Epsilon float64
	// Seeds are the bias, by weight: the genesis seed list, or what the owner of a node put in its place
	// for its own view.
	Seeds []Share
	// Convicted peers have no place in any result, and what they say of others counts for nothing.
	Convicted []domain.Hash
}

// DefaultSetting is what a network starts from, without seeds.
func DefaultSetting() Setting {
	return Setting{Rule: Corroborated, Teleport: 0.3, Bias: 0.2, Epsilon: 1e-9}
}

// Validate states the bounds of a setting.
func (s Setting) Validate() error {
	bad := func(field, want string, got any) error {
		return refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, field, "%v, want %s", got, want)
	}
	if err := s.Rule.Validate(); err != nil {
		return refusal.Under("rule", err)
	}
	switch {
	case !(s.Teleport > 0 && s.Teleport <= 1):
		return bad("teleport", "above 0 and at most 1", s.Teleport)
	case !(s.Bias >= 0 && s.Bias <= 1):
		return bad("bias", "0 to 1", s.Bias)
	case !(s.Epsilon > 0 && s.Epsilon < 1):
		return bad("epsilon", "above 0 and below 1", s.Epsilon)
	case len(s.Seeds) > MaxSeeds:
		return bad("seeds", "at most 1024", len(s.Seeds))
	}
	for i, p := range s.Seeds {
		if p.Weight == 0 || p.Weight > group.Total {
			return bad("seeds", "a weight of 1 to 1e9", p.Weight)
		}
		if slices.ContainsFunc(s.Seeds[:i], func(o Share) bool { return o.Peer == p.Peer }) {
			return bad("seeds", "each peer once", p.Peer)
		}
	}
	return nil
}

// Network is a graph of labels under a setting: all that relative vectors and groups are computed
// from. Immutable.
type Network struct {
	graph     *Graph
	setting   Setting
	seeds     []seed    // by ascending number
	convicted []bool    // nil for none
	sums      []float64 // of positive labels, by rater; what changed since is in graph.rows
}

type seed struct {
	peer   int
	weight float64 // as given
}

// New joins a graph and a setting. It refuses a setting that is not valid and seeds that the graph
// does not know (NewGraph takes them as extra peers); unknown convicted peers are ignored.
func New(g *Graph, s Setting) (*Network, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	n := &Network{graph: g, setting: s, sums: g.positiveSums()}
	for _, p := range s.Seeds {
		i, ok := g.Find(p.Peer)
		if !ok {
			return nil, refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, "seeds", "peer %s is not in the graph", p.Peer)
		}
		n.seeds = append(n.seeds, seed{i, float64(p.Weight)})
	}
	slices.SortFunc(n.seeds, func(a, b seed) int { return cmp.Compare(a.peer, b.peer) })
	for _, id := range s.Convicted {
		if i, ok := g.Find(id); ok {
			if n.convicted == nil {
				n.convicted = make([]bool, g.Len())
			}
			n.convicted[i] = true
		}
	}
	return n, nil
}

// positiveSums are, by rater, the sums of its positive labels: whole numbers, so exact.
func (g *Graph) positiveSums() []float64 {
	sums := make([]float64, g.Len())
	for i := range sums {
		sums[i] = g.positiveSum(i)
	}
	return sums
}

func (g *Graph) positiveSum(i int) float64 {
	sum := 0
	for _, score := range g.said(i).score {
		sum += int(max(score, 0))
	}
	return float64(sum)
}

// Graph is the graph of labels.
func (n *Network) Graph() *Graph { return n.graph }

// Setting is what results depend on besides labels. Its slices are not to be changed.
func (n *Network) Setting() Setting { return n.setting }

// View is the view of a peer by number, under the rule of the setting.
func (n *Network) View(i int) *View {
	return n.graph.viewOf(i, n.graph.said(i), n.setting.Rule, n.convicted)
}

// SeedView is what the seeds together make of all others: the view of a peer that labelled each of
// them by its weight, and nobody else. It is what a newcomer starts from.
func (n *Network) SeedView() *View {
	var most float64
	for _, s := range n.seeds {
		most = max(most, s.weight)
	}
	var said row
	for _, s := range n.seeds {
		said.ratee = append(said.ratee, uint32(s.peer))
		said.score = append(said.score, int16(max(1, MaxScore*s.weight/most)))
	}
	return n.graph.viewOf(-1, said, n.setting.Rule, n.convicted)
}

func (n *Network) isConvicted(i int) bool { return n.convicted != nil && n.convicted[i] }
