package trust

// reach finds whose part of a vector is above 0: those that p is made of, and whoever positive labels within the filter lead to from there. What
// these parts come to is a matter of floats, and may be as little as 0; that they are there is not.
type reach struct {
	*Network
	mask  []bool
	in    []bool
	queue []uint32
}

// reachWithin is that of nobody yet, within a filter.
func (n *Network) reachWithin(mask []bool) *reach {
	return &reach{Network: n, mask: mask, in: make([]bool, len(mask))}
}

func (r *reach) enter(i uint32) {
	if r.mask[i] && !r.in[i] {
		r.in[i] = true
		r.queue = append(r.queue, i)
	}
}

// from enters those that the p of a view is made of (addPreference): whom it trusts, for such a one was handed a part by another or is of rank 1, and
// the seeds.
func (r *reach) from(v *View) {
	vouched, seeded := false, false
	for _, i := range v.reach {
		vouched = vouched || r.mask[i] && v.mean[i] > 0
	}
	for _, s := range r.seeds {
		seeded = seeded || r.mask[s.peer]
	}
	if r.setting.Bias < 1 || !seeded {
		for _, i := range v.reach {
			if v.mean[i] > 0 {
				r.enter(i)
			}
		}
	}
	if r.setting.Bias > 0 || !vouched {
		for _, s := range r.seeds {
			r.enter(uint32(s.peer))
		}
	}
}

// follow marks whoever is entered, and whom positive labels lead to.
func (r *reach) follow(marks []bool) {
	for len(r.queue) > 0 {
		i := r.queue[len(r.queue)-1]
		r.queue = r.queue[:len(r.queue)-1]
		marks[i] = true
		said := r.graph.said(int(i))
		for k, to := range said.ratee {
			if said.score[k] > 0 {
				r.enter(to)
			}
		}
	}
}
