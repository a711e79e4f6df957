package trust

import (
	"math"
	"math/bits"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

func TestBreakingWeight(t *testing.T) {
	if 3*BreakingWeight < group.Total || 3*(BreakingWeight-1) >= group.Total {
		t.Errorf("%d is not the least third", BreakingWeight)
	}
	if group.Quorum(group.Total-BreakingWeight) || !group.Quorum(group.Total-BreakingWeight+1) {
		t.Error("withholding it does not stop quorums, or less does")
	}
}

// No smaller set of peers does harm: all of them are tried.
func TestMarginAgainstAllSets(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		weights := drawGroup(t, "group", 10, 8)
		fewest := len(weights)
		for set := range 1 << len(weights) {
			var w group.Weight
			for i, s := range weights {
				if set>>i&1 == 1 {
					w += s.Weight
				}
			}
			if 3*w >= group.Total {
				fewest = min(fewest, bits.OnesCount(uint(set)))
			}
		}
		m := MarginOf(weights)
		for _, c := range []Coalition{m.Safety, m.Progress} {
			if len(c.Peers) != fewest || 3*c.Weight < group.Total || Behind(weights, c.Peers) != c.Weight {
				t.Fatalf("%d peers with %d, fewest are %d", len(c.Peers), c.Weight, fewest)
			}
		}
		if m.Below(fewest) || !m.Below(fewest+1) {
			t.Fatal("the floor is off by one")
		}
	})
}

func TestHeld(t *testing.T) {
	own := []Share{{peer(1), 600_000_000}, {peer(2), 400_000_000}}
	if Held(own, []domain.Hash{peer(1), peer(3)}, group.Total/2) || !Held(own, []domain.Hash{peer(2)}, group.Total/2) {
		t.Error("held where it should not be, or not where it should")
	}
}

func TestCheapestAttack(t *testing.T) {
	n := largeNetwork(t, 120, 4)
	var members []Share
	for i := range 12 {
		members = append(members, Share{peer(i), 1})
	}
	a, err := n.Aggregate(members)
	if err != nil {
		t.Fatal(err)
	}
	best, ok, err := a.CheapestAttack(20)
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	if best.Captured < BreakingWeight || len(best.Raters) == 0 || best.Labels < len(best.Raters) {
		t.Errorf("%d raters, %d labels, %d captured", len(best.Raters), best.Labels, best.Captured)
	}
	if len(best.Raters) > 1 { // one rater fewer of the same order is not enough
		order := a.Weights()
		slices.SortFunc(order, heavier)
		less, err := a.attack(order[:len(best.Raters)-1])
		if err != nil || less.Captured >= BreakingWeight {
			t.Errorf("%d raters capture %d already (%v)", len(best.Raters)-1, less.Captured, err)
		}
	}
}

func TestMendsRelieve(t *testing.T) {
	// Everybody labels H and few label anybody else.
	labels := []Label{{peer("H"), peer("A"), 900}, {peer("H"), peer("B"), 900}, {peer("A"), peer("H"), 900}, {peer("A"), peer("R"), 100},
		{peer("B"), peer("H"), 900}, {peer("B"), peer("S"), 100}, {peer("R"), peer("H"), 900}, {peer("S"), peer("H"), 900}}
	g := graphOf(t, labels)
	n := netOf(t, g, DefaultSetting())
	a, err := n.Aggregate([]Share{{peer("H"), 1}, {peer("A"), 1}, {peer("R"), 1}})
	if err != nil {
		t.Fatal(err)
	}
	mends, err := a.Mends(3, 10)
	if err != nil || len(mends) == 0 {
		t.Fatal(mends, err)
	}
	before := MarginOf(a.Weights()).Safety
	for i, m := range mends {
		after, err := a.Update([]Change{{Label: m.Label}})
		if err != nil {
			t.Fatal(err)
		}
		if got := before.Weight - Behind(after.Weights(), before.Peers); got != m.Relief || m.Relief == 0 || i > 0 && m.Relief > mends[i-1].Relief {
			t.Errorf("mend %d relieves %d, said %d", i, got, m.Relief)
		}
	}
}

