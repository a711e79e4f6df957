package trust

import "slices"

// View is what one peer makes of all others from the labels outward from it: decaying, rank-ordered
// transitive trust (DATT). Rank 1 is whom the source labels; rank k+1 is whom a peer of rank k with a
// positive score labels and nobody nearer does. Immutable.
//
// Guarantees, under every Rule: a label counts for no peer of a lower rank than its rater's; a peer whose
// score is 0 or less keeps it, and its own labels count for nothing; a peer nobody has labelled changes
// nothing; and no peer's labels count for itself.
type View struct {
	graph  *Graph
	rule   Rule
	source int
	cells  []cell
	reach  []uint32 // peers of rank 1 and above, by rank
	ends   []int    // reach[ends[k-1]:ends[k]] is rank k
	own    float64  // the mean of the source's labels
	spoke  bool     // whether it has any
}

// cell is one peer in a view. sum and weight are kept for expectations.
type cell struct {
	score, sum, weight float64
	rank               int32 // 0: the source, or not reached
}

// ViewFrom computes the view of one peer, by number, breadth first: time linear in the labels of those
// that it reaches. The rule must be valid.
func (g *Graph) ViewFrom(source int, rule Rule) *View {
	return g.viewOf(source, g.said(source), rule, nil)
}

// viewOf is the view of whoever says what is given; a source of -1 is nobody in the graph. Peers marked
// silent are scored, but say nothing, as if their scores were negative.
func (g *Graph) viewOf(source int, said row, rule Rule, silent []bool) *View {
	b := &viewing{silent: silent, View: &View{graph: g, rule: rule, source: source, cells: make([]cell, g.Len()), ends: []int{0}}, scale: rule.scale()}
	b.first(said)
	for k := int32(2); ; k++ {
		b.spread(k)
		if len(b.reach) == b.ends[len(b.ends)-1] {
			return b.View
		}
		b.ends = append(b.ends, len(b.reach))
		b.settle(k)
	}
}

// viewing is a view in the making.
type viewing struct {
	*View
	scale  *scale
	decay  float64 // of the rank last settled
	silent []bool
	held   []float64
}

// first settles rank 1: the source's own labels, whose raters are the source alone, with score 1.
func (b *viewing) first(said row) {
	var sum, weight float64
	for i, to := range said.ratee {
		label := b.scale[int(said.score[i])+MaxScore]
		b.cells[to] = cell{score: label.value, sum: label.value, weight: 1, rank: 1}
		sum += label.value
		weight++
	}
	b.reach = append(b.reach, said.ratee...)
	b.ends = append(b.ends, len(b.reach))
	if weight > 0 {
		b.own, b.spoke = sum/weight, true
	}
	b.decay = 1
}

// spread reaches rank k and sums what rank k-1 says of it.
func (b *viewing) spread(k int32) {
	for _, from := range b.reach[b.ends[k-2]:b.ends[k-1]] {
		score := b.cells[from].score
		if score <= 0 || b.mute(from) {
			continue
		}
		weight := 1.0
		if b.rule.ByRater {
			weight = score
		}
		said := b.graph.said(int(from))
		for i, to := range said.ratee {
			c := &b.cells[to]
			if c.rank == 0 {
				if int(to) == b.source {
					continue
				}
				c.rank = k
				b.reach = append(b.reach, to)
			}
			if c.rank == k {
				c.add(b.scale[int(said.score[i])+MaxScore], score, weight)
			}
		}
	}
}

func (b *viewing) mute(i uint32) bool { return b.silent != nil && b.silent[i] }

func (c *cell) add(label struct{ value, weight float64 }, score, weight float64) {
	c.sum += float64(float64(score*label.weight) * label.value)
	c.weight += float64(weight * label.weight)
}

// settle scores rank k: from lower ranks first, then, where the rule says so, once more with what peers
// of the same rank say, each counting by its first score.
func (b *viewing) settle(k int32) {
	b.decay *= b.rule.Decay
	peers := b.reach[b.ends[k-1]:b.ends[k]]
	for _, i := range peers {
		b.cells[i].settle(b.decay)
	}
	if b.rule.Equal == 0 {
		return
	}
	b.held = b.held[:0]
	for _, i := range peers {
		b.held = append(b.held, b.cells[i].score)
	}
	for n, from := range peers {
		if b.held[n] <= 0 || b.mute(from) {
			continue
		}
		weight := b.held[n] * b.rule.Equal
		said := b.graph.said(int(from))
		for i, to := range said.ratee {
			if c := &b.cells[to]; c.rank == k {
				c.add(b.scale[int(said.score[i])+MaxScore], weight, weight)
			}
		}
	}
	for _, i := range peers {
		b.cells[i].settle(b.decay)
	}
}

func (c *cell) settle(decay float64) {
	c.score = 0
	if c.weight > 0 {
		c.score = decay * (c.sum / c.weight)
	}
}

// Source is the peer whose view it is, by number.
func (v *View) Source() int { return v.source }

// Rank is 0 for the source and for whom it does not reach.
func (v *View) Rank(i int) int { return int(v.cells[i].rank) }

// Score is the trust in a peer, -1 to 1; reached is false, and the score 0, for whom no label leads to,
// and for the source itself.
func (v *View) Score(i int) (score float64, reached bool) {
	c := v.cells[i]
	return c.score, c.rank > 0
}

// Reached are the peers reached, by rank and then as found. Not to be changed.
func (v *View) Reached() []uint32 { return v.reach }

// Expect is the label, -1 to 1, that the source may expect to give a peer: what is said of the peer,
// with the source's own mean label as a prior of weight Rule.Prior. Where nobody reached says anything
// it is that mean, and known is false. It predicts; it never decides.
func (v *View) Expect(i int) (label float64, known bool) {
	c := v.cells[i]
	switch {
	case c.rank == 1:
		return c.score, true
	case c.rank == 0 || c.weight+v.rule.Prior == 0:
		return v.own, false
	case !v.spoke:
		return c.sum / c.weight, true
	}
	return (c.sum + float64(v.rule.Prior*v.own)) / (c.weight + v.rule.Prior), true
}

// Trusted are the peers with a positive score, ascending by number, and their scores.
func (v *View) Trusted() (peers []uint32, scores []float64) {
	for _, i := range v.reach {
		if v.cells[i].score > 0 {
			peers = append(peers, i)
		}
	}
	slices.Sort(peers)
	scores = make([]float64, len(peers))
	for n, i := range peers {
		scores[n] = v.cells[i].score
	}
	return peers, scores
}
