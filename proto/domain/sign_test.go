package domain

import (
	"bytes"
	stded25519 "crypto/ed25519"
	"crypto/sha512"
	"encoding/hex"
	"math/big"
	"math/rand"
	"testing"

	"pgregory.net/rapid"
)

// smallOrder are all encodings, canonical or not, of the eight points whose order divides 8.
var smallOrder = []string{
	"0000000000000000000000000000000000000000000000000000000000000000",
	"0000000000000000000000000000000000000000000000000000000000000080",
	"0100000000000000000000000000000000000000000000000000000000000000",
	"0100000000000000000000000000000000000000000000000000000000000080",
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
}

func encoded(t testing.TB, s string) [32]byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != 32 {
		t.Fatal(s, err)
	}
	return [32]byte(b)
}

var (
	signedHash = Sum(TagTx, []byte("signed"))
	signedNet  = Sum(TagGenesis, []byte("network"))
)

func checkOf(key PublicKey, s Signature) Check {
	return Check{Key: key, Tag: TagTx, Network: signedNet, Hash: signedHash, Signature: s}
}

func goodCheck(seed byte) Check {
	k := NewPrivateKey([32]byte{seed, 1})
	return checkOf(k.Public(), Sign(k, TagTx, signedNet, signedHash))
}

// batched is the verdict on a check in the middle of a batch of good ones.
func batched(t testing.TB, c Check) bool {
	t.Helper()
	batch := []Check{goodCheck(1), goodCheck(2), c, goodCheck(3), goodCheck(4)}
	verdicts := VerifyBatch(batch, rand.New(rand.NewSource(1)))
	for i, v := range verdicts {
		if i != 2 && !v {
			t.Fatalf("a good signature is refused beside %x", c.Signature)
		}
	}
	return verdicts[2]
}

// agree holds all three verdicts against each other and returns it.
func agree(t testing.TB, name string, c Check) bool {
	t.Helper()
	single := c.Verify()
	if slow := verifyReference(&c); single != slow {
		t.Errorf("%s: verified %v, ZIP-215 says %v", name, single, slow)
	}
	if batch := batched(t, c); batch != single {
		t.Errorf("%s: %v alone, %v in a batch", name, single, batch)
	}
	keys := NewVerifier(1, nil)
	for _, key := range []string{"new", "kept"} {
		if got := keys.Verify([]Check{c})[0]; got != single {
			t.Errorf("%s: %v alone, %v by its %s key", name, single, got, key)
		}
	}
	return single
}

func TestGoodSignatures(t *testing.T) {
	for seed := range byte(8) {
		c := goodCheck(seed)
		if !agree(t, "good", c) {
			t.Errorf("seed %d: refused", seed)
		}
		if !stded25519.Verify(c.Key[:], Message(c.Tag, c.Network, c.Hash), c.Signature[:]) {
			t.Errorf("seed %d: the standard library refuses it", seed)
		}
	}
}

// TestSmallOrder: keys and nonces of small order, in every encoding, verify with s = 0, whatever is
// signed. They are nobody's keys; what counts is that every node says the same.
func TestSmallOrder(t *testing.T) {
	for _, a := range smallOrder {
		p := mustPoint(bytes32(encoded(t, a)))
		if !times(big.NewInt(8), p).equal(origin) {
			t.Fatalf("%s is not of small order", a)
		}
		for _, r := range smallOrder {
			var s Signature
			nonce := encoded(t, r)
			copy(s[:], nonce[:])
			c := checkOf(PublicKey(encoded(t, a)), s)
			if !c.Verify() || !batched(t, c) {
				t.Errorf("key %s, nonce %s: refused", a, r)
			}
		}
	}
	// The reference agrees on one of each order; it is slow.
	for _, a := range []string{smallOrder[0], smallOrder[3], smallOrder[6], smallOrder[9], smallOrder[12]} {
		var s Signature
		nonce := encoded(t, smallOrder[7])
		copy(s[:], nonce[:])
		if !agree(t, a, checkOf(PublicKey(encoded(t, a)), s)) {
			t.Errorf("key %s: refused", a)
		}
	}
}

func bytes32(b [32]byte) []byte { return b[:] }

// TestNonCanonicalPoints tries every y from p to 2^255 - 1 with both signs, as key and as nonce.
func TestNonCanonicalPoints(t *testing.T) {
	onCurve := 0
	for i := range int64(19) {
		for sign := range byte(2) {
			b := encodeLE(new(big.Int).Add(fieldP, big.NewInt(i)))
			b[31] |= sign << 7
			if _, ok := decodePoint(b); ok {
				onCurve++
			}
			good := goodCheck(9)
			var zero Signature
			zero[0] = 1 // the neutral element as nonce, s = 0
			agree(t, "as key", checkOf(PublicKey(b), zero))
			copy(good.Signature[:], b)
			agree(t, "as nonce", good)
		}
	}
	if onCurve < 10 {
		t.Errorf("only %d of 38 encodings are points", onCurve)
	}
}

// mixed signs with a key and a nonce that have a part of small order: 8 s B = 8 R + 8 h A holds,
// s B = R + h A need not.
func mixed(seed []byte, keyPart, noncePart point) Check {
	digest := sha512.Sum512(seed)
	a, r := littleEndian(digest[:32]), littleEndian(digest[32:])
	key := encodePoint(add(times(a, base), keyPart))
	nonce := encodePoint(add(times(r, base), noncePart))
	c := checkOf(PublicKey(key), Signature{})
	h := challenge(nonce[:], key[:], Message(c.Tag, c.Network, c.Hash))
	s := h.Mul(h, a)
	s.Add(s, r).Mod(s, orderL)
	copy(c.Signature[:32], nonce[:])
	copy(c.Signature[32:], encodeLE(s))
	return c
}

