package canonical

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"pgregory.net/rapid"

	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

const probeBytes = 200

// unhex reads hexadecimal with blanks.
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestCheckAccepts(t *testing.T) {
	m := message(t, allSpecs)
	schema := MustCompile(m, probeBytes)
	for name, wire := range map[string]string{
		"nothing":                     "",
		"every number":                "08ffffffffffffffffff01 10ffffffff0f 18ffffffffffffffffff01 20ffffffffffffffffff01 2801 3001 3801 4005 4d01000000 510100000000000000",
		"negative int32":              "2080808080f8ffffffff01",
		"enum value not known":        "4063",
		"negative enum":               "40ffffffffffffffffff01",
		"bytes at their bound":        "5a050102030405 6204aabbccdd 6a06c3a9c3a9c3a9",
		"empty message that is there": "7200",
		"message at its bound":        "7209 0801 1205aabbccddee",
		"elements, empty ones too":    "7a00 7a020801 7a00 820100 82010101",
		"packed zeros":                "8a0104 00010002 92010400010001 9a0108 0000000001000000",
		"list of texts":               "a20100 a201036f6b21",
	} {
		b := unhex(t, wire)
		if err := schema.Check(b); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := twin(m, b, probeBytes); err != nil {
			t.Errorf("%s: twin: %v", name, err)
		}
	}
}

func TestCheckRefuses(t *testing.T) {
	m := message(t, allSpecs)
	schema := MustCompile(m, probeBytes)
	const (
		large     = notaryv1.Reason_REASON_TOO_LARGE
		malformed = notaryv1.Reason_REASON_MALFORMED
		canonical = notaryv1.Reason_REASON_NON_CANONICAL
		limit     = notaryv1.Reason_REASON_LIMIT_EXCEEDED
	)
	for _, c := range []struct {
		name, wire string
		reason     notaryv1.Reason
		field      string
	}{
		{"whole too long", strings.Repeat("00", probeBytes+1), large, ""},
		{"half a tag", "80", malformed, ""},
		{"tag above 64 bits", "80808080808080808080 01", malformed, ""},
		{"long tag", "8800 01", canonical, ""},
		{"field number zero", "0001", malformed, ""},
		{"field number above 2^29", "8080808010 01", malformed, ""},
		{"wire type 6", "0e01", malformed, ""},
		{"wire type 7", "0f01", malformed, ""},
		{"group", "0b0c", canonical, "u64"},
		{"unknown group", "f303f403", canonical, ""},
		{"unknown field within the table", "a80101", canonical, ""},
		{"unknown field beyond", "f83f01", canonical, ""},
		{"wrong wire type", "0a0101", canonical, "u64"},
		{"descending", "1001 0801", canonical, "u64"},
		{"twice", "0801 0801", canonical, "u64"},
		{"message twice", "7200 7200", canonical, "one"},
		{"value missing", "08", malformed, "u64"},
		{"value above 64 bits", "08ffffffffffffffffff02", malformed, "u64"},
		{"long value", "088100", canonical, "u64"},
		{"zero stated", "0800", canonical, "u64"},
		{"zero stated at length", "088000", canonical, "u64"},
		{"uint32 above 32 bits", "108080808010", canonical, "u32"},
		{"sint32 above 32 bits", "308080808010", canonical, "s32"},
		{"int32 not sign-extended", "20ffffffff0f", canonical, "i32"},
		{"enum not sign-extended", "40ffffffff0f", canonical, "color"},
		{"false stated", "3800", canonical, "flag"},
		{"bool two", "3802", canonical, "flag"},
		{"fixed32 cut", "4d010000", malformed, "f32"},
		{"fixed32 zero", "4d00000000", canonical, "f32"},
		{"fixed64 cut", "5101000000000000", malformed, "f64"},
		{"fixed64 zero", "510000000000000000", canonical, "f64"},
		{"empty bytes stated", "5a00", canonical, "raw"},
		{"empty text stated", "6a00", canonical, "text"},
		{"empty hash stated", "6200", canonical, "hash"},
		{"length missing", "5a", malformed, "raw"},
		{"length long", "5a8100 01", canonical, "raw"},
		{"length beyond the end", "5a0501020304", malformed, "raw"},
		{"length of 2^63", "5a80808080808080808001", malformed, "raw"},
		{"bytes above their bound", "5a06010203040506", limit, "raw"},
		{"hash too short", "6203aabbcc", malformed, "hash"},
		{"hash too long", "6205aabbccddee", malformed, "hash"},
		{"text above its bound", "6a0741414141414141", limit, "text"},
		{"text not UTF-8", "6a01ff", malformed, "text"},
		{"text with a surrogate", "6a03eda080", malformed, "text"},
		{"message above its bound", "720a 0801 1206aabbccddeeff", limit, "one"},
		{"inner unknown", "72021801", canonical, "one"},
		{"inner zero", "72020800", canonical, "one.n"},
		{"inner order", "7205 120101 0801", canonical, "one.n"},
		{"inner of the third element", "7a00 7a00 7a0208ff", malformed, "many[2].n"},
		{"inner bytes above their bound", "7a00 7a0a 1208 0000000000000000", limit, "many[1]"},
		{"too many messages", "7a00 7a00 7a00 7a00", limit, "many"},
		{"too many parts", "820100 820100 820100 820100", limit, "parts"},
		{"part too long", "820100 8201050102030405", limit, "parts[1]"},
		{"not packed", "880101", canonical, "nums"},
		{"packed empty", "8a0100", canonical, "nums"},
		{"packed twice", "8a010101 8a010101", canonical, "nums"},
		{"packed too many", "8a01050102030405", limit, "nums"},
		{"packed cut", "8a01020180", malformed, "nums[1]"},
		{"packed long", "8a0103018100", canonical, "nums[1]"},
		{"packed above 32 bits", "8a01058080808010", canonical, "nums[0]"},
		{"packed bool two", "9201020102", canonical, "flags[1]"},
		{"packed fixed cut", "9a01050100000001", malformed, "words[1]"},
		{"name not UTF-8", "a20100 a20101ff", malformed, "names[1]"},
	} {
		b := unhex(t, c.wire)
		err := schema.Check(b)
		var e *refusal.Error
		if !errors.As(err, &e) || e.Reason != c.reason || e.Field != c.field {
			t.Errorf("%s: %v, want %s at %q", c.name, err, refusal.Name(c.reason), c.field)
		}
		if twin(m, b, probeBytes) == nil {
			t.Errorf("%s: the twin accepts it", c.name)
		}
		if err := schema.Unmarshal(b, m); !errors.Is(err, refusal.Because(c.reason)) {
			t.Errorf("%s: Unmarshal: %v", c.name, err)
		}
	}
}

