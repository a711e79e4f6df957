package trust

import (
	"errors"
	"math"
	"math/big"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
)

// drawPermutation draws other ids for the peers of a drawn graph: a bijection of them.
func drawPermutation(t *rapid.T, peers []domain.Hash) func(domain.Hash) domain.Hash {
	order := rapid.Permutation(peers).Draw(t, "permutation")
	to := map[domain.Hash]domain.Hash{}
	for i, id := range peers {
		to[id] = order[i]
	}
	return func(id domain.Hash) domain.Hash { return to[id] }
}

// renamed is a network whose peers have other ids, and other numbers with them.
func renamed(t *rapid.T, n *Network, labels []Label, to func(domain.Hash) domain.Hash) *Network {
	other := make([]Label, len(labels))
	for i, l := range labels {
		other[i] = Label{to(l.Rater), to(l.Ratee), l.Score}
	}
	extra := make([]domain.Hash, n.graph.Len())
	for i := range extra {
		extra[i] = n.graph.ID(i)
	}
	g, err := NewGraph(rapid.Permutation(other).Draw(t, "order"), extra)
	if err != nil {
		t.Fatal(err)
	}
	s := n.setting
	s.Seeds, s.Convicted = slices.Clone(s.Seeds), slices.Clone(s.Convicted)
	for i := range s.Seeds {
		s.Seeds[i].Peer = to(s.Seeds[i].Peer)
	}
	for i := range s.Convicted {
		s.Convicted[i] = to(s.Convicted[i])
	}
	m, err := New(g, s)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// Permuting peers permutes the result: scores to the last bit, shares as far as sums in another order go,
// weights to a unit each.
func TestPermutingPeersPermutesResults(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, labels := drawNetwork(t, 14)
		ids := make([]domain.Hash, n.graph.Len())
		for i := range ids {
			ids[i] = n.graph.ID(i)
		}
		to := drawPermutation(t, ids)
		m := renamed(t, n, labels, to)
		source := peer(rapid.IntRange(0, 13).Draw(t, "source"))
		at := func(g *Graph, id domain.Hash) int { i, _ := g.Find(id); return i }
		v, w := n.View(at(n.graph, source)), m.View(at(m.graph, to(source)))
		for i, id := range ids {
			j := at(m.graph, to(id))
			a, _ := v.Score(i)
			b, _ := w.Score(j)
			if a != b || v.Rank(i) != w.Rank(j) {
				t.Fatalf("peer %d: %v of rank %d became %v of rank %d", i, a, v.Rank(i), b, w.Rank(j))
			}
		}
		members := []Share{{peer(0), 5}, {peer(1), 3}, {source, 2}}
		if source == peer(0) || source == peer(1) {
			members = members[:2]
		}
		others := slices.Clone(members)
		for i := range others {
			others[i].Peer = to(others[i].Peer)
		}
		a, err := n.Aggregate(members)
		b, err2 := m.Aggregate(others)
		if errors.Is(err, ErrNoTrust) && errors.Is(err2, ErrNoTrust) {
			return
		}
		if err != nil || err2 != nil {
			t.Fatal(err, err2)
		}
		for i, id := range ids {
			if d := a.Share(i) - b.Share(at(m.graph, to(id))); math.Abs(d) > 1e-12 {
				t.Fatalf("share of peer %d moves by %v", i, d)
			}
			if d := int64(Behind(a.Weights(), []domain.Hash{id})) - int64(Behind(b.Weights(), []domain.Hash{to(id)})); d < -1 || d > 1 {
				t.Fatalf("weight of peer %d moves by %d", i, d)
			}
		}
	})
}

// A peer that nobody rates changes nothing, whatever it says: no score, no relative vector, no aggregate.
func TestUnratedPeerHasNoSay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, labels := drawNetwork(t, 14)
		extra := make([]domain.Hash, n.graph.Len())
		for i := range extra {
			extra[i] = n.graph.ID(i)
		}
		more := slices.Clone(labels)
		for _, j := range rapid.SliceOfNDistinct(rapid.IntRange(0, 13), 1, 10, rapid.ID[int]).Draw(t, "ratees") {
			more = append(more, Label{peer("new"), peer(j), rapid.Int32Range(-MaxScore, MaxScore).Draw(t, "score")})
		}
		g, err := NewGraph(more, append(extra, peer("new")))
		if err != nil {
			t.Fatal(err)
		}
		m, err := New(g, n.setting)
		if err != nil {
			t.Fatal(err)
		}
		same := func(a, b []Share) {
			if Behind(b, []domain.Hash{peer("new")}) != 0 {
				t.Fatal("it has weight itself")
			}
			if d := Distance(a, b); d > 1 {
				t.Fatalf("it moves %d", d)
			}
		}
		a, err := n.Relative(peer(0))
		if err != nil {
			t.Fatal(err)
		}
		b, err := m.Relative(peer(0))
		if err != nil {
			t.Fatal(err)
		}
		same(a.Weights(), b.Weights())
		members := []Share{{peer(0), 1}, {peer(2), 1}, {peer("stranger"), 9}}
		c, err := n.Aggregate(members)
		if err != nil {
			t.Fatal(err)
		}
		d, err := m.Aggregate(members)
		if err != nil {
			t.Fatal(err)
		}
		same(c.Weights(), d.Weights())
	})
}

