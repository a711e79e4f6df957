package refverify_test

import (
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"pgregory.net/rapid"

	"github.com/notarynet/notaryd/internal/refverify"
	"github.com/notarynet/notaryd/observation"
	kit "github.com/notarynet/notaryd/observation/observationtest"
	"github.com/notarynet/notaryd/proto/canonical"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
)

// mutate changes one field somewhere in a message: a number, a byte, a length, an element of a list twice,
// swapped or lost.
func mutate(t *rapid.T, m protoreflect.Message) {
	fields := m.Descriptor().Fields()
	fd := fields.Get(rapid.IntRange(0, fields.Len()-1).Draw(t, "field"))
	switch {
	case fd.IsList():
		mutateList(t, m, fd)
	case fd.Kind() == protoreflect.BytesKind:
		m.Set(fd, protoreflect.ValueOfBytes(mutateBytes(t, m.Get(fd).Bytes())))
	case fd.Kind() == protoreflect.MessageKind:
		mutate(t, m.Mutable(fd).Message())
	case fd.Kind() == protoreflect.Uint32Kind:
		m.Set(fd, protoreflect.ValueOfUint32(uint32(mutateNumber(t, m.Get(fd).Uint()))))
	case fd.Kind() == protoreflect.Uint64Kind:
		m.Set(fd, protoreflect.ValueOfUint64(mutateNumber(t, m.Get(fd).Uint())))
	}
}

func mutateNumber(t *rapid.T, n uint64) uint64 {
	switch rapid.IntRange(0, 3).Draw(t, "how") {
	case 0:
		return n + 1
	case 1:
		return n - 1
	case 2:
		return 0
	}
	return rapid.Uint64().Draw(t, "number")
}

func mutateBytes(t *rapid.T, b []byte) []byte {
	b = append([]byte(nil), b...)
	switch rapid.IntRange(0, 4).Draw(t, "how") {
	case 0:
		return nil
	case 1:
		return append(b, make([]byte, rapid.SampledFrom([]int{1, 32}).Draw(t, "more"))...)
	case 2:
		return b[:len(b)-min(len(b), rapid.SampledFrom([]int{1, 32}).Draw(t, "less"))]
	case 3:
		return make([]byte, len(b))
	}
	if len(b) > 0 {
		b[rapid.IntRange(0, len(b)-1).Draw(t, "byte")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
	}
	return b
}

func mutateList(t *rapid.T, m protoreflect.Message, fd protoreflect.FieldDescriptor) {
	list := m.Mutable(fd).List()
	if list.Len() == 0 {
		if fd.Kind() == protoreflect.BytesKind {
			list.Append(protoreflect.ValueOfBytes([]byte{1}))
		}
		return
	}
	i := rapid.IntRange(0, list.Len()-1).Draw(t, "element")
	j := rapid.IntRange(0, list.Len()-1).Draw(t, "other")
	x, y := list.Get(i), list.Get(j)
	switch rapid.IntRange(0, 5).Draw(t, "how") {
	case 0:
		list.Set(i, y)
		list.Set(j, x)
	case 1:
		list.Append(x)
	case 2:
		list.Set(i, list.Get(list.Len()-1))
		list.Truncate(list.Len() - 1)
	default:
		if fd.Kind() == protoreflect.MessageKind {
			mutate(t, x.Message())
		}
	}
}

// TestMutatedProofs: proofs changed in their structure, not in their bytes, so that most of them read well:
// the same conclusion and the same part at fault from both verifiers.
func TestMutatedProofs(t *testing.T) {
	net := kit.New("mutated", kit.Peer{Weight: 400_000_000, Keys: 2}, kit.Peer{Weight: 350_000_000, Keys: 1}, kit.Peer{Weight: 250_000_000, Keys: 2})
	var items []observation.Item
	for i, signers := range []int{5, 4, 3} {
		tx := net.Spend(string(rune('a'+i)), uint32(i))
		items = append(items, observation.Item{ID: tx.ID, Raw: tx.Raw, Round: uint32(i), Edges: net.Accept(tx.ID, observation.Accepted, uint32(i), signers, 3+i)})
	}
	p, err := observation.BuildProof(net.Group, nil, items)
	if err != nil {
		t.Fatal(err)
	}
	good := p.Message().(*notaryv1.AcceptanceProof)
	seen := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		m := proto.Clone(good).(*notaryv1.AcceptanceProof)
		for range rapid.IntRange(0, 2).Draw(t, "changes") {
			mutate(t, m.ProtoReflect())
		}
		b, err := canonical.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		file := append([]byte(observation.FileMagic), b...)
		got, err := refverify.Verify(net.Genesis.Bytes, file)
		if err != nil {
			t.Fatal(err)
		}
		want, field := other(net.Genesis.Bytes, file)
		if got.Conclusion != want || got.Field != field {
			t.Fatalf("%s at %q (%s), observation says %s at %q", got.Conclusion, got.Field, got.Why, want, field)
		}
		seen[want]++
	})
	if len(seen) < 2 {
		t.Fatalf("conclusions: %v", seen)
	}
}

