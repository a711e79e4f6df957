package observation

import (
	"google.golang.org/protobuf/proto"

	"github.com/notarynet/notaryd/proto/bls"
	"github.com/notarynet/notaryd/proto/canonical"
	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// CompactMagic opens a `.notary` file that holds a compact proof: six letters, a one, and the version of the
// format.
const CompactMagic = "NOTARY\x01\x01"

var compactSchema = canonical.MustCompile(&notaryv1.CompactProof{}, MaxProofBytes)

// Encode is the canonical encoding, a CompactProof.
func (c *Compact) Encode() []byte {
	b := appendBytes(nil, 1, c.Network[:])
	b = appendVarint(b, 2, c.GroupEpoch)
	b = appendBytes(b, 3, c.Link[:])
	for _, l := range c.Links {
		b = appendElement(b, 4, l.Raw)
	}
	b = appendBytes(b, 5, c.Tx[:])
	b = appendBytes(b, 6, c.Raw)
	b = appendVarint(b, 7, uint64(c.Round))
	b = appendBytes(b, 8, c.Signers)
	return appendBytes(b, 9, c.Signature[:])
}

// DecodeCompact reads the canonical encoding of a CompactProof and checks all that needs no group. Of limits, those
// of links and MaxBytes count. The proof keeps b.
func DecodeCompact(b []byte, limits Limits) (*Compact, error) {
	if most := limits.maxBytes(MaxProofBytes); len(b) > most {
		return nil, tooLarge(b, most)
	}
	if err := compactSchema.Check(b); err != nil {
		return nil, err
	}
	c := &Compact{}
	var network, link, id, signature []byte
	var led Proof // whose links are those of the proof
	signatures := narrow(limits.MaxObservations, MaxProofItems)
	for f := range canonical.Fields(b) {
		var err error
		switch f.Number {
		case 1:
			network = f.Bytes
		case 2:
			c.GroupEpoch = f.Value
		case 3:
			link = f.Bytes
		case 4:
			signatures, err = led.decodeLink(f.Bytes, limits, signatures)
		case 5:
			id = f.Bytes
		case 6:
			c.Raw = f.Bytes
		case 7:
			c.Round = uint32(f.Value)
		case 8:
			c.Signers = f.Bytes
		case 9:
			signature = f.Bytes
		}
		if err != nil {
			return nil, err
		}
	}
	c.Links = led.Links
	for _, part := range []struct {
		name  string
		bytes []byte
	}{{"network", network}, {"link", link}, {"transaction_id", id}, {"signature", signature}} {
		if part.bytes == nil {
			return nil, missing(part.name)
		}
	}
	c.Network, c.Link, c.Tx, c.Signature = domain.Hash(network), domain.Hash(link), domain.Hash(id), bls.Signature(signature)
	return c, c.check()
}

// EncodeFile is the content of a `.notary` file.
func (c *Compact) EncodeFile() []byte { return append([]byte(CompactMagic), c.Encode()...) }

// IsCompactFile reports whether the content of a `.notary` file is a compact proof, in whatever version.
func IsCompactFile(b []byte) bool {
	last := len(CompactMagic) - 1
	return len(b) > last && string(b[:last]) == CompactMagic[:last]
}

// DecodeCompactFile reads the content of a `.notary` file that holds a compact proof.
func DecodeCompactFile(b []byte, limits Limits) (*Compact, error) {
	if !IsCompactFile(b) {
		return nil, refusal.New(notaryv1.Reason_REASON_MALFORMED, "magic", "not a notary file of a compact proof")
	}
	if last := len(CompactMagic) - 1; b[last] != CompactMagic[last] {
		return nil, refusal.New(notaryv1.Reason_REASON_UNKNOWN_KIND, "version", "version %d of the format, this reads %d", b[last], CompactMagic[last])
	}
	return DecodeCompact(b[len(CompactMagic):], limits)
}

// JSON is the proto3 JSON mapping of CompactProof, indented.
func (c *Compact) JSON() ([]byte, error) {
	var m notaryv1.CompactProof
	if err := proto.Unmarshal(c.Encode(), &m); err != nil {
		panic("observation: own encoding unreadable: " + err.Error())
	}
	return indentJSON(&m)
}

// DecodeCompactJSON reads the JSON form of a compact proof, which obeys the same limit on bytes. Unknown fields are
// refused.
func DecodeCompactJSON(b []byte, limits Limits) (*Compact, error) {
	raw, err := canonicalOf(b, limits.maxBytes(MaxProofBytes), new(notaryv1.CompactProof))
	if err != nil {
		return nil, err
	}
	return DecodeCompact(raw, limits)
}
