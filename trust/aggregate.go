package trust

import (
	"crypto/sha256"
	"slices"

	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// Aggregate is the trust of the members of a group together: the sum over members i of W(i) * t(i).
// EigenTrust is linear in p once C is given, and C depends on the filter alone; so members whose filters
// coincide share one run on the average of their p. Immutable.
type Aggregate struct {
	network *Network
	members []member
	classes []class
	// Vector is the aggregate; Iterations are those of all classes together.
	Vector
}

// member is a peer by number with its part of the weight of those that have a view.
type member struct {
	peer   int
	weight float64
	class  int
}

// class is members with one filter between them.
type class struct {
	key    [sha256.Size]byte // of the filter
	mass   float64           // the weight of its members
	p      []float64         // their average, summing to 1
	walk   *walk
	result solution
}

// Aggregate computes the trust of members together. Members that the graph does not know, that are
// convicted or that trust nobody (with no seed left) have no voice: the others' weights count as if they
// were all. ErrNoTrust where nobody has one; a refusal where a member is named twice.
func (n *Network) Aggregate(members []Share) (*Aggregate, error) {
	a := &Aggregate{network: n}
	voices, err := n.voices(members)
	if err != nil {
		return nil, err
	}
	// Filters first, so that at most one p a class is held, however many members there are.
	total := 0.0
	for _, m := range voices {
		view := n.View(m.peer)
		mask := n.Filter(view)
		if !n.hasTrust(view, mask) {
			continue
		}
		m.class = a.classOf(mask)
		a.classes[m.class].mass += m.weight
		total += m.weight
		a.members = append(a.members, m)
	}
	if len(a.members) == 0 {
		return nil, ErrNoTrust
	}
	for c := range a.classes {
		a.classes[c].mass /= total
	}
	for i := range a.members {
		a.members[i].weight /= total
	}
	for c := range a.classes {
		if err := a.average(c); err != nil {
			return nil, err
		}
		k := &a.classes[c]
		k.result = k.walk.solve(k.p, k.p)
	}
	a.sum()
	return a, nil
}

// voices are the members that the graph knows and that are not convicted, by number.
func (n *Network) voices(members []Share) ([]member, error) {
	out := make([]member, 0, len(members))
	for _, s := range members {
		if i, ok := n.graph.Find(s.Peer); ok && !n.isConvicted(i) && s.Weight > 0 {
			out = append(out, member{peer: i, weight: float64(s.Weight)})
		}
	}
	slices.SortFunc(out, func(a, b member) int { return n.graph.ids[a.peer].Compare(n.graph.ids[b.peer]) })
	for i := 1; i < len(out); i++ {
		if out[i-1].peer == out[i].peer {
			return nil, refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, "members", "peer %s twice", n.graph.ids[out[i].peer])
		}
	}
	return out, nil
}

func (n *Network) hasTrust(v *View, mask []bool) bool {
	for _, s := range n.seeds {
		if mask[s.peer] {
			return true
		}
	}
	return slices.ContainsFunc(v.reach, func(i uint32) bool { return mask[i] && v.cells[i].mean > 0 })
}

// classOf finds or makes the class of a filter.
func (a *Aggregate) classOf(mask []bool) int {
	key := keyOf(mask)
	for i := range a.classes {
		if a.classes[i].key == key {
			return i
		}
	}
	a.classes = append(a.classes, class{key: key, walk: a.network.walk(mask)})
	return len(a.classes) - 1
}

func keyOf(mask []bool) [sha256.Size]byte {
	bits := make([]byte, (len(mask)+7)/8)
	for i, in := range mask {
		if in {
			bits[i/8] |= 1 << (i % 8)
		}
	}
	return sha256.Sum256(bits)
}

// average sets the p of a class.
func (a *Aggregate) average(c int) error {
	k := &a.classes[c]
	k.p = make([]float64, a.network.graph.Len())
	for _, m := range a.members {
		if m.class == c {
			if err := a.network.addPreference(k.p, m.weight/k.mass, a.network.View(m.peer), k.walk.in); err != nil {
				return err
			}
		}
	}
	return nil
}

// sum adds up the classes.
func (a *Aggregate) sum() {
	a.Vector = Vector{graph: a.network.graph, share: make([]float64, a.network.graph.Len())}
	for _, c := range a.classes {
		for i, s := range c.result.share {
			a.share[i] += float64(c.mass * s)
		}
		a.Iterations += c.result.iterations
		a.Change = max(a.Change, c.result.change)
	}
}

// Network is what the aggregate was computed on.
func (a *Aggregate) Network() *Network { return a.network }

// Classes is the number of different filters among the members.
func (a *Aggregate) Classes() int { return len(a.classes) }

// Members are the peers whose voices were heard, by ascending id.
func (a *Aggregate) Members() []domain.Hash {
	out := make([]domain.Hash, len(a.members))
	for i, m := range a.members {
		out[i] = a.network.graph.ids[m.peer]
	}
	return out
}
