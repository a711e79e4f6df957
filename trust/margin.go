package trust

import (
	"slices"

	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
)

// BreakingWeight is the least weight that, faulty, can break safety; withheld, stop progress. Quorums
// need more than 2/3 (group.Quorum), so both are a third: two quorums share more than a third, and
// without a third there is no quorum.
const BreakingWeight = (group.Total + 2) / 3

// Coalition is peers and the weight they hold together.
type Coalition struct {
	// Peers, the heaviest first.
	Peers  []domain.Hash
	Weight group.Weight
}

// Margin says how far a group is from harm.
type Margin struct {
	// Safety is a smallest set of peers that, faulty together, could finalise rivals.
	Safety Coalition
	// Progress is a smallest set of peers without which nothing becomes final.
	Progress Coalition
}

// MarginOf finds the smallest sets. With weights alone to go by these are the heaviest peers: any
// other set of as many holds no more.
func MarginOf(weights []Share) Margin {
	safety := smallest(weights, func(w group.Weight) bool { return w >= BreakingWeight })
	progress := smallest(weights, func(w group.Weight) bool { return !group.Quorum(group.Total - w) })
	return Margin{Safety: safety, Progress: progress}
}

func smallest(weights []Share, enough func(group.Weight) bool) Coalition {
	order := slices.Clone(weights)
	slices.SortFunc(order, heavier)
	var c Coalition
	for _, s := range order {
		if enough(c.Weight) {
			break
		}
		c.Peers = append(c.Peers, s.Peer)
		c.Weight += s.Weight
	}
	return c
}

// Below reports whether fewer peers than floor could do harm.
func (m Margin) Below(floor int) bool {
	return len(m.Safety.Peers) < floor || len(m.Progress.Peers) < floor
}

// Behind is the weight that some peers hold in a list.
func Behind(weights []Share, peers []domain.Hash) group.Weight {
	var sum group.Weight
	for _, s := range weights {
		if slices.Contains(peers, s.Peer) {
			sum += s.Weight
		}
	}
	return sum
}

// Held reports whether less than a share of one's own trust stands behind what the group has made
// final: to be shown to users, never to be voted on.
func Held(own []Share, accepted []domain.Hash, share group.Weight) bool {
	return Behind(own, accepted) < share
}

// Attack is a way to harm a group by labels alone.
type Attack struct {
	// Raters would have to be turned: to take their labels back and label two accomplices instead, who
	// label each other.
	Raters []domain.Hash
	// Labels is how many labels change: those taken back and those given.
	Labels int
	// Captured is what raters and accomplices then hold together; at least BreakingWeight.
	Captured group.Weight
}

// CheapestAttack searches the fewest raters, heaviest first, whose labels would hand a third of the
// aggregate to accomplices, by computing what would follow, at most tries times. The heaviest are not
// proven to be the cheapest, so the true number may be lower, never higher. ok is false where no number of raters
// does it.
func (a *Aggregate) CheapestAttack(tries int) (best Attack, ok bool, err error) {
	order := a.Weights()
	slices.SortFunc(order, heavier)
	low, high := 1, len(order) // the answer, if there is one, lies between
	for ; low <= high && tries > 0; tries-- {
		k := (low + high) / 2
		if !ok && k > 16 {
			k = min(high, max(low, 4*low)) // few is likely, and cheap to try first
		}
		attack, err := a.attack(order[:k])
		if err != nil {
			return Attack{}, false, err
		}
		if attack.Captured >= BreakingWeight {
			best, ok, high = attack, true, k-1
		} else {
			low = k + 1
		}
	}
	return best, ok, nil
}

// accomplices are two peers that no key has.
var accomplices = [2]domain.Hash{domain.Sum("notary/accomplice/v1", []byte{0}), domain.Sum("notary/accomplice/v1", []byte{1})}

func (a *Aggregate) attack(turned []Share) (Attack, error) {
	g := a.network.graph
	var out Attack
	var changes []Change
	for _, s := range turned {
		out.Raters = append(out.Raters, s.Peer)
		i, _ := g.Find(s.Peer)
		for _, to := range g.said(i).ratee {
			changes = append(changes, Change{Label: Label{Rater: s.Peer, Ratee: g.ids[to]}, Remove: true})
		}
		changes = append(changes, Change{Label: Label{s.Peer, accomplices[0], MaxScore}})
	}
	out.Labels = len(changes)
	changes = append(changes,
		Change{Label: Label{accomplices[0], accomplices[1], MaxScore}},
		Change{Label: Label{accomplices[1], accomplices[0], MaxScore}})
	after, err := a.Update(changes)
	if err != nil {
		return Attack{}, err
	}
	out.Captured = Behind(after.Weights(), append(slices.Clone(out.Raters), accomplices[:]...))
	return out, nil
}

// Mend is a label that would help.
type Mend struct {
	Label
	// Weight that the smallest set of peers able to break safety would hold less.
	Relief group.Weight
}

// Mends proposes up to count labels, best first, that would take most weight from the smallest set of
// peers able to break safety: labels by the heaviest of those who label its members, of peers outside
// the set that they trust by their own view and have not labelled. At most tries are tried, each by
// itself, by computing what would follow.
func (a *Aggregate) Mends(count, tries int) ([]Mend, error) {
	weights := a.Weights()
	heavy := MarginOf(weights).Safety.Peers
	before := Behind(weights, heavy)
	var out []Mend
	for _, l := range a.candidates(weights, heavy, tries) {
		after, err := a.Update([]Change{{Label: l}})
		if err != nil {
			return nil, err
		}
		if held := Behind(after.Weights(), heavy); held < before {
			out = append(out, Mend{Label: l, Relief: before - held})
		}
	}
	slices.SortStableFunc(out, func(a, b Mend) int {
		return heavier(Share{a.Ratee, a.Relief}, Share{b.Ratee, b.Relief})
	})
	return out[:min(count, len(out))], nil
}

// candidates are labels worth trying: a few by each rater, the heaviest raters and ratees first.
func (a *Aggregate) candidates(weights []Share, heavy []domain.Hash, most int) []Label {
	const each = 3
	g := a.network.graph
	order := slices.Clone(weights)
	slices.SortFunc(order, heavier)
	feeds := func(rater int) bool {
		return slices.ContainsFunc(heavy, func(id domain.Hash) bool {
			ratee, _ := g.Find(id)
			score, ok := g.Score(rater, ratee)
			return ok && score > 0
		})
	}
	var out []Label
	for _, s := range order {
		rater, _ := g.Find(s.Peer)
		if len(out) >= most || !feeds(rater) {
			continue
		}
		view, tried := a.network.View(rater), 0
		for _, o := range order {
			ratee, _ := g.Find(o.Peer)
			_, labelled := g.Score(rater, ratee)
			if tried == each || len(out) == most {
				break
			}
			if !labelled && !slices.Contains(heavy, o.Peer) && view.mean[ratee] > 0 {
				out = append(out, Label{Rater: s.Peer, Ratee: o.Peer, Score: MaxScore})
				tried++
			}
		}
	}
	return out
}
