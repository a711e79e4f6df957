package epoch

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	"github.com/notarynet/notaryd/trust"
)

// cutOf is the newest of some metadata.
func cutOf(read ...*group.Peer) map[domain.Hash]*group.Peer {
	cut := make(map[domain.Hash]*group.Peer)
	for _, p := range read {
		cut[p.ID] = p
	}
	return cut
}

// said is how many labels of the i-th peer are in a graph.
func said(g *trust.Graph, i int) int {
	at, in := g.Find(id(i))
	if !in {
		return 0
	}
	ratees, _ := g.Said(at)
	return len(ratees)
}

func graphOf(t fatal, s *State, cut map[domain.Hash]*group.Peer) *trust.Graph {
	t.Helper()
	g, err := s.hear(cut, s.Shares()).graph()
	if err != nil {
		t.Fatalf("graph: %v", err)
	}
	return g
}

// TestInventedNamesSayNothing: whoever labels peers that have published nothing changes no group by it, and makes no work for those who
// judge, however many the names.
func TestInventedNamesSayNothing(t *testing.T) {
	s := seeds(t, 4)
	plain := []*group.Peer{peer(0, 1, map[int]int32{1: 500, 4: 900}), peer(1, 1, map[int]int32{0: 300}), peer(4, 1, map[int]int32{2: 100})}
	want, err := s.Next(plain, nil)
	if err != nil {
		t.Fatal(err)
	}
	named := func(i int, scores map[int]int32, names int) *group.Peer {
		for k := range names {
			scores[1000*(i+1)+k] = int32(k - 400)
		}
		return peer(i, 1, scores)
	}
	read := []*group.Peer{named(0, map[int]int32{1: 500, 4: 900}, 900), named(1, map[int]int32{0: 300}, 10), named(4, map[int]int32{2: 100}, 50)}
	got, err := s.Next(read, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !Same(want, got) {
		t.Errorf("%v with names, %v without", sharesOf(got), sharesOf(want))
	}
	if g := graphOf(t, s, cutOf(read...)); g.Len() != 5 || g.Labels() != 4 {
		t.Errorf("%d peers with %d labels", g.Len(), g.Labels())
	}
	// Once one of them speaks, what is said of it counts.
	after, err := s.Next(append(read, peer(1899, 1, nil)), nil)
	if err != nil {
		t.Fatal(err)
	}
	if weight(after, 1899) == 0 {
		t.Error("a label of a peer that speaks does not count")
	}
}

// TestHeardOut: where there is room, links are what all labels of those that have published anything make them.
func TestHeardOut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const seeded, all = 3, 9
		s := seeds(&testing.T{}, seeded)
		cut := cutOf(genRead(t, all)...)
		heard, err := s.network(cut, s.Shares())
		if err != nil {
			t.Fatal(err)
		}
		whole := reference(t, s, cut)
		a, errA := heard.Aggregate(s.Shares())
		b, errB := whole.Aggregate(s.Shares())
		if errA != nil || errB != nil {
			t.Fatalf("%v, %v", errA, errB)
		}
		for i := range all {
			if a.Trusts(id(i)) != b.Trusts(id(i)) {
				t.Fatalf("peer %d: trusted %v, by all labels %v", i, a.Trusts(id(i)), b.Trusts(id(i)))
			}
		}
		if by := trust.Distance(a.Weights(), b.Weights()); by > all {
			t.Fatalf("%d of the weight is elsewhere", by)
		}
	})
}

// reference is the network of all labels of a cut, but for those of names.
func reference(t fatal, s *State, cut map[domain.Hash]*group.Peer) *trust.Network {
	t.Helper()
	var labels []trust.Label
	var extra []domain.Hash
	for _, seed := range s.seeds {
		extra = append(extra, seed.Peer)
	}
	for rater, p := range cut {
		extra = append(extra, rater)
		for _, l := range p.Labels {
			if cut[l.Peer] != nil || slices.ContainsFunc(s.seeds, func(o trust.Share) bool { return o.Peer == l.Peer }) {
				labels = append(labels, trust.Label{Rater: rater, Ratee: l.Peer, Score: l.Score})
			}
		}
	}
	g, err := trust.NewGraph(labels, extra)
	if err != nil {
		t.Fatalf("all labels: %v", err)
	}
	setting := trust.DefaultSetting()
	setting.Seeds = s.seeds
	n, err := trust.New(g, setting)
	if err != nil {
		t.Fatalf("all labels: %v", err)
	}
	return n
}

// TestNobodyIsShoutedDown: whatever faulty members and those whom they make up say, and whomever they label, no label of the others is
// heard less.
func TestNobodyIsShoutedDown(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const seeded, honest, all = 4, 12, 24
		s := seeds(&testing.T{}, seeded)
		s.group = weighed(t, s.group, rapid.SampledFrom([]group.Weight{group.Total / seeded, 40_000, 9_000}).Draw(t, "weight"))
		// The first member is faulty, and those from honest on are made up.
		var good []*group.Peer
		for i := 1; i < honest; i++ {
			good = append(good, peer(i, 1, genScores(t, i, honest)))
		}
		var bad []*group.Peer
		for _, i := range append([]int{0}, between(honest, all)...) {
			bad = append(bad, peer(i, 1, genScores(t, i, all)))
		}
		alone, among := s.hear(cutOf(append(slices.Clone(good), peer(0, 1, nil))...), s.Shares()), s.hear(cutOf(append(good, bad...)...), s.Shares())
		for i := 1; i < honest; i++ {
			a, b := alone.heard(int(alone.number[id(i)])), among.heard(int(among.number[id(i)]))
			for _, l := range a {
				if !slices.Contains(b, l) {
					t.Fatalf("peer %d says %v, which is heard no longer", i, l)
				}
			}
		}
	})
}

