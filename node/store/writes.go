package store

import (
	"bytes"

	"github.com/cockroachdb/pebble/v2"
)

// writes collects what one batch is to write. Keys and values are copied into one arena; on commit
// they are put in key order, which pebble takes a fifth faster, and of several writes to one key the
// last one stays.
type writes struct {
	arena []byte
	list  []write
	spare []write // scratch for sorting
	key   []byte  // scratch for building keys
	value []byte  // scratch for building values

	reached byte // by reach, of no meaning
}

// write is one entry; a deletion has no value.
type write struct {
	head            uint64 // the first bytes of the key, big-endian, to order by; when that is done, any of its bytes
	key, value, end uint32 // where key and value start in the arena, and where the value ends
	kind            writeKind
}

type writeKind uint8

const (
	setting writeKind = iota
	deleting
	taking
)

// maxScratch is how much memory is kept for the next batch, in bytes.
const maxScratch = 8 << 20

func (w *writes) reset() {
	if cap(w.arena) > maxScratch {
		*w = writes{}
	}
	w.arena, w.list = w.arena[:0], w.list[:0]
}

func (w *writes) set(key, value []byte) {
	at := len(w.arena)
	w.arena = append(append(w.arena, key...), value...)
	w.list = append(w.list, write{head: headOfKey(key), key: uint32(at), value: uint32(at + len(key)), end: uint32(len(w.arena))})
}

func (w *writes) delete(key []byte) { w.remove(key, deleting) }

// take deletes a key that was set once and no more since it was last not there. The first compaction in which the two meet drops
// both, where it would carry the mark of another deletion down to the last level. Of a key that was set twice, the first
// value would come back: whoever is not sure deletes.
func (w *writes) take(key []byte) { w.remove(key, taking) }

func (w *writes) remove(key []byte, kind writeKind) {
	at := len(w.arena)
	w.arena = append(w.arena, key...)
	end := uint32(len(w.arena))
	w.list = append(w.list, write{head: headOfKey(key), key: uint32(at), value: end, end: end, kind: kind})
}

func (w *writes) keyOf(e write) []byte   { return w.arena[e.key:e.value] }
func (w *writes) valueOf(e write) []byte { return w.arena[e.value:e.end] }

// fill puts everything into a batch.
func (w *writes) fill(b *pebble.Batch) error {
	return w.each(func(kind writeKind, key, value []byte) error {
		switch kind {
		case setting:
			return b.Set(key, value, nil)
		case deleting:
			return b.Delete(key, nil)
		default:
			return b.SingleDelete(key, nil)
		}
	})
}

// ahead is how many of the next keys are looked at before they are needed.
const ahead = 64

// reach looks at the keys of some writes. In their order they lie all over the arena, which is larger than the caches of a processor by
// far where it is that of a table: it fetches them side by side so, and else one after the other.
func (w *writes) reach(list []write) {
	for _, e := range list {
		w.reached += w.arena[e.key]
	}
}

// alike reports whether two writes that were put in order are to one key. Then they have been ordered by the same bytes, and few others have.
func (w *writes) alike(x, y write) bool {
	return x.head == y.head && bytes.Equal(w.keyOf(x), w.keyOf(y))
}

// each tells of what is to be written in the order of keys, once for each.
func (w *writes) each(told func(kind writeKind, key, value []byte) error) error {
	w.order()
	for i, e := range w.list {
		if i%ahead == 0 {
			w.reach(w.list[i:min(i+ahead, len(w.list))])
		}
		if i+1 < len(w.list) && w.alike(e, w.list[i+1]) {
			continue
		}
		if e.kind == taking && i > 0 && w.list[i-1].kind == setting && w.alike(e, w.list[i-1]) {
			continue // it was not there before this batch, and is not after it
		}
		if err := told(e.kind, w.keyOf(e), w.valueOf(e)); err != nil {
			return err
		}
	}
	return nil
}
