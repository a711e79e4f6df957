package sync

import (
	"encoding/binary"

	"github.com/notarynet/notaryd/proto/domain"
)

const (
	// tableDepth is how many hexadecimal digits name a bucket of a Table, and buckets how many there are.
	tableDepth = 4
	buckets    = 1 << (4 * tableDepth)
)

// Table answers for the fingerprints of a big set from memory: 65,536 buckets by the first 16 bits of the
// ids, and a 16-ary tree above them, whose nodes are the ranges that sessions ask for. It takes 2.8 MB,
// whatever the size of the set. Not for concurrent use.
type Table struct {
	// levels[d] are the fingerprints by the first d hexadecimal digits.
	levels [tableDepth + 1][]Fingerprint
}

// NewTable makes a table of no ids.
func NewTable() *Table {
	t := new(Table)
	for d := range t.levels {
		t.levels[d] = make([]Fingerprint, 1<<(4*d))
	}
	return t
}

// Add puts in an id. It must not be in already: the table cannot tell, and would be wrong for ever.
func (t *Table) Add(id domain.Hash) {
	at := bucket(id)
	for d := tableDepth; d >= 0; d-- {
		t.levels[d][at].Add(id)
		at >>= 4
	}
}

// Count is how many ids are in.
func (t *Table) Count() uint64 { return t.levels[0][0].Count }

// Fingerprint is that of valid bounds which begin and end with buckets, by at most 120 additions, and for a
// range of a session by none; ok is false for any others.
func (t *Table) Fingerprint(b Bounds) (f Fingerprint, ok bool) {
	f, rest := t.Inner(b)
	if len(rest) > 0 {
		return Fingerprint{}, false
	}
	return f, true
}

// Inner is the fingerprint of the whole buckets within bounds, and the rest of the bounds, for the caller to
// scan: at most two ranges, none of which is longer than a bucket. The rest of bounds that are not valid is
// these bounds.
func (t *Table) Inner(b Bounds) (f Fingerprint, rest []Bounds) {
	if !b.Valid() {
		return f, []Bounds{b}
	}
	from, to := bucket(b.From), buckets
	if b.From != start(from) {
		from++
	}
	if !b.To.IsZero() {
		to = bucket(b.To)
	}
	if from > to {
		return f, []Bounds{b}
	}
	if first := start(from); b.From != first {
		rest = append(rest, Bounds{From: b.From, To: first})
	}
	if last := start(to); b.To != last {
		rest = append(rest, Bounds{From: last, To: b.To})
	}
	// Up the tree: nodes that have no whole parent within the bounds are taken on their level.
	for d := tableDepth; from < to; d-- {
		for ; from < to && from%Fanout != 0; from++ {
			f.Merge(t.levels[d][from])
		}
		for ; from < to && to%Fanout != 0; to-- {
			f.Merge(t.levels[d][to-1])
		}
		from, to = from/Fanout, to/Fanout
	}
	return f, rest
}

// bucket is the number of an id's bucket.
func bucket(id domain.Hash) int { return int(binary.BigEndian.Uint16(id[:])) }

// start is the first id of a bucket; of the one after the last, all zero.
func start(bucket int) (id domain.Hash) {
	binary.BigEndian.PutUint16(id[:], uint16(bucket))
	return id
}
