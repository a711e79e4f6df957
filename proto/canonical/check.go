package canonical

import (
	"encoding/binary"
	"math"
	"strconv"
	"unicode/utf8"

	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// Check reports whether b is the canonical encoding of a message within its bounds. One pass, no
// allocation on success. The refusal is TOO_LARGE (the whole), MALFORMED (no protobuf encoding of this
// type: truncated, wrong length, not UTF-8), LIMIT_EXCEEDED (a bound of one field) or NON_CANONICAL
// (readable, but not the one encoding), with the path of the first field at fault.
func (s *Schema) Check(b []byte) error {
	if len(b) > s.maxBytes {
		return refusal.New(notaryv1.Reason_REASON_TOO_LARGE, "", "%d bytes, at most %d", len(b), s.maxBytes)
	}
	// A nil *refusal.Error must not become a non-nil error.
	if e := s.root.walk(b); e != nil {
		return e
	}
	return nil
}

// walk checks the fields of one message. Depth is bounded because types do not contain themselves.
func (t *table) walk(b []byte) *refusal.Error {
	var last, count uint64 // number of the field before, and how many elements of it came
	for len(b) > 0 {
		tag, n, fault := varint(b)
		if fault != nil {
			return fault.at("")
		}
		b = b[n:]
		f, e := t.lookup(tag)
		if e != nil {
			return e
		}
		if f.number != last {
			if f.number < last {
				return nonCanonical(f.name, "field %d after field %d", f.number, last)
			}
			last, count = f.number, 0
		} else if !f.list || f.packed {
			return nonCanonical(f.name, "more than once")
		}
		if f.list && !f.packed && count == uint64(f.items) {
			return exceeded(f.name, "more than %d elements", f.items)
		}
		n, e = f.value(b, count)
		if e != nil {
			return e
		}
		b = b[n:]
		count++
	}
	return nil
}

// lookup finds the field of a tag. A wrong wire type makes a known number an unknown field.
func (t *table) lookup(tag uint64) (*field, *refusal.Error) {
	number, wire := tag>>3, tag&7
	if number == 0 || number > 1<<29-1 || wire > wireFixed32 {
		return nil, malformed("", "tag %d", tag)
	}
	if number >= uint64(len(t.fields)) || t.fields[number] == nil {
		return nil, nonCanonical("", "unknown field %d", number)
	}
	f := t.fields[number]
	if f.wire != wire {
		return nil, nonCanonical(f.name, "wire type %d, want %d", wire, f.wire)
	}
	return f, nil
}

// value checks the value that b starts with, the index-th of its field, and returns its length.
func (f *field) value(b []byte, index uint64) (int, *refusal.Error) {
	if f.wire != wireBytes {
		n, zero, fault := f.scalar(b)
		if fault == nil && zero {
			fault = faultDefault
		}
		if fault != nil {
			return 0, fault.at(f.name)
		}
		return n, nil
	}
	size, n, fault := varint(b)
	if fault != nil {
		return 0, fault.at(f.path(index))
	}
	if size > uint64(len(b)-n) {
		return 0, malformed(f.path(index), "%d bytes, but only %d follow", size, len(b)-n)
	}
	content := b[n : n+int(size)]
	if f.packed {
		return n + len(content), f.elements(content)
	}
	return n + len(content), f.content(content, index)
}

// content checks a byte string, text or message.
func (f *field) content(b []byte, index uint64) *refusal.Error {
	switch {
	case len(b) == 0 && !f.list && f.kind != kindMessage:
		return faultDefault.at(f.name)
	case f.size != 0 && len(b) != f.size:
		return malformed(f.path(index), "%d bytes, want %d", len(b), f.size)
	case f.most != 0 && len(b) > f.most:
		return exceeded(f.path(index), "%d bytes, at most %d", len(b), f.most)
	}
	switch f.kind {
	case kindString:
		if !utf8.Valid(b) {
			return malformed(f.path(index), "not UTF-8")
		}
	case kindMessage:
		if e := f.sub.walk(b); e != nil {
			return under(f.path(index), e)
		}
	}
	return nil
}

// elements checks a packed list. Elements may be zero; an empty list is left out.
func (f *field) elements(b []byte) *refusal.Error {
	if len(b) == 0 {
		return faultDefault.at(f.name)
	}
	for count := uint64(0); len(b) > 0; count++ {
		if count == uint64(f.items) {
			return exceeded(f.name, "more than %d elements", f.items)
		}
		n, _, fault := f.scalar(b)
		if fault != nil {
			return fault.at(f.path(count))
		}
		b = b[n:]
	}
	return nil
}

// scalar checks a number and returns its length and whether it is zero.
func (f *field) scalar(b []byte) (n int, zero bool, _ *fault) {
	switch f.kind {
	case kindFixed32:
		if len(b) < 4 {
			return 0, false, faultTruncated
		}
		return 4, binary.LittleEndian.Uint32(b) == 0, nil
	case kindFixed64:
		if len(b) < 8 {
			return 0, false, faultTruncated
		}
		return 8, binary.LittleEndian.Uint64(b) == 0, nil
	}
	v, n, fault := varint(b)
	if fault != nil {
		return 0, false, fault
	}
	switch f.kind {
	case kind32:
		if v > math.MaxUint32 {
			return 0, false, faultRange
		}
	case kindSigned:
		if v != uint64(int64(int32(v))) {
			return 0, false, faultRange
		}
	case kindBool:
		if v > 1 {
			return 0, false, faultRange
		}
	}
	return n, v == 0, nil
}

// varint reads a base-128 number in its shortest form.
func varint(b []byte) (uint64, int, *fault) {
	if len(b) > 0 && b[0] < 0x80 {
		return uint64(b[0]), 1, nil
	}
	v, n := binary.Uvarint(b)
	switch {
	case n == 0:
		return 0, 0, faultTruncated
	case n < 0:
		return 0, 0, faultOverflow
	case b[n-1] == 0:
		return 0, 0, faultLong
	}
	return v, n, nil
}

// fault is what can be wrong with a value wherever it stands.
type fault struct {
	reason notaryv1.Reason
	detail string
}

var (
	faultTruncated = &fault{notaryv1.Reason_REASON_MALFORMED, "truncated"}
	faultOverflow  = &fault{notaryv1.Reason_REASON_MALFORMED, "varint above 64 bits"}
	faultLong      = &fault{notaryv1.Reason_REASON_NON_CANONICAL, "varint longer than needed"}
	faultRange     = &fault{notaryv1.Reason_REASON_NON_CANONICAL, "value outside its type"}
	faultDefault   = &fault{notaryv1.Reason_REASON_NON_CANONICAL, "default value stated"}
)

func (x *fault) at(path string) *refusal.Error {
	return &refusal.Error{Reason: x.reason, Field: path, Detail: x.detail}
}

// path names the index-th element of a list, or the field itself.
func (f *field) path(index uint64) string {
	if !f.list {
		return f.name
	}
	return f.name + "[" + strconv.FormatUint(index, 10) + "]"
}

func under(prefix string, e *refusal.Error) *refusal.Error {
	if e.Field != "" {
		prefix += "." + e.Field
	}
	return &refusal.Error{Reason: e.Reason, Field: prefix, Detail: e.Detail}
}

func malformed(path, format string, args ...any) *refusal.Error {
	return refusal.New(notaryv1.Reason_REASON_MALFORMED, path, format, args...)
}

func nonCanonical(path, format string, args ...any) *refusal.Error {
	return refusal.New(notaryv1.Reason_REASON_NON_CANONICAL, path, format, args...)
}

func exceeded(path, format string, args ...any) *refusal.Error {
	return refusal.New(notaryv1.Reason_REASON_LIMIT_EXCEEDED, path, format, args...)
}
