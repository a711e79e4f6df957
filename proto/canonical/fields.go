package canonical

import (
	"encoding/binary"
	"iter"
)

// Field is one field of an encoded message: Bytes for a byte string, text or message, else Value.
type Field struct {
	Number int
	Value  uint64
	// Bytes shares memory with the message.
	Bytes []byte
}

// Fields walks the fields of an encoding that Check has accepted, without allocation: a decoder of a
// hot path is a switch over their numbers. Varints and byte strings only, as the protocol has no
// others. It panics on bytes that were not checked.
func Fields(b []byte) iter.Seq[Field] {
	return func(yield func(Field) bool) {
		for len(b) > 0 {
			tag, n := mustUvarint(b)
			b = b[n:]
			v, n := mustUvarint(b)
			b = b[n:]
			f := Field{Number: int(tag >> 3)}
			switch tag & 7 {
			case wireVarint:
				f.Value = v
			case wireBytes:
				f.Bytes, b = b[:v:v], b[v:]
			default:
				panic("canonical: fixed-width field")
			}
			if !yield(f) {
				return
			}
		}
	}
}

func mustUvarint(b []byte) (uint64, int) {
	if len(b) > 0 && b[0] < 0x80 {
		return uint64(b[0]), 1
	}
	v, n := binary.Uvarint(b)
	if n <= 0 {
		panic("canonical: unchecked bytes")
	}
	return v, n
}
