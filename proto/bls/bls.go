// Package bls signs with BLS12-381, so that the signatures of many keys over one message fold into a
// single one of 96 bytes: what compact proofs are made of (docs/spec/proof.md, section 8).
//
// It is the proof-of-possession scheme of draft-irtf-cfrg-bls-signature-05 with public keys in G1 (48 bytes) and
// signatures in G2 (96 bytes), points compressed, messages hashed to G2 by RFC 9380. What is signed is always
// domain.Message: a tag, the network, a hash.
//
// A sum of keys says who signed only where each of them proved possession: without, a key made from
// others' cancels them out. Whoever lists a key in a group has checked VerifyPossession first.
package bls

import (
	"bytes"
	"encoding/hex"
	"errors"

	curve "github.com/consensys/gnark-crypto/ecc/bls12-381"

	"github.com/notarynet/notaryd/proto/domain"
)

// Lengths in bytes of compressed points.
const (
	PublicKeySize = curve.SizeOfG1AffineCompressed
	SignatureSize = curve.SizeOfG2AffineCompressed
)

// The ciphersuite, as domain separation of the hash to the curve: of signatures and of proofs of possession.
const (
	signatureSuite  = "BLS_SIG_BLS12381G2_XMD:SHA-256_SSWU_RO_POP_"
	possessionSuite = "BLS_POP_BLS12381G2_XMD:SHA-256_SSWU_RO_POP_"
)

// Errors of points that come from elsewhere.
var (
	// ErrKey says that bytes are no public key: no compressed point of the group of prime order, or its
	// neutral element.
	ErrKey = errors.New("no BLS12-381 public key")
	// ErrSignature says that bytes are no signature, in the same sense.
	ErrSignature = errors.New("no BLS12-381 signature")
	// ErrNothing says that there is nothing to aggregate.
	ErrNothing = errors.New("nothing to aggregate")
)

// PublicKey is a compressed point of G1. It may be any bytes: those who verify with it find out.
type PublicKey [PublicKeySize]byte

// String is the key in lower-case hexadecimal.
func (k PublicKey) String() string { return hex.EncodeToString(k[:]) }

// Signature is a compressed point of G2: one signature, a proof of possession, or a sum of signatures.
type Signature [SignatureSize]byte

// Check reports with ErrKey whether bytes are no public key.
func (k PublicKey) Check() error {
	var p curve.G1Affine
	return k.point(&p)
}

// point decompresses a key and checks that it lies in the group of prime order and is not neutral.
func (k *PublicKey) point(p *curve.G1Affine) error {
	// Bytes with the bit of compression unset would be read as an uncompressed point, which is longer.
	if _, err := p.SetBytes(k[:]); err != nil || p.IsInfinity() {
		return ErrKey
	}
	return nil
}

func (s *Signature) point(p *curve.G2Affine) error {
	if _, err := p.SetBytes(s[:]); err != nil || p.IsInfinity() {
		return ErrSignature
	}
	return nil
}

// Verify reports whether a signature is by a key over domain.Message(tag, network, h).
func Verify(key PublicKey, tag domain.Tag, network, h domain.Hash, s Signature) bool {
	var p curve.G1Affine
	return key.point(&p) == nil && holds(&p, domain.Message(tag, network, h), signatureSuite, s)
}

// holds checks e(key, H(message)) = e(generator, signature).
func holds(key *curve.G1Affine, message []byte, suite string, s Signature) bool {
	var signature curve.G2Affine
	if s.point(&signature) != nil {
		return false
	}
	hashed, err := curve.HashToG2(message, []byte(suite))
	if err != nil {
		return false // only of a suite longer than 255 bytes
	}
	_, _, generator, _ := curve.Generators()
	generator.Neg(&generator)
	ok, err := curve.PairingCheck([]curve.G1Affine{*key, generator}, []curve.G2Affine{hashed, signature})
	return err == nil && ok
}

// Aggregate folds signatures over one message into one. Each must be a point of G2 (ErrSignature); whether
// it is a good signature shows when the sum is verified. ErrNothing without signatures, and where their sum
// is neutral, which honest ones never reach.
func Aggregate(signatures []Signature) (Signature, error) {
	var sum curve.G2Jac
	for i := range signatures {
		var p curve.G2Affine
		if err := signatures[i].point(&p); err != nil {
			return Signature{}, err
		}
		sum.AddMixed(&p)
	}
	var folded curve.G2Affine
	folded.FromJacobian(&sum)
	if folded.IsInfinity() {
		return Signature{}, ErrNothing
	}
	return folded.Bytes(), nil
}

// VerifyAggregate reports whether an aggregate is by all of some keys over domain.Message(tag, network, h).
// Each key must have proven possession.
//
// Keys are checked to lie on the curve, and their sum to lie in the group of prime order and not to be neutral. The
// check of each key for itself, two thirds of what it costs to read one, was part of its proof of possession.
func VerifyAggregate(keys []PublicKey, tag domain.Tag, network, h domain.Hash, s Signature) bool {
	var sum curve.G1Jac
	for i := range keys {
		var p curve.G1Affine
		read := curve.NewDecoder(bytes.NewReader(keys[i][:]), curve.NoSubgroupChecks())
		if err := read.Decode(&p); err != nil || p.IsInfinity() {
			return false
		}
		sum.AddMixed(&p)
	}
	var key curve.G1Affine
	key.FromJacobian(&sum)
	if key.IsInfinity() || !key.IsInSubGroup() {
		return false
	}
	return holds(&key, domain.Message(tag, network, h), signatureSuite, s)
}
