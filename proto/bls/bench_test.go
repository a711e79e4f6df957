package bls

import (
	"fmt"
	"testing"

	"github.com/notarynet/notaryd/proto/domain"
)

func BenchmarkSign(b *testing.B) {
	k := key(1)
	for b.Loop() {
		Sign(k, domain.TagFinal, network, hash)
	}
}

func BenchmarkVerify(b *testing.B) {
	k, s := key(1).Public(), sign(1)
	for b.Loop() {
		if !Verify(k, domain.TagFinal, network, hash, s) {
			b.Fatal("refused")
		}
	}
}

func BenchmarkVerifyPossession(b *testing.B) {
	k := key(1)
	proof := Prove(k, node(1).Public())
	for b.Loop() {
		if !VerifyPossession(k.Public(), node(1).Public(), proof) {
			b.Fatal("refused")
		}
	}
}

// BenchmarkAggregate folds and verifies the signatures of whole groups; keys are read anew each time.
func BenchmarkAggregate(b *testing.B) {
	for _, n := range []int{4, 20, 100} {
		var keys []PublicKey
		var signatures []Signature
		for i := range n {
			keys, signatures = append(keys, key(i).Public()), append(signatures, sign(i))
		}
		s, err := Aggregate(signatures)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("fold/%d", n), func(b *testing.B) {
			for b.Loop() {
				if _, err := Aggregate(signatures); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("verify/%d", n), func(b *testing.B) {
			for b.Loop() {
				if !VerifyAggregate(keys, domain.TagFinal, network, hash, s) {
					b.Fatal("refused")
				}
			}
		})
	}
}
