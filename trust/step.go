package trust

import (
	"cmp"
	"slices"

	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
)

// DefaultStep is the weight that a link moves at most: 5 %, half the L1 distance.
const DefaultStep = group.Total / 20

// Tolerance is the L1 distance up to which two computations of one group count as the same: 1 part in 1e6.
const Tolerance = group.Total / 1_000_000

// Elect keeps the heaviest peers that may be members, at most most of them, ties to the lower id, and
// scales their weights to sum to exactly 1e9, by ascending id. It is empty where nobody may.
func Elect(weights []Share, may func(domain.Hash) bool, most int) []Share {
	var chosen []Share
	for _, s := range weights {
		if s.Weight > 0 && may(s.Peer) {
			chosen = append(chosen, s)
		}
	}
	slices.SortFunc(chosen, heavier)
	chosen = chosen[:min(most, len(chosen))]
	slices.SortFunc(chosen, byPeer)
	return scaled(chosen)
}

func heavier(a, b Share) int {
	return cmp.Or(cmp.Compare(b.Weight, a.Weight), a.Peer.Compare(b.Peer))
}

func byPeer(a, b Share) int { return a.Peer.Compare(b.Peer) }

// scaled is shares in the same order that sum to exactly 1e9; those that round to 0 are left out.
func scaled(shares []Share) []Share {
	if len(shares) == 0 {
		return nil
	}
	weights := make([]group.Weight, len(shares))
	for i, s := range shares {
		weights[i] = s.Weight
	}
	out := make([]Share, 0, len(shares))
	for i, w := range apportion(weights, group.Total) {
		if w > 0 {
			out = append(out, Share{shares[i].Peer, w})
		}
	}
	return out
}

// Remove is a group without the convicted: what is left is scaled to 1e9, and nobody else gains or
// loses against another. It is empty where nobody is left.
func Remove(old []Share, convicted []domain.Hash) []Share {
	left := slices.DeleteFunc(slices.Clone(old), func(s Share) bool { return slices.Contains(convicted, s.Peer) })
	slices.SortFunc(left, byPeer)
	return scaled(left)
}

// Distance is half the L1 distance of two lists of shares: the weight on which they differ.
func Distance(a, b []Share) group.Weight {
	var up, down group.Weight
	for _, m := range moves(a, b) {
		if m.to > m.from {
			up += m.to - m.from
		} else {
			down += m.from - m.to
		}
	}
	return (up + down) / 2
}

// Agree reports whether two computations of one group are the same within Tolerance.
func Agree(a, b []Share) bool { return 2*Distance(a, b) <= Tolerance }

// move is what one peer has and should have.
type move struct {
	peer     domain.Hash
	from, to group.Weight
}

// moves joins two lists, by ascending id.
func moves(old, target []Share) []move {
	all := make([]move, 0, len(old)+len(target))
	for _, s := range old {
		all = append(all, move{peer: s.Peer, from: s.Weight})
	}
	for _, s := range target {
		all = append(all, move{peer: s.Peer, to: s.Weight})
	}
	slices.SortStableFunc(all, func(a, b move) int { return a.peer.Compare(b.peer) })
	out := all[:0]
	for _, m := range all {
		if n := len(out); n > 0 && out[n-1].peer == m.peer {
			out[n-1].from += m.from
			out[n-1].to += m.to
			continue
		}
		out = append(out, m)
	}
	return out
}

// Step moves a group towards a target (both sum to 1e9), by at most limit, and all the way where that is
// no further. Every peer moves by the same part of its way, in integers that sum to exactly the limit.
// No more than most peers have weight afterwards: then the lightest of those with no place in the target
// leave for good, within half the limit, and the lightest newcomers wait; if all of them would, the
// lightest member makes place.
func Step(old, target []Share, limit group.Weight, most int) []Share {
	for {
		out := step(moves(old, target), limit, 0)
		over := len(out) - most
		if over <= 0 {
			return out
		}
		if out = step(moves(old, target), limit, over); len(out) <= most {
			return out
		}
		newcomers := slices.DeleteFunc(slices.Clone(target), func(s Share) bool { return has(old, s.Peer) })
		slices.SortFunc(newcomers, heavier)
		wait := newcomers[max(0, len(newcomers)-(len(out)-most)):]
		if len(wait) == 0 {
			panic("trust: a group larger than it may be")
		}
		target = scaled(slices.DeleteFunc(slices.Clone(target), func(s Share) bool { return has(wait, s.Peer) }))
		if len(target) == 0 {
			return drained(old, limit)
		}
	}
}

// drained is a full group of which nobody has a place in the target: up to limit goes from the lightest
// member to the others, so that its place comes free.
func drained(old []Share, limit group.Weight) []Share {
	if len(old) < 2 {
		return slices.Clone(old)
	}
	order := slices.Clone(old)
	slices.SortFunc(order, heavier)
	last := order[len(order)-1]
	others := slices.DeleteFunc(slices.Clone(old), func(s Share) bool { return s.Peer == last.Peer })
	weights := make([]group.Weight, len(others))
	for i, s := range others {
		weights[i] = s.Weight
	}
	moved := min(limit, last.Weight)
	for i, w := range apportion(weights, moved) {
		others[i].Weight += w
	}
	if moved < last.Weight {
		others = append(others, Share{last.Peer, last.Weight - moved})
		slices.SortFunc(others, byPeer)
	}
	return others
}

func has(shares []Share, id domain.Hash) bool {
	return slices.ContainsFunc(shares, func(s Share) bool { return s.Peer == id })
}

// step is Step without the bound on peers; up to leave peers without a place in the target go first.
func step(all []move, limit group.Weight, leave int) []Share {
	limit -= expel(all, limit/2, leave)
	ups, downs := make([]group.Weight, len(all)), make([]group.Weight, len(all))
	var way group.Weight
	for i, m := range all {
		if m.to > m.from {
			ups[i] = m.to - m.from
			way += ups[i]
		} else {
			downs[i] = m.from - m.to
		}
	}
	if way > limit {
		ups, downs = apportion(ups, limit), apportion(downs, limit)
	}
	out := make([]Share, 0, len(all))
	for i, m := range all {
		if w := m.from + ups[i] - downs[i]; w > 0 {
			out = append(out, Share{m.peer, w})
		}
	}
	return out
}

// expel takes the lightest peers without a place in the target out at once, up to a number and a
// weight, and hands what they had to those that are to gain, as far as these are. It returns what moved.
func expel(all []move, limit group.Weight, leave int) group.Weight {
	var going []int
	for i, m := range all {
		if m.from > 0 && m.to == 0 {
			going = append(going, i)
		}
	}
	slices.SortStableFunc(going, func(a, b int) int { return cmp.Compare(all[a].from, all[b].from) })
	var freed group.Weight
	for _, i := range going[:min(leave, len(going))] {
		if freed+all[i].from > limit {
			break
		}
		freed += all[i].from
		all[i].from = 0
	}
	if freed == 0 {
		return 0
	}
	ups := make([]group.Weight, len(all))
	for i, m := range all {
		if m.to > m.from {
			ups[i] = m.to - m.from
		}
	}
	for i, w := range apportion(ups, freed) {
		all[i].from += w
	}
	return freed
}