// Weights of aggregates, of what is elected from them and of each link towards it sum to exactly 1e9.
func TestEverySumIsTotal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, _ := drawNetwork(t, 14)
		now := drawGroup(t, "group", 14, 6)
		for range 5 {
			a, err := n.Aggregate(now)
			if errors.Is(err, ErrNoTrust) {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			chosen := Elect(a.Weights(), func(domain.Hash) bool { return true }, rapid.IntRange(1, 20).Draw(t, "most"))
			next := Step(now, chosen, DefaultStep, 20)
			for name, w := range map[string][]Share{"aggregate": a.Weights(), "elected": chosen, "link": next} {
				if sumOf(w) != group.Total {
					t.Fatalf("%s sums to %d", name, sumOf(w))
				}
			}
			if Distance(now, next) > DefaultStep {
				t.Fatalf("a link moves %d", Distance(now, next))
			}
			now = next
		}
	})
}

// quantiseTwin is largest remainders in exact arithmetic.
func quantiseTwin(ids []domain.Hash, share []float64) []Share {
	sum := new(big.Rat)
	for _, s := range share {
		sum.Add(sum, new(big.Rat).SetFloat64(s))
	}
	type part struct {
		id    domain.Hash
		whole uint64
		rest  *big.Rat
	}
	var parts []part
	left := uint64(group.Total)
	for i, s := range share {
		exact := new(big.Rat).SetFloat64(s)
		exact.Quo(exact, sum).Mul(exact, new(big.Rat).SetInt64(int64(group.Total)))
		whole := new(big.Int).Quo(exact.Num(), exact.Denom())
		rest := exact.Sub(exact, new(big.Rat).SetInt(whole))
		parts = append(parts, part{ids[i], whole.Uint64(), rest})
		left -= whole.Uint64()
	}
	slices.SortFunc(parts, func(a, b part) int {
		if c := b.rest.Cmp(a.rest); c != 0 {
			return c
		}
		return a.id.Compare(b.id)
	})
	var out []Share
	for i, p := range parts {
		if uint64(i) < left {
			p.whole++
		}
		if p.whole > 0 {
			out = append(out, Share{p.id, group.Weight(p.whole)})
		}
	}
	slices.SortFunc(out, byPeer)
	return out
}

// Shares that are whole numbers of units over a power of 2 are divided without rounding, so the twin must
// be met exactly, ties and all; others to a unit each.
func TestQuantiseAgainstTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		count := rapid.IntRange(1, 12).Draw(t, "peers")
		ids, share := make([]domain.Hash, count), make([]float64, count)
		exact := rapid.Bool().Draw(t, "exact")
		left := 1 << 10
		for i := range ids {
			ids[i] = domain.Hash{byte(i)}
			share[i] = rapid.Float64Range(0, 1).Draw(t, "share")
			if exact {
				part := rapid.IntRange(0, left).Draw(t, "part")
				if i == count-1 {
					part = left
				}
				left -= part
				share[i] = float64(part) / (1 << 10)
			}
		}
		if slices.Max(share) == 0 {
			t.Skip("nothing to share out")
		}
		got, want := quantise(ids, share), quantiseTwin(ids, share)
		if sumOf(got) != group.Total || exact && !slices.Equal(got, want) || 2*Distance(got, want) > group.Weight(2*count) {
			t.Fatalf("%v became %v, want %v", share, got, want)
		}
	})
}

// Views of graphs with ranks too large to be kept in the order they were found, against the twin.
func TestLargerViewAgainstTwin(t *testing.T) {
	for seed := range uint64(4) {
		c := chance(seed)
		seen := map[[2]int]bool{}
		var labels []Label
		for range 400 {
			a, b := c.below(90), c.below(90)
			if a == b || seen[[2]int{a, b}] {
				continue
			}
			seen[[2]int{a, b}] = true
			labels = append(labels, Label{peer(a), peer(b), int32(c.below(2*MaxScore+1) - MaxScore/2)})
			if last := &labels[len(labels)-1]; last.Score > MaxScore {
				last.Score = MaxScore
			}
		}
		silent := map[domain.Hash]bool{peer(7): true}
		s := DefaultSetting()
		s.Convicted = []domain.Hash{peer(7)}
		for _, rule := range []Rule{Plain, RaterWeighted, Corroborated} {
			s.Rule = rule
			n := netOf(t, graphOf(t, labels, allPeers(90)...), s)
			v := n.View(mustFind(t, n.graph, peer(0)))
			score, rank := twinView(labels, peer(0), rule, silent)
			for i := range n.graph.Len() {
				id := n.graph.ID(i)
				got, reached := v.Score(i)
				_, want := score[id]
				if reached != want || v.Rank(i) != rank[id] || got != score[id] {
					t.Fatalf("seed %d, peer %s: %v (reached %v, rank %d), twin %v (%v, %d)", seed, id, got, reached, v.Rank(i), score[id], want, rank[id])
				}
			}
		}
	}
}

