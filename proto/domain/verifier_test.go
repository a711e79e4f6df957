package domain

import (
	"math/rand"
	"testing"

	"pgregory.net/rapid"
)

// TestVerifierIsSingle: with keys kept or forgotten, in batches of any size, the verdicts are those of one by one.
func TestVerifierIsSingle(t *testing.T) {
	torsion := mustPoint(bytes32(encoded(t, smallOrder[6])))
	odd := []Check{
		mixed([]byte{1}, torsion, origin), mixed([]byte{2}, torsion, torsion), checkOf(PublicKey(encoded(t, smallOrder[3])), Signature{1}),
		checkOf(PublicKey(encoded(t, "0200000000000000000000000000000000000000000000000000000000000000")), Signature{1}),
	}
	rapid.Check(t, func(t *rapid.T) {
		v := NewVerifier(rapid.IntRange(1, 8).Draw(t, "keys"), rand.New(rand.NewSource(rapid.Int64().Draw(t, "random"))))
		for range rapid.IntRange(1, 4).Draw(t, "batches") {
			checks := make([]Check, rapid.IntRange(0, 8).Draw(t, "size"))
			for i := range checks {
				checks[i] = goodCheck(rapid.ByteRange(0, 9).Draw(t, "seed"))
				switch rapid.IntRange(0, 5).Draw(t, "kind") {
				case 0:
					checks[i].Signature[rapid.IntRange(0, 63).Draw(t, "byte")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
				case 1:
					checks[i] = odd[rapid.IntRange(0, len(odd)-1).Draw(t, "odd")]
				}
			}
			verdicts := v.Verify(checks)
			if len(verdicts) != len(checks) {
				t.Fatalf("%d verdicts on %d", len(verdicts), len(checks))
			}
			for i := range checks {
				if verdicts[i] != checks[i].Verify() {
					t.Fatalf("check %d of %d: %v in the batch", i, len(checks), verdicts[i])
				}
			}
			if len(v.new) > v.most || len(v.old) > v.most {
				t.Fatalf("%d and %d keys are kept, not %d", len(v.new), len(v.old), v.most)
			}
		}
	})
}

// BenchmarkVerifier reports the time of one signature in batches as a busy node gathers them, its keys kept.
func BenchmarkVerifier(b *testing.B) {
	checks := make([]Check, 32)
	for i := range checks {
		checks[i] = goodCheck(byte(i))
	}
	v := NewVerifier(len(checks), rand.New(rand.NewSource(1)))
	b.ReportAllocs()
	for b.Loop() {
		for _, ok := range v.Verify(checks) {
			if !ok {
				b.Fatal("refused")
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(checks)), "ns/signature")
}
