package trust

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
)

// drawGroup draws up to most of the first peers with weights that sum to 1e9.
func drawGroup(t *rapid.T, name string, among, most int) []Share {
	var out []Share
	for _, i := range rapid.SliceOfNDistinct(rapid.IntRange(0, among-1), 1, most, rapid.ID[int]).Draw(t, name) {
		w := rapid.OneOf(rapid.Uint64Range(1, 10), rapid.Uint64Range(1, 1e9)).Draw(t, name+" weight")
		out = append(out, Share{peer(i), group.Weight(w)})
	}
	slices.SortFunc(out, byPeer)
	return scaled(out)
}

func TestStepIsBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		old, target := drawGroup(t, "old", 12, 8), drawGroup(t, "target", 12, 8)
		limit := group.Weight(rapid.Uint64Range(0, 1e9).Draw(t, "limit"))
		got := Step(old, target, limit, 20)
		way := Distance(old, target)
		if sumOf(got) != group.Total || Distance(old, got) != min(limit, way) {
			t.Fatalf("sum %d, moved %d of %d, limit %d", sumOf(got), Distance(old, got), way, limit)
		}
		if way <= limit && !slices.Equal(got, target) {
			t.Fatalf("got %v, want the target %v", got, target)
		}
		for _, m := range moves(old, target) { // nobody moves the wrong way or too far
			at := Behind(got, []domain.Hash{m.peer})
			if at < min(m.from, m.to) || at > max(m.from, m.to) {
				t.Fatalf("%d lies not between %d and %d", at, m.from, m.to)
			}
		}
	})
}

func TestStepKeepsGroupsSmall(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		most := rapid.IntRange(1, 6).Draw(t, "most")
		now := drawGroup(t, "old", 12, most)
		target := drawGroup(t, "target", 12, most)
		limit := group.Weight(rapid.Uint64Range(1e6, 3e8).Draw(t, "limit"))
		for range 400 {
			next := Step(now, target, limit, most)
			if len(next) > most || sumOf(next) != group.Total || Distance(now, next) > limit {
				t.Fatalf("%d peers, sum %d, moved %d", len(next), sumOf(next), Distance(now, next))
			}
			now = next
		}
	})
}

// Places do come free: a full group whose members have all lost their standing is replaced in the end.
func TestStepReplacesAFullGroup(t *testing.T) {
	var old, target []Share
	for i := range 10 {
		old = append(old, Share{peer(i), 1})
		target = append(target, Share{peer(100 + i), 1})
	}
	slices.SortFunc(old, byPeer)
	slices.SortFunc(target, byPeer)
	now, want := scaled(old), scaled(target)
	for range 1000 {
		now = Step(now, want, DefaultStep, 10)
	}
	if d := Distance(now, want); d != 0 {
		t.Errorf("still %d away", d)
	}
}

func TestRemoveOnlyRemoves(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		old := drawGroup(t, "old", 12, 8)
		convicted := []domain.Hash{old[0].Peer, peer("stranger")}
		got := Remove(old, convicted)
		if len(old) == 1 {
			if len(got) != 0 {
				t.Fatalf("got %v", got)
			}
			return
		}
		if sumOf(got) != group.Total || has(got, old[0].Peer) || len(got) > len(old)-1 {
			t.Fatalf("got %v from %v", got, old)
		}
		left := group.Total - old[0].Weight
		for _, s := range got {
			was := Behind(old, []domain.Hash{s.Peer})
			if want := float64(was) / float64(left) * 1e9; math.Abs(want-float64(s.Weight)) > 1.001 {
				t.Fatalf("%d of %d became %d", was, left, s.Weight)
			}
		}
	})
}

func TestElect(t *testing.T) {
	weights := []Share{{peer(1), 500}, {peer(2), 300}, {peer(3), 150}, {peer(4), 50}}
	got := Elect(weights, func(id domain.Hash) bool { return id != peer(2) }, 2)
	if len(got) != 2 || sumOf(got) != group.Total || !has(got, peer(1)) || !has(got, peer(3)) {
		t.Errorf("got %v", got)
	}
	if none := Elect(weights, func(domain.Hash) bool { return false }, 5); len(none) != 0 {
		t.Errorf("got %v", none)
	}
}

func TestApportionAgainstTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var weights []group.Weight
		for range rapid.IntRange(1, 8).Draw(t, "count") {
			weights = append(weights, group.Weight(rapid.Uint64Range(0, 1e9/8).Draw(t, "weight")))
		}
		weights[0]++
		total := group.Weight(rapid.Uint64Range(0, 1e9).Draw(t, "total"))
		got := apportion(weights, total)
		var sum, all group.Weight
		for i, w := range weights {
			sum += got[i]
			all += w
		}
		for i, w := range weights {
			exact := float64(w) * float64(total) / float64(all)
			if math.Abs(float64(got[i])-exact) > 1.0001 {
				t.Fatalf("%d is %v, got %d", i, exact, got[i])
			}
			for j, v := range weights { // whoever got a unit more has no smaller fraction than who did not
				up := got[i] > w*total/all
				if more := v * total % all; up && got[j] == v*total/all && more > w*total%all {
					t.Fatalf("%d was rounded up before %d", i, j)
				}
			}
		}
		if sum != total {
			t.Fatalf("sum %d, want %d", sum, total)
		}
	})
}

func TestQuantise(t *testing.T) {
	ids := []domain.Hash{{1}, {2}, {3}, {4}}
	for _, c := range []struct {
		name  string
		share []float64
		want  []group.Weight
	}{
		{"ties go to the lower id", []float64{1, 1, 1, 0}, []group.Weight{333333334, 333333333, 333333333}},
		{"need not sum to 1", []float64{3, 1, 0, 0}, []group.Weight{750000000, 250000000}},
		{"too small for a unit", []float64{1, 1e-12, 0, 0}, []group.Weight{1000000000}},
		{"all alone", []float64{0, 0, 0.1, 0}, []group.Weight{1000000000}},
		{"halves of a unit", []float64{0.5, 0.4999999995, 0.0000000005, 0}, []group.Weight{500000000, 500000000}},
	} {
		got := quantise(ids, c.share)
		var weights []group.Weight
		for _, s := range got {
			weights = append(weights, s.Weight)
		}
		if !slices.Equal(weights, c.want) {
			t.Errorf("%s: %v, want %v", c.name, weights, c.want)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("nothing was shared out")
		}
	}()
	quantise(ids, make([]float64, 4))
}
