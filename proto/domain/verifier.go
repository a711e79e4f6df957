package domain

import (
	"io"

	"github.com/oasisprotocol/curve25519-voi/primitives/ed25519"
)

// Verifier verifies batches as VerifyBatch does and keeps the keys that it met, decompressed and with their tables:
// whoever signs once mostly signs again, and a kept key saves a third of the work. Not for concurrent use.
type Verifier struct {
	random io.Reader
	most   int // keys in a generation

	// Keys of two generations, 1.7 KB each: when the new are too many they become the old, and the old go. nil is a
	// key that is no point.
	new, old map[PublicKey]*ed25519.ExpandedPublicKey

	batch   *ed25519.BatchVerifier
	message []byte
}

// NewVerifier makes a verifier that keeps at most twice so many keys. Randomness must be unpredictable to whoever made
// the signatures.
func NewVerifier(keys int, random io.Reader) *Verifier {
	return &Verifier{
		random: random, most: keys, new: make(map[PublicKey]*ed25519.ExpandedPublicKey), batch: ed25519.NewBatchVerifier(),
	}
}

// Verify reports each verdict, that of Check.Verify.
func (v *Verifier) Verify(checks []Check) []bool {
	if len(checks) == 0 {
		return nil
	}
	if len(checks) == 1 {
		c := &checks[0]
		key := v.key(c.Key)
		return []bool{key != nil && ed25519.VerifyExpandedWithOptions(key, v.signed(c), c.Signature[:], zip215)}
	}
	defer v.batch.Reset()
	for i := range checks {
		c := &checks[i]
		v.batch.AddExpandedWithOptions(v.key(c.Key), v.signed(c), c.Signature[:], zip215)
	}
	_, verdicts := v.batch.Verify(v.random)
	return verdicts
}

// signed is what a check's signature is of, until the next call.
func (v *Verifier) signed(c *Check) []byte {
	v.message = message(v.message[:0], c.Tag, c.Network, c.Hash)
	return v.message
}

// key is a key with its tables; nil where it is no point.
func (v *Verifier) key(k PublicKey) *ed25519.ExpandedPublicKey {
	if key, kept := v.new[k]; kept {
		return key
	}
	key, kept := v.old[k]
	if !kept {
		key, _ = ed25519.NewExpandedPublicKey(k[:])
	}
	if len(v.new) >= v.most {
		v.new, v.old = make(map[PublicKey]*ed25519.ExpandedPublicKey), v.new
	}
	v.new[k] = key
	return key
}
