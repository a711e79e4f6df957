package sync

import (
	"math/big"
	"testing"

	"pgregory.net/rapid"

	"github.com/notarynet/notaryd/proto/domain"
)

// TestSplitTiles: the parts of bounds lie end to end from From to To, at the even positions that big integers
// compute, and none is empty.
func TestSplitTiles(t *testing.T) {
	space := new(big.Int).Lsh(big.NewInt(1), 256)
	rapid.Check(t, func(t *rapid.T) {
		b := drawBounds(t, []domain.Hash{hashed(8, 1), hashed(8, 2), hashed(8, 3)})
		from, to := new(big.Int).SetBytes(b.From[:]), new(big.Int).SetBytes(b.To[:])
		if b.To.IsZero() {
			to.Set(space)
		}
		width := new(big.Int).Sub(to, from)
		var want []domain.Hash
		for i := range int64(Fanout) {
			p := new(big.Int).Mul(width, big.NewInt(i))
			p.Add(p.Rsh(p, 4), from)
			var h domain.Hash
			p.FillBytes(h[:])
			if len(want) == 0 || want[len(want)-1] != h {
				want = append(want, h)
			}
		}
		parts := b.Split()
		if len(parts) != len(want) {
			t.Fatalf("%d parts, want %d", len(parts), len(want))
		}
		for i, p := range parts {
			end := b.To
			if i+1 < len(parts) {
				end = parts[i+1].From
			}
			if p.From != want[i] || p.To != end || !p.Valid() {
				t.Fatalf("part %d is %v, want from %v to %v", i, p, want[i], end)
			}
		}
	})
}

// TestFingerprintIsASum: a fingerprint is the number of ids and their sum mod 2^256, in any order and merged
// from any parts.
func TestFingerprintIsASum(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ids := drawIDs(t, 50, "ids")
		sum := new(big.Int)
		var parts [3]Fingerprint
		for _, id := range ids {
			parts[rapid.IntRange(0, 2).Draw(t, "part")].Add(id)
			sum.Add(sum, new(big.Int).SetBytes(id[:]))
		}
		parts[2].Merge(parts[0])
		parts[2].Merge(parts[1])
		want := Fingerprint{Count: uint64(len(ids))}
		sum.Mod(sum, new(big.Int).Lsh(big.NewInt(1), 256)).FillBytes(want.Sum[:])
		if parts[2] != want {
			t.Fatalf("%v, want %v", parts[2], want)
		}
	})
}

// TestDigestTellsCountAndSum: the digest depends on the number of ids as on their sum; the id of all zero,
// which adds nothing to a sum, is seen by the number.
func TestDigestTellsCountAndSum(t *testing.T) {
	var none, zero, other Fingerprint
	zero.Add(domain.Hash{})
	other.Add(domain.Hash{31: 1})
	if none.Digest() == zero.Digest() || zero.Digest() == other.Digest() {
		t.Error("two fingerprints with one digest")
	}
}
