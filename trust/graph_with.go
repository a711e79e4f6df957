package trust

import (
	"slices"

	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
	"github.com/notarynet/notaryd/trust/sparse"
)

// With is the graph after changes, in order. It shares what did not change with g: its cost is that of
// the labels of the peers concerned, unless a change names a peer that g does not know, or so much has
// been patched that it is time to build anew. It refuses a score out of range.
func (g *Graph) With(changes []Change) (*Graph, error) {
	for i, c := range changes {
		if !c.Remove && (c.Score < -MaxScore || c.Score > MaxScore) {
			return nil, refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, "labels", "change %d: score %d", i, c.Score)
		}
	}
	if !g.knows(changes) || len(g.rows)+len(changes) > g.Len()/8+16 {
		return g.rebuilt(changes)
	}
	out := *g
	out.rows = make(map[int]row, len(g.rows)+len(changes))
	for i, r := range g.rows {
		out.rows[i] = r
	}
	fresh := make(map[int]bool) // rows that are out's own and may be written
	columns := make(map[int]sparse.Row)
	for _, c := range changes {
		if c.Rater == c.Ratee {
			continue
		}
		from, known := g.Find(c.Rater)
		to, alsoKnown := g.Find(c.Ratee)
		if !known || !alsoKnown {
			continue // takes back a label that is not there: knows has seen to that
		}
		r := out.said(from)
		if !fresh[from] {
			fresh[from] = true
			r = row{ratee: slices.Clone(r.ratee), score: slices.Clone(r.score)}
		}
		out.rows[from] = r.set(uint32(to), int16(c.Score), c.Remove)
		in, ok := columns[to]
		if !ok {
			in = g.positive.Row(to)
			in = sparse.Row{Index: slices.Clone(in.Index), Weight: slices.Clone(in.Weight)}
		}
		columns[to] = setEntry(in, uint32(from), uint16(max(c.Score, 0)), c.Remove || c.Score <= 0)
	}
	var err error
	out.positive, err = g.positive.Patch(columns)
	return &out, err
}

// numbersAs reports whether a graph made by With numbers peers as g does: it then shares their list.
func (g *Graph) numbersAs(next *Graph) bool {
	return len(g.ids) == len(next.ids) && (len(g.ids) == 0 || &g.ids[0] == &next.ids[0])
}

func (g *Graph) knows(changes []Change) bool {
	for _, c := range changes {
		if _, ok := g.Find(c.Rater); !ok && !c.Remove {
			return false
		}
		if _, ok := g.Find(c.Ratee); !ok && !c.Remove {
			return false
		}
	}
	return true
}

// rebuilt is With by way of a list of all labels.
func (g *Graph) rebuilt(changes []Change) (*Graph, error) {
	type pair struct{ rater, ratee domain.Hash }
	last := make(map[pair]Change, len(changes))
	for _, c := range changes {
		last[pair{c.Rater, c.Ratee}] = c
	}
	labels := make([]Label, 0, g.Labels()+len(changes))
	g.All(func(l Label) bool {
		if _, changed := last[pair{l.Rater, l.Ratee}]; !changed {
			labels = append(labels, l)
		}
		return true
	})
	for _, c := range changes { // by the order of changes, not of the map
		k := pair{c.Rater, c.Ratee}
		if l, ok := last[k]; ok {
			if !l.Remove {
				labels = append(labels, l.Label)
			}
			delete(last, k)
		}
	}
	out, err := NewGraph(labels, g.ids)
	if err != nil || g.byID == nil {
		return out, err
	}
	return out.Localise()
}

func (r row) set(to uint32, score int16, remove bool) row {
	k, ok := slices.BinarySearch(r.ratee, to)
	switch {
	case ok && remove:
		return row{slices.Delete(r.ratee, k, k+1), slices.Delete(r.score, k, k+1)}
	case ok:
		r.score[k] = score
		return r
	case remove:
		return r
	}
	return row{slices.Insert(r.ratee, k, to), slices.Insert(r.score, k, score)}
}

func setEntry(r sparse.Row, column uint32, weight uint16, remove bool) sparse.Row {
	k, ok := slices.BinarySearch(r.Index, column)
	switch {
	case ok && remove:
		return sparse.Row{Index: slices.Delete(r.Index, k, k+1), Weight: slices.Delete(r.Weight, k, k+1)}
	case ok:
		r.Weight[k] = weight
		return r
	case remove:
		return r
	}
	return sparse.Row{Index: slices.Insert(r.Index, k, column), Weight: slices.Insert(r.Weight, k, weight)}
}

// Localise is the same graph numbered so that peers near each other have numbers near each other:
// breadth first along positive labels, from the peer with the most raters, as Cuthill and McKee (1969)
// order a matrix, but without sorting by degree. Where peers keep to groups of their own this brings
// the vector entries that a row needs into cache; where labels are random it changes nothing.
func (g *Graph) Localise() (*Graph, error) {
	n := g.Len()
	roots := make([]uint32, n)
	for i := range roots {
		roots[i] = uint32(i)
	}
	slices.SortFunc(roots, func(a, b uint32) int {
		la, lb := len(g.positive.Row(int(a)).Index), len(g.positive.Row(int(b)).Index)
		if la != lb {
			return lb - la
		}
		return g.ids[a].Compare(g.ids[b])
	})
	order := make([]uint32, 0, n) // order[new] = old
	number := make([]uint32, n)   // number[old] = new
	seen := make([]bool, n)
	for _, root := range roots {
		if seen[root] {
			continue
		}
		seen[root] = true
		head := len(order)
		for order = append(order, root); head < len(order); head++ {
			at := order[head]
			number[at] = uint32(head)
			r := g.said(int(at))
			for k, to := range r.ratee {
				if r.score[k] > 0 && !seen[to] {
					seen[to] = true
					order = append(order, to)
				}
			}
		}
	}
	return g.renumbered(order, number)
}

func (g *Graph) renumbered(order, number []uint32) (*Graph, error) {
	n := g.Len()
	out := &Graph{ids: make([]domain.Hash, n), byID: make([]uint32, n), start: make([]uint32, n+1)}
	total := g.Labels()
	out.ratee, out.score = make([]uint32, 0, total), make([]int16, 0, total)
	type said struct {
		to    uint32
		score int16
	}
	var line []said
	for i, old := range order {
		out.ids[i] = g.ids[old]
		out.byID[i] = uint32(i)
		r := g.said(int(old))
		line = line[:0]
		for k, to := range r.ratee {
			line = append(line, said{number[to], r.score[k]})
		}
		slices.SortFunc(line, func(a, b said) int { return int(a.to) - int(b.to) })
		for _, s := range line {
			out.ratee = append(out.ratee, s.to)
			out.score = append(out.score, s.score)
		}
		out.start[i+1] = uint32(len(out.ratee))
	}
	slices.SortFunc(out.byID, func(a, b uint32) int { return out.ids[a].Compare(out.ids[b]) })
	return out.finish()
}
