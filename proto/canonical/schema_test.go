package canonical

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"

	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
)

func TestMustCompilePanics(t *testing.T) {
	for _, c := range []struct {
		name, want string
		spec       spec
	}{
		{"bytes without bound", "no bound on its length", spec{name: "a", kind: tBytes}},
		{"text without bound", "no bound on its length", spec{name: "a", kind: tText}},
		{"message without bound", "no bound on its length", spec{name: "a", kind: tMsg, of: ".test.Inner"}},
		{"list without a bound on its number", "bound on their number", spec{name: "a", kind: tBytes, list: true, bound: bound(0, 4, 0)}},
		{"list without a bound on its elements", "no bound on its length", spec{name: "a", kind: tBytes, list: true, bound: bound(0, 0, 4)}},
		{"numbers without a bound", "bound on their number", spec{name: "a", kind: tU32, list: true}},
		{"a number with a length", "has no length", spec{name: "a", kind: tU32, bound: bound(0, 4, 0)}},
		{"one value with a number of elements", "bound on their number", spec{name: "a", kind: tBytes, bound: bound(0, 4, 4)}},
		{"float", "no place in signed bytes", spec{name: "a", kind: tDouble}},
		{"itself", "contains itself", spec{name: "a", kind: tMsg, of: ".test.Probe", bound: bound(0, 4, 0)}},
		{"not packed", "not packed", spec{name: "a", kind: tU32, list: true, bound: bound(0, 0, 4), edit: func(f *descriptorpb.FieldDescriptorProto) {
			f.Options.Packed = proto.Bool(false)
		}}},
		{"number too high", "number above", spec{name: "a", kind: tU32, edit: func(f *descriptorpb.FieldDescriptorProto) {
			f.Number = proto.Int32(256)
		}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := message(t, []spec{c.spec})
			defer func() {
				if got := fmt.Sprint(recover()); !strings.Contains(got, c.want) {
					t.Errorf("panic %q, want %q", got, c.want)
				}
			}()
			MustCompile(m, 100)
		})
	}
}

func TestMustCompilePanicsOnTheWhole(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("compiled without a bound on the whole")
		}
	}()
	MustCompile(&notaryv1.Lock{}, 0)
}

func TestMustCompilePanicsOnPresence(t *testing.T) {
	// A FieldOptions is full of explicit presence and oneofs.
	defer func() {
		if got := fmt.Sprint(recover()); !strings.Contains(got, "presence") {
			t.Errorf("panic %q", got)
		}
	}()
	MustCompile(&descriptorpb.FieldOptions{}, 100)
}

func TestUnmarshalAndMarshal(t *testing.T) {
	schema := MustCompile(&notaryv1.Lock{}, 640)
	if schema.MaxBytes() != 640 {
		t.Errorf("MaxBytes %d", schema.MaxBytes())
	}
	key := bytes.Repeat([]byte{7}, 32)
	want := &notaryv1.Lock{Threshold: 1, Keys: [][]byte{key}}
	b, err := Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got notaryv1.Lock
	if err := schema.Unmarshal(b, &got); err != nil || !proto.Equal(&got, want) {
		t.Fatalf("%v, %v", &got, err)
	}
	b[5] ^= 0xff
	if !bytes.Equal(got.Keys[0], key) {
		t.Error("shares memory with what it was read from")
	}
	defer func() {
		if recover() == nil {
			t.Error("a lock was parsed as an outpoint")
		}
	}()
	_ = schema.Unmarshal(b, &notaryv1.Outpoint{})
}

// TestFields holds the walk for decoders against the parser.
func TestFields(t *testing.T) {
	body := &notaryv1.TransactionBody{
		Network: bytes.Repeat([]byte{1}, 32), Facilitators: [][]byte{bytes.Repeat([]byte{2}, 32), bytes.Repeat([]byte{3}, 32)},
		ValidFromMs: 1 << 40, Memo: []byte("m"),
	}
	b, err := Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	var got notaryv1.TransactionBody
	for f := range Fields(b) {
		switch f.Number {
		case 1:
			got.Network = f.Bytes
		case 4:
			got.ValidFromMs = f.Value
		case 6:
			got.Facilitators = append(got.Facilitators, f.Bytes)
		case 7:
			got.Memo = f.Bytes
		default:
			t.Errorf("field %d", f.Number)
		}
	}
	if !proto.Equal(&got, body) {
		t.Errorf("%v, want %v", &got, body)
	}
	for f := range Fields(b) {
		if f.Number != 1 {
			t.Fatal("did not stop")
		}
		break
	}
}

func TestFieldsPanicsOnUncheckedBytes(t *testing.T) {
	for _, b := range [][]byte{{0x80}, {0x08}, {0x09, 1}, {0x0a, 5, 1}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%x was walked", b)
				}
			}()
			for range Fields(b) {
			}
		}()
	}
}

// transaction is a usual one: an input, two outputs, one signature.
func transaction(t testing.TB) []byte {
	t.Helper()
	hash := bytes.Repeat([]byte{9}, 32)
	body, err := Marshal(&notaryv1.TransactionBody{
		Network: hash,
		Inputs:  []*notaryv1.Input{{Kind: 1, Outpoint: &notaryv1.Outpoint{Transaction: hash, Index: 1}}},
		Outputs: []*notaryv1.Output{{Address: hash, Amount: 1e9, Kind: 1}, {Address: hash, Amount: 5e9, Kind: 1}},
	})
	if err != nil {
		t.Fatal(err)
	}
	raw, err := Marshal(&notaryv1.Transaction{Body: body, Witnesses: []*notaryv1.Witness{{
		Lock:       &notaryv1.Lock{Threshold: 1, Keys: [][]byte{hash}},
		Signatures: []*notaryv1.LockSignature{{Signature: bytes.Repeat([]byte{8}, 64)}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestCheckDoesNotAllocate(t *testing.T) {
	raw := transaction(t)
	schema := MustCompile(&notaryv1.Transaction{}, 262_144)
	if n := testing.AllocsPerRun(100, func() {
		if err := schema.Check(raw); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkCheck(b *testing.B) {
	raw := transaction(b)
	schema := MustCompile(&notaryv1.Transaction{}, 262_144)
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		if err := schema.Check(raw); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkTwin is what Check saves.
func BenchmarkTwin(b *testing.B) {
	raw := transaction(b)
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		if err := twin(&notaryv1.Transaction{}, raw, 262_144); err != nil {
			b.Fatal(err)
		}
	}
}
