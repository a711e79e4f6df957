package observation_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/notarynet/notaryd/observation"
	kit "github.com/notarynet/notaryd/observation/observationtest"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
)

// nextGroup is a group of epoch 1 with the same members.
func nextGroup(g *group.Group) *group.Group {
	return must(group.New(g.Network(), 1, g.Link(), g.Members(), nil))
}

func TestRoots(t *testing.T) {
	net, p := proofOf(t, 4, 3, 1)
	next := nextGroup(net.Group)
	later := *net
	later.Group = next
	tx := net.Spend("later", 1)
	q := must(observation.BuildProof(next, nil, []observation.Item{{ID: tx.ID, Round: 1, Edges: later.Accept(tx.ID, observation.Accepted, 1, 3, 2)}}))
	other := kit.New("other", kit.Equal(4)...)

	valid := func(name string, p *observation.Proof, want observation.Conclusion, groups ...*group.Group) {
		t.Helper()
		v, err := p.Verify(observation.NewRoot(groups...))
		if err != nil || v.Conclusion != want {
			t.Errorf("%s: %s, %v; want %s", name, v.Conclusion, err, want)
		}
	}
	valid("genesis known", p, observation.Valid, net.Group)
	valid("nothing known", p, observation.NoTrustRoot)
	valid("a later group known", p, observation.NoTrustRoot, next)
	valid("later proof, genesis known", q, observation.NoTrustRoot, net.Group)
	valid("later proof, its group known", q, observation.Valid, net.Group, next)

	_, err := p.Verify(observation.NewRoot(other.Group))
	wantRefusal(t, err, notaryv1.Reason_REASON_WRONG_NETWORK, "network")
	rival := must(group.New(next.Network(), 1, next.Previous(), next.Members(), []domain.Hash{{1}}))
	_, err = q.Verify(observation.NewRoot(net.Group, rival))
	wantRefusal(t, err, notaryv1.Reason_REASON_INVALID_ARGUMENT, "link")
	q.GroupEpoch = 2
	_, err = q.Verify(observation.NewRoot(next))
	wantRefusal(t, err, notaryv1.Reason_REASON_INVALID_ARGUMENT, "group_epoch")
}

func TestExitCodes(t *testing.T) {
	for c, want := range map[observation.Conclusion]struct {
		code int
		name string
	}{
		observation.Valid: {0, "valid"}, observation.Invalid: {1, "invalid"},
		observation.NotEnoughWeight: {2, "not_enough_weight"}, observation.NoTrustRoot: {3, "no_trust_root"},
	} {
		if c.ExitCode() != want.code || c.String() != want.name {
			t.Errorf("%s: %d", c, c.ExitCode())
		}
	}
}

func TestOwnTrust(t *testing.T) {
	net := kit.New("test", kit.Peer{Weight: 400_000_000, Keys: 3}, kit.Peer{Weight: 350_000_000, Keys: 1}, kit.Peer{Weight: 250_000_000, Keys: 2})
	tx := net.Spend("paid", 0)
	edges := net.Accept(tx.ID, observation.Accepted, 0, len(net.Signers), 1)
	p := must(observation.BuildProof(net.Group, nil, []observation.Item{{ID: tx.ID, Edges: edges[:5]}}))
	// What did not sign is the last key.
	absent := net.Group.Voters()[5]
	own := map[domain.Hash]group.Weight{}
	for i, m := range net.Group.Members() {
		own[m.PeerID] = []group.Weight{100_000_000, 300_000_000, 600_000_000}[i]
	}
	own[domain.Hash{9}] = 0
	var want group.Weight
	for _, m := range net.Group.Members() {
		signed := m.Weight
		if m.PeerID == absent.PeerID {
			signed -= absent.Share
		}
		want += own[m.PeerID] * signed / m.Weight
	}
	for _, threshold := range []group.Weight{0, want, want + 1} {
		root := observation.NewRoot(net.Group)
		root.Own = &observation.OwnTrust{Weights: own, Threshold: threshold}
		v := must(p.Verify(root))
		got := v.Transactions[0].Own
		if *got != (observation.OwnVerdict{Weight: want, Threshold: threshold, Met: threshold <= want}) {
			t.Errorf("threshold %d: %+v, want weight %d", threshold, got, want)
		}
		if v.Conclusion != observation.Valid {
			t.Error("own trust changed the conclusion")
		}
	}
	for name, w := range map[string]map[domain.Hash]group.Weight{
		"one exceeds the whole":  {{1}: group.Total + 1},
		"the sum exceeds":        {{1}: group.Total, {2}: 1},
		"the sum would overflow": {{1}: 1, {2}: 1<<64 - 1},
	} {
		root := observation.NewRoot(net.Group)
		root.Own = &observation.OwnTrust{Weights: w}
		_, err := p.Verify(root)
		if err == nil {
			t.Errorf("%s: accepted", name)
			continue
		}
		wantRefusal(t, err, notaryv1.Reason_REASON_INVALID_ARGUMENT, "own")
	}
}

// TestMedianHoldsAgainstLiars: however the peers below 1/3 of the weight lie about the time, the median
// stays within what the honest said.
func TestMedianHoldsAgainstLiars(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		net := drawNetwork(t)
		tx := net.Spend("paid", 0)
		var liars, signed group.Weight
		lowest, highest := uint64(1<<63), uint64(0)
		item := observation.Item{ID: tx.ID}
		for i, s := range net.Signers {
			share := net.Group.Voters()[i].Share
			timeMS := kit.StartMS + rapid.Uint64Range(0, 1000).Draw(t, "time")
			if 3*(liars+share) < group.Total && rapid.Bool().Draw(t, "lies") {
				liars += share
				timeMS = rapid.SampledFrom([]uint64{0, 1 << 62, kit.StartMS}).Draw(t, "lie")
			} else {
				lowest, highest = min(lowest, timeMS), max(highest, timeMS)
			}
			signed += share
			item.Edges = append(item.Edges, s.Observe(net.Group, timeMS, kit.Vote(tx.ID, observation.Accepted, 0, timeMS)).Edge(0))
		}
		v := must(must(observation.BuildProof(net.Group, nil, []observation.Item{item})).Verify(observation.NewRoot(net.Group)))
		got := v.Transactions[0]
		if got.TimeMS < lowest || got.TimeMS > highest || got.Weight != signed {
			t.Fatalf("median %d, honest %d to %d", got.TimeMS, lowest, highest)
		}
	})
}
