package utxo

import (
	"crypto/sha256"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// MaxLockKeys is the greatest number of keys of a lock.
const MaxLockKeys = 16

// Lock is what may spend an output: Threshold of Keys and, where HashLock is not zero, the 32-byte
// preimage whose SHA-256 it is.
type Lock struct {
	Threshold uint32
	// Keys are strictly ascending.
	Keys     []domain.PublicKey
	HashLock domain.Hash
}

// NewLock is the lock of threshold of these keys, in whatever order they come.
func NewLock(threshold uint32, keys ...domain.PublicKey) Lock {
	keys = slices.Clone(keys)
	slices.SortFunc(keys, domain.PublicKey.Compare)
	return Lock{Threshold: threshold, Keys: keys}
}

// KeyLock is the lock of one key.
func KeyLock(key domain.PublicKey) Lock { return NewLock(1, key) }

// Bytes is the canonical encoding of a lock.
func (l Lock) Bytes() []byte { return l.appendTo(nil) }

func (l Lock) appendTo(b []byte) []byte {
	b = appendUint(b, 1, uint64(l.Threshold))
	for _, k := range l.Keys {
		b = appendBytes(b, 2, k[:])
	}
	return appendHash(b, 3, l.HashLock)
}

// Address is H("notary/lock/v1", canonical encoding).
func (l Lock) Address() Address { return domain.Sum(domain.TagLock, l.Bytes()) }

// Validate refuses a lock that no witness can open: INVALID_LOCK.
func (l Lock) Validate() error {
	switch {
	case len(l.Keys) == 0 || len(l.Keys) > MaxLockKeys:
		return invalidLock("keys", "%d keys, want 1 to %d", len(l.Keys), MaxLockKeys)
	case l.Threshold == 0 || uint64(l.Threshold) > uint64(len(l.Keys)):
		return invalidLock("threshold", "%d of %d keys", l.Threshold, len(l.Keys))
	}
	for i := 1; i < len(l.Keys); i++ {
		if l.Keys[i-1].Compare(l.Keys[i]) >= 0 {
			return invalidLock(element("keys", i), "not strictly ascending")
		}
	}
	return nil
}

func invalidLock(field, format string, args ...any) error {
	return refusal.New(notaryv1.Reason_REASON_INVALID_LOCK, field, format, args...)
}

// LockSignature is a signature by the key at position Key of a lock.
type LockSignature struct {
	Key       uint32
	Signature domain.Signature
}

// Witness opens every input of one address.
type Witness struct {
	Lock Lock
	// Signatures are exactly Lock.Threshold, by ascending key.
	Signatures []LockSignature
	// Preimage is 32 bytes where the lock has a hash-lock, else nil.
	Preimage []byte

	address Address
}

// Address is the address that the witness opens.
func (w *Witness) Address() Address {
	if w.address.IsZero() {
		return w.Lock.Address()
	}
	return w.address
}

func (w *Witness) appendTo(b []byte) []byte {
	b = appendBytes(b, 1, w.Lock.Bytes())
	for _, s := range w.Signatures {
		inner := appendUint(nil, 1, uint64(s.Key))
		b = appendBytes(b, 2, appendBytes(inner, 2, s.Signature[:]))
	}
	if len(w.Preimage) != 0 {
		b = appendBytes(b, 3, w.Preimage)
	}
	return b
}

// checkWitness refuses a witness that cannot open its own lock, signatures aside: a bad lock, the
// wrong signatures for it, the wrong preimage.
func checkWitness(w *Witness) error {
	if err := w.Lock.Validate(); err != nil {
		return refusal.Under("lock", err)
	}
	if err := checkSigners(w); err != nil {
		return err
	}
	return checkPreimage(w)
}

// checkSigners: exactly as many signatures as the threshold, by ascending position of their keys.
func checkSigners(w *Witness) error {
	if len(w.Signatures) != int(w.Lock.Threshold) {
		return invalidWitness("signatures", "%d signatures, the lock wants %d", len(w.Signatures), w.Lock.Threshold)
	}
	for i, s := range w.Signatures {
		if uint64(s.Key) >= uint64(len(w.Lock.Keys)) {
			return invalidWitness(element("signatures", i)+".key", "key %d of %d", s.Key, len(w.Lock.Keys))
		}
		if i > 0 && w.Signatures[i-1].Key >= s.Key {
			return invalidWitness(element("signatures", i)+".key", "not strictly ascending")
		}
	}
	return nil
}

// checkPreimage: there where the lock has a hash-lock and nowhere else, and the right one.
func checkPreimage(w *Witness) error {
	switch locked := !w.Lock.HashLock.IsZero(); {
	case locked && len(w.Preimage) == 0:
		return invalidWitness("preimage", "the lock wants one")
	case !locked && len(w.Preimage) != 0:
		return invalidWitness("preimage", "the lock wants none")
	case locked && sha256.Sum256(w.Preimage) != w.Lock.HashLock:
		return refusal.New(notaryv1.Reason_REASON_WRONG_PREIMAGE, "preimage", "its hash is not the lock's")
	}
	return nil
}

func invalidWitness(field, format string, args ...any) error {
	return refusal.New(notaryv1.Reason_REASON_INVALID_WITNESS, field, format, args...)
}

// The encoders below leave out what is zero, as the canonical encoding does.

func appendUint(b []byte, field protowire.Number, v uint64) []byte {
	if v == 0 {
		return b
	}
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), v)
}

func appendBytes(b []byte, field protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, field, protowire.BytesType), v)
}

func appendHash(b []byte, field protowire.Number, h domain.Hash) []byte {
	if h.IsZero() {
		return b
	}
	return appendBytes(b, field, h[:])
}

func appendText[T ~string | ~[]byte](b []byte, field protowire.Number, v T) []byte {
	if len(v) == 0 {
		return b
	}
	return appendBytes(b, field, []byte(v))
}
