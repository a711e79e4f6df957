package sync

import (
	"encoding/binary"

	"github.com/notarynet/notaryd/proto/domain"
)

// Digest is what a Fingerprint is on the wire.
type Digest [16]byte

// Fingerprint stands for a set of ids: how many there are, and their sum mod 2^256, most significant byte
// first. The zero Fingerprint is that of no ids. It knows no order, and fingerprints of disjoint sets
// merge by addition.
//
// Two sets with one fingerprint are taken for the same. Between honest ids that does not happen (2^-128 for
// a digest). Somebody who grinds ids can make it happen: transactions X and Y, as many of the one as of the
// other, with the same sum; by Wagner's k-tree algorithm 2^16 ids take about 2^31 hashes, and fewer ids take
// more, up to the 2^64 of any digest of 16 bytes. It does harm only if all of them become final and then one
// node lacks exactly X where the other lacks exactly Y, of one range: the two find nothing to repair between
// them there. The next id that only one of them has, or any third node asked, shows it. Safety does not rest
// on it, for no fingerprint makes anything final; so a stronger sum (as of points of a curve), which would
// cost a thousand times as much for each id, is not worth it.
type Fingerprint struct {
	Count uint64
	Sum   [32]byte
}

// Add puts in an id that is not in the set yet.
func (f *Fingerprint) Add(id domain.Hash) { f.Merge(Fingerprint{Count: 1, Sum: id}) }

// Merge puts in all of a set that has no id in common with this one.
func (f *Fingerprint) Merge(other Fingerprint) {
	f.Count += other.Count
	f.Sum = number(f.Sum).plus(number(other.Sum)).hash()
}

// Digest is SHA-256(tag || 0x00 || count || sum), the first 16 bytes of it; count is 8 bytes, most
// significant first.
func (f Fingerprint) Digest() Digest {
	var b [8 + 32]byte
	binary.BigEndian.PutUint64(b[:], f.Count)
	copy(b[8:], f.Sum[:])
	h := domain.Sum(domain.TagRange, b[:])
	return Digest(h[:len(Digest{})])
}