// TestMixedOrder: accepted everywhere, although a cofactorless verifier such as the standard library's
// refuses most of them.
func TestMixedOrder(t *testing.T) {
	strict := 0
	for i, encoding := range smallOrder[4:10] {
		torsion := mustPoint(bytes32(encoded(t, encoding)))
		for _, c := range []Check{
			mixed([]byte{byte(i), 0}, torsion, origin), mixed([]byte{byte(i), 1}, origin, torsion), mixed([]byte{byte(i), 2}, torsion, torsion),
		} {
			if !agree(t, encoding, c) {
				t.Errorf("torsion %s: refused", encoding)
			}
			if !stded25519.Verify(c.Key[:], Message(c.Tag, c.Network, c.Hash), c.Signature[:]) {
				strict++
			}
		}
	}
	if strict == 0 {
		t.Error("no case tells the two rules apart")
	}
}

// TestMalleable: s plus the order, a flipped sign, a foreign tag, network or hash are refused.
func TestMalleable(t *testing.T) {
	good := goodCheck(5)
	more := good
	copy(more.Signature[32:], encodeLE(new(big.Int).Add(littleEndian(good.Signature[32:]), orderL)))
	order := good
	copy(order.Signature[32:], encodeLE(orderL))
	sign := good
	sign.Signature[31] ^= 0x80
	tag, network, hash := good, good, good
	tag.Tag, network.Network[0], hash.Hash[0] = TagLink, network.Network[0]^1, hash.Hash[0]^1
	key := good
	key.Key = goodCheck(6).Key
	nowhere := good
	nowhere.Key = PublicKey(encoded(t, "0200000000000000000000000000000000000000000000000000000000000000"))
	for name, c := range map[string]Check{
		"s plus the order": more, "s is the order": order, "sign of the nonce": sign, "tag": tag, "network": network,
		"hash": hash, "another key": key, "no point": nowhere, "nothing": {},
	} {
		if agree(t, name, c) && name != "nothing" {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestBatchIsSingle: in any mixture, of any size, a batch gives the verdicts of one by one.
func TestBatchIsSingle(t *testing.T) {
	torsion := mustPoint(bytes32(encoded(t, smallOrder[6])))
	odd := []Check{mixed([]byte{1}, torsion, origin), mixed([]byte{2}, torsion, torsion), checkOf(PublicKey(encoded(t, smallOrder[3])), Signature{1})}
	rapid.Check(t, func(t *rapid.T) {
		checks := make([]Check, rapid.IntRange(0, 12).Draw(t, "size"))
		for i := range checks {
			checks[i] = goodCheck(rapid.Byte().Draw(t, "seed"))
			switch rapid.IntRange(0, 5).Draw(t, "kind") {
			case 0:
				checks[i].Signature[rapid.IntRange(0, 63).Draw(t, "byte")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
			case 1:
				checks[i] = odd[rapid.IntRange(0, len(odd)-1).Draw(t, "odd")]
			}
		}
		verdicts := VerifyBatch(checks, rand.New(rand.NewSource(rapid.Int64().Draw(t, "random"))))
		if len(verdicts) != len(checks) {
			t.Fatalf("%d verdicts on %d", len(verdicts), len(checks))
		}
		for i := range checks {
			if verdicts[i] != checks[i].Verify() {
				t.Fatalf("check %d of %d: %v in the batch", i, len(checks), verdicts[i])
			}
		}
	})
}

// TestRandomBytes: the twin agrees on what is mostly nonsense.
func TestRandomBytes(t *testing.T) {
	source := rand.New(rand.NewSource(7))
	for range 20 {
		c := goodCheck(1)
		source.Read(c.Key[:])
		source.Read(c.Signature[:])
		c.Signature[63] &= 0x0f
		agree(t, "random", c)
	}
}

// FuzzVerify: no crash, and one verdict alone and in a batch, on any key and signature.
func FuzzVerify(f *testing.F) {
	good := goodCheck(1)
	f.Add(good.Key[:], good.Signature[:])
	key := encoded(f, smallOrder[3])
	f.Add(key[:], make([]byte, 64))
	f.Fuzz(func(t *testing.T, key, signature []byte) {
		if len(key) != 32 || len(signature) != 64 {
			return
		}
		c := checkOf(PublicKey(key), Signature(signature))
		if single := c.Verify(); batched(t, c) != single {
			t.Fatalf("%x %x: %v alone, not in a batch", key, signature, single)
		}
	})
}

func TestKeys(t *testing.T) {
	// RFC 8032, section 7.1, test 1.
	k := NewPrivateKey(encoded(t, "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"))
	if got := k.Public().String(); got != "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a" {
		t.Errorf("public key %s", got)
	}
	if k.Seed() != encoded(t, "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60") {
		t.Error("seed")
	}
	a, b := goodCheck(1).Key, goodCheck(2).Key
	if a.Compare(b) != bytes.Compare(a[:], b[:]) || a.Compare(a) != 0 {
		t.Error("order of keys")
	}
}

func BenchmarkVerify(b *testing.B) {
	c := goodCheck(1)
	b.ReportAllocs()
	for b.Loop() {
		if !c.Verify() {
			b.Fatal("refused")
		}
	}
}

// BenchmarkVerifyBatch reports the time of one signature in batches of 256.
func BenchmarkVerifyBatch(b *testing.B) {
	checks := make([]Check, 256)
	for i := range checks {
		checks[i] = goodCheck(byte(i))
	}
	random := rand.New(rand.NewSource(1))
	b.ReportAllocs()
	for b.Loop() {
		for _, ok := range VerifyBatch(checks, random) {
			if !ok {
				b.Fatal("refused")
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(checks)), "ns/signature")
}
