package bls

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math/big"
	"testing"

	curve "github.com/consensys/gnark-crypto/ecc/bls12-381"
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fp"
	"pgregory.net/rapid"

	"github.com/notarynet/notaryd/proto/domain"
)

var (
	network = domain.Sum(domain.TagGenesis, []byte("network"))
	hash    = domain.Sum(domain.TagFinal, []byte("message"))
)

func node(i int) domain.PrivateKey { return domain.NewPrivateKey([32]byte{byte(i), byte(i >> 8), 1}) }

func key(i int) PrivateKey { return Derive(node(i)) }

func sign(i int) Signature { return Sign(key(i), domain.TagFinal, network, hash) }

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestKeyGen: the first test case of EIP-2333, whose derive_master_SK is KeyGen without key_info.
func TestKeyGen(t *testing.T) {
	seed := unhex(t, "c55257c360c07c72029aebc1b53c05ed0362ada38ead3e3e9efa3708e53495531f09a6987599d18264c1e1c92f2cf141630c7a3c4ab7c81b2f001698e7463b04")
	if got := generate(seed, "").String(); got != "6083874454709270928345386274498605044986640685124978867557563392430687146096" {
		t.Errorf("secret key %s", got)
	}
}

// TestKnownSignature: a test case of the Ethereum consensus specification (bls/sign), which signs raw messages
// under the same ciphersuite.
func TestKnownSignature(t *testing.T) {
	for _, c := range []struct{ secret, message, signature string }{{
		"263dbd792f5b1be47ed85f8938c0f29586af0d3ac7b977f21c278fe1462040e3",
		"5656565656565656565656565656565656565656565656565656565656565656",
		"882730e5d03f6b42c3abc26d3372625034e1d871b65a8a6b900a56dae22da98abbe1b68f85e49fe7652a55ec3d0591c20767677e33e5cbb1207315c41a9ac03be39c2e7668edc043d6cb1d9fd93033caa8a1c5b0e84bedaeb6c64972503a43eb",
	}} {
		k := newPrivateKey(new(big.Int).SetBytes(unhex(t, c.secret)))
		message := unhex(t, c.message)
		s := k.sign(message, signatureSuite)
		if got := hex.EncodeToString(s[:]); got != c.signature {
			t.Errorf("signature %s, want %s", got, c.signature)
		}
		var p curve.G1Affine
		if k.public.point(&p) != nil || !holds(&p, message, signatureSuite, s) {
			t.Error("refused")
		}
	}
}

