package observation_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/notarynet/notaryd/observation"
	kit "github.com/notarynet/notaryd/observation/observationtest"
	"github.com/notarynet/notaryd/proto/domain"
)

// TestPieces: every leaf stands once, those that may come first before all others, the order of the others is kept, and no
// observation holds more than it may. Few share one; none are an empty one.
func TestPieces(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		first, later := make([]observation.Leaf, rapid.IntRange(0, 200).Draw(t, "first")), make([]observation.Leaf, rapid.IntRange(0, 200).Draw(t, "later"))
		for i := range first {
			first[i] = kit.Vote(domain.Hash{1, byte(i)}, observation.Pending, 0, 1)
			if i%7 == 0 {
				first[i].Type, first[i].State = observation.SubjectObservation, observation.Seen
			}
		}
		for i := range later {
			later[i] = kit.Vote(domain.Hash{2, byte(i)}, observation.Accepted, 0, 1)
			if i%5 == 0 {
				later[i].State, later[i].Round = observation.Pending, 1
			}
		}
		want := slices.Concat(first, later)
		piece, most := rapid.IntRange(1, 64).Draw(t, "piece"), rapid.IntRange(1, 100).Draw(t, "most")
		var row observation.Row
		row.Add(kit.Vote(domain.Hash{3}, observation.Pending, 0, 1))
		row.Reset()
		for a, b := first, later; len(a)+len(b) > 0; {
			from := &a
			if len(a) == 0 || len(b) > 0 && rapid.Bool().Draw(t, "later") {
				from = &b
			}
			row.Add((*from)[0])
			*from = (*from)[1:]
		}
		if row.Len() != len(want) || row.First() != len(first) {
			t.Fatalf("%d leaves, %d first", row.Len(), row.First())
		}
		pieces := row.Pieces(piece, most)
		if got := slices.Concat(pieces...); !slices.Equal(got, want) {
			t.Fatalf("%d leaves of %d, or in another order", len(got), len(want))
		}
		if len(want) <= min(piece, most) && len(pieces) != 1 {
			t.Fatalf("%d observations of %d leaves", len(pieces), len(want))
		}
		for _, p := range pieces {
			accepted := slices.ContainsFunc(p, func(l observation.Leaf) bool { return l.State == observation.Accepted || l.Round > 0 })
			if len(p) > most || accepted && len(p) > piece || len(p) == 0 && len(want) > 0 {
				t.Fatalf("an observation of %d leaves, with later ones: %v; %d and %d are the most", len(p), accepted, most, piece)
			}
		}
	})
}

// TestPieceLeaves: a power of two, of which the others of a large group hear no more for each transaction than those of one of 20.
func TestPieceLeaves(t *testing.T) {
	for voters, want := range map[int]int{1: 64, 4: 64, 7: 64, 8: 32, 20: 32, 21: 64, 25: 64, 50: 128, 100: 256, 1000: 2048} {
		if got := observation.PieceLeaves(voters); got != want {
			t.Errorf("%d voters: %d leaves, want %d", voters, got, want)
		}
	}
}
