package wallet

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/tyler-smith/go-bip39"
	"pgregory.net/rapid"

	"github.com/notarynet/notaryd/proto/domain"
)

func TestSLIP10Vectors(t *testing.T) {
	b, err := os.ReadFile("testdata/slip10.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors struct {
		Seeds []struct {
			Seed  string
			Nodes []struct {
				Path                   []uint32
				Chain, Private, Public string
			}
		}
	}
	if err := json.Unmarshal(b, &vectors); err != nil {
		t.Fatal(err)
	}
	checked := 0
	for _, s := range vectors.Seeds {
		seed, err := hex.DecodeString(s.Seed)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range s.Nodes {
			n := master(seed)
			for _, step := range want.Path {
				n = n.child(step)
			}
			if got := hex.EncodeToString(n.chain[:]); got != want.Chain {
				t.Errorf("%v: chain code %s, want %s", want.Path, got, want.Chain)
			}
			if got := hex.EncodeToString(n.key[:]); got != want.Private {
				t.Errorf("%v: private key %s, want %s", want.Path, got, want.Private)
			}
			if got := domain.NewPrivateKey(n.key).Public().String(); got != want.Public {
				t.Errorf("%v: public key %s, want %s", want.Path, got, want.Public)
			}
			checked++
		}
	}
	if checked != 12 {
		t.Errorf("%d vectors checked, want 12", checked)
	}
}

// The mnemonics of 256 bits in the vectors that BIP-39 refers to; their BIP-39 passphrase is TREZOR.
func TestBIP39Vectors(t *testing.T) {
	for _, tt := range []struct{ entropy, words, seed string }{
		{
			strings.Repeat("00", 32),
			strings.Repeat("abandon ", 23) + "art",
			"bda85446c68413707090a52022edd26a1c9462295029f2e60cd7c4f2bbd3097170af7a4d73245cafa9c3cca8d561a7c3de6f5d4a10be8ed2a5e608d68f92fcc8",
		},
		{
			strings.Repeat("7f", 32),
			strings.Repeat("legal winner thank year wave sausage worth useful ", 2) + "legal winner thank year wave sausage worth title",
			"bc09fca1804f7e69da93c2f2028eb238c227f2e9dda30cd63699232578480a4021b146ad717fbb7e451ce9eb835f43620bf5c514db0f8add49f5d121449d3e87",
		},
		{
			strings.Repeat("ff", 32),
			strings.Repeat("zoo ", 23) + "vote",
			"dd48c104698c30cfe2b6142103248622fb7bb0ff692eebb00089b32d22484e1613912f0a5b694407be899ffd31ed3992c456cdf60f5d4564b8ba3f05a69890ad",
		},
	} {
		entropy, err := hex.DecodeString(tt.entropy)
		if err != nil {
			t.Fatal(err)
		}
		words, err := bip39.NewMnemonic(entropy)
		if err != nil || words != tt.words {
			t.Errorf("%s: %q %v, want %q", tt.entropy, words, err, tt.words)
		}
		if got := hex.EncodeToString(bip39.NewSeed(tt.words, "TREZOR")); got != tt.seed {
			t.Errorf("%s: seed %s, want %s", tt.entropy, got, tt.seed)
		}
		if got, err := ParseWords(strings.ToUpper(tt.words) + "\n"); err != nil || got != tt.words {
			t.Errorf("ParseWords: %q %v", got, err)
		}
	}
}

// The whole way from words to key, so that wallets made today open for ever.
func TestDeriveKeyVectors(t *testing.T) {
	b, err := os.ReadFile("testdata/derive.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors struct {
		Wallets []struct {
			Words   string
			Account uint32
			Public  string
		}
	}
	if err := json.Unmarshal(b, &vectors); err != nil || len(vectors.Wallets) != 3 {
		t.Fatalf("%d vectors, %v", len(vectors.Wallets), err)
	}
	for _, want := range vectors.Wallets {
		words, err := ParseWords(want.Words)
		if err != nil {
			t.Fatal(err)
		}
		if got := DeriveKey(seed(words), want.Account).Public().String(); got != want.Public {
			t.Errorf("account %d: %s, want %s", want.Account, got, want.Public)
		}
	}
}

func TestParseWordsRefuses(t *testing.T) {
	good := strings.Repeat("abandon ", 23) + "art"
	for name, words := range map[string]string{
		"none":          "",
		"12 words":      strings.Repeat("abandon ", 11) + "about",
		"25 words":      good + " art",
		"unknown word":  strings.Replace(good, "art", "secretword", 1),
		"wrong check":   strings.Replace(good, "art", "zoo", 1),
		"swapped words": "art" + strings.Repeat(" abandon", 23),
	} {
		_, err := ParseWords(words)
		if !errors.Is(err, ErrWords) {
			t.Errorf("%s: %v, want ErrWords", name, err)
		} else if strings.Contains(err.Error(), "secretword") {
			t.Errorf("%s: the error shows a word", name)
		}
	}
}

func TestNewWordsRoundTrip(t *testing.T) {
	seen := map[string]bool{}
	for range 50 {
		words, err := NewWords()
		if err != nil {
			t.Fatal(err)
		}
		if seen[words] {
			t.Fatal("the same words twice")
		}
		seen[words] = true
		if got, err := ParseWords("  " + strings.ReplaceAll(words, " ", " \t")); err != nil || got != words {
			t.Errorf("%q %v, want %q", got, err, words)
		}
	}
}

// One wrong word is caught by the eight checksum bits all but one time in 256.
func TestChecksumCatchesWrongWord(t *testing.T) {
	caught, tried := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		entropy := rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "entropy")
		words, err := bip39.NewMnemonic(entropy)
		if err != nil {
			t.Fatal(err)
		}
		fields := strings.Fields(words)
		i := rapid.IntRange(0, WordCount-1).Draw(t, "position")
		other := rapid.SampledFrom(bip39.GetWordList()).Draw(t, "word")
		if fields[i] == other {
			return
		}
		fields[i] = other
		tried++
		if _, err := ParseWords(strings.Join(fields, " ")); errors.Is(err, ErrWords) {
			caught++
		}
	})
	if caught < tried*9/10 {
		t.Errorf("%d of %d wrong words caught", caught, tried)
	}
}
