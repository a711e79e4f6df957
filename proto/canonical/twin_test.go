package canonical

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
)

// The slow obvious twin of Check: parse, look for unknown fields and broken bounds everywhere, encode
// again and compare.
func twin(m proto.Message, b []byte, maxBytes int) error {
	if len(b) > maxBytes {
		return errors.New("too large")
	}
	m = m.ProtoReflect().New().Interface()
	if err := proto.Unmarshal(b, m); err != nil {
		return err
	}
	if err := twinMessage(m.ProtoReflect()); err != nil {
		return err
	}
	again, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return err
	}
	if !bytes.Equal(b, again) {
		return errors.New("does not encode to itself")
	}
	return nil
}

func twinMessage(m protoreflect.Message) (err error) {
	if len(m.GetUnknown()) != 0 {
		return errors.New("unknown fields")
	}
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		bound := proto.GetExtension(fd.Options(), notaryv1.E_Bound).(*notaryv1.FieldBound)
		if !fd.IsList() {
			err = twinValue(fd, bound, v)
			return err == nil
		}
		if v.List().Len() > int(bound.GetMaxItems()) {
			err = fmt.Errorf("%s: too many", fd.Name())
		}
		for i := 0; i < v.List().Len() && err == nil; i++ {
			err = twinValue(fd, bound, v.List().Get(i))
		}
		return err == nil
	})
	return err
}

func twinValue(fd protoreflect.FieldDescriptor, bound *notaryv1.FieldBound, v protoreflect.Value) error {
	n := 0
	switch fd.Kind() {
	case protoreflect.BytesKind:
		n = len(v.Bytes())
	case protoreflect.StringKind:
		n = len(v.String())
	case protoreflect.MessageKind:
		if err := twinMessage(v.Message()); err != nil {
			return err
		}
		n = proto.Size(v.Message().Interface())
	default:
		return nil
	}
	if bound.GetLen() != 0 && n != int(bound.GetLen()) || bound.GetMaxLen() != 0 && n > int(bound.GetMaxLen()) {
		return fmt.Errorf("%s: %d bytes", fd.Name(), n)
	}
	return nil
}

// spec describes a field of a message made for these tests.
type spec struct {
	name  string
	kind  descriptorpb.FieldDescriptorProto_Type
	of    string
	list  bool
	bound *notaryv1.FieldBound
	edit  func(*descriptorpb.FieldDescriptorProto)
}

func bound(size, most, items uint32) *notaryv1.FieldBound {
	return &notaryv1.FieldBound{Len: size, MaxLen: most, MaxItems: items}
}

const (
	tU64, tU32, tI64, tI32 = descriptorpb.FieldDescriptorProto_TYPE_UINT64, descriptorpb.FieldDescriptorProto_TYPE_UINT32, descriptorpb.FieldDescriptorProto_TYPE_INT64, descriptorpb.FieldDescriptorProto_TYPE_INT32
	tS32, tS64, tBool      = descriptorpb.FieldDescriptorProto_TYPE_SINT32, descriptorpb.FieldDescriptorProto_TYPE_SINT64, descriptorpb.FieldDescriptorProto_TYPE_BOOL
	tF32, tF64, tEnum      = descriptorpb.FieldDescriptorProto_TYPE_FIXED32, descriptorpb.FieldDescriptorProto_TYPE_FIXED64, descriptorpb.FieldDescriptorProto_TYPE_ENUM
	tBytes, tText, tMsg    = descriptorpb.FieldDescriptorProto_TYPE_BYTES, descriptorpb.FieldDescriptorProto_TYPE_STRING, descriptorpb.FieldDescriptorProto_TYPE_MESSAGE
	tDouble                = descriptorpb.FieldDescriptorProto_TYPE_DOUBLE
)

// innerSpecs is the message "Inner", allSpecs one that has a field of every kind; numbers count from 1.
var (
	innerSpecs = []spec{
		{name: "n", kind: tU32},
		{name: "data", kind: tBytes, bound: bound(0, 8, 0)},
	}
	allSpecs = []spec{
		{name: "u64", kind: tU64},
		{name: "u32", kind: tU32},
		{name: "i64", kind: tI64},
		{name: "i32", kind: tI32},
		{name: "s64", kind: tS64},
		{name: "s32", kind: tS32},
		{name: "flag", kind: tBool},
		{name: "color", kind: tEnum, of: ".test.Color"},
		{name: "f32", kind: tF32},
		{name: "f64", kind: tF64},
		{name: "raw", kind: tBytes, bound: bound(0, 5, 0)},
		{name: "hash", kind: tBytes, bound: bound(4, 0, 0)},
		{name: "text", kind: tText, bound: bound(0, 6, 0)},
		{name: "one", kind: tMsg, of: ".test.Inner", bound: bound(0, 9, 0)},
		{name: "many", kind: tMsg, of: ".test.Inner", list: true, bound: bound(0, 9, 3)},
		{name: "parts", kind: tBytes, list: true, bound: bound(0, 4, 3)},
		{name: "nums", kind: tU32, list: true, bound: bound(0, 0, 4)},
		{name: "flags", kind: tBool, list: true, bound: bound(0, 0, 4)},
		{name: "words", kind: tF32, list: true, bound: bound(0, 0, 2)},
		{name: "names", kind: tText, list: true, bound: bound(0, 3, 2)},
	}
)

// message makes a message type "Probe" of these fields.
func message(t testing.TB, specs []spec) proto.Message {
	t.Helper()
	file := &descriptorpb.FileDescriptorProto{
		Name: proto.String("test.proto"), Package: proto.String("test"), Syntax: proto.String("proto3"),
		Dependency: []string{"notary/v1/bound.proto"},
		EnumType: []*descriptorpb.EnumDescriptorProto{{
			Name: proto.String("Color"), Value: []*descriptorpb.EnumValueDescriptorProto{{Name: proto.String("NONE"), Number: proto.Int32(0)}},
		}},
		MessageType: []*descriptorpb.DescriptorProto{descriptor("Probe", specs), descriptor("Inner", innerSpecs)},
	}
	fd, err := protodesc.NewFile(file, resolver{})
	if err != nil {
		t.Fatal(err)
	}
	return dynamicpb.NewMessage(fd.Messages().ByName("Probe"))
}

func descriptor(name string, specs []spec) *descriptorpb.DescriptorProto {
	d := &descriptorpb.DescriptorProto{Name: proto.String(name)}
	for i, s := range specs {
		f := &descriptorpb.FieldDescriptorProto{
			Name: proto.String(s.name), Number: proto.Int32(int32(i + 1)), Type: s.kind.Enum(),
			Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(),
		}
		if s.of != "" {
			f.TypeName = proto.String(s.of)
		}
		if s.list {
			f.Label = descriptorpb.FieldDescriptorProto_LABEL_REPEATED.Enum()
		}
		if s.bound != nil {
			f.Options = &descriptorpb.FieldOptions{}
			proto.SetExtension(f.Options, notaryv1.E_Bound, s.bound)
		}
		if s.edit != nil {
			s.edit(f)
		}
		d.Field = append(d.Field, f)
	}
	return d
}

// resolver knows the one file that test files import.
type resolver struct{}

func (resolver) FindFileByPath(path string) (protoreflect.FileDescriptor, error) {
	if path == notaryv1.File_notary_v1_bound_proto.Path() {
		return notaryv1.File_notary_v1_bound_proto, nil
	}
	return nil, fmt.Errorf("no file %s", path)
}

func (resolver) FindDescriptorByName(name protoreflect.FullName) (protoreflect.Descriptor, error) {
	return nil, fmt.Errorf("no %s", name)
}