func TestSimulate(t *testing.T) {
	n := largeNetwork(t, 150, 6)
	a, err := n.Aggregate([]Share{{peer(0), 1}, {peer(1), 1}})
	if err != nil {
		t.Fatal(err)
	}
	changes := []Change{{Label: Label{peer(0), peer(77), MaxScore}}}
	s, err := a.Simulate(changes)
	if err != nil {
		t.Fatal(err)
	}
	var up, down group.Weight
	for i, m := range s.Movers {
		up += max(m.After, m.Before) - m.Before
		down += max(m.After, m.Before) - m.After
		if i > 0 && m.Change() > s.Movers[i-1].Change() || m.Change() == 0 {
			t.Errorf("mover %d moves %d", i, m.Change())
		}
	}
	if up != down || up != s.Moved || s.Moved == 0 {
		t.Errorf("%d up, %d down, %d said", up, down, s.Moved)
	}
	r, err := n.SimulateRelative(peer(0), changes)
	if err != nil || r.Moved == 0 || len(r.MarginBefore.Safety.Peers) == 0 {
		t.Error(r, err)
	}
	if _, err := n.SimulateRelative(peer("stranger"), changes); err == nil {
		t.Error("simulated a stranger")
	}
}

// What an explanation names adds up to what it explains.
func TestExplainAddsUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, _ := drawNetwork(t, 14)
		j := rapid.IntRange(0, 13).Draw(t, "peer")
		e, err := n.Explain(peer(0), peer(j))
		if err != nil {
			t.Fatal(err)
		}
		sum := e.FromPreference + e.FromIdle
		for _, f := range e.Flows {
			sum += f.Brings
		}
		if math.Abs(sum-e.Share) > 1e-9 {
			t.Fatalf("parts %v, share %v", sum, e.Share)
		}
		if (e.Share > 0) && (e.Verdict == IsNegative || e.Verdict == IsConvicted || e.Verdict == IsUnreached) {
			t.Fatalf("%s with a share of %v", e.Verdict, e.Share)
		}
		if !e.Reached {
			return
		}
		var part, mean float64
		for _, v := range e.Voices {
			part += v.Part
			score := 1.0
			if !n.setting.Rule.ByRater {
				score = v.Score * decayOf(n, e.Rank-1)
			}
			mean += v.Part * v.Value * score
		}
		if math.Abs(part-1) > 1e-9 || math.Abs(e.Score-e.Decay*e.Mean) > 1e-12 {
			t.Fatalf("voices are %v of the weight; %v is not %v * %v", part, e.Score, e.Decay, e.Mean)
		}
		if n.setting.Rule.Equal == 0 && math.Abs(mean-e.Mean) > 1e-9 {
			t.Fatalf("voices make %v, mean %v", mean, e.Mean)
		}
		if e.Path[0] != peer(0) || e.Path[len(e.Path)-1] != peer(j) || len(e.Path) != e.Rank+1 {
			t.Fatalf("path of %d for rank %d", len(e.Path), e.Rank)
		}
	})
}

func decayOf(n *Network, rank int) float64 {
	return math.Pow(n.setting.Rule.Decay, float64(max(0, rank-1)))
}

