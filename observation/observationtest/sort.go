package observationtest

import (
	"bytes"
	"slices"
)

// sortBy sorts by a byte string of each element.
func sortBy[T any](s []T, key func(T) []byte) {
	slices.SortFunc(s, func(a, b T) int { return bytes.Compare(key(a), key(b)) })
}
