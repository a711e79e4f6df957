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
		n := rapid.SampledFrom([]int{1, fewWrites, 2 * fewWrites, 5 * fewWrites}).Draw(t, "n")
		keys := rapid.SliceOfN(rapid.SliceOfN(rapid.ByteRange(0, 2), 1, 12), n, n).Draw(t, "keys")
		alike := rapid.SliceOfN(rapid.Bool(), n, n).Draw(t, "alike")
		for i, key := range keys {
			if alike[i] {
				key = append(bytes.Repeat([]byte{3}, 2*headLen), key...)
			}
			if rapid.Bool().Draw(t, "delete") {
				w.delete(key)
			} else {
				w.set(key, []byte{byte(i)})
			}
		}
		want := slices.Clone(w.list)
		slices.SortStableFunc(want, func(x, y write) int { return bytes.Compare(w.keyOf(x), w.keyOf(y)) })
		w.order()
		same := func(x, y write) bool {
			return x.key == y.key && x.value == y.value && x.end == y.end && x.kind == y.kind
		}
		if !slices.EqualFunc(w.list, want, same) {
			t.Fatalf("got %v, want %v", w.list, want)
		}
	})
}
