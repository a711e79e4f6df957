package trust

import (
	"cmp"
	"math"
	"slices"

	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
)

// quantise rounds shares to integers that sum to exactly group.Total by largest remainders (Hamilton's
// method): whole parts first, what is left to the largest fractions, one unit each, ties to the lower
// id. Peers that get nothing are left out; the rest is by ascending id. Shares need not sum to 1, but
// must hold something. This is where floats end.
func quantise(ids []domain.Hash, share []float64) []Share {
	type part struct {
		peer     int
		fraction float64
	}
	sum := 0.0
	for _, s := range share {
		sum += s
	}
	if !(sum > 0) || math.IsInf(sum, 0) {
		panic("trust: shares that sum to nothing")
	}
	units := make([]group.Weight, len(share))
	parts := make([]part, 0, len(share))
	var given group.Weight
	for i, s := range share {
		if s <= 0 {
			continue
		}
		whole, fraction := math.Modf(float64(s / sum * float64(group.Total))) // not fused with what follows
		units[i] = group.Weight(whole)
		given += units[i]
		parts = append(parts, part{i, fraction})
	}
	slices.SortFunc(parts, func(a, b part) int {
		return cmp.Or(cmp.Compare(b.fraction, a.fraction), ids[a.peer].Compare(ids[b.peer]))
	})
	// Rounding of s/sum can give away a few units too many, or leave more than one a peer.
	for k := 0; given < group.Total; k++ {
		units[parts[k%len(parts)].peer]++
		given++
	}
	for k := len(parts) - 1; given > group.Total; k-- {
		if i := parts[(k+len(parts))%len(parts)].peer; units[i] > 0 {
			units[i]--
			given--
		}
	}
	out := make([]Share, 0, len(parts))
	for i, u := range units {
		if u > 0 {
			out = append(out, Share{ids[i], u})
		}
	}
	slices.SortFunc(out, func(a, b Share) int { return a.Peer.Compare(b.Peer) })
	return out
}

// apportion scales whole weights to sum to exactly total, by largest remainders, ties to the lower
// index. All in integers. The weights must sum to more than 0; each product weight*total must fit 64
// bits, as weights and totals up to group.Total do.
func apportion(weights []group.Weight, total group.Weight) []group.Weight {
	var sum group.Weight
	for _, w := range weights {
		sum += w
	}
	out := make([]group.Weight, len(weights))
	order := make([]int, 0, len(weights))
	left := total
	for i, w := range weights {
		out[i] = w * total / sum
		left -= out[i]
		if w*total%sum > 0 {
			order = append(order, i)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(weights[b]*total%sum, weights[a]*total%sum) })
	for _, i := range order[:left] {
		out[i]++
	}
	return out
}
