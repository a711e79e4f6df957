package domain

import (
	"io"

	"github.com/oasisprotocol/curve25519-voi/primitives/ed25519"
)

// Lengths in bytes of Ed25519 keys and signatures (RFC 8032).
const (
	PublicKeySize = 32
	SignatureSize = 64
)

// PublicKey is an Ed25519 public key.
type PublicKey [PublicKeySize]byte

// String is the key in lower-case hexadecimal.
func (k PublicKey) String() string { return Hash(k).String() }

// Compare orders keys as byte strings: -1, 0 or 1.
func (k PublicKey) Compare(o PublicKey) int { return Hash(k).Compare(Hash(o)) }

// Signature is an Ed25519 signature.
type Signature [SignatureSize]byte

// PrivateKey signs. Its seed is the 32-byte RFC 8032 private key.
type PrivateKey struct{ key ed25519.PrivateKey }

// NewPrivateKey derives a key pair from a 32-byte seed.
func NewPrivateKey(seed [32]byte) PrivateKey {
	return PrivateKey{ed25519.NewKeyFromSeed(seed[:])}
}

// Public is the key that verifies.
func (k PrivateKey) Public() PublicKey { return PublicKey(k.key[32:]) }

// Seed is the secret that the key was derived from.
func (k PrivateKey) Seed() [32]byte { return [32]byte(k.key[:32]) }

// zip215 makes single and batch verification agree everywhere (ZIP-215, https://zips.z.cash/zip-0215).
var zip215 = &ed25519.Options{Verify: ed25519.VerifyOptionsZIP_215}

// message is tag || 0x00 || network || hash.
func message(buf []byte, tag Tag, network, h Hash) []byte {
	buf = append(buf, tag...)
	buf = append(buf, 0)
	buf = append(buf, network[:]...)
	return append(buf, h[:]...)
}

// Message is what is signed for a hash: tag || 0x00 || network id || hash.
func Message(tag Tag, network, h Hash) []byte { return message(nil, tag, network, h) }

// Sign signs Message(tag, network, h).
func Sign(key PrivateKey, tag Tag, network, h Hash) Signature {
	return Signature(ed25519.Sign(key.key, Message(tag, network, h)))
}

// Check is one signature to be verified: does Key stand behind Hash?
type Check struct {
	Key       PublicKey
	Tag       Tag
	Network   Hash
	Hash      Hash
	Signature Signature
}

// Verify reports whether the signature is valid under ZIP-215.
func (c *Check) Verify() bool {
	var buf [128]byte
	return ed25519.VerifyWithOptions(c.Key[:], message(buf[:0], c.Tag, c.Network, c.Hash), c.Signature[:], zip215)
}

// VerifyBatch verifies all checks at once, which costs about half of one by one, and reports each
// verdict. The verdicts are those of Verify. Randomness must be unpredictable to whoever made the
// signatures. A batch with a bad signature costs about three times as much: see the intake, which
// splits by sender.
func VerifyBatch(checks []Check, random io.Reader) []bool {
	switch len(checks) {
	case 0:
		return nil
	case 1, 2, 3:
		verdicts := make([]bool, len(checks))
		for i := range checks {
			verdicts[i] = checks[i].Verify()
		}
		return verdicts
	}
	batch := ed25519.NewBatchVerifierWithCapacity(len(checks))
	for i := range checks {
		c := &checks[i]
		batch.AddWithOptions(c.Key[:], message(make([]byte, 0, 96), c.Tag, c.Network, c.Hash), c.Signature[:], zip215)
	}
	_, verdicts := batch.Verify(random)
	return verdicts
}
