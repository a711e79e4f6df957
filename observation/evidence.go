package observation

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/notarynet/notaryd/proto/bls"
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
	// Edges are the two contradicting leaves; of FORKED_CHAIN their headers and signatures alone, and none
	// of CONFLICTING_FINAL.
	Edges [2]Edge
	// Finals are the two contradicting final signatures, without shares; of CONFLICTING_FINAL alone.
	Finals [2]FinalSignature
	// Bodies of the two transactions, in the order of Edges or Finals; nil for FORKED_CHAIN.
	Bodies [2][]byte
}

const conflictingFinal = notaryv1.EvidenceKind_EVIDENCE_KIND_CONFLICTING_FINAL

// Key is the chain that is convicted.
func (e *Evidence) Key() ChainID {
	if e.Kind == conflictingFinal {
		return e.Finals[0].Chain()
	}
	return e.Edges[0].Header.Chain()
}

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
	if err := conflicting(bodyA, bodyB); err != nil {
		return nil, err
	}
	return makeEvidence(kind, [2]Edge{a, b}, [2][]byte{bodyA, bodyB})
}

// ContradictingFinals makes evidence of two final signatures of one chain for transactions that conflict, whose
// canonical bodies are bodyA and bodyB; links and rounds do not matter. ErrNoContradiction where they are no
// such thing. Signatures are not checked: Verify does.
func ContradictingFinals(a, b FinalSignature, bodyA, bodyB []byte) (*Evidence, error) {
	if a.Chain() != b.Chain() || a.Network != b.Network || a.Tx == b.Tx {
		return nil, ErrNoContradiction
	}
	if err := conflicting(bodyA, bodyB); err != nil {
		return nil, err
	}
	a.Share, b.Share = bls.Signature{}, bls.Signature{}
	e := &Evidence{Kind: conflictingFinal, Finals: [2]FinalSignature{a, b}, Bodies: [2][]byte{bodyA, bodyB}}
	finals := [2][]byte{a.Encode(), b.Encode()}
	if bytes.Compare(finals[0], finals[1]) > 0 {
		swap(&e.Finals)
		swap(&e.Bodies)
		swap(&finals)
	}
	return e.encode(4, finals)
}

// conflicting is ErrNoContradiction where two transactions spend nothing in common.
func conflicting(bodyA, bodyB []byte) error {
	conflict, err := Conflict(bodyA, bodyB)
	if err == nil && !conflict {
		err = ErrNoContradiction
	}
	return err
}

func swap[T any](pair *[2]T) { pair[0], pair[1] = pair[1], pair[0] }

// makeEvidence orders the leaves, encodes, and derives the hash.
func makeEvidence(kind notaryv1.EvidenceKind, edges [2]Edge, bodies [2][]byte) (*Evidence, error) {
	e := &Evidence{Kind: kind, Edges: edges, Bodies: bodies}
	leaves := [2][]byte{edges[0].appendSignedLeaf(nil), edges[1].appendSignedLeaf(nil)}
	backwards := bytes.Compare(leaves[0], leaves[1]) > 0
	if kind == notaryv1.EvidenceKind_EVIDENCE_KIND_ACCEPTED_AFTER_PENDING {
		backwards = edges[0].Leaf.State != Pending
	}
	if backwards {
		swap(&e.Edges)
		swap(&e.Bodies)
		swap(&leaves)
	}
	return e.encode(2, leaves)
}

// encode completes evidence whose signed statements, in this order, are field number of the encoding.
func (e *Evidence) encode(number int, statements [2][]byte) (*Evidence, error) {
	raw := appendVarint(nil, 1, uint64(e.Kind))
	appendStatements := func(at int) {
		if at == number {
			for _, s := range statements {
				raw = appendElement(raw, number, s)
			}
		}
	}
	appendStatements(2)
	for _, b := range e.Bodies {
		raw = appendBytes(raw, 3, b)
	}
	appendStatements(4)
	if err := evidenceSchema.Check(raw); err != nil {
		return nil, err
	}
	e.Raw, e.Hash = raw, domain.Sum(domain.TagEvidence, raw)
	return e, nil
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
	var leaves, bodies, finals [][]byte
	for f := range canonical.Fields(raw) {
		switch f.Number {
		case 1:
			e.Kind = notaryv1.EvidenceKind(f.Value)
		case 2:
			leaves = append(leaves, f.Bytes)
		case 3:
			bodies = append(bodies, f.Bytes)
		case 4:
			finals = append(finals, f.Bytes)
		}
	}
	if err := checkShape(e.Kind, len(leaves), len(bodies), len(finals)); err != nil {
		return nil, err
	}
	copy(e.Bodies[:], bodies)
	for i, l := range leaves {
		var err error
		if e.Edges[i], err = decodeSignedLeaf(l, len(bodies) > 0); err != nil {
			return nil, refusal.Under(fmt.Sprintf("leaves[%d]", i), err)
		}
	}
	for i, f := range finals {
		var err error
		if e.Finals[i], err = decodeFinal(f, false); err != nil {
			return nil, refusal.Under(fmt.Sprintf("finals[%d]", i), err)
		}
	}
	return e, e.checkOrder(leaves, finals)
}

// checkOrder refuses statements that do not stand in ascending order.
func (e *Evidence) checkOrder(leaves, finals [][]byte) error {
	name, statements := "leaves[1]", leaves
	switch e.Kind {
	case notaryv1.EvidenceKind_EVIDENCE_KIND_ACCEPTED_AFTER_PENDING:
		return nil // has an order of its own
	case conflictingFinal:
		name, statements = "finals[1]", finals
	}
	if bytes.Compare(statements[0], statements[1]) >= 0 {
		return refusal.New(notaryv1.Reason_REASON_NON_CANONICAL, name, "not above the one before")
	}
	return nil
}

// checkShape refuses what does not have the parts of its kind.
func checkShape(kind notaryv1.EvidenceKind, leaves, bodies, finals int) error {
	want := struct{ leaves, bodies, finals int }{2, 2, 0}
	switch kind {
	case notaryv1.EvidenceKind_EVIDENCE_KIND_FORKED_CHAIN:
		want.bodies = 0
	case notaryv1.EvidenceKind_EVIDENCE_KIND_CONFLICTING_PENDING,
		notaryv1.EvidenceKind_EVIDENCE_KIND_CONFLICTING_ACCEPTED,
		notaryv1.EvidenceKind_EVIDENCE_KIND_ACCEPTED_AFTER_PENDING:
	case conflictingFinal:
		want.leaves, want.finals = 0, 2
	default:
		return refusal.New(notaryv1.Reason_REASON_UNKNOWN_KIND, "kind", "kind %d", kind)
	}
	for _, c := range []struct {
		name      string
		got, want int
	}{{"leaves", leaves, want.leaves}, {"bodies", bodies, want.bodies}, {"finals", finals, want.finals}} {
		if c.got != c.want {
			return refusal.New(notaryv1.Reason_REASON_MALFORMED, c.name, "%d of them, want %d", c.got, c.want)
		}
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
