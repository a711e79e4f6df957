package node

import (
	"context"
	"errors"

	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
	"github.com/notarynet/notaryd/trust"
)

// maxMovers bounds the peers that a simulation names.
const maxMovers = 256

// Simulate tells where the weights of the group would end if labels changed. Nothing is changed. A rater that
// is left out is this node's peer. One simulation is made at a time. pay is told, when it is made, what it took.
func (n *Node) Simulate(ctx context.Context, changes []*notaryv1.LabelChange, pay func(bytes int) error) (*notaryv1.SimulateTrustResponse, error) {
	if err := n.sh.begun(ctx); err != nil {
		return nil, err
	}
	t := n.sh.keeper.seen.Load()
	list := make([]trust.Change, len(changes))
	for i, c := range changes {
		list[i] = trust.Change{Label: trust.Label{Ratee: domain.Hash(c.GetRatee()), Score: c.GetScore()}, Remove: c.GetRemove()}
		if list[i].Rater = n.self(); len(c.GetRater()) > 0 {
			list[i].Rater = domain.Hash(c.GetRater())
		}
		if list[i].Rater.IsZero() {
			return nil, refusal.New(notaryv1.Reason_REASON_NOT_FOUND, "rater", "this node speaks for no peer: say whose label it is")
		}
	}
	select {
	case n.sh.keeper.simulating <- struct{}{}:
		defer func() { <-n.sh.keeper.simulating }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	s, labels, err := t.simulate(list)
	if e := pay(costOfVoice * labels * len(t.state.Shares())); e != nil {
		return nil, e
	}
	if err != nil {
		return nil, err
	}
	out := &notaryv1.SimulateTrustResponse{Moved: uint64(s.Moved), Before: marginMessage(s.MarginBefore), After: marginMessage(s.MarginAfter)}
	for _, m := range s.Movers[:min(len(s.Movers), maxMovers)] {
		out.Movers = append(out.Movers, &notaryv1.WeightChange{PeerId: m.Peer[:], Before: uint64(m.Before), After: uint64(m.After)})
	}
	return out, nil
}

// simulate compares where weights are going with where they would go, by so many labels.
func (t *trusted) simulate(changes []trust.Change) (s *trust.Simulation, labels int, err error) {
	before, err := t.network()
	if err != nil {
		return nil, 0, err
	}
	graph, err := before.Graph().With(changes)
	if err != nil {
		return nil, 0, err
	}
	labels = graph.Labels()
	after, err := trust.New(graph, before.Setting())
	if err != nil {
		return nil, labels, err
	}
	next, err := t.aggregateOf(after.Aggregate(t.state.Shares()))
	if err != nil {
		return nil, labels, err
	}
	now, err := t.aggregateOf(t.aggregate())
	if err != nil {
		return nil, labels, err
	}
	return trust.Compare(now, next), labels, nil
}

// aggregateOf are the weights of an aggregate; where no member trusts anybody, they stay as they are.
func (t *trusted) aggregateOf(a *trust.Aggregate, err error) ([]trust.Share, error) {
	switch {
	case errors.Is(err, trust.ErrNoTrust):
		return t.state.Shares(), nil
	case err != nil:
		return nil, err
	}
	return a.Weights(), nil
}

func marginMessage(m trust.Margin) *notaryv1.TrustMargin {
	return &notaryv1.TrustMargin{
		SafetyWeight: uint64(m.Safety.Weight), ProgressWeight: uint64(m.Progress.Weight),
		SafetyPeers: idBytes(m.Safety.Peers), ProgressPeers: idBytes(m.Progress.Peers),
	}
}

func idBytes(ids []domain.Hash) [][]byte {
	out := make([][]byte, len(ids))
	for i := range ids {
		out[i] = ids[i][:]
	}
	return out
}

// own is what this node's peer trusts by labels of its own, by peer; nil where it has labelled nobody, and so
// has no view to hold the group against.
func (t *trusted) ownBy(self domain.Hash) (map[domain.Hash]group.Weight, error) {
	if self.IsZero() {
		return nil, nil
	}
	network, err := t.state.NetworkOf(self, t.fresh)
	if err != nil {
		return nil, err
	}
	i, known := network.Graph().Find(self)
	if !known {
		return nil, nil
	}
	if labelled, _ := network.Graph().Said(i); len(labelled) == 0 {
		return nil, nil
	}
	v, err := network.Relative(self)
	switch {
	case errors.Is(err, trust.ErrNoTrust):
		return nil, nil
	case err != nil:
		return nil, err
	}
	own := make(map[domain.Hash]group.Weight)
	for _, s := range v.Weights() {
		own[s.Peer] = s.Weight
	}
	return own, nil
}
