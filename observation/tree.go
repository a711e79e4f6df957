package observation

import (
	"crypto/sha256"
	"math/bits"

	"github.com/notarynet/notaryd/proto/domain"
)

// maxPathNodes bounds an audit path: RFC 6962 trees of 2^32 leaves are 32 deep.
const maxPathNodes = 32

// emptyRoot is the RFC 6962 tree hash of no leaves: SHA-256 of nothing.
var emptyRoot = domain.Hash(sha256.Sum256(nil))

// leafHash is SHA-256(0x00 || leaf), RFC 6962 section 2.1.
func leafHash(leaf []byte) domain.Hash {
	if len(leaf) == LeafSize {
		var b [1 + LeafSize]byte
		copy(b[1:], leaf)
		return sha256.Sum256(b[:])
	}
	return sha256.Sum256(append([]byte{0}, leaf...))
}

// nodeHash is SHA-256(0x01 || left || right), RFC 6962 section 2.1.
func nodeHash(left, right *domain.Hash) domain.Hash {
	var b [1 + 2*domain.Size]byte
	b[0] = 1
	copy(b[1:], left[:])
	copy(b[1+domain.Size:], right[:])
	return sha256.Sum256(b[:])
}

// RootOf is the RFC 6962 tree hash over concatenated leaves of 47 bytes. It does not allocate.
func RootOf(leaves []byte) domain.Hash {
	mustWholeLeaves(leaves)
	var f folder
	for ; len(leaves) > 0; leaves = leaves[LeafSize:] {
		f.push(leafHash(leaves[:LeafSize]))
	}
	return f.root()
}

// folder computes a root leaf by leaf. Its stack holds the perfect subtrees so far, one for each bit
// set in count, largest first: pushing a leaf merges like a carry.
type folder struct {
	stack [64]domain.Hash
	depth int
	count uint64
}

func (f *folder) push(h domain.Hash) {
	f.stack[f.depth] = h
	f.depth++
	f.count++
	for range bits.TrailingZeros64(f.count) {
		f.merge()
	}
}

func (f *folder) merge() {
	f.depth--
	f.stack[f.depth-1] = nodeHash(&f.stack[f.depth-1], &f.stack[f.depth])
}

func (f *folder) root() domain.Hash {
	if f.count == 0 {
		return emptyRoot
	}
	for f.depth > 1 {
		f.merge()
	}
	return f.stack[0]
}

// Tree keeps every node of an RFC 6962 tree, so that audit paths are look-ups. Level 0 are the leaf
// hashes; an odd node at the end of a level is carried up as it is, which makes the same tree as the
// recursion of the RFC.
type Tree struct {
	levels [][]domain.Hash
}

// NewTree builds the tree over concatenated leaves of 47 bytes.
func NewTree(leaves []byte) *Tree {
	mustWholeLeaves(leaves)
	n := len(leaves) / LeafSize
	nodes := make([]domain.Hash, treeNodes(n))
	for i := range n {
		nodes[i] = leafHash(leaves[i*LeafSize : (i+1)*LeafSize])
	}
	return treeIn(nodes, n)
}

// treeNodes is the number of nodes on all levels above n leaves, leaves included.
func treeNodes(n int) int {
	sum := n
	for n > 1 {
		n = (n + 1) / 2
		sum += n
	}
	return sum
}

// treeIn computes the inner nodes behind n leaf hashes, in one slice of treeNodes(n).
func treeIn(nodes []domain.Hash, n int) *Tree {
	t := &Tree{levels: make([][]domain.Hash, 0, bits.Len(uint(n))+1)}
	for {
		level, rest := nodes[:n], nodes[n:]
		t.levels = append(t.levels, level)
		if n <= 1 {
			return t
		}
		for i := 0; i+1 < n; i += 2 {
			rest[i/2] = nodeHash(&level[i], &level[i+1])
		}
		if n%2 == 1 {
			rest[n/2] = level[n-1]
		}
		nodes, n = rest, (n+1)/2
	}
}

// Len is the number of leaves.
func (t *Tree) Len() int { return len(t.levels[0]) }

// Root is the RFC 6962 tree hash.
func (t *Tree) Root() domain.Hash {
	if t.Len() == 0 {
		return emptyRoot
	}
	return t.levels[len(t.levels)-1][0]
}

// Path is the audit path of leaf i, its nodes concatenated from the leaf's sibling upwards. It panics
// where there is no such leaf.
func (t *Tree) Path(i int) []byte { return t.AppendPath(nil, i) }

// AppendPath appends the audit path of leaf i to dst.
func (t *Tree) AppendPath(dst []byte, i int) []byte {
	if i < 0 || i >= t.Len() {
		panic("observation: no such leaf")
	}
	for _, level := range t.levels[:len(t.levels)-1] {
		if sibling := i ^ 1; sibling < len(level) {
			dst = append(dst, level[sibling][:]...)
		}
		i >>= 1
	}
	return dst
}

// VerifyPath reports whether an audit path places a leaf at an index of a tree of count leaves with this
// root (RFC 9162 section 2.1.3.2). It does not allocate.
func VerifyPath(root domain.Hash, leaf []byte, index, count uint32, path []byte) bool {
	if index >= count || len(path)%domain.Size != 0 {
		return false
	}
	r := leafHash(leaf)
	first, last := index, count-1
	for ; len(path) > 0; path = path[domain.Size:] {
		if last == 0 {
			return false
		}
		p := (*domain.Hash)(path[:domain.Size])
		if first&1 == 1 || first == last {
			r = nodeHash(p, &r)
			// A last node without a sibling was carried up: skip the levels without a hash.
			for first&1 == 0 && first != 0 {
				first, last = first>>1, last>>1
			}
		} else {
			r = nodeHash(&r, p)
		}
		first, last = first>>1, last>>1
	}
	return last == 0 && r == root
}

func mustWholeLeaves(leaves []byte) {
	if len(leaves)%LeafSize != 0 {
		panic("observation: not whole leaves")
	}
}