// An update is what a full run on the changed labels gives, whoever is convicted and whatever filters
// the changes make.
func TestUpdateAgainstFullRun(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, _ := drawNetwork(t, 14)
		members := []Share{{peer(0), 3}, {peer(1), 2}, {peer(2), 1}}
		a, err := n.Aggregate(members)
		if errors.Is(err, ErrNoTrust) {
			t.Skip("nobody trusts anybody")
		}
		if err != nil {
			t.Fatal(err)
		}
		for range rapid.IntRange(1, 3).Draw(t, "rounds") {
			next, err := a.Update(drawChanges(t, 5))
			if errors.Is(err, ErrNoTrust) {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			fresh, err := New(next.Network().Graph(), n.setting)
			if err != nil {
				t.Fatal(err)
			}
			want, err := fresh.Aggregate(members)
			if err != nil {
				t.Fatal(err)
			}
			if d := l1(next.share, want.share); d > Precision+1e-9 || next.Classes() != want.Classes() {
				t.Fatalf("%v away, %d classes, want %d", d, next.Classes(), want.Classes())
			}
			a = next
		}
	})
}

// Elect is the heaviest that may, and nobody who is left out is heavier than one who is in.
func TestElectAgainstTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		weights := drawGroup(t, "weights", 14, 10)
		may := map[domain.Hash]bool{}
		for i := range 14 {
			may[peer(i)] = rapid.Bool().Draw(t, "may")
		}
		most := rapid.IntRange(1, 10).Draw(t, "most")
		got := Elect(weights, func(id domain.Hash) bool { return may[id] }, most)
		eligible, least := 0, group.Total
		var chosen group.Weight
		for _, s := range weights {
			if may[s.Peer] {
				eligible++
			}
			if has(got, s.Peer) {
				least = min(least, s.Weight)
				chosen += s.Weight
				if !may[s.Peer] {
					t.Fatal("one who may not is in")
				}
			}
		}
		if eligible > 0 && sumOf(got) != group.Total || len(got) > most {
			t.Fatalf("%d of %d eligible, sum %d", len(got), eligible, sumOf(got))
		}
		for _, s := range weights {
			if may[s.Peer] && !has(got, s.Peer) && s.Weight > least && len(got) == most {
				t.Fatalf("%d is left out for %d", s.Weight, least)
			}
		}
		for _, s := range got {
			was := Behind(weights, []domain.Hash{s.Peer})
			if want := float64(was) / float64(chosen) * 1e9; math.Abs(want-float64(s.Weight)) > 1.001 && len(got) == min(most, eligible) {
				t.Fatalf("%d of %d became %d", was, chosen, s.Weight)
			}
		}
	})
}

// stepTwin moves everybody by the same part of its way, in exact fractions.
func stepTwin(old, target []Share, limit group.Weight) map[domain.Hash]*big.Rat {
	part := big.NewRat(1, 1)
	if way := Distance(old, target); way > limit {
		part = big.NewRat(int64(limit), int64(way))
	}
	out := map[domain.Hash]*big.Rat{}
	for _, s := range append(slices.Clone(old), target...) {
		from, to := Behind(old, []domain.Hash{s.Peer}), Behind(target, []domain.Hash{s.Peer})
		way := new(big.Rat).SetInt64(int64(to) - int64(from))
		out[s.Peer] = way.Mul(way, part).Add(way, new(big.Rat).SetInt64(int64(from)))
	}
	return out
}

func TestStepAgainstTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		old, target := drawGroup(t, "old", 12, 8), drawGroup(t, "target", 12, 8)
		limit := group.Weight(rapid.Uint64Range(0, 1e9).Draw(t, "limit"))
		got := Step(old, target, limit, 20)
		for id, want := range stepTwin(old, target, limit) {
			exact, _ := want.Float64()
			if d := exact - float64(Behind(got, []domain.Hash{id})); math.Abs(d) > 1.001 {
				t.Fatalf("%v off %v", d, exact)
			}
		}
	})
}
