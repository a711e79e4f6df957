package observation

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/notarynet/notaryd/proto/canonical"
	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// MaxEvidenceBytes bounds encoded evidence: two leaves and two transaction bodies.
const MaxEvidenceBytes = 512 << 10

var evidenceSchema = canonical.MustCompile(&notaryv1.Evidence{}, MaxEvidenceBytes)

// ErrNoContradiction says that what was given convicts nobody.
var ErrNoContradiction = errors.New("no contradiction")

// Evidence shows, by itself, that one node key broke a rule of voting in one signing epoch
// (docs/spec/evidence.md). Immutable.
type Evidence struct {
	// Kind is the rule that was broken.
	Kind notaryv1.EvidenceKind
	// Raw is the canonical encoding, Hash its H("notary/evidence/v1", Raw).
	Raw  []byte
	Hash domain.Hash
	// Edges are the two contradicting leaves; of FORKED_CHAIN their headers and signatures alone.
	Edges [2]Edge
	// Bodies of the two transactions, in the order of Edges; nil for FORKED_CHAIN.
	Bodies [2][]byte
}

// Key is the chain that is convicted.
func (e *Evidence) Key() ChainID { return e.Edges[0].Header.Chain() }

// ForkedChain makes evidence of two observations of one chain at one height. ErrNoContradiction where
// they are no such thing. Signatures are not checked: Verify does.
func ForkedChain(a, b SignedHeader) (*Evidence, error) {
	if !forked(&a.Header, &b.Header) {
		return nil, ErrNoContradiction
	}
	x := Edge{Header: a.Header, Signature: a.Signature}
	y := Edge{Header: b.Header, Signature: b.Signature}
	return makeEvidence(notaryv1.EvidenceKind_EVIDENCE_KIND_FORKED_CHAIN, [2]Edge{x, y}, [2][]byte{})
}

func forked(a, b *Header) bool {
	return a.Chain() == b.Chain() && a.Network == b.Network && a.Height == b.Height && *a != *b
}

// ContradictingVotes makes evidence of two votes of one chain on transactions that conflict, and finds
// its kind. bodyA and bodyB are the canonical bodies of the transactions of a and b. ErrNoContradiction
// where the votes break no rule or the transactions spend nothing in common. Signatures are not checked:
// Verify does.
func ContradictingVotes(a, b Edge, bodyA, bodyB []byte) (*Evidence, error) {
	kind := Contradiction(&a, &b)
	if kind == notaryv1.EvidenceKind_EVIDENCE_KIND_UNSPECIFIED {
		return nil, ErrNoContradiction
	}
	conflict, err := Conflict(bodyA, bodyB)
	if err != nil {
		return nil, err
	}
	if !conflict {
		return nil, ErrNoContradiction
	}
	return makeEvidence(kind, [2]Edge{a, b}, [2][]byte{bodyA, bodyB})
}

// makeEvidence orders the leaves, encodes, and derives the hash.
func makeEvidence(kind notaryv1.EvidenceKind, edges [2]Edge, bodies [2][]byte) (*Evidence, error) {
	leaves := [2][]byte{edges[0].appendSignedLeaf(nil), edges[1].appendSignedLeaf(nil)}
	swap := bytes.Compare(leaves[0], leaves[1]) > 0
	if kind == notaryv1.EvidenceKind_EVIDENCE_KIND_ACCEPTED_AFTER_PENDING {
		swap = edges[0].Leaf.State != Pending
	}
	if swap {
		edges[0], edges[1] = edges[1], edges[0]
		leaves[0], leaves[1] = leaves[1], leaves[0]
		bodies[0], bodies[1] = bodies[1], bodies[0]
	}
	raw := appendVarint(nil, 1, uint64(kind))
	for _, l := range leaves {
		raw = appendElement(raw, 2, l)
	}
	for _, b := range bodies {
		raw = appendBytes(raw, 3, b)
	}
	if err := evidenceSchema.Check(raw); err != nil {
		return nil, err
	}
	return &Evidence{Kind: kind, Raw: raw, Hash: domain.Sum(domain.TagEvidence, raw), Edges: edges, Bodies: bodies}, nil
}

// appendSignedLeaf appends the canonical SignedLeaf; without leaf, index and path where there is no leaf.
func (e *Edge) appendSignedLeaf(b []byte) []byte {
	header := e.Header.Encode()
	b = appendBytes(b, 1, header[:])
	b = appendBytes(b, 2, e.Signature[:])
	if e.Leaf == (Leaf{}) {
		return b
	}
	leaf := e.Leaf.Encode()
	b = appendBytes(b, 3, leaf[:])
	b = appendVarint(b, 4, uint64(e.LeafIndex))
	return appendBytes(b, 5, e.Path)
}

