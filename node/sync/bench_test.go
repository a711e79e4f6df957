package sync

import (
	"fmt"
	"testing"

	"github.com/notarynet/notaryd/proto/domain"
)

// dense is about what messages take on a wire that leaves out what follows from the question: 4 bytes to name
// a range that is asked, 1 of form, 3 for a count.
func dense(ranges []Range, asked bool) int {
	sum := 0
	for i := range ranges {
		if sum++; ranges[i].Listed {
			sum += 1 + domain.Size*len(ranges[i].IDs)
		} else {
			sum += 3 + len(Digest{})
		}
		if asked {
			sum += 4
		}
	}
	return sum
}

// BenchmarkReconcile is a session over a million ids, of which the asker lacks a hundred: the work of both
// sides, the rounds, what is sent of each, and bytes in the plain form and in a dense one.
func BenchmarkReconcile(b *testing.B) {
	const n, lost = 1_000_000, 100
	ids := make([]domain.Hash, n)
	for i := range ids {
		ids[i] = hashed(11, uint64(i))
	}
	asker, peer := newMemory(ids[lost:], true), newMemory(ids, true)
	for _, leaf := range []int{8, 16, 64, 256} {
		for _, ranges := range []int{256, 1024} {
			limits := DefaultLimits
			limits.Leaf, limits.Ranges = leaf, ranges
			b.Run(fmt.Sprintf("leaf=%d/ranges=%d", leaf, ranges), func(b *testing.B) {
				var st Stats
				wire := 0
				for b.Loop() {
					s, missing := NewSession(asker, limits), 0
					for wire = 0; ; {
						asked, err := s.Next()
						if err != nil {
							b.Fatal(err)
						}
						if len(asked) == 0 {
							break
						}
						reply, err := Answer(peer, asked, limits)
						if err != nil {
							b.Fatal(err)
						}
						more, err := s.Take(reply)
						if err != nil {
							b.Fatal(err)
						}
						missing += len(more)
						wire += dense(asked, true) + dense(reply.Ranges, false)
					}
					if st = s.Stats(); missing != lost {
						b.Fatalf("%d missing", missing)
					}
				}
				b.ReportMetric(float64(st.Rounds), "rounds")
				b.ReportMetric(float64(st.Digests), "digests")
				b.ReportMetric(float64(st.IDs), "ids")
				b.ReportMetric(float64(st.Bytes), "bytes")
				b.ReportMetric(float64(wire), "dense-bytes")
			})
		}
	}
}

// BenchmarkNewNode is the whole of a million ids for a node that has none.
func BenchmarkNewNode(b *testing.B) {
	ids := make([]domain.Hash, 1_000_000)
	for i := range ids {
		ids[i] = hashed(11, uint64(i))
	}
	limits := DefaultLimits
	limits.Bytes *= 10
	peer := newMemory(ids, true)
	var st Stats
	for b.Loop() {
		missing, s, err := reconcile(newMemory(nil, true), peer, limits)
		if err != nil || len(missing) != len(ids) {
			b.Fatalf("%d missing, %v", len(missing), err)
		}
		st = s.Stats()
	}
	b.ReportMetric(float64(st.Rounds), "rounds")
	b.ReportMetric(float64(st.Bytes), "bytes")
}

// BenchmarkTableAdd is one id into a table.
func BenchmarkTableAdd(b *testing.B) {
	table, ids := NewTable(), make([]domain.Hash, 1<<16)
	for i := range ids {
		ids[i] = hashed(12, uint64(i))
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		table.Add(ids[i%len(ids)])
	}
}

// BenchmarkTableFingerprint is the fingerprint of everything but the first and the last bucket: the most
// additions.
func BenchmarkTableFingerprint(b *testing.B) {
	table, bounds := NewTable(), Bounds{From: start(1), To: start(buckets - 1)}
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := table.Fingerprint(bounds); !ok {
			b.Fatal("not answered")
		}
	}
}
