package trust

import (
	"cmp"
	"slices"

	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
)

// Simulation is what would happen if labels changed.
type Simulation struct {
	Before, After []Share
	// Moved is half the L1 distance between the two.
	Moved group.Weight
	// Movers are the peers whose weight changes, the largest change first, ties by id.
	Movers []Mover
	// Margins before and after.
	MarginBefore, MarginAfter Margin
}

// Mover is a peer whose weight changes.
type Mover struct {
	Peer          domain.Hash
	Before, After group.Weight
}

// Change is the size of the change.
func (m Mover) Change() group.Weight { return max(m.Before, m.After) - min(m.Before, m.After) }

// Simulate computes the aggregate after changes of labels and compares. The step bound of links is not
// applied: it says where weights would end, not how fast.
func (a *Aggregate) Simulate(changes []Change) (*Simulation, error) {
	after, err := a.Update(changes)
	if err != nil {
		return nil, err
	}
	return Compare(a.Weights(), after.Weights()), nil
}

// SimulateRelative is Simulate for the relative vector of one peer.
func (n *Network) SimulateRelative(peer domain.Hash, changes []Change) (*Simulation, error) {
	before, err := n.Relative(peer)
	if err != nil {
		return nil, err
	}
	g, err := n.graph.With(changes)
	if err != nil {
		return nil, err
	}
	next, err := New(g, n.setting)
	if err != nil {
		return nil, err
	}
	after, err := next.Relative(peer)
	if err != nil {
		return nil, err
	}
	return Compare(before.Weights(), after.Weights()), nil
}

// Compare is the simulation of whatever led from some weights to others.
func Compare(before, after []Share) *Simulation {
	s := &Simulation{Before: before, After: after, Moved: Distance(before, after), MarginBefore: MarginOf(before), MarginAfter: MarginOf(after)}
	for _, m := range moves(before, after) {
		if m.from != m.to {
			s.Movers = append(s.Movers, Mover{m.peer, m.from, m.to})
		}
	}
	slices.SortStableFunc(s.Movers, func(a, b Mover) int { return cmp.Compare(b.Change(), a.Change()) })
	return s
}
