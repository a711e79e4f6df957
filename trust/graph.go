package trust

import (
	"cmp"
	"slices"

	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
	"github.com/notarynet/notaryd/trust/sparse"
)

// Graph is the signed graph of all labels. Immutable. Peers are numbered densely from 0, by ascending
// id unless Localise chose otherwise; results belong to ids, and numbers only name them inside.
type Graph struct {
	ids  []domain.Hash
	byID []uint32 // peers by ascending id; nil where that is their numbering

	start []uint32 // labels of peer i: start[i] to start[i+1]
	ratee []uint32 // strictly ascending within a rater
	score []int16
	rows  map[int]row // labels of peers changed by With, over those of the base

	// positive holds labels above 0: row ratee, column rater.
	positive *sparse.Matrix
}

// row is what one peer says: ratees, strictly ascending, and scores.
type row struct {
	ratee []uint32
	score []int16
}

// NewGraph makes the graph of labels, in whatever order they come. It refuses a score out of range
// and two labels by one rater of one peer. Peers are those that label or are labelled, and those in
// extra (seeds and members that nobody has labelled yet).
func NewGraph(labels []Label, extra []domain.Hash) (*Graph, error) {
	ids := make([]domain.Hash, 0, len(labels)/4+len(extra))
	ids = append(ids, extra...)
	for i, l := range labels {
		if l.Score < -MaxScore || l.Score > MaxScore {
			return nil, refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, "labels", "label %d: score %d", i, l.Score)
		}
		ids = append(ids, l.Rater, l.Ratee)
	}
	slices.SortFunc(ids, domain.Hash.Compare)
	ids = slices.Clip(slices.Compact(ids))
	number := make(map[domain.Hash]uint32, len(ids))
	for i, id := range ids {
		number[id] = uint32(i)
	}
	type said struct {
		rater, ratee uint32
		score        int16
	}
	all := make([]said, 0, len(labels))
	for _, l := range labels {
		if l.Rater != l.Ratee {
			all = append(all, said{number[l.Rater], number[l.Ratee], int16(l.Score)})
		}
	}
	slices.SortFunc(all, func(a, b said) int { return cmp.Or(cmp.Compare(a.rater, b.rater), cmp.Compare(a.ratee, b.ratee)) })
	g := &Graph{ids: ids, start: make([]uint32, len(ids)+1), ratee: make([]uint32, len(all)), score: make([]int16, len(all))}
	for i, s := range all {
		if i > 0 && all[i-1].rater == s.rater && all[i-1].ratee == s.ratee {
			return nil, refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, "labels", "peer %s labels %s twice", ids[s.rater], ids[s.ratee])
		}
		g.start[s.rater+1]++
		g.ratee[i], g.score[i] = s.ratee, s.score
	}
	for i := range ids {
		g.start[i+1] += g.start[i]
	}
	return g.finish()
}

// FromRows makes a graph of peers already numbered: ids strictly ascending, peer i labelling
// ratee[start[i]:start[i+1]], strictly ascending and never itself, with the scores beside. It keeps the
// slices. It is the way in for graphs too large to be held as Labels.
func FromRows(ids []domain.Hash, start, ratee []uint32, score []int16) (*Graph, error) {
	n := len(ids)
	if len(start) != n+1 || start[0] != 0 || int(start[n]) != len(ratee) || len(ratee) != len(score) {
		return nil, refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, "rows", "%d peers, %d starts, %d labels, %d scores", n, len(start), len(ratee), len(score))
	}
	for i := range n {
		if i > 0 && ids[i-1].Compare(ids[i]) >= 0 {
			return nil, refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, "ids", "not strictly ascending at %d", i)
		}
		if start[i] > start[i+1] || int(start[i+1]) > len(ratee) {
			return nil, refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, "start", "row %d from %d to %d of %d", i, start[i], start[i+1], len(ratee))
		}
		for k := start[i]; k < start[i+1]; k++ {
			bad := int(ratee[k]) >= n || int(ratee[k]) == i || score[k] < -MaxScore || score[k] > MaxScore
			if bad || k > start[i] && ratee[k-1] >= ratee[k] {
				return nil, refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, "rows", "label %d of peer %d", k-start[i], i)
			}
		}
	}
	return (&Graph{ids: ids, start: start, ratee: ratee, score: score}).finish()
}

// finish derives the matrix of positive labels, raters by ratee, by counting.
func (g *Graph) finish() (*Graph, error) {
	n := len(g.ids)
	raters := 0
	for i := range n {
		if g.start[i] < g.start[i+1] {
			raters++
		}
	}
	if raters > MaxRaters {
		return nil, refusal.New(notaryv1.Reason_REASON_LIMIT_EXCEEDED, "labels", "%d raters, at most %d", raters, MaxRaters)
	}
	start := make([]uint32, n+1)
	for k, to := range g.ratee {
		if g.score[k] > 0 {
			start[to+1]++
		}
	}
	for i := range n {
		start[i+1] += start[i]
	}
	rater := make([]uint32, start[n])
	weight := make([]uint16, start[n])
	next := slices.Clone(start[:n])
	for i := range n {
		for k := g.start[i]; k < g.start[i+1]; k++ {
			if g.score[k] > 0 {
				at := next[g.ratee[k]]
				next[g.ratee[k]]++
				rater[at], weight[at] = uint32(i), uint16(g.score[k])
			}
		}
	}
	var err error
	g.positive, err = sparse.New(n, n, start, rater, weight)
	return g, err
}

// Len is the number of peers.
func (g *Graph) Len() int { return len(g.ids) }

// Labels is the number of labels.
func (g *Graph) Labels() int {
	n := len(g.ratee)
	for i, r := range g.rows {
		n += len(r.ratee) - int(g.start[i+1]-g.start[i])
	}
	return n
}

// ID is the id of peer i.
func (g *Graph) ID(i int) domain.Hash { return g.ids[i] }

// Find is the number of a peer.
func (g *Graph) Find(id domain.Hash) (int, bool) {
	if g.byID == nil {
		return slices.BinarySearchFunc(g.ids, id, domain.Hash.Compare)
	}
	k, ok := slices.BinarySearchFunc(g.byID, id, func(i uint32, id domain.Hash) int { return g.ids[i].Compare(id) })
	if !ok {
		return 0, false
	}
	return int(g.byID[k]), true
}

// said is what peer i says. Not to be changed.
func (g *Graph) said(i int) row {
	if g.rows != nil {
		if r, ok := g.rows[i]; ok {
			return r
		}
	}
	return row{ratee: g.ratee[g.start[i]:g.start[i+1]], score: g.score[g.start[i]:g.start[i+1]]}
}

// Said is what peer i says: whom it labels, by ascending number, and the scores. Not to be changed.
func (g *Graph) Said(i int) (ratees []uint32, scores []int16) {
	r := g.said(i)
	return r.ratee, r.score
}

// Score is the label of one peer by another, by number.
func (g *Graph) Score(rater, ratee int) (int32, bool) {
	r := g.said(rater)
	k, ok := slices.BinarySearch(r.ratee, uint32(ratee))
	if !ok {
		return 0, false
	}
	return int32(r.score[k]), true
}

// All calls yield for every label, by ascending rater and ratee number, until it returns false.
func (g *Graph) All(yield func(Label) bool) {
	for i := range g.ids {
		r := g.said(i)
		for k, to := range r.ratee {
			if !yield(Label{Rater: g.ids[i], Ratee: g.ids[to], Score: int32(r.score[k])}) {
				return
			}
		}
	}
}
