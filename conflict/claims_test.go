package conflict

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/utxo"
)

func TestClaimsAgreeWithPairs(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		spends := conflictGraph(rt, 8, 6)
		claims, live := NewClaims(), make(map[int]bool)
		for range rapid.IntRange(1, 40).Draw(rt, "steps") {
			id := rapid.IntRange(0, len(spends)-1).Draw(rt, "tx")
			var want []domain.Hash
			for other := range spends {
				shared := slices.ContainsFunc(spends[id], func(o utxo.Outpoint) bool { return slices.Contains(spends[other], o) })
				if other != id && live[other] && shared {
					want = append(want, tx(other))
				}
			}
			if rapid.IntRange(0, 2).Draw(rt, "what") == 0 {
				claims.Release(tx(id))
				delete(live, id)
				if got := claims.Rivals(tx(id)); got != nil {
					rt.Fatalf("a released claim has rivals %v", got)
				}
				continue
			}
			live[id] = true
			if got := claims.Claim(tx(id), spends[id]); !slices.Equal(got, want) {
				rt.Fatalf("rivals %v, want %v", got, want)
			}
		}
		for id := range spends {
			if claims.Claimed(tx(id)) != live[id] {
				rt.Fatalf("%d claimed: %v", id, claims.Claimed(tx(id)))
			}
		}
		if claims.Len() != len(live) {
			rt.Fatalf("%d claims, want %d", claims.Len(), len(live))
		}
		for n := range 6 {
			for _, id := range claims.Claimants(outpoint(n)) {
				if !slices.Contains(claims.spends[id], outpoint(n)) {
					rt.Fatalf("%v does not spend %d", id, n)
				}
			}
		}
	})
}

func BenchmarkClaim(b *testing.B) {
	claims := NewClaims()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		claims.Claim(tx(i), outpoints(i))
		claims.Release(tx(i))
	}
}
