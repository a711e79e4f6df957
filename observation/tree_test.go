package observation

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"testing"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/merkle/testonly"
	"pgregory.net/rapid"

	"github.com/notarynet/notaryd/proto/domain"
)

// someLeaves makes n leaves of 47 bytes that differ.
func someLeaves(n int) []byte {
	b := make([]byte, 0, n*LeafSize)
	for i := range n {
		b = Leaf{Subject: sha256.Sum256(fmt.Append(nil, i)), Type: SubjectTx, State: Pending, TimeMS: uint64(i)}.AppendTo(b)
	}
	return b
}

// twin builds the tree of another author over the same leaves.
func twin(leaves []byte) *testonly.Tree {
	t := testonly.New(rfc6962.DefaultHasher)
	for ; len(leaves) > 0; leaves = leaves[LeafSize:] {
		t.AppendData(leaves[:LeafSize])
	}
	return t
}

// recursiveRoot is the definition of RFC 6962 section 2.1, word for word.
func recursiveRoot(leaves [][]byte) domain.Hash {
	switch n := len(leaves); n {
	case 0:
		return sha256.Sum256(nil)
	case 1:
		return sha256.Sum256(append([]byte{0}, leaves[0]...))
	default:
		k := 1
		for 2*k < n {
			k *= 2
		}
		left, right := recursiveRoot(leaves[:k]), recursiveRoot(leaves[k:])
		return sha256.Sum256(append(append([]byte{1}, left[:]...), right[:]...))
	}
}

// TestTreeRFC6962 uses the well-known vectors of Certificate Transparency, whose leaves are of many sizes.
func TestTreeRFC6962(t *testing.T) {
	var leaves [][]byte
	for _, s := range []string{"", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"} {
		b, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		leaves = append(leaves, b)
	}
	roots := []string{
		"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
		"6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
		"fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
		"aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
		"d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
		"4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
		"76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
		"ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
		"5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
	}
	for n, want := range roots {
		var f folder
		nodes := make([]domain.Hash, treeNodes(n))
		for i, l := range leaves[:n] {
			f.push(leafHash(l))
			nodes[i] = leafHash(l)
		}
		if got := f.root().String(); got != want {
			t.Errorf("folded root of %d: %s, want %s", n, got, want)
		}
		if got := treeIn(nodes, n).Root().String(); got != want {
			t.Errorf("tree root of %d: %s, want %s", n, got, want)
		}
		if got := recursiveRoot(leaves[:n]).String(); got != want {
			t.Errorf("recursive root of %d: %s, want %s", n, got, want)
		}
	}
}

// TestTreePathsRFC6962 holds the audit paths of the example tree of RFC 6962 section 2.1.3.
func TestTreePathsRFC6962(t *testing.T) {
	leaves := someLeaves(7)
	tree := NewTree(leaves)
	h := func(parts ...domain.Hash) domain.Hash {
		for len(parts) > 1 {
			parts = append([]domain.Hash{nodeHash(&parts[0], &parts[1])}, parts[2:]...)
		}
		return parts[0]
	}
	l := tree.levels[0]
	a, b, c, d, e, f, j := l[0], l[1], l[2], l[3], l[4], l[5], l[6]
	g, hh, i := h(a, b), h(c, d), h(e, f)
	k, m := h(g, hh), h(i, j)
	for leaf, want := range map[int][]domain.Hash{0: {b, hh, m}, 3: {c, g, m}, 4: {f, j, k}, 6: {i, k}} {
		var path []byte
		for _, n := range want {
			path = append(path, n[:]...)
		}
		if got := tree.Path(leaf); !bytes.Equal(got, path) {
			t.Errorf("path of leaf %d: %x, want %x", leaf, got, path)
		}
	}
}

func TestTreeAgainstTwin(t *testing.T) {
	sizes := []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 17, 31, 33, 64, 100, 127, 129, 255, 257, 1000}
	for _, n := range sizes {
		leaves := someLeaves(n)
		tree, other := NewTree(leaves), twin(leaves)
		if got, want := tree.Root(), other.Hash(); !bytes.Equal(got[:], want) {
			t.Fatalf("%d leaves: root %s, twin %x", n, got, want)
		}
		if got := RootOf(leaves); got != tree.Root() {
			t.Fatalf("%d leaves: folded root %s, tree %s", n, got, tree.Root())
		}
		for i := range n {
			path := tree.Path(i)
			want, err := other.InclusionProof(uint64(i), uint64(n))
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(path, bytes.Join(want, nil)) {
				t.Fatalf("leaf %d of %d: paths differ", i, n)
			}
			if !VerifyPath(tree.Root(), leaves[i*LeafSize:(i+1)*LeafSize], uint32(i), uint32(n), path) {
				t.Fatalf("leaf %d of %d: path refused", i, n)
			}
		}
	}
}

