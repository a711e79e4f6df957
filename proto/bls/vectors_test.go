package bls

import (
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"testing"

	"github.com/notarynet/notaryd/proto/domain"
)

var update = flag.Bool("update", false, "write the vectors anew")

const vectorFile = "testdata/bls.json"

// vectors is the file for other implementations.
type vectors struct {
	Network, Hash string
	Keys          []keyVector
	// Aggregate of all signatures.
	Aggregate string
}

type keyVector struct {
	NodeSeed, NodeKey, BLSKey, Possession string
	// Final signs Hash under the tag notary/final/v1.
	Final string
}

func makeVectors(t *testing.T) vectors {
	v := vectors{Network: network.String(), Hash: hash.String()}
	var signatures []Signature
	for i := range 3 {
		seed := node(i).Seed()
		possession, s := Prove(key(i), node(i).Public()), sign(i)
		v.Keys = append(v.Keys, keyVector{
			NodeSeed: hex.EncodeToString(seed[:]), NodeKey: node(i).Public().String(), BLSKey: key(i).Public().String(),
			Possession: hex.EncodeToString(possession[:]), Final: hex.EncodeToString(s[:]),
		})
		signatures = append(signatures, s)
	}
	s, err := Aggregate(signatures)
	if err != nil {
		t.Fatal(err)
	}
	v.Aggregate = hex.EncodeToString(s[:])
	return v
}

func TestGolden(t *testing.T) {
	got, err := json.MarshalIndent(makeVectors(t), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	if *update {
		if err := os.WriteFile(vectorFile, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(vectorFile)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("other bytes than before:\n%s", got)
	}
}

// TestReadVectors verifies the vectors as another implementation would.
func TestReadVectors(t *testing.T) {
	b, err := os.ReadFile(vectorFile)
	if err != nil {
		t.Fatal(err)
	}
	var v vectors
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	network, hash := domain.Hash(unhex(t, v.Network)), domain.Hash(unhex(t, v.Hash))
	var keys []PublicKey
	for i, k := range v.Keys {
		public := PublicKey(unhex(t, k.BLSKey))
		if !VerifyPossession(public, domain.PublicKey(unhex(t, k.NodeKey)), Signature(unhex(t, k.Possession))) {
			t.Errorf("key %d: possession", i)
		}
		if !Verify(public, domain.TagFinal, network, hash, Signature(unhex(t, k.Final))) {
			t.Errorf("key %d: signature", i)
		}
		keys = append(keys, public)
	}
	if len(keys) == 0 || !VerifyAggregate(keys, domain.TagFinal, network, hash, Signature(unhex(t, v.Aggregate))) {
		t.Error("aggregate")
	}
}
