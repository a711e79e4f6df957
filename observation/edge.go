package observation

import (
	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// Edge is one leaf with all that shows who signed it: the signed header, the place of the leaf and its
// audit path. It can be made while the observation is at hand, or later from a stored header and leaves.
type Edge struct {
	Header    Header
	Signature domain.Signature
	// LeafIndex is the position of the leaf in its batch.
	LeafIndex uint32
	Leaf      Leaf
	// Path is the audit path, its nodes concatenated from the leaf's sibling upwards.
	Path []byte
}

// NewEdge takes the i-th leaf out of an observation whose tree is at hand. It panics where there is none.
func NewEdge(o *Observation, t *Tree, i int) Edge {
	return Edge{
		Header:    o.Header,
		Signature: o.Signature,
		LeafIndex: uint32(i),
		Leaf:      o.Leaf(i),
		Path:      t.Path(i),
	}
}

// Edge takes out the i-th leaf, building the tree anew: for several leaves of one observation use Tree
// and NewEdge.
func (o *Observation) Edge(i int) Edge { return NewEdge(o, o.Tree(), i) }

// Signed is the header with its signature.
func (e *Edge) Signed() SignedHeader {
	return SignedHeader{Header: e.Header, Signature: e.Signature}
}

// Included reports whether the path places the leaf under the root of the header.
func (e *Edge) Included() bool {
	leaf := e.Leaf.Encode()
	return VerifyPath(e.Header.Root, leaf[:], e.LeafIndex, e.Header.LeafCount, e.Path)
}

// check refuses an edge that does not hold; field names the part.
func (e *Edge) check() error {
	if err := e.Header.check(); err != nil {
		return refusal.Under("header", err)
	}
	leaf := e.Leaf.Encode()
	if err := checkLeaf(leaf[:]); err != nil {
		return refusal.Under("leaf", err)
	}
	if !e.Included() {
		return refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, "path", "does not lead to the root of the header")
	}
	signed := e.Signed()
	if check := signed.Check(); !check.Verify() {
		return refusal.New(notaryv1.Reason_REASON_BAD_SIGNATURE, "signature", "not by %s over this header", e.Header.Key)
	}
	return nil
}
