package store

import (
	"bytes"
	"encoding/binary"
	"slices"
)

// headLen is how many bytes of a key are sorted by at once.
const headLen = 8

// headOfKey is the first bytes of a key as a number, a shorter one filled up with zeros.
func headOfKey(key []byte) uint64 {
	var b [headLen]byte
	copy(b[:], key)
	return binary.BigEndian.Uint64(b[:])
}

// fewWrites is how many are sorted by comparing alone.
const fewWrites = 64

// order puts the writes in the order of their keys, those to one key in the order in which they came. Keys begin with
// a class and, nearly all, a hash: their heads are sorted digit by digit (LSD radix sort, Knuth 5.2.5), and those with
// equal heads, which are few or all of one address, by what follows the beginning that they share. A batch of 1,000
// transactions has 20,000 writes, and comparing them all took longer than pebble takes to insert them.
func (w *writes) order() {
	w.spare = slices.Grow(w.spare[:0], len(w.list))[:len(w.list)]
	w.orderFrom(w.list, w.spare)
}

// orderFrom sorts by head and then by all else; spare is as long as the list.
func (w *writes) orderFrom(list, spare []write) {
	if len(list) <= fewWrites {
		slices.SortStableFunc(list, func(x, y write) int { return bytes.Compare(w.keyOf(x), w.keyOf(y)) })
		return
	}
	orderHeads(list, spare)
	for from := 0; from < len(list); {
		to := from + 1
		for to < len(list) && list[to].head == list[from].head {
			to++
		}
		if to-from > 1 {
			w.orderAlike(list[from:to], spare[from:to])
		}
		from = to
	}
}

// orderAlike sorts what has equal heads: where it is many, by heads anew, of what follows their common prefix.
func (w *writes) orderAlike(list, spare []write) {
	if len(list) > fewWrites {
		if common, ends := w.common(list); !ends {
			for i := range list {
				list[i].head = headOfKey(w.keyOf(list[i])[common:])
			}
			w.orderFrom(list, spare)
			return
		}
	}
	slices.SortStableFunc(list, func(x, y write) int { return bytes.Compare(w.keyOf(x), w.keyOf(y)) })
}

// common is how long a prefix the keys share, and whether that is one of the keys.
func (w *writes) common(list []write) (n int, ends bool) {
	first := w.keyOf(list[0])
	n = len(first)
	for _, e := range list[1:] {
		key := w.keyOf(e)
		for !bytes.HasPrefix(key, first[:n]) {
			n--
		}
		if n == len(key) {
			return n, true
		}
	}
	return n, n == len(first)
}

// orderHeads sorts by head and keeps the order of equal ones.
func orderHeads(list, spare []write) {
	var counts [headLen][256]int
	for i := range list {
		for d := range counts {
			counts[d][byte(list[i].head>>(8*d))]++
		}
	}
	from, to := list, spare
	for d := range counts {
		if counts[d][byte(from[0].head>>(8*d))] == len(from) {
			continue // all have this digit
		}
		at := 0
		for digit, n := range counts[d] {
			counts[d][digit] = at
			at += n
		}
		for i := range from {
			digit := byte(from[i].head >> (8 * d))
			to[counts[d][digit]] = from[i]
			counts[d][digit]++
		}
		from, to = to, from
	}
	if &from[0] != &list[0] {
		copy(list, from)
	}
}
