package sync

import (
	"encoding/binary"
	"math/bits"

	"github.com/notarynet/notaryd/proto/domain"
)

// Fanout is how many parts a range is split in.
const Fanout = 16

// Bounds are a range of the id space: From is in it, To is not. A To of all zero is the end of the space,
// so the zero Bounds are everything.
type Bounds struct {
	From, To domain.Hash
}

// Valid reports whether there is room for an id between From and To.
func (b Bounds) Valid() bool { return b.To.IsZero() || b.From.Compare(b.To) < 0 }

// Contains reports whether an id is within the bounds.
func (b Bounds) Contains(id domain.Hash) bool { return b.From.Compare(id) <= 0 && b.endsAfter(id) }

// endsAfter reports whether To is above an id.
func (b Bounds) endsAfter(id domain.Hash) bool { return b.To.IsZero() || id.Compare(b.To) < 0 }

// Split cuts valid bounds in 16 parts of even width, ascending: part i begins at From + floor(i·width/16).
// Bounds of less than 16 ids have one part for each id.
func (b Bounds) Split() []Bounds {
	from := number(b.From)
	width := number(b.To).minus(from) // mod 2^256: right for To = 2^256, and 0 for everything
	step, rest := width.shift4()
	if width == (uint256{}) {
		step = uint256{3: 1 << 60}
	}
	parts := make([]Bounds, 0, Fanout)
	var offset uint256
	at := b.From
	for i := uint64(1); i <= Fanout; i++ {
		to := b.To
		if offset = offset.plus(step); i < Fanout {
			to = from.plus(offset).plus(uint256{i * rest / Fanout}).hash()
		}
		if to != at {
			parts = append(parts, Bounds{From: at, To: to})
		}
		at = to
	}
	return parts
}

// one are the bounds of a single id.
func one(id domain.Hash) Bounds { return Bounds{From: id, To: number(id).plus(uint256{1}).hash()} }

// uint256 is a number mod 2^256, least significant word first.
type uint256 [4]uint64

// number reads 32 bytes, most significant first, as ids are ordered.
func number(h domain.Hash) uint256 {
	return uint256{
		binary.BigEndian.Uint64(h[24:]), binary.BigEndian.Uint64(h[16:]),
		binary.BigEndian.Uint64(h[8:]), binary.BigEndian.Uint64(h[:]),
	}
}

func (n uint256) hash() (h domain.Hash) {
	binary.BigEndian.PutUint64(h[24:], n[0])
	binary.BigEndian.PutUint64(h[16:], n[1])
	binary.BigEndian.PutUint64(h[8:], n[2])
	binary.BigEndian.PutUint64(h[:], n[3])
	return h
}

func (n uint256) plus(m uint256) uint256 {
	var carry uint64
	for i := range n {
		n[i], carry = bits.Add64(n[i], m[i], carry)
	}
	return n
}

func (n uint256) minus(m uint256) uint256 {
	var borrow uint64
	for i := range n {
		n[i], borrow = bits.Sub64(n[i], m[i], borrow)
	}
	return n
}

// shift4 is n/16 and n mod 16.
func (n uint256) shift4() (quotient uint256, rest uint64) {
	for i := range n {
		quotient[i] = n[i] >> 4
		if i < len(n)-1 {
			quotient[i] |= n[i+1] << 60
		}
	}
	return quotient, n[0] & 15
}