// TestCheckPromises: a length that promises gigabytes is refused by the bytes at hand.
func TestCheckPromises(t *testing.T) {
	schema := MustCompile(&notaryv1.Transaction{}, 262_144)
	allocs := testing.AllocsPerRun(100, func() {
		if schema.Check([]byte{0x0a, 0xff, 0xff, 0xff, 0xff, 0x07}) == nil {
			t.Fatal("accepted")
		}
	})
	if allocs > 10 {
		t.Errorf("%v allocations for a refusal", allocs)
	}
}

// genMessage draws a message that keeps its bounds.
func genMessage(t *rapid.T, m proto.Message) proto.Message {
	out := m.ProtoReflect().New()
	fill(t, out)
	return out.Interface()
}

func fill(t *rapid.T, m protoreflect.Message) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		fd := fields.Get(i)
		if !rapid.Bool().Draw(t, string(fd.Name())) {
			continue
		}
		bound := proto.GetExtension(fd.Options(), notaryv1.E_Bound).(*notaryv1.FieldBound)
		if !fd.IsList() {
			m.Set(fd, genValue(t, m.NewField(fd), fd, bound))
			continue
		}
		list := m.Mutable(fd).List()
		for range rapid.IntRange(0, int(min(bound.GetMaxItems(), 4))).Draw(t, "items") {
			list.Append(genValue(t, list.NewElement(), fd, bound))
		}
	}
}

