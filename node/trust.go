package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"

	"github.com/notarynet/notaryd/node/epoch"
	"github.com/notarynet/notaryd/node/store"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
	"github.com/notarynet/notaryd/trust"
)

// trusted is what the keeper knows at one moment. Immutable; what is computed from it is computed once, by
// whoever asks first.
type trusted struct {
	state *epoch.State
	// fresh is metadata that no link has read yet, and that counts here all the same.
	fresh []*group.Peer
	// network is what the next link would be judged by.
	network func() (*trust.Network, error)
	// aggregate is where the weights of the present group are going, and harm what could be done to them.
	aggregate func() (*trust.Aggregate, error)
	harm      func() (harm, error)
	// own is what this node's peer trusts by labels of its own, by peer; nil where it has no view.
	own func() map[domain.Hash]group.Weight
}

// harm is the cheapest attack found, and labels that would make it dearer.
type harm struct {
	attack trust.Attack
	found  bool
	mends  []trust.Mend
}

// How much is tried in search of attacks and of mends; each try is a repair of the aggregate.
const (
	attackTries = 12
	mendTries   = 24
	mendsTold   = 3
)

func newTrusted(state *epoch.State, fresh []*group.Peer, self domain.Hash, log *slog.Logger) *trusted {
	t := &trusted{state: state, fresh: fresh}
	t.network = sync.OnceValues(func() (*trust.Network, error) { return state.Network(fresh) })
	t.aggregate = sync.OnceValues(func() (*trust.Aggregate, error) {
		n, err := t.network()
		if err != nil {
			return nil, err
		}
		return n.Aggregate(state.Shares())
	})
	t.harm = sync.OnceValues(func() (h harm, err error) {
		a, err := t.aggregate()
		if err != nil {
			return h, err
		}
		if h.attack, h.found, err = a.CheapestAttack(attackTries); err != nil {
			return h, err
		}
		h.mends, err = a.Mends(mendsTold, mendTries)
		return h, err
	})
	t.own = sync.OnceValue(func() map[domain.Hash]group.Weight {
		own, err := t.ownBy(self)
		if err != nil {
			log.Error("this node's own trust cannot be computed", "peer", self, "err", err)
		}
		return own
	})
	return t
}

// weights are what a viewer trusts by its network: its relative vector, or, where it has labelled nobody and nobody it, the
// seeds.
func (t *trusted) weights(n *trust.Network, viewer domain.Hash) ([]trust.Share, error) {
	v, err := n.Relative(viewer)
	switch {
	case refusal.ReasonOf(err) == notaryv1.Reason_REASON_NOT_FOUND, errors.Is(err, trust.ErrNoTrust):
		return t.state.Seeds(), nil
	case err != nil:
		return nil, err
	}
	return v.Weights(), nil
}

// labels are what a peer says of others, by the newest of its metadata that counts here.
func (t *trusted) labels(peer domain.Hash) []group.Label {
	p := t.state.Read(peer)
	if at := slices.IndexFunc(t.fresh, func(p *group.Peer) bool { return p.ID == peer }); at >= 0 {
		p = t.fresh[at]
	}
	if p == nil {
		return nil
	}
	return p.Labels
}

// viewerBytes is how much is read of what a viewer says, and those whom its labels lead to, where no label leads to them.
const viewerBytes = 2 << 20

// viewedBy is the same with that. pay is told what it takes to find it, for some at once.
func (t *trusted) viewedBy(viewer domain.Hash, read func(domain.Hash) (store.Metadata, bool, error), pay func(bytes int) error) (*trusted, error) {
	owed := 0
	c := newCircle(func(peer domain.Hash) (store.Metadata, bool, error) {
		m, found, err := read(peer)
		if owed += costOfFinding; found {
			owed += sizeOf(m.Peer)
		}
		if err == nil && owed >= payAtOnce {
			err, owed = pay(owed), 0
		}
		return m, found, err
	}, viewerBytes)
	if err := c.draw(t.state.Group().Link(), []domain.Hash{viewer}); err != nil {
		return nil, err
	}
	if err := pay(owed); err != nil {
		return nil, err
	}
	viewed := *t
	viewed.fresh = slices.Clone(t.fresh)
	known := make(map[domain.Hash]bool, len(t.fresh))
	for _, p := range t.fresh {
		known[p.ID] = true
	}
	for _, m := range c.order {
		if old := t.state.Read(m.Peer.ID); !known[m.Peer.ID] && (old == nil || old.Version < m.Peer.Version) {
			viewed.fresh = append(viewed.fresh, m.Peer)
		}
	}
	return &viewed, nil
}

