package store

import (
	"bytes"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestWritesInOrder: the order is that of a stable sort by key, for keys of any length with any common beginnings.
func TestWritesInOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var w writes
		keys := rapid.SliceOfN(rapid.SliceOfN(rapid.ByteRange(0, 2), 1, 12), 1, 3*fewWrites).Draw(t, "keys")
		for i, key := range keys {
			if rapid.Bool().Draw(t, "delete") {
				w.delete(key)
			} else {
				w.set(key, []byte{byte(i)})
			}
		}
		want := slices.Clone(w.list)
		slices.SortStableFunc(want, func(x, y write) int { return bytes.Compare(w.keyOf(x), w.keyOf(y)) })
		w.order()
		if !slices.Equal(w.list, want) {
			t.Fatalf("got %v, want %v", w.list, want)
		}
	})
}
