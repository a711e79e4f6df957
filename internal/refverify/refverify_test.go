package refverify_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/notarynet/notaryd/internal/refverify"
	"github.com/notarynet/notaryd/observation"
	kit "github.com/notarynet/notaryd/observation/observationtest"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	"github.com/notarynet/notaryd/proto/refusal"
)

type vectors struct {
	Genesis octets `json:"genesis"`
	Cases   []struct {
		Name       string `json:"name"`
		File       octets `json:"file"`
		Conclusion string `json:"conclusion"`
		Field      string `json:"field"`
		Verdict    any    `json:"verdict"`
	} `json:"cases"`
}

type octets []byte

func (o *octets) UnmarshalText(b []byte) (err error) {
	*o, err = hex.DecodeString(string(b))
	return err
}

func readVectors(t testing.TB) []vectors {
	t.Helper()
	var all []vectors
	for _, name := range []string{"proofs", "links"} {
		b, err := os.ReadFile("../../observation/testdata/" + name + ".json")
		if err != nil {
			t.Fatal(err)
		}
		var v []vectors
		if err := json.Unmarshal(b, &v); err != nil {
			t.Fatal(err)
		}
		all = append(all, v...)
	}
	return all
}

// plain is a value as JSON sees it.
func plain(t testing.TB, v any) (out any) {
	t.Helper()
	b, err := json.Marshal(v)
	if err == nil {
		err = json.Unmarshal(b, &out)
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestVectors: the same conclusion, the same part at fault, the same numbers.
func TestVectors(t *testing.T) {
	for _, v := range readVectors(t) {
		for _, c := range v.Cases {
			t.Run(c.Name, func(t *testing.T) {
				got, err := refverify.Verify(v.Genesis, c.File)
				if err != nil {
					t.Fatal(err)
				}
				// Of an encoding that cannot be read, the two may stumble over different bytes.
				readable := c.Name != "cut off"
				if got.Conclusion != c.Conclusion || (readable && got.Field != c.Field) {
					t.Fatalf("%s at %q (%s), want %s at %q", got.Conclusion, got.Field, got.Why, c.Conclusion, c.Field)
				}
				if c.Verdict != nil && !reflect.DeepEqual(plain(t, got), c.Verdict) {
					t.Fatalf("got %v\nwant %v", plain(t, got), c.Verdict)
				}
			})
		}
	}
}

// other is what observation says of the same file.
func other(genesis, file []byte) (string, string) {
	p, err := observation.DecodeFile(file, observation.Limits{})
	if err == nil {
		var root observation.Root
		if genesis != nil {
			g, err := group.DecodeGenesis(genesis)
			if err != nil {
				return "", ""
			}
			root = observation.GenesisRoot(g)
		}
		var v observation.Verdict
		if v, err = p.Verify(root); err == nil {
			return v.Conclusion.String(), ""
		}
	}
	var e *refusal.Error
	errors.As(err, &e)
	return "invalid", e.Field
}

// TestFlipped flips every byte of the good proofs: both verifiers refuse, or neither does.
func TestFlipped(t *testing.T) {
	chosen := map[string]bool{"two transactions, three of four peers": true, "2 of four peers": true, "5 of six keys": true, "proven, vouched for, proven": true}
	refused := 0
	for _, v := range readVectors(t) {
		for _, c := range v.Cases {
			if !chosen[c.Name] {
				continue
			}
			for i := range c.File {
				for _, mask := range []byte{1, 0x80, 0xff} {
					if mask != 1 && len(c.File) > 4000 {
						continue // a proof with links is long
					}
					file := bytes.Clone(c.File)
					file[i] ^= mask
					got, err := refverify.Verify(v.Genesis, file)
					if err != nil {
						t.Fatal(err)
					}
					want, field := other(v.Genesis, file)
					if got.Conclusion != want {
						t.Fatalf("%s, byte %d flipped by %x: %s at %q (%s), but observation says %s at %q", c.Name, i, mask, got.Conclusion, got.Field, got.Why, want, field)
					}
					if want == refverify.Invalid {
						refused++
					}
				}
			}
		}
	}
	if refused < 5_000 {
		t.Fatalf("only %d refused", refused)
	}
}

// TestCutOff: no prefix of a proof is one, unless it ends between two transactions: then it proves those
// that are left.
func TestCutOff(t *testing.T) {
	v := readVectors(t)[0]
	var valid []int
	for n := range v.Cases[0].File {
		got, err := refverify.Verify(v.Genesis, v.Cases[0].File[:n])
		want, _ := other(v.Genesis, v.Cases[0].File[:n])
		if err != nil || got.Conclusion != want {
			t.Fatalf("%d bytes: %s, observation says %s, %v", n, got.Conclusion, want, err)
		}
		if want != refverify.Invalid {
			valid = append(valid, len(got.Transactions))
		}
	}
	if !slices.Equal(valid, []int{1}) {
		t.Fatalf("prefixes that prove something prove %v transactions", valid)
	}
}

func TestNoGenesis(t *testing.T) {
	v := readVectors(t)[0]
	for _, c := range v.Cases {
		got, err := refverify.Verify(nil, c.File)
		want, field := other(nil, c.File)
		if err != nil || got.Conclusion != want || (got.Field != field && c.Name != "cut off") {
			t.Errorf("%s: %s at %q, observation says %s at %q, %v", c.Name, got.Conclusion, got.Field, want, field, err)
		}
	}
}

func TestGenesisRefused(t *testing.T) {
	v := readVectors(t)[0]
	good, file := []byte(v.Genesis), v.Cases[0].File
	refused := 0
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 0x81
		if _, err := refverify.Verify(bad, file); err != nil {
			refused++
		} else if v, _ := refverify.Verify(bad, file); v.Conclusion == refverify.Valid {
			t.Fatalf("valid by another genesis: byte %d", i)
		}
	}
	if refused == 0 {
		t.Fatal("no genesis refused")
	}
	if _, err := refverify.Verify([]byte{}, nil); err == nil {
		t.Fatal("an empty genesis accepted")
	}
}

// TestRandomProofs: proofs of random networks get the same verdict, to the last number.
func TestRandomProofs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 6).Draw(t, "peers")
		peers := make([]kit.Peer, n)
		rest := uint64(group.Total)
		for i := range peers {
			weight := rest
			if left := uint64(n - i - 1); left > 0 {
				weight = rapid.Uint64Range(1, rest-left).Draw(t, "weight")
			}
			rest -= weight
			peers[i] = kit.Peer{Weight: weight, Keys: rapid.IntRange(1, 4).Draw(t, "keys")}
		}
		net := kit.New("random", peers...)
		var items []observation.Item
		for i := range rapid.IntRange(1, 4).Draw(t, "transactions") {
			tx := net.Spend(string(rune('a'+i)), uint32(i))
			item := observation.Item{ID: tx.ID, Round: uint32(i)}
			if rapid.Bool().Draw(t, "carried") {
				item.Raw = tx.Raw
			}
			signers := rapid.IntRange(1, len(net.Signers)).Draw(t, "signers")
			item.Edges = net.Accept(tx.ID, observation.Accepted, uint32(i), signers, rapid.IntRange(1, 20).Draw(t, "batch"))
			items = append(items, item)
		}
		p, err := observation.BuildProof(net.Group, nil, items)
		if err != nil {
			t.Fatal(err)
		}
		want, err := p.Verify(observation.NewRoot(net.Group))
		if err != nil {
			t.Fatal(err)
		}
		got, err := refverify.Verify(net.Genesis.Bytes, p.EncodeFile())
		if err != nil {
			t.Fatal(err)
		}
		a, _ := json.Marshal(got)
		b, _ := json.Marshal(want)
		var x, y any
		if json.Unmarshal(a, &x) != nil || json.Unmarshal(b, &y) != nil || !reflect.DeepEqual(x, y) {
			t.Fatalf("got %s\nwant %s", a, b)
		}
	})
}

