package bls

import (
	"crypto/hkdf"
	"crypto/sha256"
	"math/big"

	curve "github.com/consensys/gnark-crypto/ecc/bls12-381"
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"

	"github.com/notarynet/notaryd/proto/domain"
)

// PrivateKey signs. The zero value is none: Sign panics.
type PrivateKey struct {
	scalar *big.Int
	public PublicKey
}

// Derive makes the BLS key of a node key: one secret to keep, back up and retire instead of two. It is KeyGen of
// the draft over the seed of the node key, with the tag notary/bls-key/v1 as key_info. It is a hash of the
// seed, so that knowing one key does not help towards the other's secret.
func Derive(node domain.PrivateKey) PrivateKey {
	seed := node.Seed()
	return newPrivateKey(generate(seed[:], string(domain.TagBLSKey)))
}

func newPrivateKey(scalar *big.Int) PrivateKey {
	var p curve.G1Affine
	p.ScalarMultiplicationBase(scalar)
	return PrivateKey{scalar: scalar, public: p.Bytes()}
}

// generate is KeyGen, section 2.3 of draft-irtf-cfrg-bls-signature-05.
func generate(material []byte, info string) *big.Int {
	const length = 48 // ceil((3 * ceil(log2(r))) / 16)
	salt := []byte("BLS-SIG-KEYGEN-SALT-")
	for {
		digest := sha256.Sum256(salt)
		salt = digest[:]
		b, err := hkdf.Key(sha256.New, append(append([]byte(nil), material...), 0), salt, info+"\x00\x30", length)
		if err != nil {
			panic(err) // only of more than 8,160 bytes
		}
		if k := new(big.Int).SetBytes(b); k.Mod(k, fr.Modulus()).Sign() != 0 {
			return k
		}
	}
}

// Public is the key that verifies.
func (k PrivateKey) Public() PublicKey { return k.public }

// Sign signs domain.Message(tag, network, h). One message has one signature.
func Sign(k PrivateKey, tag domain.Tag, network, h domain.Hash) Signature {
	return k.sign(domain.Message(tag, network, h), signatureSuite)
}

// sign multiplies the hashed message by the secret in two parts. The time that the library's multiplication takes depends
// on the scalar; the parts change with every message, so that times say nothing of the secret.
func (k PrivateKey) sign(message []byte, suite string) Signature {
	hashed, err := curve.HashToG2(message, []byte(suite))
	if err != nil {
		panic(err) // only of a suite longer than 255 bytes
	}
	blind := generate(k.scalar.FillBytes(make([]byte, 32)), suite+string(message))
	rest := new(big.Int).Sub(k.scalar, blind)
	rest.Mod(rest, fr.Modulus())
	var a, b curve.G2Affine
	a.ScalarMultiplication(&hashed, blind)
	b.ScalarMultiplication(&hashed, rest)
	a.Add(&a, &b)
	return a.Bytes()
}

// Prove proves possession of a BLS key, for one node key: nobody else can list the key as their own.
func Prove(k PrivateKey, node domain.PublicKey) Signature {
	return k.sign(possession(node, k.public), possessionSuite)
}

// VerifyPossession reports whether a proof by Prove holds, and so whether the BLS key is one at all.
func VerifyPossession(key PublicKey, node domain.PublicKey, proof Signature) bool {
	var p curve.G1Affine
	return key.point(&p) == nil && holds(&p, possession(node, key), possessionSuite, proof)
}

// possession is what a proof of possession signs. The draft signs the BLS key alone; the node key in front
// of it binds the one to the other. It names no network: a genesis document, whose hash is the network id,
// holds such proofs.
func possession(node domain.PublicKey, key PublicKey) []byte {
	b := append([]byte(domain.TagPossession), 0)
	b = append(b, node[:]...)
	return append(b, key[:]...)
}
