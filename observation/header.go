package observation

import (
	"encoding/binary"

	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// HeaderSize is the length in bytes of an encoded header.
const HeaderSize = 192

// MaxLeaves is the greatest number of leaves in one observation; a network may set a lower one.
const MaxLeaves = 20_000

// Offsets within an encoded header (docs/spec/observation.md, section 2).
const (
	headerKey        = 32
	headerEpoch      = 64
	headerHeight     = 68
	headerPrevious   = 76
	headerGroupEpoch = 108
	headerLink       = 116
	headerRoot       = 148
	headerCount      = 180
	headerTime       = 184
)

// Header is what a node signs: one link of the chain of its observations.
type Header struct {
	// Network id.
	Network domain.Hash
	// Key is the node key that signs, in its SigningEpoch.
	Key          domain.PublicKey
	SigningEpoch uint32
	// Height is 1 for the first observation of (Key, SigningEpoch) and rises by one.
	Height uint64
	// Previous is the header hash at Height-1; zero at height 1 and only there.
	Previous domain.Hash
	// GroupEpoch and Link name the group that the votes are counted with.
	GroupEpoch uint64
	Link       domain.Hash
	// Root is the RFC 6962 tree hash over LeafCount leaves.
	Root      domain.Hash
	LeafCount uint32
	// TimeMS is when the batch was sealed, Unix milliseconds by the signer's clock.
	TimeMS uint64
}

// Encode is the header as 192 bytes.
func (h *Header) Encode() (b [HeaderSize]byte) {
	out := append(b[:0], h.Network[:]...)
	out = append(out, h.Key[:]...)
	out = binary.BigEndian.AppendUint32(out, h.SigningEpoch)
	out = binary.BigEndian.AppendUint64(out, h.Height)
	out = append(out, h.Previous[:]...)
	out = binary.BigEndian.AppendUint64(out, h.GroupEpoch)
	out = append(out, h.Link[:]...)
	out = append(out, h.Root[:]...)
	out = binary.BigEndian.AppendUint32(out, h.LeafCount)
	binary.BigEndian.AppendUint64(out, h.TimeMS)
	return b
}

// Hash is H("notary/observation/v1", header): the name of the observation and what is signed.
func (h *Header) Hash() domain.Hash {
	b := h.Encode()
	return domain.Sum(domain.TagObservation, b[:])
}

// DecodeHeader reads exactly 192 bytes and refuses a header that no chain can hold.
func DecodeHeader(b []byte) (Header, error) {
	if len(b) != HeaderSize {
		return Header{}, refusal.New(notaryv1.Reason_REASON_MALFORMED, "", "header of %d bytes, want %d", len(b), HeaderSize)
	}
	h := Header{
		Network:      domain.Hash(b[:headerKey]),
		Key:          domain.PublicKey(b[headerKey:headerEpoch]),
		SigningEpoch: binary.BigEndian.Uint32(b[headerEpoch:]),
		Height:       binary.BigEndian.Uint64(b[headerHeight:]),
		Previous:     domain.Hash(b[headerPrevious:headerGroupEpoch]),
		GroupEpoch:   binary.BigEndian.Uint64(b[headerGroupEpoch:]),
		Link:         domain.Hash(b[headerLink:headerRoot]),
		Root:         domain.Hash(b[headerRoot:headerCount]),
		LeafCount:    binary.BigEndian.Uint32(b[headerCount:]),
		TimeMS:       binary.BigEndian.Uint64(b[headerTime:]),
	}
	return h, h.check()
}

// check holds the rules that need the header alone.
func (h *Header) check() error {
	switch {
	case h.Height == 0:
		return refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, "height", "heights start at 1")
	case (h.Height == 1) != h.Previous.IsZero():
		return refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, "previous", "height 1 alone has no previous observation")
	case h.LeafCount > MaxLeaves:
		return refusal.New(notaryv1.Reason_REASON_LIMIT_EXCEEDED, "leaf_count", "%d leaves, at most %d", h.LeafCount, MaxLeaves)
	}
	return nil
}

// SignedHeader is a header with the signature over its hash: all that a chain needs.
type SignedHeader struct {
	Header    Header
	Signature domain.Signature
}

// Check is the signature to be verified.
func (s *SignedHeader) Check() domain.Check {
	return checkOf(&s.Header, s.Header.Hash(), s.Signature)
}

func checkOf(h *Header, hash domain.Hash, sig domain.Signature) domain.Check {
	return domain.Check{Key: h.Key, Tag: domain.TagObservation, Network: h.Network, Hash: hash, Signature: sig}
}
