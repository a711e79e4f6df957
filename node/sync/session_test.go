package sync

import (
	"errors"
	"math"
	"math/bits"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/notarynet/notaryd/proto/domain"
)

// drawPair draws the sets of two nodes, which have most in common.
func drawPair(t *rapid.T) (asker, peer *memory) {
	common := drawIDs(t, 2000, "common")
	here, there := drawIDs(t, 60, "here"), drawIDs(t, 60, "there")
	table := rapid.Bool().Draw(t, "table")
	if rapid.IntRange(0, 9).Draw(t, "new") == 0 {
		common, here = nil, nil
	}
	return newMemory(append(slices.Clone(common), here...), table),
		newMemory(append(slices.Clone(common), there...), rapid.Bool().Draw(t, "peer's table"))
}

// TestMissingIsExact: a session finds what the peer has and the asker lacks, all of it and each id once, within
// any limits that leave it the rounds.
func TestMissingIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		asker, peer := drawPair(t)
		limits := Limits{Rounds: math.MaxInt, Bytes: math.MaxInt}
		limits.Ranges = rapid.IntRange(Fanout, 300).Draw(t, "ranges")
		limits.Leaf = rapid.IntRange(1, 80).Draw(t, "leaf")
		limits.IDs = limits.Leaf + rapid.IntRange(0, 1000).Draw(t, "ids")
		missing, s, err := reconcile(asker, peer, limits)
		if err != nil {
			t.Fatal(err)
		}
		slices.SortFunc(missing, domain.Hash.Compare)
		if want := peer.minus(asker); !slices.Equal(missing, want) {
			t.Fatalf("%d missing, want %d", len(missing), len(want))
		}
		st := s.Stats()
		if !s.Done() || st.Missing != uint64(len(missing)) {
			t.Fatalf("done %v, %+v", s.Done(), st)
		}
		if extra := uint64(len(asker.minus(peer))); st.Extra > extra {
			t.Fatalf("%d extra, and there are %d", st.Extra, extra)
		}
	})
}

// TestRoundsAreLogarithmic: where messages have room, a session over n hashed ids takes no more rounds than
// ids have hexadecimal digits that tell them apart, and two; and bytes in proportion to the differences.
func TestRoundsAreLogarithmic(t *testing.T) {
	limits := Limits{Ranges: math.MaxInt, IDs: math.MaxInt, Leaf: 64, Rounds: math.MaxInt, Bytes: math.MaxInt}
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 50_000).Draw(t, "n")
		d := rapid.IntRange(0, min(n, 50)).Draw(t, "differences")
		kind := rapid.Uint64().Draw(t, "kind")
		ids := make([]domain.Hash, n)
		for i := range ids {
			ids[i] = hashed(kind, uint64(i))
		}
		peer, asker := newMemory(ids, true), newMemory(ids[d:], true)
		missing, s, err := reconcile(asker, peer, limits)
		if err != nil || len(missing) != d {
			t.Fatalf("%d missing of %d: %v", len(missing), d, err)
		}
		levels := (bits.Len(uint(n)) + 3) / 4
		st := s.Stats()
		if st.Rounds > levels+2 {
			t.Fatalf("%d rounds for %d ids", st.Rounds, n)
		}
		r := Range{}
		if most := r.Size() + d*(levels+1)*(Fanout+1)*r.Size() + d*limits.Leaf*domain.Size; st.Bytes > most {
			t.Fatalf("%d bytes for %d of %d ids, more than %d", st.Bytes, d, n, most)
		}
	})
}

// TestEqualSetsTakeOneRound: nothing to find costs one range, and no id.
func TestEqualSetsTakeOneRound(t *testing.T) {
	for _, n := range []int{0, 1, 10_000} {
		ids := make([]domain.Hash, n)
		for i := range ids {
			ids[i] = hashed(1, uint64(i))
		}
		set := newMemory(ids, true)
		_, s, err := reconcile(set, set, DefaultLimits)
		r := Range{}
		if st := s.Stats(); err != nil || st != (Stats{Rounds: 1, Bytes: r.Size()}) {
			t.Errorf("%d ids: %+v, %v", n, st, err)
		}
	}
}

// TestExtraIsCounted: in what the peer lists, the asker counts what only it has, also where that is far more
// than the peer has; and it does not read all that.
func TestExtraIsCounted(t *testing.T) {
	ids := make([]domain.Hash, 5000)
	for i := range ids {
		ids[i] = hashed(2, uint64(i))
	}
	asker, peer := newMemory(ids[1:], true), newMemory(ids[:20], true)
	missing, s, err := reconcile(asker, peer, DefaultLimits)
	if err != nil || len(missing) != 1 || missing[0] != ids[0] {
		t.Fatalf("%v missing, %v", missing, err)
	}
	if st := s.Stats(); st.Extra != 5000-20 || st.Rounds != 1 || asker.reads > 30 {
		t.Errorf("%+v, %d reads", st, asker.reads)
	}
}

