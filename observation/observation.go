package observation

import (
	"bytes"
	"encoding/binary"
	"strconv"

	"github.com/notarynet/notaryd/proto/canonical"
	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// MaxBytes bounds an encoded observation.
const MaxBytes = 1 << 20

var observationSchema = canonical.MustCompile(&notaryv1.Observation{}, MaxBytes)

// Rules are what a decoder needs to know of the network.
type Rules struct {
	// Network id.
	Network domain.Hash
	// MaxLeaves of one observation; 0 keeps the limit of the protocol.
	MaxLeaves int
}

func (r Rules) maxLeaves() uint32 {
	if r.MaxLeaves <= 0 || r.MaxLeaves > MaxLeaves {
		return MaxLeaves
	}
	return uint32(r.MaxLeaves)
}

// Observation is a signed batch of leaves. Immutable; it shares memory with what it was decoded from.
type Observation struct {
	Header Header
	// Hash of the header: the name of the observation.
	Hash      domain.Hash
	Signature domain.Signature
	// Leaves are Header.LeafCount times 47 bytes.
	Leaves []byte
	// Raw is the canonical encoding.
	Raw []byte
}

// Len is the number of leaves.
func (o *Observation) Len() int { return len(o.Leaves) / LeafSize }

// Leaf is the i-th leaf. It panics where there is none.
func (o *Observation) Leaf(i int) Leaf { return leafAt(o.leafBytes(i)) }

func (o *Observation) leafBytes(i int) []byte {
	return o.Leaves[i*LeafSize : (i+1)*LeafSize]
}

// Signed is the header with its signature.
func (o *Observation) Signed() SignedHeader {
	return SignedHeader{Header: o.Header, Signature: o.Signature}
}

// Check is the signature to be verified: all that Decode leaves open.
func (o *Observation) Check() domain.Check { return checkOf(&o.Header, o.Hash, o.Signature) }

// Tree is the merkle tree over the leaves, for audit paths.
func (o *Observation) Tree() *Tree { return NewTree(o.Leaves) }

// Decode reads the canonical encoding of an observation and checks everything but the signature, cheapest
// first: size, encoding, network, header, leaf count, every leaf, and that the root is theirs. Nothing is
// allocated but the Observation, which keeps raw.
//
// The same leaf may stand twice; votes are counted once wherever they are counted.
func Decode(raw []byte, r Rules) (*Observation, error) {
	if err := observationSchema.Check(raw); err != nil {
		return nil, err
	}
	o := &Observation{Raw: raw}
	var header, signature []byte
	for f := range canonical.Fields(raw) {
		switch f.Number {
		case 1:
			header = f.Bytes
		case 2:
			signature = f.Bytes
		case 3:
			o.Leaves = f.Bytes
		}
	}
	if header == nil {
		return nil, missing("header")
	}
	if signature == nil {
		return nil, missing("signature")
	}
	o.Signature = domain.Signature(signature)
	if domain.Hash(header[:domain.Size]) != r.Network {
		return nil, refusal.New(notaryv1.Reason_REASON_WRONG_NETWORK, "header.network", "network %x", header[:domain.Size])
	}
	var err error
	if o.Header, err = DecodeHeader(header); err != nil {
		return nil, refusal.Under("header", err)
	}
	if err := o.checkLeaves(r.maxLeaves()); err != nil {
		return nil, err
	}
	o.Hash = domain.Sum(domain.TagObservation, header)
	return o, nil
}

// Own is the observation with bytes of its own. What is decoded lies in the message that it came in, and keeps all of that.
func (o *Observation) Own() *Observation {
	own := *o
	own.Raw = bytes.Clone(o.Raw)
	for f := range canonical.Fields(own.Raw) {
		if f.Number == 3 {
			own.Leaves = f.Bytes
		}
	}
	return &own
}

func (o *Observation) checkLeaves(most uint32) error {
	count := o.Header.LeafCount
	if count > most {
		return refusal.New(notaryv1.Reason_REASON_LIMIT_EXCEEDED, "header.leaf_count", "%d leaves, at most %d", count, most)
	}
	if len(o.Leaves) != int(count)*LeafSize {
		return refusal.New(notaryv1.Reason_REASON_MALFORMED, "leaves", "%d bytes for %d leaves of %d", len(o.Leaves), count, LeafSize)
	}
	for i := range int(count) {
		if err := checkLeaf(o.leafBytes(i)); err != nil {
			return refusal.Under("leaves["+strconv.Itoa(i)+"]", err)
		}
	}
	if RootOf(o.Leaves) != o.Header.Root {
		return refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, "header.root", "not the root of the leaves")
	}
	return nil
}

func missing(field string) error {
	return refusal.New(notaryv1.Reason_REASON_MISSING_FIELD, field, "absent")
}

// appendBytes appends a length-delimited field, or nothing where b is empty: protobuf leaves defaults out.
func appendBytes(dst []byte, number int, b []byte) []byte {
	if len(b) == 0 {
		return dst
	}
	return appendElement(dst, number, b)
}

// appendElement appends a length-delimited element of a list, which may be empty.
func appendElement(dst []byte, number int, b []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(number)<<3|2)
	dst = binary.AppendUvarint(dst, uint64(len(b)))
	return append(dst, b...)
}

// appendVarint appends a varint field, or nothing where v is zero.
func appendVarint(dst []byte, number int, v uint64) []byte {
	if v == 0 {
		return dst
	}
	dst = binary.AppendUvarint(dst, uint64(number)<<3)
	return binary.AppendUvarint(dst, v)
}
