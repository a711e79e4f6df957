package trust

// vouched is how a view divides one unit of preference: what p is made of.
//
// A score says how good a peer is; it does not say how much of one voice it may claim. Were p made of
// scores, every made-up peer that one fooled peer's accomplice praises would add a whole score to p, and
// enough of them would be all of it. So trust is divided as it is handed on: the source divides one
// unit among those it labels, by score; a peer of rank k keeps its part and hands on decay times it, divided by
// its positive labels, of which those count that lead to rank k+1 and to a positive score. All that a peer and whoever stands
// behind it alone can hold is then at most 1/(1-decay) times what its own raters gave it, however many
// they are (energy spreading, as in Ziegler and Lausen, "Propagation models for trust and distrust in
// social networks", 2005, but along ranks; the bound is that of Levien's Advogato, 2004). docs/adr/0007.
//
// The parts, by number, sum to at most 1/(1-decay); those of peers outside mask are 0 and hand on
// nothing.
func (v *View) vouched(mask []bool, silent []bool) []float64 {
	parts := make([]float64, len(v.rank))
	if len(v.ends) < 2 {
		return parts
	}
	var total float64
	first := v.reach[:v.ends[1]]
	for _, i := range first {
		if mask[i] && v.mean[i] > 0 {
			total += v.mean[i]
		}
	}
	for _, i := range first {
		if mask[i] && v.mean[i] > 0 {
			parts[i] = v.mean[i] / total
		}
	}
	for k := 1; k+1 < len(v.ends); k++ {
		for _, from := range v.reach[v.ends[k-1]:v.ends[k]] {
			if parts[from] > 0 && (silent == nil || !silent[from]) {
				v.handOn(parts, mask, from, int32(k+1))
			}
		}
	}
	return parts
}

// handOn divides what a peer hands on among its ratees of the next rank.
func (v *View) handOn(parts []float64, mask []bool, from uint32, next int32) {
	said := v.graph.said(int(from))
	var all int
	for _, score := range said.score {
		all += int(max(score, 0))
	}
	if all == 0 {
		return
	}
	each := v.rule.Decay * parts[from] / float64(all)
	for i, to := range said.ratee {
		if score := said.score[i]; score > 0 && v.rank[to] == next && mask[to] && v.mean[to] > 0 {
			parts[to] += float64(each * float64(score))
		}
	}
}