func between(from, to int) (out []int) {
	for i := from; i < to; i++ {
		out = append(out, i)
	}
	return out
}

// weighed is a group in which all members but the first have so much weight.
func weighed(t fatal, g *group.Group, w group.Weight) *group.Group {
	t.Helper()
	members := slices.Clone(g.Members())
	first := slices.IndexFunc(members, func(m group.Member) bool { return m.PeerID == id(0) })
	left := group.Total
	for i := range members {
		if members[i].Weight = w; i != first {
			left -= w
		}
	}
	members[first].Weight = left
	out, err := group.New(network, g.Epoch(), g.Previous(), members, nil)
	if err != nil {
		t.Fatalf("group: %v", err)
	}
	return out
}

// crowd is a member that labels accomplices, each of which labels others of them.
func crowd(member, first, accomplices, labels int) []*group.Peer {
	whom := make(map[int]int32)
	for k := range min(accomplices, group.MaxLabels) {
		whom[first+k] = 1
	}
	read := []*group.Peer{peer(member, 1, whom)}
	ids := make([]domain.Hash, labels)
	for k := range labels {
		ids[k] = id(first + k)
	}
	slices.SortFunc(ids, domain.Hash.Compare)
	for k := range accomplices {
		p := &group.Peer{ID: id(first + k), Version: 1}
		for _, to := range ids {
			if to != p.ID {
				p.Labels = append(p.Labels, group.Label{Peer: to, Score: 1000})
			}
		}
		read = append(read, p)
	}
	return read
}

// TestWeightMakesRoom: a member brings in what its weight makes room for, however many speak for it, and its own labels at least.
func TestWeightMakesRoom(t *testing.T) {
	s := seeds(t, 4)
	for _, weight := range []group.Weight{group.Total / 10, group.Total / 100, 20_000, 1} {
		light := *s
		light.seeds = s.seeds[:0:0] // room as a member alone
		light.group = weighed(t, s.group, weight)
		const accomplices = 1200
		g := graphOf(t, &light, cutOf(crowd(1, 100, accomplices, 1000)...))
		most := accomplices + (shareOuts+1)*int(weight/weightPerLabel)
		if labels := g.Labels(); labels > most || labels < accomplices {
			t.Errorf("%d labels behind a weight of %d, at most %d", labels, weight, most)
		}
		if got := said(g, 1); got != accomplices {
			t.Errorf("a member of weight %d is heard with %d labels", weight, got)
		}
	}
}

// TestLargest are heard first, of either sign, and ties go to the lower id.
func TestLargest(t *testing.T) {
	labels := func(scores ...int32) (out []group.Label) {
		for i, score := range scores {
			out = append(out, group.Label{Peer: domain.Hash{byte(i)}, Score: score})
		}
		return out
	}
	all := labels(5, -1000, 0, 5, 700, -5, 1000, 0)
	for most, want := range map[int][]int{-1: nil, 0: nil, 1: {1}, 2: {1, 6}, 3: {1, 4, 6}, 4: {0, 1, 4, 6}, 5: {0, 1, 3, 4, 6}, 7: {0, 1, 2, 3, 4, 5, 6}, 8: {0, 1, 2, 3, 4, 5, 6, 7}, 99: {0, 1, 2, 3, 4, 5, 6, 7}} {
		var expected []group.Label
		for _, i := range want {
			expected = append(expected, all[i])
		}
		if got := largest(all, most); !slices.Equal(got, expected) {
			t.Errorf("the %d largest are %v", most, got)
		}
	}
}

// TestConvictedAreNotHeard, and hand on no room.
func TestConvictedAreNotHeard(t *testing.T) {
	s := seeds(t, 3)
	s.convicted = map[domain.Hash]bool{id(0): true, id(5): true}
	g := graphOf(t, s, cutOf(peer(0, 1, map[int]int32{4: 1000}), peer(1, 1, map[int]int32{5: 1000, 0: 10}), peer(4, 1, map[int]int32{1: 5}), peer(5, 1, map[int]int32{4: 1, 6: 1}), peer(6, 1, map[int]int32{1: 1})))
	for i, want := range []int{0, 2, 0, 0, 0, 0, 0} {
		if got := said(g, i); got != want {
			t.Errorf("peer %d is heard with %d labels, want %d", i, got, want)
		}
	}
}

// BenchmarkJudge is what a link costs that reads what one faulty member, or a third of 64, can bring in.
func BenchmarkJudge(b *testing.B) {
	for _, c := range []struct{ faulty, accomplices, labels int }{{1, 1, 1}, {1, 256, 1000}, {1, 2048, 2000}, {21, 96, 96}} {
		b.Run(fmt.Sprintf("faulty=%d/accomplices=%d/labels=%d", c.faulty, c.accomplices, c.labels), func(b *testing.B) {
			s := seeds(b, 64)
			var read []*group.Peer
			for i := range 64 {
				if i < c.faulty {
					read = append(read, crowd(i, 1000+10_000*i, c.accomplices, c.labels)...)
				} else {
					read = append(read, peer(i, 1, map[int]int32{(i + 1) % 64: 100, (i + 7) % 64: 200, (i + 21) % 64: 300}))
				}
			}
			cut := cutOf(read...)
			for b.Loop() {
				if _, err := s.aggregate(cut); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