// TestVerifyPathAgainstTwin changes paths, places and sizes at random: both must say the same.
func TestVerifyPathAgainstTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 70).Draw(t, "leaves")
		leaves := someLeaves(n)
		tree := NewTree(leaves)
		i := rapid.IntRange(0, n-1).Draw(t, "leaf")
		leaf := leaves[i*LeafSize : (i+1)*LeafSize]
		path := tree.Path(i)
		index, count, root := uint64(i), uint64(n), tree.Root()
		switch rapid.IntRange(0, 5).Draw(t, "change") {
		case 0:
			index = rapid.Uint64Range(0, 80).Draw(t, "index")
		case 1:
			count = rapid.Uint64Range(0, 80).Draw(t, "count")
		case 2:
			path = path[:len(path)-min(len(path), 32*rapid.IntRange(0, 3).Draw(t, "cut"))]
		case 3:
			path = append(path, tree.levels[0][0][:]...)
		case 4:
			if len(path) > 0 {
				path[rapid.IntRange(0, len(path)-1).Draw(t, "byte")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
			}
		}
		var nodes [][]byte
		for p := path; len(p) > 0; p = p[32:] {
			nodes = append(nodes, p[:32])
		}
		want := proof.VerifyInclusion(rfc6962.DefaultHasher, index, count, rfc6962.DefaultHasher.HashLeaf(leaf), nodes, root[:]) == nil
		if got := VerifyPath(root, leaf, uint32(index), uint32(count), path); got != want {
			t.Fatalf("leaf %d as %d of %d (tree of %d), path of %d: %v, twin %v", i, index, count, n, len(path)/32, got, want)
		}
	})
}

func TestVerifyPathOddLength(t *testing.T) {
	leaves := someLeaves(5)
	tree := NewTree(leaves)
	if VerifyPath(tree.Root(), leaves[:LeafSize], 0, 5, tree.Path(0)[:95]) {
		t.Fatal("a path that is no whole number of nodes was accepted")
	}
}

// TestVerifyPathTooLong: a signer is free in its root, so it can make one to which a path leads that has a
// node more than the tree has levels. The path is refused all the same.
func TestVerifyPathTooLong(t *testing.T) {
	for _, n := range []int{1, 2, 3, 8} {
		leaves := someLeaves(n)
		tree := NewTree(leaves)
		above := leafHash([]byte("another tree"))
		inner := tree.Root()
		root := nodeHash(&above, &inner)
		last := n - 1
		path := append(tree.Path(last), above[:]...)
		if VerifyPath(root, leaves[last*LeafSize:], uint32(last), uint32(n), path) {
			t.Errorf("%d leaves: a path with a node too many", n)
		}
		if !VerifyPath(inner, leaves[last*LeafSize:], uint32(last), uint32(n), path[:len(path)-32]) {
			t.Errorf("%d leaves: the path itself", n)
		}
	}
}

func TestTreeAllocations(t *testing.T) {
	leaves := someLeaves(1000)
	tree := NewTree(leaves)
	path, root := tree.Path(700), tree.Root()
	if n := testing.AllocsPerRun(10, func() { RootOf(leaves) }); n != 0 {
		t.Errorf("RootOf allocates %v times", n)
	}
	if n := testing.AllocsPerRun(10, func() { NewTree(leaves) }); n > 3 {
		t.Errorf("NewTree allocates %v times", n)
	}
	ok := true
	if n := testing.AllocsPerRun(10, func() {
		ok = ok && VerifyPath(root, leaves[700*LeafSize:701*LeafSize], 700, 1000, path)
	}); n != 0 || !ok {
		t.Errorf("VerifyPath allocates %v times, says %v", n, ok)
	}
}

func TestTreePanics(t *testing.T) {
	for name, f := range map[string]func(){
		"part of a leaf in RootOf":  func() { RootOf(make([]byte, LeafSize+1)) },
		"part of a leaf in NewTree": func() { NewTree(make([]byte, 1)) },
		"path of no leaf":           func() { NewTree(someLeaves(3)).Path(3) },
		"path of leaf -1":           func() { NewTree(someLeaves(3)).Path(-1) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Fatal("no panic")
				}
			}()
			f()
		})
	}
}
