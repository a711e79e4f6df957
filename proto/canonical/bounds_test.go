package canonical

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// TestEveryBound walks over each bound of each message of the protocol: what is at the bound is taken,
// one byte or element more is not, and the field is named.
func TestEveryBound(t *testing.T) {
	const most = 64 << 20
	tried := 0
	for _, m := range probes(t) {
		schema := MustCompile(m, most)
		fields := m.ProtoReflect().Descriptor().Fields()
		for i := range fields.Len() {
			fd := fields.Get(i)
			b := proto.GetExtension(fd.Options(), notaryv1.E_Bound).(*notaryv1.FieldBound)
			size := int(b.GetLen())
			if size == 0 {
				size = int(b.GetMaxLen())
			}
			if size == 0 || fd.Message() != nil {
				continue
			}
			tried++
			check := func(n, items int) error {
				out := m.ProtoReflect().New()
				for range items {
					set(out, fd, n)
				}
				encoded, err := Marshal(out.Interface())
				if err != nil {
					t.Fatal(err)
				}
				return schema.Check(encoded)
			}
			if err := check(size, 1); err != nil {
				t.Errorf("%s: %d bytes: %v", fd.FullName(), size, err)
			}
			named(t, fd, check(size+1, 1), b.GetLen() != 0)
			if b.GetLen() != 0 {
				named(t, fd, check(size-1, 1), true)
			}
			if items := int(b.GetMaxItems()); items != 0 && items*size < most/2 {
				if err := check(size, items); err != nil {
					t.Errorf("%s: %d elements: %v", fd.FullName(), items, err)
				}
				named(t, fd, check(size, items+1), false)
			}
		}
	}
	if tried < 30 {
		t.Errorf("only %d bounded fields", tried)
	}
}

// set gives a field n bytes, or appends an element of n bytes.
func set(m protoreflect.Message, fd protoreflect.FieldDescriptor, n int) {
	v := protoreflect.ValueOfBytes(bytes.Repeat([]byte{1}, n))
	if fd.Kind() == protoreflect.StringKind {
		v = protoreflect.ValueOfString(strings.Repeat("a", n))
	}
	if fd.IsList() {
		m.Mutable(fd).List().Append(v)
	} else {
		m.Set(fd, v)
	}
}

// named wants a refusal that names the field: MALFORMED for an exact length, else LIMIT_EXCEEDED.
func named(t *testing.T, fd protoreflect.FieldDescriptor, err error, exact bool) {
	t.Helper()
	want := notaryv1.Reason_REASON_LIMIT_EXCEEDED
	if exact {
		want = notaryv1.Reason_REASON_MALFORMED
	}
	var e *refusal.Error
	if !errors.As(err, &e) || e.Reason != want || !strings.HasPrefix(e.Field, string(fd.Name())) {
		t.Errorf("%s beyond its bound: %v, want %s", fd.FullName(), err, refusal.Name(want))
	}
}

// TestTooManyMessages: lists of messages are counted before they are looked into.
func TestTooManyMessages(t *testing.T) {
	schema := MustCompile(&notaryv1.TransactionBody{}, 245_760)
	for items, want := range map[int]notaryv1.Reason{256: 0, 257: notaryv1.Reason_REASON_LIMIT_EXCEEDED} {
		if err := schema.Check(bytes.Repeat([]byte{0x12, 0x00}, items)); refusal.ReasonOf(err) != want {
			t.Errorf("%d empty inputs: %v", items, err)
		}
	}
}
