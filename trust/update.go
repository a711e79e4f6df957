package trust

import "slices"

// Precision is the L1 distance within which an updated aggregate is proven to equal the fixed point that
// a full run approaches.
const Precision = 4.5e-7

// Update is the aggregate after changes of labels: what a full run on the changed graph would give, to
// within Precision in L1 and what Epsilon leaves open in that run. Views are computed anew; EigenTrust
// is repaired around the changes where a filter is as it was, and run otherwise. A graph that had to be
// renumbered is computed anew altogether.
func (a *Aggregate) Update(changes []Change) (*Aggregate, error) {
	g, err := a.network.graph.With(changes)
	if err != nil {
		return nil, err
	}
	if !a.network.graph.numbersAs(g) {
		n, err := New(g, a.network.setting)
		if err != nil {
			return nil, err
		}
		return n.Aggregate(a.asked)
	}
	changed := raters(g, changes)
	return a.network.after(g).aggregate(a.asked, func(c *class) solution {
		at := slices.IndexFunc(a.classes, func(o class) bool { return o.key == c.key && o.walk != nil })
		if at < 0 {
			return c.walk.solve(c.p, c.p)
		}
		old := &a.classes[at]
		if s, ok := c.walk.repair(old, c.p, a.network.graph, g, changed, Precision*c.walk.a); ok {
			return s
		}
		return c.walk.solve(c.p, old.result.share)
	})
}

// raters named by changes, ascending, each once.
func raters(g *Graph, changes []Change) []int {
	var out []int
	for _, c := range changes {
		if i, ok := g.Find(c.Rater); ok {
			out = append(out, i)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// after is the network on a graph that differs in what some raters say.
func (n *Network) after(g *Graph) *Network {
	out := *n
	out.graph = g
	return &out
}
