package observation_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/notarynet/notaryd/observation"
	kit "github.com/notarynet/notaryd/observation/observationtest"
	"github.com/notarynet/notaryd/proto/domain"
)

// chainOf signs n observations in a row; salt makes branches differ.
func chainOf(net *kit.Network, s kit.Signer, salt uint64, n int) []*observation.Observation {
	var out []*observation.Observation
	for range n {
		out = append(out, s.Observe(net.Group, salt))
	}
	return out
}

func follow(c *observation.Chains, o *observation.Observation) observation.Outcome {
	return c.Follow(&o.Header, o.Hash)
}

func TestChainsFollow(t *testing.T) {
	net := kit.New("test", kit.Equal(4)...)
	main := chainOf(net, *net.Signers[0], 1, 12)
	fork := *net.Signers[0]
	fork.Head = main[7].Head()
	branch := chainOf(net, fork, 2, 4) // heights 9 to 12
	other := chainOf(net, *net.Signers[1], 1, 3)

	c := observation.NewChains(4, 1)
	want := func(name string, o *observation.Observation, want observation.Outcome) {
		t.Helper()
		if got := follow(c, o); got != want {
			t.Fatalf("%s: %+v, want %+v", name, got, want)
		}
	}
	want("not the first", main[2], observation.Outcome{Standing: observation.Gap, From: 1, To: 2})
	want("first", main[0], observation.Outcome{Standing: observation.Extends})
	want("no room", other[0], observation.Outcome{Standing: observation.Full})
	want("again", main[0], observation.Outcome{Standing: observation.Duplicate})
	want("ahead", main[3], observation.Outcome{Standing: observation.Gap, From: 2, To: 3})
	for _, o := range main[1:9] {
		want("next", o, observation.Outcome{Standing: observation.Extends})
	}
	// The head is at 9; the window holds 6 to 9.
	want("lowest known", main[5], observation.Outcome{Standing: observation.Duplicate})
	want("below the window", main[4], observation.Outcome{Standing: observation.TooOld})
	want("second at 9", branch[0], observation.Outcome{Standing: observation.Fork, Height: 9, Known: main[8].Hash, Other: branch[0].Hash})
	want("branch grows", branch[1], observation.Outcome{Standing: observation.Fork, Height: 9, Known: main[8].Hash, Other: branch[0].Hash})
	want("and is followed", branch[2], observation.Outcome{Standing: observation.Extends})
	want("the old branch", main[9], observation.Outcome{Standing: observation.Fork, Height: 10, Known: branch[1].Hash, Other: main[9].Hash})
	if heads := c.Heads(); len(heads) != 1 || heads[0] != branch[2].Head() {
		t.Fatalf("heads %+v", heads)
	}
	c.Forget(main[0].Header.Chain())
	want("room again", other[0], observation.Outcome{Standing: observation.Extends})
	if _, ok := c.Head(main[0].Header.Chain()); ok {
		t.Fatal("a forgotten chain has a head")
	}
}

func TestChainsResume(t *testing.T) {
	net := kit.New("test", kit.Equal(4)...)
	chain := chainOf(net, *net.Signers[0], 1, 20)
	c := observation.NewChains(16, 1)
	if !c.Resume(chain[9].Head()) {
		t.Fatal("no room")
	}
	if c.Resume(net.Signers[1].Head) {
		t.Fatal("room where there is none")
	}
	for name, x := range map[string]struct {
		at   int
		want observation.Standing
	}{"head": {9, observation.Duplicate}, "before": {8, observation.TooOld}, "far": {12, observation.Gap}} {
		if got := follow(c, chain[x.at]); got.Standing != x.want {
			t.Errorf("%s: %s, want %s", name, got.Standing, x.want)
		}
	}
	for _, o := range chain[10:] {
		if got := follow(c, o); got.Standing != observation.Extends {
			t.Fatalf("height %d: %s", o.Header.Height, got.Standing)
		}
	}
	if head, ok := c.Head(chain[0].Header.Chain()); !ok || head != chain[19].Head() {
		t.Fatalf("head %+v", head)
	}
}

// TestChainsAgainstTwin: in any order, as long as what is missing is offered again, a chain without forks
// ends at its last link; every standing is what a plain map of the window says.
func TestChainsAgainstTwin(t *testing.T) {
	net := kit.New("test", kit.Equal(1)...)
	chain := chainOf(net, *net.Signers[0], 1, 40)
	fork := *net.Signers[0]
	fork.Head = chain[4].Head()
	branch := chainOf(net, fork, 2, 35)
	rapid.Check(t, func(t *rapid.T) {
		window := rapid.IntRange(2, 20).Draw(t, "window")
		c := observation.NewChains(window, 3)
		known := map[uint64]domain.Hash{}
		var head uint64
		for range rapid.IntRange(1, 120).Draw(t, "offers") {
			at := min(39, int(head)+rapid.IntRange(-window-2, 3).Draw(t, "at"))
			at = max(0, at)
			o := chain[at]
			if at >= 5 && rapid.IntRange(0, 9).Draw(t, "branch") == 0 {
				o = branch[at-5]
			}
			h := o.Header.Height
			want := observation.Outcome{Standing: observation.Duplicate}
			hash, remembered := known[h]
			switch {
			case h > head+1:
				want = observation.Outcome{Standing: observation.Gap, From: head + 1, To: h - 1}
			case h == head+1:
				want.Standing = observation.Extends
				if head > 0 && known[head] != o.Header.Previous {
					want = observation.Outcome{Standing: observation.Fork, Height: head, Known: known[head], Other: o.Header.Previous}
				}
				known[h], head = o.Hash, h
				if head > uint64(window) {
					delete(known, head-uint64(window))
				}
			case !remembered:
				want.Standing = observation.TooOld
			case hash != o.Hash:
				want = observation.Outcome{Standing: observation.Fork, Height: h, Known: hash, Other: o.Hash}
			}
			if got := follow(c, o); got != want {
				t.Fatalf("height %d at head %d: %+v, want %+v", h, head, got, want)
			}
		}
	})
}

func TestChainsOfManyKeys(t *testing.T) {
	net := kit.New("test", kit.Equal(7)...)
	c := observation.NewChains(4, 100)
	for i, s := range net.Signers {
		for _, o := range chainOf(net, *s, 1, i+1) {
			if got := follow(c, o); got.Standing != observation.Extends {
				t.Fatal(got.Standing)
			}
		}
	}
	heads := c.Heads()
	for i, h := range heads {
		if h.Key != net.Group.Voters()[i].Key || h.Height != uint64(i+1) {
			t.Fatalf("head %d: %+v", i, h)
		}
	}
	if len(heads) != 7 {
		t.Fatalf("%d heads", len(heads))
	}
}

func TestStandingNames(t *testing.T) {
	names := map[observation.Standing]string{
		0: "none", observation.Extends: "extends", observation.Duplicate: "duplicate", observation.Gap: "gap",
		observation.Fork: "fork", observation.TooOld: "too old", observation.Full: "full", 99: "unknown",
	}
	for s, want := range names {
		if s.String() != want {
			t.Errorf("%d is %q, want %q", s, s, want)
		}
	}
}
