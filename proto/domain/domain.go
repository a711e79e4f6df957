// Package domain holds what every hash and signature of the protocol has in common: a domain tag, so
// that nothing made for one purpose serves another, and the network id, so that nothing replays
// across networks (docs/spec/encoding.md).
package domain

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
)

// Tag separates one use of a hash or signature from all others.
type Tag string

// The tags of this protocol version.
const (
	TagGenesis     Tag = "notary/genesis/v1"
	TagTx          Tag = "notary/tx/v1"
	TagLock        Tag = "notary/lock/v1"
	TagProduct     Tag = "notary/product/v1"
	TagPeer        Tag = "notary/peer/v1"
	TagMembership  Tag = "notary/membership/v1"
	TagObservation Tag = "notary/observation/v1"
	TagLink        Tag = "notary/link/v1"
	TagEvidence    Tag = "notary/evidence/v1"
	TagTie         Tag = "notary/tie/v1"
	TagFacilitator Tag = "notary/facilitator/v1"
	TagFinal       Tag = "notary/final/v1"
	TagWork        Tag = "notary/work/v1"
	TagPossession  Tag = "notary/possession/v1"
	TagBLSKey      Tag = "notary/bls-key/v1"
	TagRange       Tag = "notary/range/v1"
	TagSnapshot    Tag = "notary/snapshot/v1"
	TagPiece       Tag = "notary/piece/v1"
)

// Size is the length in bytes of a Hash.
const Size = sha256.Size

// Hash is a SHA-256 digest.
type Hash [Size]byte

// ErrHashLength says that a slice is not exactly 32 bytes long.
var ErrHashLength = errors.New("hash is not 32 bytes")

// HashFrom copies a slice of exactly 32 bytes.
func HashFrom(b []byte) (Hash, error) {
	if len(b) != Size {
		return Hash{}, ErrHashLength
	}
	return Hash(b), nil
}

// ParseHash reads 64 hexadecimal digits.
func ParseHash(s string) (Hash, error) {
	b, err := hex.DecodeString(s)
	if err != nil {
		return Hash{}, err
	}
	return HashFrom(b)
}

// String is the hash in lower-case hexadecimal.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// MarshalText implements encoding.TextMarshaler as String does.
func (h Hash) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, h[:]), nil }

// UnmarshalText implements encoding.TextUnmarshaler as ParseHash does.
func (h *Hash) UnmarshalText(text []byte) error {
	got, err := ParseHash(string(text))
	if err == nil {
		*h = got
	}
	return err
}

// IsZero reports whether all bytes are zero.
func (h Hash) IsZero() bool { return h == Hash{} }

// Compare orders hashes as byte strings: -1, 0 or 1.
func (h Hash) Compare(o Hash) int {
	for i := range h {
		if h[i] != o[i] {
			if h[i] < o[i] {
				return -1
			}
			return 1
		}
	}
	return 0
}

// Sum is SHA-256(tag || 0x00 || parts...).
func Sum(tag Tag, parts ...[]byte) Hash {
	// Most messages fit the stack; one Write is dearer than a copy.
	n := len(tag) + 1
	for _, p := range parts {
		n += len(p)
	}
	var stack [512]byte
	if n <= len(stack) {
		b := append(stack[:0], tag...)
		b = append(b, 0)
		for _, p := range parts {
			b = append(b, p...)
		}
		return sha256.Sum256(b)
	}
	d := sha256.New()
	d.Write([]byte(tag))
	d.Write([]byte{0})
	for _, p := range parts {
		d.Write(p)
	}
	var h Hash
	d.Sum(h[:0])
	return h
}
