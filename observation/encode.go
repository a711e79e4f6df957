package observation

import (
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// FileMagic opens a `.notary` file: six letters, a zero, and the version of the format.
const FileMagic = "NOTARY\x00\x01"

// Encode is the canonical encoding: an AcceptanceProof, or a Certificate where State is Pending.
func (p *Proof) Encode() []byte {
	b := p.encodeQuorum()
	if p.State == Pending {
		return appendBytes(nil, 1, b)
	}
	return b
}

func (p *Proof) encodeQuorum() []byte {
	b := make([]byte, 0, p.bound())
	var entry []byte
	b = appendBytes(b, 1, p.Network[:])
	b = appendVarint(b, 2, p.GroupEpoch)
	b = appendBytes(b, 3, p.Link[:])
	for _, l := range p.Links {
		b = appendElement(b, 4, l.Raw)
	}
	for i := range p.Observations {
		entry = p.Observations[i].appendTo(slices.Grow(entry[:0], observationBound))
		b = appendElement(b, 5, entry)
	}
	for i := range p.Transactions {
		entry = p.Transactions[i].appendTo(slices.Grow(entry[:0], p.Transactions[i].bound()))
		b = appendElement(b, 6, entry)
	}
	return b
}

// Bounds of encodings, in bytes: what grows while it is written is copied on the way.
const (
	elementBound     = 11 // the tag and the length of a field, or the whole of a number
	observationBound = 5*elementBound + 2*34 + 66
)

func (p *Proof) bound() int {
	n := 3*elementBound + 2*domain.Size + len(p.Observations)*(elementBound+observationBound)
	for _, l := range p.Links {
		n += elementBound + len(l.Raw)
	}
	for i := range p.Transactions {
		n += elementBound + p.Transactions[i].bound()
	}
	return n
}

func (t *ProvenTransaction) bound() int {
	n := 3*elementBound + domain.Size + len(t.Raw)
	for i := range t.Edges {
		n += 5*elementBound + len(t.Edges[i].Path)
	}
	return n
}

func (o *ProofObservation) appendTo(b []byte) []byte {
	b = appendVarint(b, 1, uint64(o.KeyIndex))
	b = appendVarint(b, 2, uint64(o.SigningEpoch))
	b = appendVarint(b, 3, o.Height)
	if !o.Previous.IsZero() {
		b = appendBytes(b, 4, o.Previous[:])
	}
	b = appendBytes(b, 5, o.Root[:])
	b = appendVarint(b, 6, uint64(o.LeafCount))
	b = appendVarint(b, 7, o.TimeMS)
	return appendBytes(b, 8, o.Signature[:])
}

func (t *ProvenTransaction) appendTo(b []byte) []byte {
	b = appendBytes(b, 1, t.ID[:])
	b = appendBytes(b, 2, t.Raw)
	b = appendVarint(b, 3, uint64(t.Round))
	var entry []byte
	for i := range t.Edges {
		e := &t.Edges[i]
		entry = appendVarint(entry[:0], 1, uint64(e.Observation))
		entry = appendVarint(entry, 2, uint64(e.LeafIndex))
		entry = appendVarint(entry, 3, e.TimeMS)
		entry = appendBytes(entry, 4, e.Path)
		b = appendElement(b, 4, entry)
	}
	return b
}

// EncodeFile is the content of a `.notary` file. Acceptance proofs alone have a file form.
func (p *Proof) EncodeFile() []byte {
	if p.State != Accepted {
		panic("observation: a certificate has no file form")
	}
	return append([]byte(FileMagic), p.Encode()...)
}

// DecodeFile reads the content of a `.notary` file.
func DecodeFile(b []byte, limits Limits) (*Proof, error) {
	last := len(FileMagic) - 1
	if len(b) <= last || string(b[:last]) != FileMagic[:last] {
		return nil, refusal.New(notaryv1.Reason_REASON_MALFORMED, "magic", "not a notary file")
	}
	if b[last] != FileMagic[last] {
		return nil, refusal.New(notaryv1.Reason_REASON_UNKNOWN_KIND, "version", "version %d of the format, this reads %d", b[last], FileMagic[last])
	}
	return DecodeProof(b[len(FileMagic):], limits)
}

// Message is the proof as a protobuf message: an *AcceptanceProof, or a *Certificate where State is
// Pending.
func (p *Proof) Message() proto.Message {
	var m proto.Message = new(notaryv1.AcceptanceProof)
	if p.State == Pending {
		m = new(notaryv1.Certificate)
	}
	if err := proto.Unmarshal(p.Encode(), m); err != nil {
		panic("observation: own encoding unreadable: " + err.Error())
	}
	return m
}

// JSON is the proto3 JSON mapping of the proof, indented.
func (p *Proof) JSON() ([]byte, error) { return indentJSON(p.Message()) }

// DecodeProofJSON reads the JSON form of an acceptance proof, which obeys the same limit on bytes. Unknown
// fields are refused.
func DecodeProofJSON(b []byte, limits Limits) (*Proof, error) {
	raw, err := canonicalOf(b, limits.maxBytes(MaxProofBytes), new(notaryv1.AcceptanceProof))
	if err != nil {
		return nil, err
	}
	return DecodeProof(raw, limits)
}
