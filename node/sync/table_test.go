package sync

import (
	"encoding/binary"
	"testing"

	"pgregory.net/rapid"

	"github.com/notarynet/notaryd/proto/domain"
)

// drawBounds draws bounds that are not empty, many of which begin and end with buckets or at an id.
func drawBounds(t *rapid.T, ids []domain.Hash) Bounds {
	for {
		b := Bounds{From: drawPoint(t, ids), To: drawPoint(t, ids)}
		if b.Valid() {
			return b
		}
	}
}

func drawPoint(t *rapid.T, ids []domain.Hash) (p domain.Hash) {
	switch rapid.IntRange(0, 4).Draw(t, "point") {
	case 0:
		return domain.Hash{}
	case 1:
		binary.BigEndian.PutUint16(p[:], rapid.Uint16().Draw(t, "bucket"))
	case 2:
		binary.BigEndian.PutUint16(p[:], 0x7fff+uint16(rapid.IntRange(-1, 1).Draw(t, "bucket")))
		p[31] = byte(rapid.IntRange(0, 1).Draw(t, "low"))
	case 3:
		return uint256{}.minus(uint256{uint64(rapid.IntRange(1, 100).Draw(t, "from the end"))}).hash()
	default:
		if len(ids) > 0 {
			return rapid.SampledFrom(ids).Draw(t, "id")
		}
	}
	return p
}

// TestTableAgreesWithScan: whole buckets from the table and a scan of what it leaves make the fingerprint
// that a scan of everything makes; it answers alone where, and only where, bounds are those of buckets; and the
// rest is at most two ranges, each within a bucket.
func TestTableAgreesWithScan(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		set := newMemory(drawIDs(t, 1000, "ids"), false)
		table := NewTable()
		for _, id := range rapid.Permutation(set.ids).Draw(t, "order") {
			table.Add(id)
		}
		if table.Count() != uint64(len(set.ids)) {
			t.Fatalf("%d ids, want %d", table.Count(), len(set.ids))
		}
		for range 20 {
			b := drawBounds(t, set.ids)
			want, _ := set.Fingerprint(b)
			got, ok := table.Fingerprint(b)
			aligned := b.From == start(bucket(b.From)) && b.To == start(bucket(b.To))
			if ok != aligned || ok && got != want {
				t.Fatalf("%v: %v %v, want %v %v", b, got, ok, want, aligned)
			}
			got, rest := table.Inner(b)
			for _, r := range rest {
				last := number(r.To).minus(uint256{1}).hash()
				if !r.Valid() || !b.Contains(r.From) || !b.Contains(last) || bucket(r.From) != bucket(last) {
					t.Fatalf("%v of %v", r, b)
				}
				more, _ := set.Fingerprint(r)
				got.Merge(more)
			}
			if len(rest) > 2 || got != want {
				t.Fatalf("%v: %v with %v, want %v", b, got, rest, want)
			}
		}
	})
}

// TestTableOfSessionRanges: the ranges of the first four levels of a session are answered by the table
// alone, those below by a scan within one bucket.
func TestTableOfSessionRanges(t *testing.T) {
	table, b := NewTable(), Bounds{}
	for level := range 64 {
		_, ok := table.Fingerprint(b)
		_, rest := table.Inner(b)
		if ok != (level <= tableDepth) || len(rest) > 1 {
			t.Fatalf("level %d: %v, %v", level, ok, rest)
		}
		parts := b.Split()
		b = parts[(level*7+3)%len(parts)]
	}
}

// TestTableRefusesInvertedBounds: bounds with nothing between them are no fingerprint of the table's.
func TestTableRefusesInvertedBounds(t *testing.T) {
	table := NewTable()
	table.Add(domain.Hash{5})
	for _, b := range []Bounds{{From: domain.Hash{2}, To: domain.Hash{1}}, {From: domain.Hash{2}, To: domain.Hash{2}}} {
		if _, ok := table.Fingerprint(b); ok {
			t.Errorf("%v is answered", b)
		}
	}
}
