package trust

// visits are, for every peer in the filter, how many peers a walk from it visits, itself included, before
// it ends: with chance a at each peer, and at raters without labels for sure. They solve
// h = 1 + (1-a) C0 h, the adjoint of what solve does, and are between 1 and 1/a; so |x| = h p for the
// x of any p. The result is nil where every walk goes on for ever but for a: then h is the same for all.
func (w *walk) visits(g *Graph) []float64 {
	endless := true
	for i, in := range w.in {
		endless = endless && (!in || w.scale[i] > 0)
	}
	if endless {
		return nil
	}
	h, next := make([]float64, len(w.in)), make([]float64, len(w.in))
	for i := range h {
		h[i] = 1
	}
	for {
		change := 0.0
		for i, in := range w.in {
			if !in {
				continue
			}
			next[i] = 1
			if w.scale[i] > 0 {
				sum := 0.0
				said := g.said(i)
				for k, to := range said.ratee {
					if said.score[k] > 0 && w.in[to] {
						sum += float64(float64(said.score[k]) * h[to])
					}
				}
				next[i] += float64((1 - w.a) * w.scale[i] * sum)
			}
			change = max(change, next[i]-h[i], h[i]-next[i])
		}
		h, next = next, h
		// The map contracts by 1-a in the largest entry, so h is within change*(1-a)/a, and at least 1.
		if change < w.stop*w.a {
			return h
		}
	}
}

// dot is the product of two vectors; a nil one is all ones.
func dot(h, p []float64) float64 {
	sum := 0.0
	for i, x := range p {
		if h != nil {
			x = float64(x * h[i])
		}
		sum += x
	}
	return sum
}

func addScaled(dst []float64, f float64, p []float64) {
	for i, x := range p {
		dst[i] += float64(f * x)
	}
}
