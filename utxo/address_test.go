package utxo

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// The vectors of BIP-350 that are bech32m, and those that are not.
func TestBech32mVectors(t *testing.T) {
	for _, s := range []string{
		"A1LQFN3A",
		"a1lqfn3a",
		"an83characterlonghumanreadablepartthatcontainsthetheexcludedcharactersbioandnumber11sg7hg6",
		"abcdef1l7aum6echk45nj3s0wdvt2fg8x9yrzpqzd3ryx",
		"11llllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllludsr8",
		"split1checkupstagehandshakeupstreamerranterredcaperredlc445v",
		"?1v759aa",
	} {
		prefix, groups, err := bech32mDecode(s)
		if err != nil {
			t.Errorf("%s: %v", s, err)
			continue
		}
		if again := bech32mEncode(prefix, groups); again != strings.ToLower(s) {
			t.Errorf("%s encodes to %s", s, again)
		}
		i := strings.LastIndexByte(s, '1') + 1
		if flipped := s[:i] + flip(s[i]) + s[i+1:]; flipped != s {
			if _, _, err := bech32mDecode(flipped); err == nil {
				t.Errorf("%s: a wrong character is not found", s)
			}
		}
	}
	for name, s := range map[string]string{
		"prefix character 0x20":     "\x201xj0phk",
		"prefix character 0x7f":     "\x7f1g6xzxy",
		"prefix character 0x80":     "\x801vctc34",
		"too long":                  "an84characterslonghumanreadablepartthatcontainsthetheexcludedcharactersbioandnumber11d6pts4",
		"no separator":              "qyrz8wqd2c9m",
		"empty prefix":              "1qyrz8wqd2c9m",
		"invalid data character b":  "y1b0jsk6g",
		"invalid data character i":  "lt1igcx5c0",
		"checksum too short":        "in1muywd",
		"invalid checksum i":        "mm1crxm3i",
		"invalid checksum o":        "au1s5cgom",
		"checksum of the uppercase": "M1VUXWEZ",
		"empty prefix, 7":           "16plkw9",
		"empty prefix, 8":           "1p2gdwpf",
		"mixed case":                "A1lqfn3a",
		"bech32, not bech32m":       "a12uel5l",
	} {
		if _, _, err := bech32mDecode(s); err == nil {
			t.Errorf("%s: %q decodes", name, s)
		}
	}
}

// flip is another character of the charset.
func flip(c byte) string {
	if c == 'q' || c == 'Q' {
		return "p"
	}
	return "q"
}

func TestAddressesRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		prefix := rapid.StringMatching(`[a-z]{1,16}`).Draw(t, "prefix")
		a := Address(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "address"))
		if a.IsZero() {
			t.Skip("nobody's address")
		}
		s := FormatAddress(prefix, a)
		for _, spelled := range []string{s, strings.ToUpper(s)} {
			if got, err := ParseAddress(prefix, spelled); err != nil || got != a {
				t.Fatalf("%s: %s, %v", spelled, got, err)
			}
		}
		if len(s) != len(prefix)+1+52+6 {
			t.Fatalf("%d characters", len(s))
		}
		// A checksum finds up to four wrong characters; here one or two.
		wrong := []byte(s)
		for range rapid.IntRange(1, 2).Draw(t, "mistakes") {
			i := rapid.IntRange(len(prefix)+1, len(s)-1).Draw(t, "at")
			wrong[i] = bech32Charset[rapid.IntRange(0, 31).Draw(t, "character")]
		}
		if got, err := ParseAddress(prefix, string(wrong)); err == nil && string(wrong) != s {
			t.Fatalf("%s is taken for %s", wrong, got)
		}
	})
}

func TestParseAddressReasons(t *testing.T) {
	a := Address(bytes32(1))
	long := append(bytes.Clone(toGroups(a[:])), 0)
	loose := toGroups(a[:])
	loose[len(loose)-1] |= 1 // a bit that no byte holds
	for name, c := range map[string]struct {
		s      string
		reason notaryv1.Reason
	}{
		"mistyped":          {FormatAddress(prefix, a) + "q", notaryv1.Reason_REASON_INVALID_ARGUMENT},
		"another network":   {FormatAddress("other", a), notaryv1.Reason_REASON_WRONG_NETWORK},
		"31 bytes":          {bech32mEncode(prefix, toGroups(a[:31])), notaryv1.Reason_REASON_INVALID_ARGUMENT},
		"33 bytes":          {bech32mEncode(prefix, toGroups(append(a[:], 1))), notaryv1.Reason_REASON_INVALID_ARGUMENT},
		"a group too many":  {bech32mEncode(prefix, long), notaryv1.Reason_REASON_INVALID_ARGUMENT},
		"loose padding":     {bech32mEncode(prefix, loose), notaryv1.Reason_REASON_INVALID_ARGUMENT},
		"nobody":            {FormatAddress(prefix, Address{}), notaryv1.Reason_REASON_INVALID_ARGUMENT},
		"nothing":           {"", notaryv1.Reason_REASON_INVALID_ARGUMENT},
		"only its checksum": {bech32mEncode(prefix, nil), notaryv1.Reason_REASON_INVALID_ARGUMENT},
	} {
		if _, err := ParseAddress(prefix, c.s); !errors.Is(err, refusal.Because(c.reason)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestFromGroups: a group that holds no bit of a byte is refused, zero or not.
func TestFromGroups(t *testing.T) {
	for n := range 40 {
		b, err := fromGroups(make([]byte, n))
		if whole := len(toGroups(make([]byte, n*5/8))) == n; whole != (err == nil) || (whole && len(b) != n*5/8) {
			t.Errorf("%d groups: %d bytes, %v", n, len(b), err)
		}
	}
}

// FuzzParseAddress: what is accepted is spelled in one way, case aside.
func FuzzParseAddress(f *testing.F) {
	f.Add(prefix, FormatAddress(prefix, Address(bytes32(1))))
	f.Add("a", "A1LQFN3A")
	f.Fuzz(func(t *testing.T, prefix, s string) {
		a, err := ParseAddress(prefix, s)
		if err == nil && FormatAddress(prefix, a) != strings.ToLower(s) {
			t.Fatalf("%q is read as %s", s, FormatAddress(prefix, a))
		}
	})
}

func TestOutpoints(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func(name string) Outpoint {
			var h domain.Hash
			h[31] = rapid.Byte().Draw(t, name)
			return Outpoint{Tx: h, Index: rapid.Uint32().Draw(t, name+" index")}
		}
		a, b := draw("a"), draw("b")
		x, y := a.Bytes(), b.Bytes()
		if a.Compare(b) != bytes.Compare(x[:], y[:]) || a.Compare(a) != 0 {
			t.Fatalf("%s against %s: %d", a, b, a.Compare(b))
		}
		if got, err := OutpointFrom(x[:]); err != nil || got != a {
			t.Fatal(got, err)
		}
		if got, err := ParseOutpoint(a.String()); err != nil || got != a {
			t.Fatal(got, err)
		}
	})
	id := domain.Hash(bytes32(1)).String()
	for _, s := range []string{"", id, id + ":", id + ":-1", id + ":4294967296", id[1:] + ":1", "x" + id[1:] + ":1"} {
		if _, err := ParseOutpoint(s); !errors.Is(err, errOutpoint) {
			t.Errorf("%q: %v", s, err)
		}
	}
	if _, err := OutpointFrom(make([]byte, 35)); !errors.Is(err, errOutpoint) {
		t.Error(err)
	}
}
