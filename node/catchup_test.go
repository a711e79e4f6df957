package node

import (
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/notarynet/notaryd/node/gossip"
	"github.com/notarynet/notaryd/observation"
	kit "github.com/notarynet/notaryd/observation/observationtest"
	"github.com/notarynet/notaryd/proto/domain"
)

// TestCompareHeads: tails that are missing and heads that contradict are pulled from who claims them; nothing
// else is.
func TestCompareHeads(t *testing.T) {
	c := newCourt(t)
	sh := c.sh
	sh.fetcher = newFetcher(nil, slog.New(slog.DiscardHandler))
	claimant := kit.Key(60).Public()
	liar, honest, silent := c.net.Signers[1], c.net.Signers[2], c.net.Signers[3]
	twin := *liar
	first := liar.Observe(c.net.Group, kit.StartMS)
	other := twin.Observe(c.net.Group, kit.StartMS+1)
	known := honest.Observe(c.net.Group, kit.StartMS)
	if err := sh.store.SaveObservations([]*observation.Observation{first, known}); err != nil {
		t.Fatal(err)
	}
	head := func(h observation.Head) gossip.Head {
		return gossip.Head{Key: h.Key, SigningEpoch: h.SigningEpoch, Height: h.Height, Hash: h.Hash}
	}
	stranger := kit.Key(61).Public()
	claim := []gossip.Head{
		head(other.Head()), head(known.Head()),
		{Key: silent.Head.Key, SigningEpoch: 1, Height: 7},
		{Key: silent.Head.Key, SigningEpoch: 1, Height: 1 << 60}, // twice in one answer
		{Key: sh.self, SigningEpoch: 1, Height: 9},
		{Key: stranger, SigningEpoch: 1, Height: 9},
		{Key: c.net.Signers[0].Head.Key, SigningEpoch: 2, Height: 9},
	}
	take := func() (list []rangeWanted) {
		for {
			select {
			case r := <-sh.fetcher.ranges:
				list = append(list, r)
			default:
				return list
			}
		}
	}
	want := []rangeWanted{
		{chain: first.Header.Chain(), from: 1, to: 1, claimant: claimant, fork: true},
		{chain: observation.ChainID{Key: silent.Head.Key, SigningEpoch: 1}, from: 1, to: 7, claimant: claimant},
	}
	// What its own key is said to have signed, and is not on record, this node wants to see.
	want = append(want, rangeWanted{chain: observation.ChainID{Key: sh.self, SigningEpoch: 1}, from: 9, to: 9, claimant: claimant, fork: true})
	sh.compareHeads(claimant, claim)
	if got := take(); !slices.Equal(got, want) {
		t.Fatalf("pulled %+v", got)
	}
	// The other side of the fork is known then; and a head below is not missing anything.
	if err := sh.store.SaveObservations([]*observation.Observation{other, honest.Observe(c.net.Group, kit.StartMS)}); err != nil {
		t.Fatal(err)
	}
	sh.compareHeads(claimant, claim[:2])
	if got := take(); len(got) != 0 {
		t.Fatalf("pulled %+v", got)
	}
}

func TestStallWatch(t *testing.T) {
	var s stallWatch
	now := time.Unix(1e9, 0)
	for i, step := range []struct {
		after time.Duration
		round uint32
		any   bool
		want  bool
	}{
		{0, 0, false, false},
		{0, 3, true, true},
		{time.Second, 3, true, false}, // the same round
		{time.Second, 4, true, true},
		{time.Second, 2, true, false}, // another contest, in a lower one
		{stallAge, 4, true, true},     // for too long
		{time.Second, 0, false, false},
		{time.Second, 0, true, true}, // stalled anew, in round 0
	} {
		now = now.Add(step.after)
		if got := s.asks(step.round, step.any, now); got != step.want {
			t.Errorf("step %d: %v", i, got)
		}
	}
}

// TestSpacing: one peer is not asked twice within a second, and nothing is remembered for long.
func TestSpacing(t *testing.T) {
	c := newCatchup(nil, slog.New(slog.DiscardHandler))
	now := time.Unix(1e9, 0)
	for i := range 100 {
		if !c.mayAsk(kit.Key(i).Public(), now) || c.mayAsk(kit.Key(i).Public(), now.Add(headsSpacing/2)) {
			t.Fatalf("peer %d", i)
		}
	}
	if !c.mayAsk(kit.Key(0).Public(), now.Add(headsSpacing)) || len(c.asked) != 1 {
		t.Errorf("%d peers remembered", len(c.asked))
	}
}

// TestOneRangeOfAChainAtATime: what is asked for during a pull is asked for after it, where it is still missing.
func TestOneRangeOfAChainAtATime(t *testing.T) {
	f := newFetcher(nil, slog.New(slog.DiscardHandler))
	height := uint64(0)
	f.head = func(observation.ChainID) uint64 { return height }
	chain := func(i int) observation.ChainID { return observation.ChainID{Key: kit.Key(i).Public()} }
	if !f.begin(rangeWanted{chain: chain(0), from: 1, to: 5}) || !f.begin(rangeWanted{chain: chain(1), from: 1, to: 5}) {
		t.Fatal("chains that nobody pulls")
	}
	for _, to := range []uint64{5, 9, 7} {
		if f.begin(rangeWanted{chain: chain(0), from: 1, to: to, claimant: domain.PublicKey{byte(to)}}) {
			t.Fatal("pulled twice at once")
		}
	}
	height = 5
	f.end(chain(0))
	select {
	case r := <-f.ranges:
		if r.to != 9 || r.claimant != (domain.PublicKey{9}) {
			t.Errorf("asks for %+v", r)
		}
	default:
		t.Error("what was asked for meanwhile is forgotten")
	}
	f.begin(rangeWanted{chain: chain(0), from: 6, to: 9})
	f.begin(rangeWanted{chain: chain(0), from: 6, to: 9})
	height = 9
	f.end(chain(0))
	f.end(chain(1))
	if len(f.ranges) != 0 || len(f.pulling) != 0 {
		t.Errorf("%d ranges, %d pulls left", len(f.ranges), len(f.pulling))
	}
}