// DecodeEvidence reads the canonical encoding of evidence. What it shows is not checked: Verify does. The
// evidence keeps raw.
func DecodeEvidence(raw []byte) (*Evidence, error) {
	if err := evidenceSchema.Check(raw); err != nil {
		return nil, err
	}
	e := &Evidence{Raw: raw, Hash: domain.Sum(domain.TagEvidence, raw)}
	var leaves, bodies [][]byte
	for f := range canonical.Fields(raw) {
		switch f.Number {
		case 1:
			e.Kind = notaryv1.EvidenceKind(f.Value)
		case 2:
			leaves = append(leaves, f.Bytes)
		case 3:
			bodies = append(bodies, f.Bytes)
		case 4:
			return nil, refusal.New(notaryv1.Reason_REASON_UNIMPLEMENTED, "finals", "this version makes no final signatures")
		}
	}
	if err := checkShape(e.Kind, leaves, bodies); err != nil {
		return nil, err
	}
	for i, l := range leaves {
		var err error
		if e.Edges[i], err = decodeSignedLeaf(l, len(bodies) > 0); err != nil {
			return nil, refusal.Under(fmt.Sprintf("leaves[%d]", i), err)
		}
	}
	copy(e.Bodies[:], bodies)
	if e.Kind != notaryv1.EvidenceKind_EVIDENCE_KIND_ACCEPTED_AFTER_PENDING && bytes.Compare(leaves[0], leaves[1]) >= 0 {
		return nil, refusal.New(notaryv1.Reason_REASON_NON_CANONICAL, "leaves[1]", "not above the one before")
	}
	return e, nil
}

// checkShape refuses what does not have the parts of its kind.
func checkShape(kind notaryv1.EvidenceKind, leaves, bodies [][]byte) error {
	want := 2
	switch kind {
	case notaryv1.EvidenceKind_EVIDENCE_KIND_FORKED_CHAIN:
		want = 0
	case notaryv1.EvidenceKind_EVIDENCE_KIND_CONFLICTING_PENDING,
		notaryv1.EvidenceKind_EVIDENCE_KIND_CONFLICTING_ACCEPTED,
		notaryv1.EvidenceKind_EVIDENCE_KIND_ACCEPTED_AFTER_PENDING:
	case notaryv1.EvidenceKind_EVIDENCE_KIND_CONFLICTING_FINAL:
		return refusal.New(notaryv1.Reason_REASON_UNIMPLEMENTED, "kind", "this version makes no final signatures")
	default:
		return refusal.New(notaryv1.Reason_REASON_UNKNOWN_KIND, "kind", "kind %d", kind)
	}
	if len(leaves) != 2 {
		return refusal.New(notaryv1.Reason_REASON_MALFORMED, "leaves", "%d leaves, want 2", len(leaves))
	}
	if len(bodies) != want {
		return refusal.New(notaryv1.Reason_REASON_MALFORMED, "bodies", "%d bodies, want %d", len(bodies), want)
	}
	return nil
}

func decodeSignedLeaf(b []byte, withLeaf bool) (e Edge, err error) {
	var header, signature, leaf []byte
	var more bool
	for f := range canonical.Fields(b) {
		switch f.Number {
		case 1:
			header = f.Bytes
		case 2:
			signature = f.Bytes
		case 3:
			leaf = f.Bytes
		case 4:
			e.LeafIndex, more = uint32(f.Value), true
		case 5:
			e.Path, more = f.Bytes, true
		}
	}
	switch {
	case header == nil:
		return e, missing("header")
	case signature == nil:
		return e, missing("signature")
	case withLeaf && leaf == nil:
		return e, missing("leaf")
	case !withLeaf && (leaf != nil || more):
		return e, refusal.New(notaryv1.Reason_REASON_NON_CANONICAL, "leaf", "only the header matters here")
	}
	e.Signature = domain.Signature(signature)
	if e.Header, err = DecodeHeader(header); err != nil {
		return e, refusal.Under("header", err)
	}
	if withLeaf {
		if e.Leaf, err = DecodeLeaf(leaf); err != nil {
			return e, refusal.Under("leaf", err)
		}
	}
	return e, nil
}
