package conflict

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/notarynet/notaryd/utxo"
)

// TestClaimsAgreeWithLists: whatever is claimed and released in whatever order, an outpoint has those who claim it, the
// first of them first.
func TestClaimsAgreeWithLists(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		spends := conflictGraph(rt, 8, 6)
		claims, live := NewClaims[int](), make(map[utxo.Outpoint][]int)
		for range rapid.IntRange(1, 40).Draw(rt, "steps") {
			id := rapid.IntRange(0, len(spends)-1).Draw(rt, "tx")
			release := rapid.IntRange(0, 2).Draw(rt, "what") == 0
			for _, o := range spends[id] {
				others := slices.DeleteFunc(slices.Clone(live[o]), func(other int) bool { return other == id })
				var rivals []int
				if release {
					rivals, live[o] = claims.Release(o, id), others
				} else {
					rivals = claims.Claim(o, id)
					if !slices.Contains(live[o], id) {
						live[o] = append(live[o], id)
					}
				}
				if !slices.Equal(rivals, others) {
					rt.Fatalf("%d has rivals %v at %v, want %v", id, rivals, o, others)
				}
			}
		}
		for o, want := range live {
			if got := claims.Claimants(o); !slices.Equal(got, want) {
				rt.Fatalf("%v is claimed by %v, want %v", o, got, want)
			}
			if len(want) == 0 {
				delete(live, o)
			}
		}
		if claims.Len() != len(live) {
			rt.Fatalf("%d outpoints are claimed, want %d", claims.Len(), len(live))
		}
	})
}

func BenchmarkClaim(b *testing.B) {
	claims := NewClaims[int]()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		for _, o := range outpoints(i) {
			claims.Claim(o, i)
			claims.Release(o, i)
		}
	}
}