// self is this node's peer; zero for none.
func (n *Node) self() domain.Hash { return n.sh.keeper.me() }

// Trust is what a viewer trusts, the most trusted first, beside the present group and this node's own labels;
// with explain, how that peer's part came about. A zero viewer is this node's peer. pay is told what
// it will take.
func (n *Node) Trust(ctx context.Context, viewer, explain domain.Hash, pay func(bytes int) error) (*notaryv1.GetTrustResponse, error) {
	if err := n.sh.begun(ctx); err != nil {
		return nil, err
	}
	t, own := n.sh.keeper.seen.Load(), n.self()
	if viewer.IsZero() {
		viewer = own
	}
	if viewer != own {
		var err error
		if t, err = t.viewedBy(viewer, n.sh.store.PeerMetadata, pay); err != nil {
			return nil, err
		}
	}
	network, err := t.state.NetworkOf(viewer, t.fresh)
	if err != nil {
		return nil, err
	}
	views := 1
	if !explain.IsZero() {
		views = 2
	}
	if err := pay(views * costOfLabel * network.Graph().Labels()); err != nil {
		return nil, err
	}
	weights, err := t.weights(network, viewer)
	if err != nil {
		return nil, err
	}
	scores := make(map[domain.Hash]*notaryv1.TrustScore)
	score := func(id domain.Hash) *notaryv1.TrustScore {
		if scores[id] == nil {
			scores[id] = &notaryv1.TrustScore{PeerId: id[:]}
		}
		return scores[id]
	}
	for _, s := range weights {
		score(s.Peer).Relative = uint64(s.Weight)
	}
	for _, m := range t.state.Group().Members() {
		score(m.PeerID).Group = uint64(m.Weight)
	}
	for _, l := range t.labels(viewer) {
		score(l.Peer).Label = l.Score
	}
	out := &notaryv1.GetTrustResponse{Distance: uint64(trust.Distance(weights, t.state.Shares()))}
	if !viewer.IsZero() {
		out.Viewer = viewer[:]
	}
	for _, s := range scores {
		if explain.IsZero() || domain.Hash(s.PeerId) == explain {
			out.Scores = append(out.Scores, s)
		}
	}
	slices.SortFunc(out.Scores, func(a, b *notaryv1.TrustScore) int {
		return cmp.Or(cmp.Compare(b.Relative, a.Relative), cmp.Compare(b.Group, a.Group), slices.Compare(a.PeerId, b.PeerId))
	})
	if !explain.IsZero() {
		out.Account, err = account(network, viewer, explain)
	}
	return out, err
}

// account is an explanation in sentences.
func account(n *trust.Network, viewer, peer domain.Hash) ([]string, error) {
	e, err := n.Explain(viewer, peer)
	if errors.Is(err, trust.ErrNoTrust) || refusal.ReasonOf(err) == notaryv1.Reason_REASON_NOT_FOUND {
		return []string{"Nobody whose labels count for this view has labelled it, or it has published no metadata: there is nothing to explain."}, nil
	}
	if err != nil {
		return nil, err
	}
	lines := []string{fmt.Sprintf("It holds %s of what %s trusts, as %s.", part(e.Share), short(viewer), verdictName(e.Verdict))}
	if e.Reached {
		line := fmt.Sprintf("Its score is %.3f: rank %d (factor %.3f), mean of what is said of it %.3f.", e.Score, e.Rank, e.Decay, e.Mean)
		if len(e.Path) > 1 {
			line += " The way there: " + shortIDs(e.Path) + "."
		}
		lines = append(lines, line)
	}
	for i, v := range e.Voices {
		if i == told {
			lines = append(lines, fmt.Sprintf("%d more labels counted.", len(e.Voices)-told))
			break
		}
		lines = append(lines, fmt.Sprintf("%s labels it %d, which is %s of what counts.", short(v.Rater), v.Label, part(v.Part)))
	}
	for i, v := range e.Ignored {
		if i == told {
			lines = append(lines, fmt.Sprintf("%d more labels did not count.", len(e.Ignored)-told))
			break
		}
		lines = append(lines, fmt.Sprintf("%s labels it %d, which does not count: %s.", short(v.Rater), v.Label, v.Why))
	}
	lines = append(lines, fmt.Sprintf("Its share comes from the preference of the view (%s, of which %s for being a seed) and from raters without labels (%s), and",
		part(e.FromPreference), part(e.Seed), part(e.FromIdle)))
	for i, f := range e.Flows {
		if i == told {
			lines = append(lines, fmt.Sprintf("from %d more raters.", len(e.Flows)-told))
			break
		}
		lines = append(lines, fmt.Sprintf("from %s: %s, since it holds %s and gives it %s of that.", short(f.Rater), part(f.Brings), part(f.Share), part(f.Part)))
	}
	return lines, nil
}

