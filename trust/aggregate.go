package trust

import (
	"crypto/sha256"
	"slices"

	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// maxHeld bounds, in peers times classes, what an aggregate keeps for Update: about 33 bytes each.
const maxHeld = 1 << 24

// Aggregate is the trust of the members of a group together: the sum over members i of W(i) * t(i).
// Members whose filters coincide share one run. EigenTrust is not quite linear in p, because rows of raters
// without labels are p themselves; but x = p + (1-a) C0' x, with those rows empty, is, and t(i) is x(i)
// scaled to sum 1. So the run is on the average of p(i) / |x(i)|, and |x(i)| is the product of p(i) and
// the visits of a walk from each peer on, found once for all members (docs/adr/0008). Immutable.
type Aggregate struct {
	network *Network
	asked   []Share
	members []member
	classes []class
	reached []bool // by number
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
	bits []byte            // the filter, a bit a peer
	key  [sha256.Size]byte // its hash
	mass float64           // the weight of its members
	// What follows is dropped where there are too many classes to hold it.
	p      []float64 // their average, summing to 1
	walk   *walk
	result solution
}

// Aggregate computes the trust of members together. Members that the graph does not know, that are
// convicted or that trust nobody (with no seed left) have no voice: the others' weights count as if they
// were all. ErrNoTrust where nobody has one; a refusal where a member is named twice.
func (n *Network) Aggregate(members []Share) (*Aggregate, error) {
	return n.aggregate(members, func(c *class) solution { return c.walk.solve(c.p, c.p) })
}

// aggregate leaves it to solve how the EigenTrust of a class is found.
func (n *Network) aggregate(members []Share, solve func(*class) solution) (*Aggregate, error) {
	a := &Aggregate{network: n, asked: slices.Clone(members)}
	voices, err := n.voices(members)
	if err != nil {
		return nil, err
	}
	// Filters first, so that one p a class is enough, however many members there are.
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
	a.Vector, a.reached = Vector{graph: n.graph, share: make([]float64, n.graph.Len())}, make([]bool, n.graph.Len())
	for c := range a.classes {
		if err := a.run(c, solve); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// run computes one class and adds it to the whole.
func (a *Aggregate) run(c int, solve func(*class) solution) error {
	n, k := a.network, &a.classes[c]
	mask := maskOf(k.bits, n.graph.Len())
	k.walk, k.p = n.walk(mask), make([]float64, len(mask))
	own := make([]float64, len(mask))
	members, visits := 0, []float64(nil)
	for _, m := range a.members {
		if m.class != c {
			continue
		}
		if members++; members == 2 {
			visits = k.walk.visits(n.graph)
		}
	}
	reach := n.reachWithin(mask)
	for _, m := range a.members {
		if m.class == c {
			clear(own)
			view := n.View(m.peer)
			if err := n.addPreference(own, 1, view, mask); err != nil {
				return err
			}
			addScaled(k.p, m.weight/k.mass/dot(visits, own), own)
			reach.from(view)
		}
	}
	reach.follow(a.reached)
	total := 0.0
	for _, x := range k.p {
		total += x
	}
	for i := range k.p {
		k.p[i] /= total
	}
	k.result = solve(k)
	for i, s := range k.result.share {
		a.share[i] += float64(k.mass * s)
	}
	a.Iterations += k.result.iterations
	a.Change = max(a.Change, k.result.change)
	if len(a.classes)*len(mask) > maxHeld {
		k.p, k.walk, k.result = nil, nil, solution{}
	}
	return nil
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
	return slices.ContainsFunc(v.reach, func(i uint32) bool { return mask[i] && v.mean[i] > 0 })
}

// classOf finds or makes the class of a filter.
func (a *Aggregate) classOf(mask []bool) int {
	bits := make([]byte, (len(mask)+7)/8)
	for i, in := range mask {
		if in {
			bits[i/8] |= 1 << (i % 8)
		}
	}
	key := sha256.Sum256(bits)
	for i := range a.classes {
		if a.classes[i].key == key {
			return i
		}
	}
	a.classes = append(a.classes, class{bits: bits, key: key})
	return len(a.classes) - 1
}

func maskOf(bits []byte, n int) []bool {
	mask := make([]bool, n)
	for i := range mask {
		mask[i] = bits[i/8]&(1<<(i%8)) != 0
	}
	return mask
}

// Network is what the aggregate was computed on.
func (a *Aggregate) Network() *Network { return a.network }

// Classes is the number of different filters among the members.
func (a *Aggregate) Classes() int { return len(a.classes) }

// Trusts reports whether a peer has a share, however small: whether labels lead to it, which no rounding of shares can change.
func (a *Aggregate) Trusts(id domain.Hash) bool {
	i, ok := a.graph.Find(id)
	return ok && a.reached[i]
}

// Members are the peers whose voices were heard, by ascending id.
func (a *Aggregate) Members() []domain.Hash {
	out := make([]domain.Hash, len(a.members))
	for i, m := range a.members {
		out[i] = a.network.graph.ids[m.peer]
	}
	return out
}