// mutateLink changes one field somewhere in a link: of its transaction, of the group that it makes or is,
// of its proof, or which of them there are. It reports whether what is within can still be read: of an
// encoding that cannot, the two verifiers may stumble over different bytes.
func mutateLink(t *rapid.T, raw []byte) (_ []byte, readable bool) {
	l := new(notaryv1.Link)
	if err := proto.Unmarshal(raw, l); err != nil {
		t.Fatal(err)
	}
	part := rapid.IntRange(0, 4).Draw(t, "part")
	switch part {
	case 0:
		mutate(t, l.ProtoReflect())
	case 1:
		l.Group = mutated(t, l.Group, new(notaryv1.Group))
	case 2:
		l.Proof = mutated(t, l.Proof, new(notaryv1.AcceptanceProof))
	default:
		tx, body := new(notaryv1.Transaction), new(notaryv1.TransactionBody)
		if proto.Unmarshal(l.Transaction, tx) != nil || proto.Unmarshal(tx.Body, body) != nil || len(body.Outputs) == 0 {
			break
		}
		if rapid.Bool().Draw(t, "group") {
			d := body.Outputs[0].Data
			d.Payload = mutated(t, d.Payload, new(notaryv1.Group))
		} else {
			mutate(t, body.ProtoReflect())
		}
		tx.Body = marshal(t, body)
		l.Transaction = marshal(t, tx)
	}
	return marshal(t, l), part > 0
}

func mutated(t *rapid.T, raw []byte, m proto.Message) []byte {
	if len(raw) == 0 || proto.Unmarshal(raw, m) != nil {
		return raw
	}
	mutate(t, m.ProtoReflect())
	return marshal(t, m)
}

func marshal(t *rapid.T, m proto.Message) []byte {
	b, err := canonical.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestMutatedLinks: as TestMutatedProofs, of the links that a proof carries.
func TestMutatedLinks(t *testing.T) {
	for _, v := range readVectors(t) {
		c := v.Cases[0]
		if c.Name != "proven, vouched for, proven" {
			continue
		}
		seen := map[string]int{}
		rapid.Check(t, func(t *rapid.T) {
			m := new(notaryv1.AcceptanceProof)
			if err := proto.Unmarshal(c.File[len(observation.FileMagic):], m); err != nil {
				t.Fatal(err)
			}
			i := rapid.IntRange(0, len(m.Links)-1).Draw(t, "link")
			var readable bool
			m.Links[i], readable = mutateLink(t, m.Links[i])
			if rapid.IntRange(0, 9).Draw(t, "also the list") == 0 {
				m.Links = m.Links[i:]
			}
			file := append([]byte(observation.FileMagic), marshal(t, m)...)
			got, err := refverify.Verify(v.Genesis, file)
			if err != nil {
				t.Fatal(err)
			}
			want, field := other(v.Genesis, file)
			if got.Conclusion != want || readable && got.Field != field {
				t.Fatalf("%s at %q (%s), observation says %s at %q", got.Conclusion, got.Field, got.Why, want, field)
			}
			seen[want]++
		})
		if len(seen) < 2 {
			t.Fatalf("conclusions: %v", seen)
		}
		return
	}
	t.Fatal("the vector is gone")
}