func TestExplainLines(t *testing.T) {
	g := graphOf(t, append(worked(), Label{peer("E"), peer("C"), 5}), peer("S"))
	s := DefaultSetting()
	s.Rule = RaterWeighted
	s.Seeds = []Share{{peer("C"), 1}, {peer("S"), 3}}
	n := netOf(t, g, s)
	e, err := n.Explain(peer("I"), peer("C"))
	if err != nil {
		t.Fatal(err)
	}
	names := map[domain.Hash]string{}
	for _, name := range []string{"I", "A", "B", "C", "D", "E", "S"} {
		names[peer(name)] = name
	}
	text := strings.Join(e.Lines(func(id domain.Hash) string { return names[id] }, 5), "\n")
	for _, want := range []string{"C as I sees it", "(trusted)", "path I > A > C", "label +1000 by A", "label -400 by B", "not counted: +5 by E: " + whyUnreached, "as a seed"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	if math.Abs(e.Seed-s.Bias/4) > 1e-12 {
		t.Errorf("of its preference %v comes from being a seed", e.Seed)
	}
	for name, want := range map[string]Verdict{"I": IsSource, "S": IsSeed, "E": IsUnreached, "A": IsTrusted} {
		if e, err := n.Explain(peer("I"), peer(name)); err != nil || e.Verdict != want {
			t.Errorf("%s: %v, %v", name, e.Verdict, err)
		}
	}
	if _, err := n.Explain(peer("I"), peer("stranger")); refusal.ReasonOf(err) != notaryv1.Reason_REASON_NOT_FOUND {
		t.Error(err)
	}
}

func TestStatementOf(t *testing.T) {
	key := domain.Sum("test", []byte("key"))
	a, b := domain.Hash{1}, domain.Hash{2}
	label := func(id domain.Hash, score int32) *notaryv1.Label { return &notaryv1.Label{PeerId: id[:], Score: score} }
	good := &notaryv1.PeerMetadata{MasterKey: key[:], Version: 2, Labels: []*notaryv1.Label{label(a, -1000), label(b, 0)}}
	s, err := StatementOf(good)
	me := domain.Sum(domain.TagPeer, key[:])
	if err != nil || s.Peer != me || s.Version != 2 || !slices.Equal(s.Labels, []Label{{me, a, -1000}, {me, b, 0}}) {
		t.Errorf("%v, %v", s, err)
	}
	many := &notaryv1.PeerMetadata{MasterKey: key[:], Version: 1}
	for range MaxLabels + 1 {
		many.Labels = append(many.Labels, label(a, 1))
	}
	for name, c := range map[string]struct {
		m    *notaryv1.PeerMetadata
		want notaryv1.Reason
	}{
		"no key":     {&notaryv1.PeerMetadata{Version: 1}, notaryv1.Reason_REASON_MISSING_FIELD},
		"no version": {&notaryv1.PeerMetadata{MasterKey: key[:]}, notaryv1.Reason_REASON_MISSING_FIELD},
		"too many":   {many, notaryv1.Reason_REASON_LIMIT_EXCEEDED},
		"no peer":    {&notaryv1.PeerMetadata{MasterKey: key[:], Version: 1, Labels: []*notaryv1.Label{{Score: 1}}}, notaryv1.Reason_REASON_MISSING_FIELD},
		"too good":   {&notaryv1.PeerMetadata{MasterKey: key[:], Version: 1, Labels: []*notaryv1.Label{label(a, 1001)}}, notaryv1.Reason_REASON_INVALID_ARGUMENT},
		"twice":      {&notaryv1.PeerMetadata{MasterKey: key[:], Version: 1, Labels: []*notaryv1.Label{label(a, 1), label(a, 1)}}, notaryv1.Reason_REASON_NON_CANONICAL},
	} {
		if _, err := StatementOf(c.m); refusal.ReasonOf(err) != c.want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestFromRowsRefuses(t *testing.T) {
	ids := []domain.Hash{{1}, {2}, {3}}
	for name, c := range map[string]struct {
		ids          []domain.Hash
		start, ratee []uint32
		score        []int16
	}{
		"starts":        {ids, []uint32{0, 1}, []uint32{1}, []int16{1}},
		"ids":           {[]domain.Hash{{2}, {1}, {3}}, []uint32{0, 0, 0, 0}, nil, nil},
		"falling":       {ids, []uint32{0, 1, 0, 1}, []uint32{1}, []int16{1}},
		"itself":        {ids, []uint32{0, 1, 1, 1}, []uint32{0}, []int16{1}},
		"out of range":  {ids, []uint32{0, 1, 1, 1}, []uint32{3}, []int16{1}},
		"score":         {ids, []uint32{0, 1, 1, 1}, []uint32{1}, []int16{1001}},
		"not ascending": {ids, []uint32{0, 2, 2, 2}, []uint32{2, 1}, []int16{1, 1}},
	} {
		if _, err := FromRows(c.ids, c.start, c.ratee, c.score); refusal.ReasonOf(err) != notaryv1.Reason_REASON_INVALID_ARGUMENT {
			t.Errorf("%s: %v", name, err)
		}
	}
	g, err := FromRows(ids, []uint32{0, 2, 2, 2}, []uint32{1, 2}, []int16{1, -1})
	if err != nil || g.Labels() != 2 {
		t.Error(g, err)
	}
}
