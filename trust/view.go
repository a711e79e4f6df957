package trust

import "slices"

// View is what one peer makes of all others from the labels outward from it: decaying, rank-ordered
// transitive trust (DATT). Rank 1 is whom the source labels; rank k+1 is whom a peer of rank k with a
// positive score labels and nobody nearer does. Immutable.
//
// Guarantees, under every Rule: a label counts for no peer of a lower rank than its rater's; a peer whose
// score is 0 or less keeps it, and its own labels count for nothing; a peer nobody has labelled changes
// nothing; no peer's labels count for itself; and scores depend on the labels alone, to the last bit,
// not on how peers are numbered.
type View struct {
	graph  *Graph
	rule   Rule
	source int
	cells  []cell    // by peer, and some to spare
	mean   []float64 // the score before decay: what its labels come to
	rank   []int32   // 0: the source, or not reached
	reach  []uint32  // peers of rank 1 and above, by rank
	ends   []int     // reach[ends[k-1]:ends[k]] is rank k
	decay  []float64 // of rank k at k
	own    float64   // the mean of the source's labels
	spoke  bool      // whether it has any
}

// spares is how many cells there are for what does not count: a power of 2.
const spares = 8

// cell is one peer in a view.
type cell struct {
	sum, weight int64 // labels times their weights, and the weights, in units, before decay
}

// ViewFrom computes the view of one peer, by number, breadth first: time linear in the labels of those
// that it reaches. The rule must be valid.
func (g *Graph) ViewFrom(source int, rule Rule) *View {
	return g.viewOf(source, g.said(source), rule, nil)
}

// viewOf is the view of whoever says what is given; a source of -1 is nobody in the graph. Peers marked
// silent are scored, but say nothing, as if their scores were negative.
func (g *Graph) viewOf(source int, said row, rule Rule, silent []bool) *View {
	n := g.Len()
	v := &View{graph: g, rule: rule, source: source, cells: make([]cell, n+spares), mean: make([]float64, n), rank: make([]int32, n),
		reach: make([]uint32, 0, n+1), ends: []int{0}, decay: []float64{1}}
	b := &viewing{View: v, silent: silent}
	b.value, b.weight = rule.scale()
	b.first(said)
	if source >= 0 {
		v.rank[source] = -1 // reached by nobody, and not to be
		defer func() { v.rank[source] = 0 }()
	}
	for k := 2; ; k++ {
		v.decay = append(v.decay, v.decay[k-1]*rule.Decay)
		b.spread(k)
		if len(v.reach) == v.ends[k-1] {
			return v
		}
		v.ends = append(v.ends, len(v.reach))
		b.settle(k)
	}
}

// viewing is a view in the making. Its loops over labels take no branch on what they find, since
// whether a ratee is of the rank in question is as good as random: what does not count is added to a
// spare cell, each time to another one, so that no addition waits for the last.
type viewing struct {
	*View
	value  [2*MaxScore + 1]float64 // of a label times its weight, in units
	weight [2]float64              // of a label that is not negative, and of one that is
	silent []bool
	held   []float64
}

// weights is what a rater's weight comes to in units, for a label that is not negative and for one that is.
func (b *viewing) weights(weight float64) [2]int64 {
	return [2]int64{int64(weight * b.weight[0]), int64(weight * b.weight[1])}
}

func (b *viewing) mute(i uint32) bool { return b.silent != nil && b.silent[i] }

// first settles rank 1: the source's own labels, whose only rater is the source, with score 1.
func (b *viewing) first(said row) {
	var sum float64
	for i, to := range said.ratee {
		value := b.rule.value(said.score[i])
		b.cells[to] = cell{sum: int64(value * unit), weight: unit}
		b.mean[to] = value
		b.rank[to] = 1
		sum += value
	}
	b.reach = append(b.reach, said.ratee...)
	b.ends = append(b.ends, len(b.reach))
	b.decay = append(b.decay, 1)
	if len(said.ratee) > 0 {
		b.own, b.spoke = sum/float64(len(said.ratee)), true
	}
}

// spread reaches rank k and sums what rank k-1 says of it. All raters are of one rank, so their scores
// are taken before decay where they weigh, and with it where they multiply (plain DATT).
func (b *viewing) spread(k int) {
	from, found := b.reach[b.ends[k-2]:b.ends[k-1]], len(b.reach)
	reach, rank, cells, now := b.reach[:cap(b.reach)], b.rank, b.cells, int32(k)
	spare := uint32(len(cells) - spares)
	for _, rater := range from {
		score := b.mean[rater]
		if score <= 0 || b.mute(rater) {
			continue
		}
		weight := score
		if !b.rule.ByRater {
			score, weight = score*b.decay[k-1], 1
		}
		weights := b.weights(weight)
		said := b.graph.said(int(rater))
		scores := said.score[:len(said.ratee)]
		for i, to := range said.ratee {
			r, fresh := rank[to], 0
			if r == 0 {
				fresh = 1
			}
			if r == 0 {
				r = now
			}
			rank[to] = r
			reach[found] = to
			found += fresh
			at := spare + uint32(i%spares)
			if r == now {
				at = to
			}
			c := &cells[at]
			c.sum += int64(score * b.value[int(scores[i])+MaxScore])
			c.weight += weights[uint16(scores[i])>>15]
		}
	}
	b.reach = reach[:found]
	b.tidy(k)
}