// TestSetsGrowMeanwhile: ids that come in during a session, at the one side and the other, make no error,
// and all that was missing from the start is found or has come.
func TestSetsGrowMeanwhile(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		asker, peer := drawPair(t)
		asker, peer = newMemory(asker.ids, false), newMemory(peer.ids, false)
		want := peer.minus(asker)
		limits := Limits{Ranges: 32, IDs: 64, Leaf: 8, Rounds: math.MaxInt, Bytes: math.MaxInt}
		s, found := NewSession(asker, limits), []domain.Hash{}
		for n := uint64(0); ; n++ {
			asked, err := s.Next()
			if err != nil {
				t.Fatal(err)
			}
			if len(asked) == 0 {
				break
			}
			if n < 100 {
				peer = newMemory(append(peer.ids, hashed(3, n)), false)
			}
			reply, err := Answer(peer, asked, limits)
			if err != nil {
				t.Fatal(err)
			}
			if n < 100 {
				asker.ids = newMemory(append(asker.ids, hashed(3, n/2), hashed(4, n)), false).ids
			}
			missing, err := s.Take(reply)
			if err != nil {
				t.Fatal(err)
			}
			found = append(found, missing...)
			if rapid.Bool().Draw(t, "fetched") {
				asker.ids = newMemory(append(asker.ids, missing...), false).ids
			}
		}
		slices.SortFunc(found, domain.Hash.Compare)
		if len(slices.Compact(slices.Clone(found))) != len(found) {
			t.Fatal("an id was found twice")
		}
		for _, id := range want {
			_, ok := slices.BinarySearchFunc(found, id, domain.Hash.Compare)
			if !ok && len(asker.within(one(id))) == 0 {
				t.Fatalf("%v was not found", id)
			}
		}
	})
}

// TestSpentSessionsGoOn: what is too much for a session's rounds or bytes is found by the next ones, once what
// was found is fetched.
func TestSpentSessionsGoOn(t *testing.T) {
	ids := make([]domain.Hash, 20_000)
	for i := range ids {
		ids[i] = hashed(5, uint64(i))
	}
	peer, have := newMemory(ids, true), []domain.Hash{}
	for _, limits := range []Limits{
		{Ranges: 256, IDs: 4096, Leaf: 64, Rounds: 10, Bytes: 1 << 30},
		{Ranges: 256, IDs: 4096, Leaf: 64, Rounds: 1000, Bytes: 200_000},
	} {
		for sessions := 1; ; sessions++ {
			missing, s, err := reconcile(newMemory(have, true), peer, limits)
			have = append(have, missing...)
			message := limits.Ranges*89 + limits.IDs*domain.Size
			if st := s.Stats(); st.Rounds > limits.Rounds || st.Bytes > limits.Bytes+2*message {
				t.Fatalf("%+v", st)
			}
			if err == nil {
				t.Logf("%d sessions of %d rounds and %d bytes", sessions, limits.Rounds, limits.Bytes)
				break
			}
			if !errors.Is(err, ErrSpent) || len(missing) == 0 || sessions > 100 {
				t.Fatalf("%d missing in session %d: %v", len(missing), sessions, err)
			}
			if _, err := s.Next(); !errors.Is(err, ErrSpent) {
				t.Fatal("a spent session goes on")
			}
		}
		if len(have) != len(ids) {
			t.Fatalf("%d ids of %d", len(have), len(ids))
		}
		have = nil
	}
}

// TestLostReply: a request whose reply does not come is made again, the same, and costs a round.
func TestLostReply(t *testing.T) {
	peer := newMemory([]domain.Hash{hashed(6, 0)}, false)
	s := NewSession(newMemory(nil, false), Limits{Ranges: 16, IDs: 16, Leaf: 16, Rounds: 3, Bytes: 1000})
	for range 3 {
		if asked, err := s.Next(); err != nil || len(asked) != 1 || asked[0].Bounds != (Bounds{}) {
			t.Fatalf("%v, %v", asked, err)
		}
	}
	asked := []Range{{Digest: Fingerprint{}.Digest()}}
	reply, err := Answer(peer, asked, DefaultLimits)
	if err != nil {
		t.Fatal(err)
	}
	if missing, err := s.Take(reply); err != nil || len(missing) != 1 {
		t.Fatalf("%v, %v", missing, err)
	}
	if asked, err := s.Next(); err != nil || asked != nil || !s.Done() {
		t.Fatalf("%v, %v", asked, err)
	}
}

// growing is a Set in which ids come in after each fingerprint.
type growing struct {
	*memory
	more []domain.Hash
}

func (g *growing) Fingerprint(b Bounds) (Fingerprint, error) {
	f, err := g.memory.Fingerprint(b)
	g.memory = newMemory(append(g.ids, g.more...), false)
	return f, err
}

// TestListsAreWhole: where more ids come in than fit a list while it is made, none is cut off: the range is
// split.
func TestListsAreWhole(t *testing.T) {
	var more []domain.Hash
	for i := range 100 {
		more = append(more, hashed(13, uint64(i)))
	}
	peer := &growing{newMemory(more[:1], false), more}
	missing, _, err := reconcile(newMemory(nil, false), peer, DefaultLimits)
	if err != nil || len(missing) != 100 {
		t.Fatalf("%d missing, %v", len(missing), err)
	}
}
