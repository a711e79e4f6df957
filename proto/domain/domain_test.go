package domain

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"testing"

	"pgregory.net/rapid"
)

func TestSum(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tag := Tag(rapid.StringMatching(`notary/[a-z]{1,20}/v1`).Draw(t, "tag"))
		parts := rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 0, 400), 0, 4).Draw(t, "parts")
		plain := append([]byte(tag), 0)
		for _, p := range parts {
			plain = append(plain, p...)
		}
		if got := Sum(tag, parts...); got != sha256.Sum256(plain) {
			t.Fatalf("%d bytes: %s", len(plain), got)
		}
	})
}

// TestSumAcrossTheStack: the short and the long way give one hash.
func TestSumAcrossTheStack(t *testing.T) {
	for n := 480; n < 540; n++ {
		m := bytes.Repeat([]byte{byte(n)}, n)
		if Sum(TagTx, m) != sha256.Sum256(append([]byte("notary/tx/v1\x00"), m...)) {
			t.Errorf("%d bytes", n)
		}
	}
	m := make([]byte, 64)
	if n := testing.AllocsPerRun(100, func() { Sum(TagTie, m, m) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestTagsSeparate: no tag is a prefix of another with its zero byte, and none holds a zero byte.
func TestTagsSeparate(t *testing.T) {
	tags := []Tag{
		TagGenesis, TagTx, TagLock, TagProduct, TagPeer, TagMembership, TagObservation, TagLink, TagEvidence,
		TagTie, TagFacilitator, TagFinal, TagWork, TagPossession, TagBLSKey, TagRange, TagSnapshot, TagPiece,
	}
	seen := make(map[Hash]Tag)
	for _, tag := range tags {
		if bytes.IndexByte([]byte(tag), 0) >= 0 {
			t.Errorf("%q holds a zero byte", tag)
		}
		h := Sum(tag)
		if seen[h] != "" {
			t.Errorf("%s and %s", tag, seen[h])
		}
		seen[h] = tag
	}
}

func TestMessage(t *testing.T) {
	want := append(append([]byte("notary/tx/v1\x00"), signedNet[:]...), signedHash[:]...)
	if got := Message(TagTx, signedNet, signedHash); !bytes.Equal(got, want) {
		t.Errorf("%x, want %x", got, want)
	}
}

func TestHashes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x, y := rapid.SliceOfN(rapid.Byte(), 32, 32), rapid.SliceOfN(rapid.ByteRange(0, 1), 32, 32)
		a, b := Hash(y.Draw(t, "a")), Hash(rapid.OneOf(x, y).Draw(t, "b"))
		if a.Compare(b) != bytes.Compare(a[:], b[:]) || a.Compare(a) != 0 || a.IsZero() != (a == Hash{}) {
			t.Fatalf("%s against %s", a, b)
		}
		if got, err := ParseHash(b.String()); err != nil || got != b {
			t.Fatal(got, err)
		}
		if got, err := HashFrom(b[:]); err != nil || got != b {
			t.Fatal(got, err)
		}
		text, err := json.Marshal(b)
		var back Hash
		if err != nil || json.Unmarshal(text, &back) != nil || back != b || string(text) != `"`+b.String()+`"` {
			t.Fatalf("%s as JSON: %s, %v", b, text, err)
		}
	})
	for _, s := range []string{"", "00", "zz" + Hash{}.String()[2:], Hash{}.String() + "00"} {
		if _, err := ParseHash(s); err == nil {
			t.Errorf("%q is a hash", s)
		}
		kept := Hash{1}
		if err := kept.UnmarshalText([]byte(s)); err == nil || kept != (Hash{1}) {
			t.Errorf("%q: %v, changed to %s", s, err, kept)
		}
	}
	if _, err := HashFrom(make([]byte, 31)); !errors.Is(err, ErrHashLength) {
		t.Error(err)
	}
}
