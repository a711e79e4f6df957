// Package canonical reads the one encoding that a message may have (docs/spec/encoding.md).
//
// Whatever is hashed or signed travels as exact bytes, so a message must not have two encodings: a
// second one would be a second id for the same payment. The rules are those of a proto3 encoder that
// makes no choices: fields by ascending number, minimal varints, defaults left out, scalars packed,
// nothing unknown, nothing twice. On top of them every list and byte string has a bound, stated in the
// .proto file with the option (notary.v1.bound) and checked on the wire bytes, before anything is
// allocated.
package canonical

import (
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// maxFieldNumber keeps tables dense; no message of the protocol comes near.
const maxFieldNumber = 255

// Schema checks and reads the canonical encoding of one message type. Immutable.
type Schema struct {
	root     *table
	maxBytes int
	name     protoreflect.FullName
}

// table holds the fields of one message type by number; a nil entry is no field.
type table struct {
	fields []*field
}

// field is what the walk needs to know of one field.
type field struct {
	name   string
	number uint64
	wire   uint64
	kind   kind
	list   bool
	packed bool
	// size is the exact length, most the greatest length, items the greatest count; 0 is no such bound.
	size, most, items int
	sub               *table
}

// kind groups the field types by the rule that their values obey.
type kind uint8

const (
	kind64     kind = iota // uint64, int64, sint64: any varint
	kind32                 // uint32, sint32: a varint below 2^32
	kindSigned             // int32, enum: a sign-extended varint
	kindBool
	kindFixed32
	kindFixed64
	kindBytes
	kindString
	kindMessage
)

// Wire types of the protobuf encoding.
const (
	wireVarint  = 0
	wireFixed64 = 1
	wireBytes   = 2
	wireFixed32 = 5
)

// MustCompile makes the schema of a message type from its descriptor and bounds. maxBytes bounds the
// whole encoding. It panics where the type cannot have one bounded encoding: a bytes, string, message
// or repeated field without a bound, a map, a group, a oneof, explicit presence, a float, recursion.
func MustCompile(m proto.Message, maxBytes int) *Schema {
	d := m.ProtoReflect().Descriptor()
	if maxBytes <= 0 {
		panic(fmt.Sprintf("canonical: %s: no bound on the whole", d.FullName()))
	}
	return &Schema{root: compile(d, nil), maxBytes: maxBytes, name: d.FullName()}
}

func compile(d protoreflect.MessageDescriptor, above []protoreflect.FullName) *table {
	for _, name := range above {
		if name == d.FullName() {
			panic(fmt.Sprintf("canonical: %s contains itself", name))
		}
	}
	above = append(above[:len(above):len(above)], d.FullName())
	t := &table{}
	for i := range d.Fields().Len() {
		fd := d.Fields().Get(i)
		if fd.Number() > maxFieldNumber {
			panic(fmt.Sprintf("canonical: %s: number above %d", fd.FullName(), maxFieldNumber))
		}
		for len(t.fields) <= int(fd.Number()) {
			t.fields = append(t.fields, nil)
		}
		t.fields[fd.Number()] = compileField(fd, above)
	}
	return t
}

func compileField(fd protoreflect.FieldDescriptor, above []protoreflect.FullName) *field {
	refuse := func(why string) { panic(fmt.Sprintf("canonical: %s: %s", fd.FullName(), why)) }
	switch {
	case fd.IsMap():
		refuse("maps have no order")
	case fd.ContainingOneof() != nil, fd.HasPresence() && fd.Message() == nil:
		refuse("oneof or explicit presence")
	}
	bound, _ := proto.GetExtension(fd.Options(), notaryv1.E_Bound).(*notaryv1.FieldBound)
	f := &field{
		name:   string(fd.Name()),
		number: uint64(fd.Number()),
		list:   fd.IsList(),
		size:   int(bound.GetLen()),
		most:   int(bound.GetMaxLen()),
		items:  int(bound.GetMaxItems()),
	}
	f.kind, f.wire = kindOf(fd, refuse)
	switch {
	case f.kind >= kindBytes && f.size == 0 && f.most == 0:
		refuse("no bound on its length")
	case f.kind < kindBytes && (f.size != 0 || f.most != 0):
		refuse("a number has no length")
	case f.list != (f.items != 0):
		refuse("repeated fields, and they alone, have a bound on their number")
	}
	if f.kind == kindMessage {
		f.sub = compile(fd.Message(), above)
	}
	if f.list && f.kind < kindBytes {
		if !fd.IsPacked() {
			refuse("not packed")
		}
		f.packed, f.wire = true, wireBytes
	}
	return f
}

func kindOf(fd protoreflect.FieldDescriptor, refuse func(string)) (kind, uint64) {
	switch fd.Kind() {
	case protoreflect.Uint64Kind, protoreflect.Int64Kind, protoreflect.Sint64Kind:
		return kind64, wireVarint
	case protoreflect.Uint32Kind, protoreflect.Sint32Kind:
		return kind32, wireVarint
	case protoreflect.Int32Kind, protoreflect.EnumKind:
		return kindSigned, wireVarint
	case protoreflect.BoolKind:
		return kindBool, wireVarint
	case protoreflect.Fixed32Kind, protoreflect.Sfixed32Kind:
		return kindFixed32, wireFixed32
	case protoreflect.Fixed64Kind, protoreflect.Sfixed64Kind:
		return kindFixed64, wireFixed64
	case protoreflect.BytesKind:
		return kindBytes, wireBytes
	case protoreflect.StringKind:
		return kindString, wireBytes
	case protoreflect.MessageKind:
		return kindMessage, wireBytes
	}
	refuse("kind " + fd.Kind().String() + " has no place in signed bytes")
	return 0, 0
}

// MaxBytes is the greatest length that Check accepts.
func (s *Schema) MaxBytes() int { return s.maxBytes }

// Unmarshal checks b and parses it into m, which must be of the schema's type. m shares no memory with b.
func (s *Schema) Unmarshal(b []byte, m proto.Message) error {
	if got := m.ProtoReflect().Descriptor().FullName(); got != s.name {
		panic(fmt.Sprintf("canonical: %s parsed as %s", s.name, got))
	}
	if err := s.Check(b); err != nil {
		return err
	}
	if err := proto.Unmarshal(b, m); err != nil {
		// Check accepts nothing that a parser refuses.
		return refusal.New(notaryv1.Reason_REASON_MALFORMED, "", "%v", err)
	}
	return nil
}

// Marshal is the canonical encoding of a message: what Check accepts, as long as bounds are kept.
func Marshal(m proto.Message) ([]byte, error) {
	return proto.MarshalOptions{Deterministic: true}.Marshal(m)
}