func genValue(t *rapid.T, empty protoreflect.Value, fd protoreflect.FieldDescriptor, bound *notaryv1.FieldBound) protoreflect.Value {
	most := int(min(bound.GetMaxLen(), 8))
	switch fd.Kind() {
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(rapid.Bool().Draw(t, "v"))
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(protoreflect.EnumNumber(rapid.Int32().Draw(t, "v")))
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return protoreflect.ValueOfUint32(rapid.Uint32().Draw(t, "v"))
	case protoreflect.Int32Kind, protoreflect.Sint32Kind:
		return protoreflect.ValueOfInt32(rapid.Int32().Draw(t, "v"))
	case protoreflect.Int64Kind, protoreflect.Sint64Kind:
		return protoreflect.ValueOfInt64(rapid.Int64().Draw(t, "v"))
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return protoreflect.ValueOfUint64(rapid.Uint64().Draw(t, "v"))
	case protoreflect.BytesKind:
		if n := int(bound.GetLen()); n != 0 {
			return protoreflect.ValueOfBytes(rapid.SliceOfN(rapid.Byte(), n, n).Draw(t, "v"))
		}
		return protoreflect.ValueOfBytes(rapid.SliceOfN(rapid.Byte(), 0, most).Draw(t, "v"))
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(rapid.StringN(0, -1, most).Draw(t, "v"))
	}
	fill(t, empty.Message())
	return empty
}

// probes are a made-up message with fields of every kind, and those of the protocol.
func probes(t testing.TB) []proto.Message {
	return []proto.Message{
		message(t, allSpecs), &notaryv1.Transaction{}, &notaryv1.TransactionBody{}, &notaryv1.Output{},
		&notaryv1.Lock{}, &notaryv1.Group{}, &notaryv1.Genesis{}, &notaryv1.PeerMetadata{}, &notaryv1.Observation{},
		&notaryv1.AcceptanceProof{}, &notaryv1.Evidence{}, &notaryv1.TransactionBatch{}, &notaryv1.PullHeadsResponse{},
	}
}

// TestCheckIsItsTwin draws messages, encodes and then damages them: the verdicts agree.
func TestCheckIsItsTwin(t *testing.T) {
	for _, m := range probes(t) {
		const most = 1 << 16
		schema := MustCompile(m, most)
		t.Run(string(m.ProtoReflect().Descriptor().Name()), func(t *testing.T) {
			accepted, refused := 0, 0
			rapid.Check(t, func(t *rapid.T) {
				b, err := Marshal(genMessage(t, m))
				if err != nil {
					t.Fatal(err)
				}
				for range rapid.IntRange(0, 3).Draw(t, "damages") {
					b = damage(t, b)
				}
				fast, slow := schema.Check(b), twin(m, b, most)
				if (fast == nil) != (slow == nil) {
					t.Fatalf("%x: check says %v, twin %v", b, fast, slow)
				}
				if fast == nil {
					accepted++
				} else {
					refused++
				}
			})
			if accepted == 0 || refused == 0 {
				t.Errorf("%d accepted, %d refused: one side was never tried", accepted, refused)
			}
		})
	}
}

// damage changes, drops, repeats or swaps some bytes.
func damage(t *rapid.T, b []byte) []byte {
	if len(b) == 0 {
		return rapid.SliceOfN(rapid.Byte(), 0, 4).Draw(t, "fresh")
	}
	i := rapid.IntRange(0, len(b)-1).Draw(t, "from")
	j := rapid.IntRange(i, len(b)).Draw(t, "to")
	b = bytes.Clone(b)
	switch rapid.IntRange(0, 4).Draw(t, "damage") {
	case 0:
		b[i] = rapid.Byte().Draw(t, "byte")
	case 1:
		b[i] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
	case 2:
		b = append(b[:i], b[j:]...)
	case 3:
		b = append(b[:j:j], b[i:]...)
	case 4:
		b = append(append(append([]byte{}, b[i:j]...), b[:i]...), b[j:]...)
	}
	return b
}

// FuzzCheck: no crash, and the verdict of the twin, on any bytes and every message of the protocol.
func FuzzCheck(f *testing.F) {
	messages := probes(f)
	schemas := make([]*Schema, len(messages))
	for i, m := range messages {
		schemas[i] = MustCompile(m, 1<<16)
		f.Add(byte(i), []byte{0x0a, 0x00, 0x12, 0x02, 0x08, 0x01})
	}
	f.Fuzz(func(t *testing.T, which byte, b []byte) {
		i := int(which) % len(messages)
		fast, slow := schemas[i].Check(b), twin(messages[i], b, 1<<16)
		if (fast == nil) != (slow == nil) {
			t.Fatalf("%T %x: check says %v, twin %v", messages[i], b, fast, slow)
		}
		if fast != nil && refusal.ReasonOf(fast) == notaryv1.Reason_REASON_UNSPECIFIED {
			t.Fatalf("no refusal: %v", fast)
		}
	})
}
