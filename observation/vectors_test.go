package observation_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"

	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// The tests of this file read the vectors as another implementation would: from the file to the verdict,
// without the code that made them.

func (o *octets) UnmarshalText(b []byte) (err error) {
	*o, err = hex.DecodeString(string(b))
	return err
}

func readVectors[T any](t *testing.T, name string) (v T) {
	t.Helper()
	if err := json.Unmarshal(must(os.ReadFile("testdata/"+name)), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func checkRefused(t *testing.T, v refusalVector, err error) {
	t.Helper()
	e, ok := err.(*refusal.Error)
	if !ok || refusal.Name(e.Reason) != v.Reason || e.Field != v.Field {
		t.Errorf("%s: %v, want %s at %q", v.Name, err, v.Reason, v.Field)
	}
}

func TestReadLeaves(t *testing.T) {
	type file struct {
		Leaves  []leafVector
		Refused []refusalVector
	}
	v := readVectors[file](t, "leaves.json")
	for _, l := range v.Leaves {
		got, err := observation.DecodeLeaf(l.Leaf)
		want := observation.Leaf{Subject: l.Subject, Type: observation.SubjectType(l.Type), State: observation.State(l.State), Round: l.Round, TimeMS: l.TimeMS}
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v", l.Name, got, err)
		}
	}
	for _, r := range v.Refused {
		_, err := observation.DecodeLeaf(r.Input)
		checkRefused(t, r, err)
	}
	if len(v.Leaves) == 0 || len(v.Refused) == 0 {
		t.Fatal("no vectors")
	}
}

func TestReadTrees(t *testing.T) {
	for n, v := range readVectors[[]treeVector](t, "trees.json") {
		var all []byte
		for _, l := range v.Leaves {
			all = append(all, l...)
		}
		if len(v.Leaves) != n || observation.RootOf(all) != v.Root || len(v.Paths) != n {
			t.Errorf("%d leaves: root %s", n, observation.RootOf(all))
		}
		for i, path := range v.Paths {
			if !observation.VerifyPath(v.Root, v.Leaves[i], uint32(i), uint32(n), path) {
				t.Errorf("leaf %d of %d refused", i, n)
			}
			if n > 1 && observation.VerifyPath(v.Root, v.Leaves[i], uint32((i+1)%n), uint32(n), path) {
				t.Errorf("leaf %d of %d accepted in another place", i, n)
			}
		}
	}
}

func TestReadObservations(t *testing.T) {
	type file struct {
		Genesis, Group octets
		Link           domain.Hash
		Observations   []headerVector
		Refused        []refusalVector
	}
	v := readVectors[file](t, "observations.json")
	genesis := must(group.DecodeGenesis(v.Genesis))
	if genesis.Group.Link() != v.Link || !bytes.Equal(genesis.Group.Bytes(), v.Group) {
		t.Fatal("the group of the vectors is not that of their genesis")
	}
	rules := observation.Rules{Network: genesis.ID}
	chains := observation.NewChains(8, 1)
	for i, x := range v.Observations {
		o := must(observation.Decode(x.Observation, rules))
		h := observation.Header{
			Network: x.Network, Key: domain.PublicKey(x.Key), SigningEpoch: x.SigningEpoch, Height: x.Height, Previous: x.Previous,
			GroupEpoch: x.GroupEpoch, Link: x.Link, Root: x.Root, LeafCount: x.LeafCount, TimeMS: x.TimeMS,
		}
		encoded := h.Encode()
		if o.Header != h || !bytes.Equal(encoded[:], x.Header) || o.Hash != x.Hash || !bytes.Equal(o.Signature[:], x.Signature) {
			t.Errorf("observation %d: %+v", i, o.Header)
		}
		key := domain.NewPrivateKey([32]byte(x.Seed))
		if sig := domain.Sign(key, domain.TagObservation, x.Network, x.Hash); !bytes.Equal(sig[:], x.Signature) ||
			!bytes.Equal(domain.Message(domain.TagObservation, x.Network, x.Hash), x.Message) {
			t.Errorf("observation %d: another signature", i)
		}
		if check := o.Check(); !check.Verify() {
			t.Errorf("observation %d: signature refused", i)
		}
		if got := follow(chains, o); got.Standing != observation.Extends {
			t.Errorf("observation %d: %s", i, got.Standing)
		}
	}
	for _, r := range v.Refused {
		_, err := observation.Decode(r.Input, rules)
		checkRefused(t, r, err)
	}
}

func TestReadProofs(t *testing.T) {
	type file struct {
		Genesis octets
		Cases   []struct {
			Name, Conclusion, Reason, Field string
			File                            octets
			Verdict                         any
			JSON                            json.RawMessage
		}
	}
	seen := map[string]int{}
	for _, v := range readVectors[[]file](t, "proofs.json") {
		root := observation.NewRoot(must(group.DecodeGenesis(v.Genesis)).Group)
		for _, c := range v.Cases {
			seen[c.Conclusion]++
			p, err := observation.DecodeFile(c.File, observation.Limits{})
			var got observation.Verdict
			if err == nil {
				got, err = p.Verify(root)
			}
			if got.Conclusion.String() != c.Conclusion {
				t.Errorf("%s: %s, want %s", c.Name, got.Conclusion, c.Conclusion)
			}
			if c.Conclusion == "invalid" {
				checkRefused(t, refusalVector{c.Name, nil, c.Reason, c.Field}, err)
				continue
			}
			if a, b := must(json.Marshal(got)), must(json.Marshal(c.Verdict)); !sameJSON(a, b) {
				t.Errorf("%s: %s, want %s", c.Name, a, b)
			}
			if c.JSON != nil {
				q := must(observation.DecodeProofJSON(c.JSON, observation.Limits{}))
				if !bytes.Equal(q.EncodeFile(), c.File) {
					t.Errorf("%s: the JSON form is another proof", c.Name)
				}
			}
		}
	}
	if len(seen) != 4 || seen["invalid"] < 40 {
		t.Fatalf("conclusions in the vectors: %v", seen)
	}
}

// sameJSON compares two texts by what they say.
func sameJSON(a, b []byte) bool {
	var x, y any
	if json.Unmarshal(a, &x) != nil || json.Unmarshal(b, &y) != nil {
		return false
	}
	return bytes.Equal(must(json.Marshal(x)), must(json.Marshal(y)))
}

func TestReadCertificates(t *testing.T) {
	type file struct {
		Genesis, Certificate octets
		Verdict              any
	}
	v := readVectors[file](t, "certificates.json")
	p := must(observation.DecodeCertificate(v.Certificate, observation.Limits{}))
	got := must(p.Verify(observation.NewRoot(must(group.DecodeGenesis(v.Genesis)).Group)))
	if got.State != observation.Pending || got.Conclusion != observation.Valid || !sameJSON(must(json.Marshal(got)), must(json.Marshal(v.Verdict))) {
		t.Fatalf("%+v", got)
	}
}

func TestReadEvidence(t *testing.T) {
	type file struct {
		Network  domain.Hash
		Evidence []struct {
			Kind         string
			Evidence     octets
			Hash, Key    domain.Hash
			SigningEpoch uint32 `json:"signing_epoch"`
		}
		Refused []refusalVector
	}
	v := readVectors[file](t, "evidence.json")
	for _, x := range v.Evidence {
		e := must(observation.DecodeEvidence(x.Evidence))
		if err := e.Verify(v.Network); err != nil {
			t.Errorf("%s: %v", x.Kind, err)
		}
		want := observation.ChainID{Key: domain.PublicKey(x.Key), SigningEpoch: x.SigningEpoch}
		if e.Kind != notaryv1.EvidenceKind(notaryv1.EvidenceKind_value[x.Kind]) || e.Hash != x.Hash || e.Key() != want {
			t.Errorf("%s: %+v", x.Kind, e.Key())
		}
	}
	for _, r := range v.Refused {
		e, err := observation.DecodeEvidence(r.Input)
		if err == nil {
			err = e.Verify(v.Network)
		}
		checkRefused(t, r, err)
	}
	if len(v.Evidence) != 5 {
		t.Fatalf("%d vectors", len(v.Evidence))
	}
}

func TestReadCompact(t *testing.T) {
	v := readVectors[struct {
		Genesis octets
		Cases   []struct {
			Name, Conclusion, Reason, Field string
			File                            octets
			Verdict                         any
			JSON                            json.RawMessage
		}
	}](t, "compact.json")
	root := observation.NewRoot(must(group.DecodeGenesis(v.Genesis)).Group)
	seen := map[string]int{}
	for _, c := range v.Cases {
		seen[c.Conclusion]++
		p, err := observation.DecodeCompactFile(c.File, observation.Limits{})
		var got observation.Verdict
		if err == nil {
			got, err = p.Verify(root)
		}
		if got.Conclusion.String() != c.Conclusion {
			t.Errorf("%s: %s, want %s", c.Name, got.Conclusion, c.Conclusion)
		}
		if c.Conclusion == "invalid" {
			checkRefused(t, refusalVector{c.Name, nil, c.Reason, c.Field}, err)
			continue
		}
		if a, b := must(json.Marshal(got)), must(json.Marshal(c.Verdict)); !sameJSON(a, b) {
			t.Errorf("%s: %s, want %s", c.Name, a, b)
		}
		if c.JSON != nil && !bytes.Equal(must(observation.DecodeCompactJSON(c.JSON, observation.Limits{})).EncodeFile(), c.File) {
			t.Errorf("%s: the JSON form is another proof", c.Name)
		}
	}
	if len(seen) != 4 || seen["invalid"] < 15 {
		t.Fatalf("conclusions in the vectors: %v", seen)
	}
}