// tidy puts a rank that holds many of all peers in the order of their numbers, in which their labels lie
// in memory: following these is most of the work. Sums of whole numbers are the same in any order.
func (b *viewing) tidy(k int) {
	peers := b.reach[b.ends[k-1]:]
	if len(peers) < len(b.rank)/32 {
		return
	}
	at, room := 0, peers[:len(peers)+1] // the last place takes what is of another rank
	for i, rank := range b.rank {
		room[at] = uint32(i)
		if int(rank) == k {
			at++
		}
	}
}

// settle scores rank k: from lower ranks first, then, where the rule says so, once more with what peers
// of the same rank say, each counting by its first score, a decay further away than a lower rank.
func (b *viewing) settle(k int) {
	peers := b.reach[b.ends[k-1]:b.ends[k]]
	for _, i := range peers {
		b.mean[i] = b.cells[i].mean()
	}
	if b.rule.Equal == 0 {
		return
	}
	b.held = b.held[:0]
	for _, i := range peers {
		b.held = append(b.held, b.mean[i])
	}
	rank, cells, now := b.rank, b.cells, int32(k)
	spare := uint32(len(cells) - spares)
	for n, from := range peers {
		if b.held[n] <= 0 || b.mute(from) {
			continue
		}
		weight := b.held[n] * b.rule.Decay * b.rule.Equal
		weights := b.weights(weight)
		said := b.graph.said(int(from))
		scores := said.score[:len(said.ratee)]
		for i, to := range said.ratee {
			at := spare + uint32(i%spares)
			if rank[to] == now {
				at = to
			}
			c := &cells[at]
			c.sum += int64(weight * b.value[int(scores[i])+MaxScore])
			c.weight += weights[uint16(scores[i])>>15]
		}
	}
	for n, i := range peers {
		b.mean[i] = temper(b.held[n], b.cells[i].mean())
	}
}

// mean is sum / weight, and 0 for a peer of whom nothing counts.
func (c *cell) mean() float64 {
	if c.weight == 0 {
		return 0
	}
	return float64(c.sum) / float64(c.weight)
}

// temper is a mean after second opinions. They move a first one but do not turn it: an eighth of it
// stays, whatever they say, and 0 stays 0. So who is trusted at all is for lower ranks to say alone,
// and a peer that speaks at all is one whose score is positive.
func temper(first, second float64) float64 {
	if stays := first / 8; first > 0 {
		return max(second, stays)
	} else {
		return min(second, stays)
	}
}

// Source is the peer whose view it is, by number; -1 for the view of the seeds together.
func (v *View) Source() int { return v.source }

// Rank is 0 for the source and for whom it does not reach.
func (v *View) Rank(i int) int { return int(v.rank[i]) }

// Score is the trust in a peer, -1 to 1; reached is false, and the score 0, for whom no label leads to,
// and for the source itself.
func (v *View) Score(i int) (score float64, reached bool) {
	return v.score(uint32(i)), v.rank[i] > 0
}

func (v *View) score(i uint32) float64 {
	return v.decay[v.rank[i]] * v.mean[i]
}

// Reached are the peers reached, by rank. Not to be changed.
func (v *View) Reached() []uint32 { return v.reach }

// Expect is the label, -1 to 1, that the source may expect to give a peer: what is said of the peer,
// with the source's own mean label as a prior of weight Rule.Prior. Where nobody reached says anything
// it is that mean, and known is false. It predicts; it never decides.
func (v *View) Expect(i int) (label float64, known bool) { return v.expect(i, v.own, v.spoke) }

// expect is Expect with the mean label of somebody, if that has one.
func (v *View) expect(i int, own float64, spoke bool) (label float64, known bool) {
	c, rank := &v.cells[i], v.rank[i]
	if rank == 0 || c.weight == 0 {
		return own, false
	}
	if rank == 1 || !spoke {
		return c.mean(), true
	}
	// Evidence from afar is evidence of less weight.
	evidence := float64(c.weight) / unit
	if v.rule.ByRater {
		evidence *= v.decay[rank-1]
	}
	prior, mean := v.rule.Prior, c.mean()
	return (float64(evidence*mean) + float64(prior*own)) / (evidence + prior), true
}

// Trusted are the peers with a positive score, ascending by number, and their scores.
func (v *View) Trusted() (peers []uint32, scores []float64) {
	for _, i := range v.reach {
		if v.mean[i] > 0 {
			peers = append(peers, i)
		}
	}
	slices.Sort(peers)
	scores = make([]float64, len(peers))
	for n, i := range peers {
		scores[n] = v.score(i)
	}
	return peers, scores
}
