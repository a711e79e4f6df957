package store

import (
	"encoding/binary"

	"github.com/notarynet/notaryd/proto/domain"
)

// Every value starts with the version of its encoding: 2 for the epoch entered, and for vote records, which package conflict encodes; else 1.
const (
	version1 = 1
	version2 = 2
)

// reader takes a value apart. The first thing that is wrong makes it bad, and it stays so; every value
// has one encoding only.
type reader struct {
	rest []byte
	bad  bool
}

// read starts on a value and takes its version.
func read(value []byte) reader {
	r := reader{rest: value}
	if r.byte() != version1 {
		r.bad = true
	}
	return r
}

func (r *reader) take(n int) []byte {
	if r.bad || len(r.rest) < n {
		r.bad = true
		return nil
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) uint64() uint64 {
	if b := r.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (r *reader) hash() (h domain.Hash) {
	copy(h[:], r.take(domain.Size))
	return h
}

// uvarint takes a varint in its shortest form.
func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	if r.bad || n <= 0 || (n > 1 && r.rest[n-1] == 0) {
		r.bad = true
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *reader) uint32() uint32 {
	v := r.uvarint()
	if v > 0xffff_ffff {
		r.bad = true
		return 0
	}
	return uint32(v)
}

// text takes a string behind its length.
func (r *reader) text() string {
	n := r.uvarint()
	if n > uint64(len(r.rest)) {
		r.bad = true
		return ""
	}
	return string(r.take(int(n)))
}

// tail takes all that is left.
func (r *reader) tail() []byte { return r.take(len(r.rest)) }

// done reports whether everything was well-formed and taken.
func (r *reader) done(kind string) error {
	if r.bad || len(r.rest) != 0 {
		return corrupt("%s", kind)
	}
	return nil
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}
