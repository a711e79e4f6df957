package observation

import (
	"encoding/binary"
	"testing"

	"pgregory.net/rapid"

	"github.com/notarynet/notaryd/proto/domain"
)

// TestChainMemory: a chain of any length keeps no more than its window, and many chains no more than the
// limit.
func TestChainMemory(t *testing.T) {
	const window, limit = 10, 3
	c := NewChains(window, limit)
	for k := range byte(20) {
		var previous domain.Hash
		for height := uint64(1); height <= 100; height++ {
			h := Header{Key: domain.PublicKey{k}, Height: height, Previous: previous}
			out := c.Follow(&h, h.Hash())
			if want := map[bool]Standing{true: Extends, false: Full}[k < limit]; out.Standing != want {
				t.Fatalf("key %d, height %d: %s, want %s", k, height, out.Standing, want)
			}
			previous = h.Hash()
		}
	}
	if len(c.chains) != limit {
		t.Fatalf("%d chains", len(c.chains))
	}
	for _, ch := range c.chains {
		if len(ch.ring) != window || ch.known != window || ch.height != 100 {
			t.Fatalf("ring of %d, %d known at height %d", len(ch.ring), ch.known, ch.height)
		}
	}
}

// TestChainEpochs: the signing epochs of a key are chains of their own.
func TestChainEpochs(t *testing.T) {
	c := NewChains(4, 2)
	for epoch := range uint32(2) {
		h := Header{Key: domain.PublicKey{1}, SigningEpoch: epoch, Height: 1}
		if got := c.Follow(&h, h.Hash()); got.Standing != Extends {
			t.Fatalf("epoch %d: %s", epoch, got.Standing)
		}
	}
	if heads := c.Heads(); len(heads) != 2 || heads[0].SigningEpoch != 0 || heads[1].SigningEpoch != 1 {
		t.Fatalf("heads %+v", heads)
	}
}

// TestFarHeights: a height near the end of its range neither wraps round nor makes room for itself.
func TestFarHeights(t *testing.T) {
	c := NewChains(4, 1)
	far := Header{Height: 1<<64 - 1, Previous: domain.Hash{1}}
	if got := c.Follow(&far, far.Hash()); got != (Outcome{Standing: Gap, From: 1, To: 1<<64 - 2}) || len(c.chains) != 0 {
		t.Fatalf("%+v, %d chains", got, len(c.chains))
	}
	first := Header{Height: 1}
	c.Follow(&first, first.Hash())
	if got := c.Follow(&far, far.Hash()); got != (Outcome{Standing: Gap, From: 2, To: 1<<64 - 2}) {
		t.Fatalf("%+v", got)
	}
}

func TestChainsNeedRoom(t *testing.T) {
	for _, c := range [][2]int{{1, 1}, {2, 0}, {0, 5}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("window %d, limit %d: no panic", c[0], c[1])
				}
			}()
			NewChains(c[0], c[1])
		}()
	}
}

// TestTreeAgainstRecursion: folder, tree and the definition agree on trees of any size and leaves of any
// content; every path leads to the root and to no other place.
func TestTreeAgainstRecursion(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 300).Draw(t, "leaves")
		seed := rapid.Uint64().Draw(t, "seed")
		var all []byte
		var leaves [][]byte
		for i := range n {
			l := Leaf{Type: SubjectTx, State: Pending, TimeMS: seed + uint64(i)}.Encode()
			binary.BigEndian.PutUint64(l[:], seed*uint64(i+1))
			leaves, all = append(leaves, l[:]), append(all, l[:]...)
		}
		want := recursiveRoot(leaves)
		tree := NewTree(all)
		if RootOf(all) != want || tree.Root() != want || tree.Len() != n {
			t.Fatalf("%d leaves: folded %s, tree %s, definition %s", n, RootOf(all), tree.Root(), want)
		}
		if n == 0 {
			return
		}
		i := rapid.IntRange(0, n-1).Draw(t, "leaf")
		j := rapid.IntRange(0, n-1).Draw(t, "place")
		path := tree.Path(i)
		if got := VerifyPath(want, leaves[i], uint32(j), uint32(n), path); got != (i == j) {
			t.Fatalf("leaf %d at place %d of %d: %v", i, j, n, got)
		}
		prefix := []byte("before")
		if got := tree.AppendPath(prefix, i); string(got) != "before"+string(path) {
			t.Fatal("AppendPath does not append")
		}
	})
}

// TestEdgeByHand: an edge that was never decoded gets the checks of one that was.
func TestEdgeByHand(t *testing.T) {
	leaf := Leaf{Type: SubjectTx, State: Pending}
	b := leaf.Encode()
	key := domain.NewPrivateKey([32]byte{1})
	good := Edge{Header: Header{Key: key.Public(), Height: 1, LeafCount: 1, Root: leafHash(b[:])}, Leaf: leaf}
	sign := func(e Edge) Edge {
		e.Signature = domain.Sign(key, domain.TagObservation, e.Header.Network, e.Header.Hash())
		return e
	}
	e := sign(good)
	if err := e.check(); err != nil {
		t.Fatal(err)
	}
	for field, change := range map[string]func(*Edge){
		"header.height": func(e *Edge) { e.Header.Height = 0 },
		"leaf.state":    func(e *Edge) { e.Leaf.State = 0 },
		"path":          func(e *Edge) { e.LeafIndex = 1 },
	} {
		e := good
		change(&e)
		e = sign(e)
		if err := e.check(); fieldOf(err) != field {
			t.Errorf("%v, want a refusal at %s", err, field)
		}
	}
	e = good
	if err := e.check(); fieldOf(err) != "signature" {
		t.Errorf("%v, want a refusal at signature", err)
	}
}