func TestSignature(t *testing.T) {
	k, s := key(1), sign(1)
	if !Verify(k.Public(), domain.TagFinal, network, hash, s) {
		t.Fatal("a good signature is refused")
	}
	if s != sign(1) {
		t.Error("one message, two signatures")
	}
	other := domain.Sum(domain.TagFinal, []byte("another"))
	for name, ok := range map[string]bool{
		"another key":     Verify(key(2).Public(), domain.TagFinal, network, hash, s),
		"another tag":     Verify(k.Public(), domain.TagTie, network, hash, s),
		"another network": Verify(k.Public(), domain.TagFinal, other, hash, s),
		"another hash":    Verify(k.Public(), domain.TagFinal, network, other, s),
		"another's":       Verify(k.Public(), domain.TagFinal, network, hash, sign(2)),
		"no key":          Verify(PublicKey{}, domain.TagFinal, network, hash, s),
		"no signature":    Verify(k.Public(), domain.TagFinal, network, hash, Signature{}),
	} {
		if ok {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestPossession(t *testing.T) {
	k := key(1)
	proof := Prove(k, node(1).Public())
	if !VerifyPossession(k.Public(), node(1).Public(), proof) {
		t.Fatal("a good proof is refused")
	}
	for name, ok := range map[string]bool{
		"another node key": VerifyPossession(k.Public(), node(2).Public(), proof),
		"another key":      VerifyPossession(key(2).Public(), node(1).Public(), proof),
		"no key":           VerifyPossession(PublicKey{}, node(1).Public(), proof),
	} {
		if ok {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestSuites: a proof of possession is no signature, and the reverse, even where the bytes signed are the same.
func TestSuites(t *testing.T) {
	k := key(1)
	var p curve.G1Affine
	if err := k.public.point(&p); err != nil {
		t.Fatal(err)
	}
	message := possession(node(1).Public(), k.Public())
	if holds(&p, message, signatureSuite, Prove(k, node(1).Public())) {
		t.Error("a proof of possession counts as a signature")
	}
	if VerifyPossession(k.Public(), node(1).Public(), k.sign(message, signatureSuite)) {
		t.Error("a signature counts as a proof of possession")
	}
}

// TestRogueKey: a key made to cancel out another's would let its maker sign for both; it is only
// kept out by the proof of possession, which its maker cannot give.
func TestRogueKey(t *testing.T) {
	victim, liar := key(1), key(2)
	var a, b curve.G1Affine
	if victim.public.point(&a) != nil || liar.public.point(&b) != nil {
		t.Fatal("keys")
	}
	b.Sub(&b, &a)
	rogue := PublicKey(b.Bytes())
	forged := Sign(liar, domain.TagFinal, network, hash)
	if !VerifyAggregate([]PublicKey{victim.Public(), rogue}, domain.TagFinal, network, hash, forged) {
		t.Fatal("the attack does not work: this test shows nothing")
	}
	if VerifyPossession(rogue, node(2).Public(), Prove(liar, node(2).Public())) {
		t.Error("possession of a key that nobody has")
	}
}

// TestAggregate: the sum of signatures verifies under the keys that made them and under no other set.
func TestAggregate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 8).Draw(t, "signers")
		var keys []PublicKey
		var signatures []Signature
		for i := range n {
			keys, signatures = append(keys, key(i).Public()), append(signatures, sign(i))
		}
		s, err := Aggregate(signatures)
		if err != nil {
			t.Fatal(err)
		}
		holds := func(keys []PublicKey) bool { return VerifyAggregate(keys, domain.TagFinal, network, hash, s) }
		if !holds(keys) {
			t.Fatal("refused")
		}
		if holds(keys[:n-1]) || holds(append(keys[:n:n], key(n).Public())) || holds(append(keys[:n:n], keys[0])) {
			t.Fatal("accepted for another set of keys")
		}
		one := s
		one[rapid.IntRange(0, SignatureSize-1).Draw(t, "byte")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		if VerifyAggregate(keys, domain.TagFinal, network, hash, one) {
			t.Fatal("accepted with a bit flipped")
		}
	})
}

func TestAggregateRefuses(t *testing.T) {
	if _, err := Aggregate(nil); !errors.Is(err, ErrNothing) {
		t.Errorf("nothing: %v", err)
	}
	if _, err := Aggregate([]Signature{sign(1), {}}); !errors.Is(err, ErrSignature) {
		t.Errorf("no signature: %v", err)
	}
	var p curve.G2Affine
	s := sign(1)
	if err := s.point(&p); err != nil {
		t.Fatal(err)
	}
	p.Neg(&p)
	if _, err := Aggregate([]Signature{s, p.Bytes()}); !errors.Is(err, ErrNothing) {
		t.Errorf("a neutral sum: %v", err)
	}
	if VerifyAggregate(nil, domain.TagFinal, network, hash, s) {
		t.Error("no keys: accepted")
	}
}

// TestBadPoints: points off the curve, outside the group of prime order, at infinity, uncompressed.
func TestBadPoints(t *testing.T) {
	infinity := append([]byte{0xc0}, make([]byte, PublicKeySize-1)...)
	outside := curve.GeneratePointNotInG1(fp.NewElement(5))
	var affine curve.G1Affine
	affine.FromJacobian(&outside)
	strange := affine.Bytes()
	good := key(1).Public()
	plain := good
	plain[0] &^= 0x80
	for name, b := range map[string][]byte{
		"zeros": make([]byte, PublicKeySize), "infinity": infinity, "outside the group": strange[:],
		"uncompressed": plain[:], "all ones": bytes.Repeat([]byte{0xff}, PublicKeySize),
	} {
		k := PublicKey(b)
		if err := k.Check(); !errors.Is(err, ErrKey) {
			t.Errorf("%s: %v", name, err)
		}
		if VerifyAggregate([]PublicKey{k}, domain.TagFinal, network, hash, sign(1)) {
			t.Errorf("%s: accepted alone", name)
		}
		if VerifyAggregate([]PublicKey{good, k}, domain.TagFinal, network, hash, sign(1)) {
			t.Errorf("%s: accepted beside a good key", name)
		}
	}
	if err := good.Check(); err != nil {
		t.Error(err)
	}
	off := curve.GeneratePointNotInG2(curve.E2{A0: fp.NewElement(5), A1: fp.NewElement(7)})
	var p curve.G2Affine
	p.FromJacobian(&off)
	if _, err := Aggregate([]Signature{p.Bytes()}); !errors.Is(err, ErrSignature) {
		t.Errorf("a signature outside the group: %v", err)
	}
}

func TestDerive(t *testing.T) {
	a, b := key(1), key(2)
	if a.Public() == b.Public() {
		t.Error("two node keys, one BLS key")
	}
	if a.Public() != key(1).Public() {
		t.Error("one node key, two BLS keys")
	}
}

// FuzzVerify: no crash on any bytes, a sum of one key and signature gets the verdict of the key alone where the
// key is one, and nothing but the one good signature verifies.
func FuzzVerify(f *testing.F) {
	good, s := key(1).Public(), sign(1)
	f.Add(good[:], s[:])
	f.Add(make([]byte, PublicKeySize), make([]byte, SignatureSize))
	f.Fuzz(func(t *testing.T, k, s []byte) {
		if len(k) != PublicKeySize || len(s) != SignatureSize {
			return
		}
		public, signature := PublicKey(k), Signature(s)
		alone := Verify(public, domain.TagFinal, network, hash, signature)
		if public.Check() == nil && alone != VerifyAggregate([]PublicKey{public}, domain.TagFinal, network, hash, signature) {
			t.Fatal("alone and as a sum of one differ")
		}
		if alone && public == good && signature != sign(1) {
			t.Fatal("a second signature over one message")
		}
	})
}