// told is how many labels and flows an account goes through.
const told = 8

func part(x float64) string { return fmt.Sprintf("%.2f %%", 100*x) }

func verdictName(v trust.Verdict) string {
	switch v {
	case trust.IsSource:
		return "the viewer itself"
	case trust.IsNegative:
		return "a peer it distrusts"
	case trust.IsConvicted:
		return "a convicted peer"
	case trust.IsUnreached:
		return "a peer that no label leads to"
	case trust.IsWorthless:
		return "a peer labelled worth nothing"
	}
	return "a " + string(v) + " peer"
}

// Margin says how far the present group is from harm. pay is told what it will take.
func (n *Node) Margin(ctx context.Context, pay func(bytes int) error) (*notaryv1.GetTrustMarginResponse, error) {
	if err := n.sh.begun(ctx); err != nil {
		return nil, err
	}
	t := n.sh.keeper.seen.Load()
	self := n.self()
	network, err := t.state.NetworkOf(self, t.fresh)
	if err != nil {
		return nil, err
	}
	if err := pay(costOfLabel * network.Graph().Labels()); err != nil {
		return nil, err
	}
	m := trust.MarginOf(t.state.Shares())
	weights, err := t.weights(network, self)
	if err != nil {
		return nil, err
	}
	out := &notaryv1.GetTrustMarginResponse{
		SafetyWeight: uint64(m.Safety.Weight), ProgressWeight: uint64(m.Progress.Weight),
		Distance: uint64(trust.Distance(weights, t.state.Shares())),
	}
	out.SafetyPeers, out.ProgressPeers = idBytes(m.Safety.Peers), idBytes(m.Progress.Peers)
	out.Account = []string{
		fmt.Sprintf("%s together hold %s of the group's weight: enough to make rivals final, if they were faulty.", count(len(m.Safety.Peers), "peer"), percent(m.Safety.Weight)),
		fmt.Sprintf("Without %s, which hold %s, nothing becomes final.", count(len(m.Progress.Peers), "peer"), percent(m.Progress.Weight)),
		fmt.Sprintf("The group and what this node's peer trusts differ by %s of the weight.", percent(group.Weight(out.Distance))),
	}
	h, err := t.harm()
	switch {
	case errors.Is(err, trust.ErrNoTrust):
		out.Account = append(out.Account, "No member trusts anybody: weights stay as they are.")
	case err != nil:
		return nil, err
	default:
		out.Account = append(out.Account, h.tell()...)
		h.state(out)
	}
	return out, nil
}

// state adds the same as numbers.
func (h harm) state(out *notaryv1.GetTrustMarginResponse) {
	if h.found {
		out.AttackRaters, out.AttackLabels = idBytes(h.attack.Raters), uint64(h.attack.Labels)
	}
	for i := range h.mends {
		m := &h.mends[i]
		out.Mends = append(out.Mends, &notaryv1.TrustMend{Rater: m.Rater[:], Ratee: m.Ratee[:], Score: m.Score, Relief: uint64(m.Relief)})
	}
}

func (h harm) tell() []string {
	var lines []string
	if h.found {
		lines = append(lines, fmt.Sprintf("The cheapest attack found by labels: %s (%s) change %s, and a third of the weight follows, link by link.",
			count(len(h.attack.Raters), "rater"), shortIDs(h.attack.Raters), count(h.attack.Labels, "label")))
	}
	for _, m := range h.mends {
		lines = append(lines, fmt.Sprintf("If %s labelled %s with %d, the heaviest would hold %s less.", short(m.Rater), short(m.Ratee), m.Score, percent(m.Relief)))
	}
	return lines
}
