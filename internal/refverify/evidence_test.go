package refverify_test

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"os"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/notarynet/notaryd/internal/refverify"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/canonical"
	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

type evidenceVectors struct {
	Network  domain.Hash
	Evidence []struct {
		Kind         string
		Evidence     octets
		Key          domain.Hash
		SigningEpoch uint32 `json:"signing_epoch"`
	}
	Refused []struct {
		Name, Field string
		Input       octets
	}
}

func readEvidenceVectors(t testing.TB) (v evidenceVectors) {
	t.Helper()
	b, err := os.ReadFile("../../observation/testdata/evidence.json")
	if err == nil {
		err = json.Unmarshal(b, &v)
	}
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// agreeOnEvidence holds both verifiers to one verdict, and returns whether it convicts and which part is at fault.
func agreeOnEvidence(t interface {
	Helper()
	Fatalf(string, ...any)
}, network domain.Hash, raw []byte) (convicts bool, field string) {
	t.Helper()
	convicted, err := refverify.Convict(network, raw)
	var r *refverify.Refusal
	if errors.As(err, &r) {
		field = r.Field
	} else if err != nil {
		t.Fatalf("%v", err)
	}
	e, theirs := observation.DecodeEvidence(raw)
	if theirs == nil {
		theirs = e.Verify(network)
	}
	var want *refusal.Error
	switch {
	case (err == nil) != (theirs == nil):
		t.Fatalf("%v, observation says %v, of %x", err, theirs, raw)
	case errors.As(theirs, &want) && want.Field != field:
		t.Fatalf("at %q, observation says %v", field, theirs)
	case err == nil && (domain.PublicKey(convicted.NodeKey) != e.Key().Key || convicted.SigningEpoch != e.Key().SigningEpoch):
		t.Fatalf("convicts %x, observation says %s", convicted.NodeKey, e.Key().Key)
	}
	return err == nil, field
}

// TestEvidenceVectors: every kind convicts whom it should, and what is refused is so for the same part.
func TestEvidenceVectors(t *testing.T) {
	v := readEvidenceVectors(t)
	for _, x := range v.Evidence {
		if ok, field := agreeOnEvidence(t, v.Network, x.Evidence); !ok {
			t.Errorf("%s: refused at %q", x.Kind, field)
		}
		if convicted, err := refverify.Convict(v.Network, x.Evidence); err != nil || convicted.NodeKey != x.Key || convicted.SigningEpoch != x.SigningEpoch {
			t.Errorf("%s: %x, %v", x.Kind, convicted.NodeKey, err)
		}
	}
	for _, x := range v.Refused {
		if ok, field := agreeOnEvidence(t, v.Network, x.Input); ok || field != x.Field {
			t.Errorf("%s: %v at %q, want %q", x.Name, ok, field, x.Field)
		}
	}
	if len(v.Evidence) != 5 || len(v.Refused) < 20 {
		t.Fatalf("%d and %d vectors", len(v.Evidence), len(v.Refused))
	}
}

// TestEvidenceFlipped: a flip of any byte of any kind convicts nobody, and both verifiers see the same part at fault.
func TestEvidenceFlipped(t *testing.T) {
	v := readEvidenceVectors(t)
	for _, x := range v.Evidence {
		for i := range x.Evidence {
			for _, bit := range []byte{1, 0x80} {
				forged := append([]byte(nil), x.Evidence...)
				forged[i] ^= bit
				if ok, _ := agreeOnEvidence(t, v.Network, forged); ok {
					t.Errorf("%s: convicts with byte %d flipped", x.Kind, i)
				}
			}
		}
		agreeOnEvidence(t, domain.Hash{1}, x.Evidence)
		agreeOnEvidence(t, v.Network, x.Evidence[:len(x.Evidence)-1])
		agreeOnEvidence(t, v.Network, append(append([]byte(nil), x.Evidence...), 0))
	}
	agreeOnEvidence(t, v.Network, nil)
	agreeOnEvidence(t, v.Network, make([]byte, 600<<10))
}

// TestMutatedEvidence: evidence changed in its structure, so that most of it reads well.
func TestMutatedEvidence(t *testing.T) {
	v := readEvidenceVectors(t)
	fields := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		var m notaryv1.Evidence
		if err := proto.Unmarshal(rapid.SampledFrom(v.Evidence).Draw(t, "evidence").Evidence, &m); err != nil {
			t.Fatal(err)
		}
		if rapid.IntRange(0, 4).Draw(t, "kind") == 0 {
			m.Kind = notaryv1.EvidenceKind(rapid.IntRange(-1, 6).Draw(t, "to"))
		}
		for range rapid.IntRange(0, 3).Draw(t, "changes") {
			mutate(t, m.ProtoReflect())
		}
		raw, err := canonical.Marshal(&m)
		if err != nil {
			t.Fatal(err)
		}
		_, field := agreeOnEvidence(t, v.Network, raw)
		fields[field]++
	})
	if len(fields) < 8 {
		t.Fatalf("parts at fault: %v", fields)
	}
}

// FuzzEvidence: both verifiers agree on any bytes.
func FuzzEvidence(f *testing.F) {
	v := readEvidenceVectors(f)
	for _, x := range v.Evidence {
		f.Add([]byte(x.Evidence))
	}
	f.Fuzz(func(t *testing.T, raw []byte) { agreeOnEvidence(t, v.Network, raw) })
}

// TestEvidenceOfNoPlace: a leaf at a place that its tree does not have, one without leaves too, is refused at its path,
// whatever the path.
func TestEvidenceOfNoPlace(t *testing.T) {
	v := readEvidenceVectors(t)
	for _, count := range []uint32{0, 1, 3} {
		for _, index := range []uint32{count, count + 1, 1<<32 - 1} {
			var m notaryv1.Evidence
			if err := proto.Unmarshal(v.Evidence[1].Evidence, &m); err != nil {
				t.Fatal(err)
			}
			for _, l := range m.Leaves {
				binary.BigEndian.PutUint32(l.Header[180:], count)
				l.Index, l.Path = index, make([]byte, 1024)
			}
			raw, err := canonical.Marshal(&m)
			if err != nil {
				t.Fatal(err)
			}
			if ok, field := agreeOnEvidence(t, v.Network, raw); ok || field != "leaves[0].path" {
				t.Errorf("leaf %d of %d: %v at %q", index, count, ok, field)
			}
		}
	}
}

// TestEvidenceOfAnyLeaf: both verifiers hold the same leaves to be well-formed, of every subject type and state.
func TestEvidenceOfAnyLeaf(t *testing.T) {
	v := readEvidenceVectors(t)
	fields := map[string]int{}
	for kind := range byte(8) {
		for state := range byte(10) {
			for _, last := range []byte{0, 1} { // of the round, and the reserved byte
				var m notaryv1.Evidence
				if err := proto.Unmarshal(v.Evidence[1].Evidence, &m); err != nil {
					t.Fatal(err)
				}
				for _, l := range m.Leaves {
					l.Leaf[32], l.Leaf[33], l.Leaf[37], l.Leaf[46] = kind, state, last, last
				}
				raw, err := canonical.Marshal(&m)
				if err != nil {
					t.Fatal(err)
				}
				_, field := agreeOnEvidence(t, v.Network, raw)
				fields[field]++
			}
		}
	}
	if len(fields) < 6 {
		t.Fatalf("parts at fault: %v", fields)
	}
}
