package utxo

import (
	"math/bits"
	"testing"

	"pgregory.net/rapid"
)

// TestSums: few or many products, the sums are those of a map.
func TestSums(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s sums
		plain := make(map[Product]uint64)
		for range rapid.IntRange(0, 40).Draw(t, "additions") {
			p := Product{rapid.ByteRange(0, 9).Draw(t, "product")}
			amount := rapid.OneOf(rapid.Uint64(), rapid.Uint64Range(0, 9)).Draw(t, "amount")
			sum, carry := bits.Add64(plain[p], amount, 0)
			if s.add(p, amount) != (carry == 0) {
				t.Fatalf("%d and %d: fits is %v", plain[p], amount, carry != 0)
			}
			if carry == 0 {
				plain[p] = sum
			}
		}
		for i := range byte(11) {
			want, there := plain[Product{i}]
			if got, found := s.get(Product{i}); got != want || found != there || s.of(Product{i}) != want {
				t.Fatalf("product %d: %d, %v, want %d, %v", i, got, found, want, there)
			}
		}
	})
}

// TestAddresses: few or many, the set is that of a map.
func TestAddresses(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s addresses
		plain := make(map[Address]bool)
		for range rapid.IntRange(0, 20).Draw(t, "additions") {
			a := Address{rapid.ByteRange(0, 9).Draw(t, "address")}
			s.add(a)
			plain[a] = true
		}
		if s.n+len(s.many) != len(plain) {
			t.Fatalf("%d and %d addresses, want %d", s.n, len(s.many), len(plain))
		}
		for i := range byte(11) {
			if s.has(Address{i}) != plain[Address{i}] {
				t.Fatalf("address %d: %v", i, s.has(Address{i}))
			}
		}
	})
}