// TestCofactor shows where crypto/ed25519 and ZIP-215 part: a signature off by a point of small order, as
// only its signer can make it.
func TestCofactor(t *testing.T) {
	// The neutral element as key and as R, with S = 0: both sides are the neutral element, for every message.
	key := [32]byte{1}
	sig := make([]byte, 64)
	sig[0] = 1
	c := domain.Check{Key: key, Tag: domain.TagObservation, Signature: domain.Signature(sig)}
	message := domain.Message(c.Tag, c.Network, c.Hash)
	if !c.Verify() || !ed25519.Verify(key[:], message, sig) {
		t.Fatal("both accept the key of order one")
	}
	// R of order eight: 8R vanishes under the cofactor, R alone does not.
	order8, err := hex.DecodeString("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a")
	if err != nil {
		t.Fatal(err)
	}
	copy(sig, order8)
	c.Signature = domain.Signature(sig)
	if !c.Verify() {
		t.Fatal("ZIP-215 accepts a commitment of small order")
	}
	if ed25519.Verify(key[:], message, sig) {
		t.Fatal("crypto/ed25519 does not")
	}
}

// TestImports holds what the package promises: nothing of this module, nothing but the standard library.
func TestImports(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", "./...").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range strings.Fields(string(out)) {
		if !strings.HasPrefix(path, "github.com/notarynet/notaryd/internal/refverify") {
			t.Errorf("imports %s", path)
		}
	}
}

func FuzzVerify(f *testing.F) {
	v := readVectors(f)[0]
	for _, c := range v.Cases {
		f.Add([]byte(c.File))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		got, err := refverify.Verify(v.Genesis, file)
		want, field := other(v.Genesis, file)
		if err != nil || got.Conclusion != want {
			t.Fatalf("%s at %q, observation says %s at %q, %v", got.Conclusion, got.Field, want, field, err)
		}
	})
}
