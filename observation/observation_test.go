package observation_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/notarynet/notaryd/observation"
	kit "github.com/notarynet/notaryd/observation/observationtest"
	"github.com/notarynet/notaryd/proto/canonical"
	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

func TestSealDecodeRoundTrip(t *testing.T) {
	net := kit.New("test", kit.Equal(4)...)
	rules := observation.Rules{Network: net.Genesis.ID}
	rapid.Check(t, func(t *rapid.T) {
		signer := *net.Signers[rapid.IntRange(0, 3).Draw(t, "signer")]
		for range rapid.IntRange(1, 3).Draw(t, "observations") {
			leaves := make([]observation.Leaf, rapid.IntRange(0, 40).Draw(t, "leaves"))
			for i := range leaves {
				state := observation.State(rapid.Uint8Range(1, 4).Draw(t, "state"))
				leaves[i] = kit.Vote(drawTx(t), state, rapid.Uint32().Draw(t, "round"), rapid.Uint64().Draw(t, "time"))
			}
			before := signer.Head
			timeMS := rapid.Uint64().Draw(t, "time")
			want := signer.Observe(net.Group, timeMS, leaves...)
			got, err := observation.Decode(want.Raw, rules)
			if err != nil {
				t.Fatal(err)
			}
			check := got.Check()
			if !check.Verify() {
				t.Fatal("signature does not verify")
			}
			if got.Header != want.Header || got.Hash != want.Hash || got.Signature != want.Signature || !bytes.Equal(got.Leaves, want.Leaves) {
				t.Fatalf("got %+v, want %+v", got, want)
			}
			for i := range leaves {
				if got.Leaf(i) != leaves[i] {
					t.Fatalf("leaf %d: got %+v, want %+v", i, got.Leaf(i), leaves[i])
				}
			}
			h := got.Header
			if h.Height != before.Height+1 || h.Previous != before.Hash || h.TimeMS != timeMS || h.Link != net.Group.Link() || got.Len() != len(leaves) {
				t.Fatalf("header %+v does not follow %+v", h, before)
			}
			wantRaw := must(canonical.Marshal(&notaryv1.Observation{
				Header: func() []byte { b := h.Encode(); return b[:] }(), Signature: got.Signature[:], Leaves: got.Leaves,
			}))
			if !bytes.Equal(want.Raw, wantRaw) {
				t.Fatal("Raw is not the canonical encoding")
			}
		}
	})
}

// remake encodes an observation after a change to its parts, with the root and the count made good unless
// the change is about them.
func remake(o *observation.Observation, change func(h *observation.Header, m *notaryv1.Observation)) []byte {
	m := &notaryv1.Observation{Signature: bytes.Clone(o.Signature[:]), Leaves: bytes.Clone(o.Leaves)}
	h := o.Header
	change(&h, m)
	if m.Header == nil {
		b := h.Encode()
		m.Header = b[:]
	}
	return must(canonical.Marshal(m))
}

func TestDecodeRefused(t *testing.T) {
	net := kit.New("test", kit.Equal(4)...)
	var leaves []observation.Leaf
	for i := range 5 {
		leaves = append(leaves, kit.Vote(domain.Hash{byte(i)}, observation.Pending, 0, 7))
	}
	o := net.Signers[0].Observe(net.Group, 9, leaves...)
	for _, c := range []struct {
		name   string
		raw    []byte
		max    int
		reason notaryv1.Reason
		field  string
	}{
		{"empty", nil, 0, notaryv1.Reason_REASON_MISSING_FIELD, "header"},
		{"no signature", remake(o, func(_ *observation.Header, m *notaryv1.Observation) { m.Signature = nil }), 0,
			notaryv1.Reason_REASON_MISSING_FIELD, "signature"},
		{"short header", remake(o, func(_ *observation.Header, m *notaryv1.Observation) { m.Header = make([]byte, 191) }), 0,
			notaryv1.Reason_REASON_MALFORMED, "header"},
		{"short signature", remake(o, func(_ *observation.Header, m *notaryv1.Observation) { m.Signature = m.Signature[1:] }), 0,
			notaryv1.Reason_REASON_MALFORMED, "signature"},
		{"too large", make([]byte, observation.MaxBytes+1), 0, notaryv1.Reason_REASON_TOO_LARGE, ""},
		{"leaves over their bound", remake(o, func(_ *observation.Header, m *notaryv1.Observation) { m.Leaves = make([]byte, 940_001) }), 0,
			notaryv1.Reason_REASON_LIMIT_EXCEEDED, "leaves"},
		{"other network", remake(o, func(h *observation.Header, _ *notaryv1.Observation) { h.Network[0]++ }), 0,
			notaryv1.Reason_REASON_WRONG_NETWORK, "header.network"},
		{"height 0", remake(o, func(h *observation.Header, _ *notaryv1.Observation) { h.Height = 0 }), 0,
			notaryv1.Reason_REASON_INVALID_ARGUMENT, "header.height"},
		{"limit of the network", o.Raw, 4, notaryv1.Reason_REASON_LIMIT_EXCEEDED, "header.leaf_count"},
		{"count below", remake(o, func(h *observation.Header, _ *notaryv1.Observation) { h.LeafCount-- }), 0,
			notaryv1.Reason_REASON_MALFORMED, "leaves"},
		{"count above", remake(o, func(h *observation.Header, _ *notaryv1.Observation) { h.LeafCount++ }), 0,
			notaryv1.Reason_REASON_MALFORMED, "leaves"},
		{"part of a leaf", remake(o, func(_ *observation.Header, m *notaryv1.Observation) { m.Leaves = m.Leaves[:200] }), 0,
			notaryv1.Reason_REASON_MALFORMED, "leaves"},
		{"bad leaf", remake(o, func(_ *observation.Header, m *notaryv1.Observation) { m.Leaves[3*47+33] = 9 }), 0,
			notaryv1.Reason_REASON_UNKNOWN_KIND, "leaves[3].state"},
		{"reserved byte", remake(o, func(_ *observation.Header, m *notaryv1.Observation) { m.Leaves[47+46] = 1 }), 0,
			notaryv1.Reason_REASON_NON_CANONICAL, "leaves[1].reserved"},
		{"another leaf", remake(o, func(_ *observation.Header, m *notaryv1.Observation) { m.Leaves[0] ^= 1 }), 0,
			notaryv1.Reason_REASON_INVALID_ARGUMENT, "header.root"},
		{"another root", remake(o, func(h *observation.Header, _ *notaryv1.Observation) { h.Root[5] ^= 1 }), 0,
			notaryv1.Reason_REASON_INVALID_ARGUMENT, "header.root"},
		{"trailing", append(bytes.Clone(o.Raw), 0x20, 1), 0, notaryv1.Reason_REASON_NON_CANONICAL, ""},
		{"truncated", o.Raw[:len(o.Raw)-1], 0, notaryv1.Reason_REASON_MALFORMED, "leaves"},
		{"fields out of order", append(bytes.Clone(o.Raw[195:]), o.Raw[:195]...), 0, notaryv1.Reason_REASON_NON_CANONICAL, "header"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := observation.Decode(c.raw, observation.Rules{Network: net.Genesis.ID, MaxLeaves: c.max})
			wantRefusal(t, err, c.reason, c.field)
		})
	}
}

// TestFlippedObservation flips every bit: the decoder refuses, or the signature does.
func TestFlippedObservation(t *testing.T) {
	net := kit.New("test", kit.Equal(4)...)
	o := net.Signers[0].Observe(net.Group, 9, kit.Vote(domain.Hash{1}, observation.Pending, 0, 7), kit.Vote(domain.Hash{2}, observation.Accepted, 4, 8))
	for i := range len(o.Raw) * 8 {
		raw := bytes.Clone(o.Raw)
		raw[i/8] ^= 1 << (i % 8)
		got, err := observation.Decode(raw, observation.Rules{Network: net.Genesis.ID})
		if err != nil {
			continue
		}
		if check := got.Check(); check.Verify() {
			t.Fatalf("bit %d flipped unseen", i)
		}
	}
}

func TestHeartbeat(t *testing.T) {
	net := kit.New("test", kit.Equal(4)...)
	o := net.Signers[1].Observe(net.Group, 5)
	got := must(observation.Decode(o.Raw, observation.Rules{Network: net.Genesis.ID}))
	const nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	if got.Len() != 0 || got.Header.Root.String() != nothing {
		t.Fatalf("%d leaves, root %s", got.Len(), got.Header.Root)
	}
}

// TestDuplicateLeaves: the same leaf twice is no fault; each place has a path of its own.
func TestDuplicateLeaves(t *testing.T) {
	net := kit.New("test", kit.Equal(4)...)
	leaf := kit.Vote(domain.Hash{1}, observation.Accepted, 0, 7)
	o := net.Signers[0].Observe(net.Group, 9, leaf, leaf, leaf)
	got := must(observation.Decode(o.Raw, observation.Rules{Network: net.Genesis.ID}))
	for i := range 3 {
		if e := got.Edge(i); !e.Included() || e.LeafIndex != uint32(i) || e.Leaf != leaf {
			t.Errorf("leaf %d: %+v", i, e)
		}
	}
}

func TestFullObservationFits(t *testing.T) {
	net := kit.New("test", kit.Equal(4)...)
	leaves := make([]observation.Leaf, observation.MaxLeaves)
	for i := range leaves {
		leaves[i] = kit.Vote(domain.Sum(domain.TagTx, fmt.Append(nil, i)), observation.Pending, 0, 1)
	}
	o := net.Signers[0].Observe(net.Group, 9, leaves...)
	if _, err := observation.Decode(o.Raw, observation.Rules{Network: net.Genesis.ID}); err != nil {
		t.Fatal(err)
	}
}

func TestDecodeAllocations(t *testing.T) {
	net := kit.New("test", kit.Equal(4)...)
	leaves := make([]observation.Leaf, 1000)
	for i := range leaves {
		leaves[i] = kit.Vote(domain.Hash{byte(i)}, observation.Pending, 0, 1)
	}
	o := net.Signers[0].Observe(net.Group, 9, leaves...)
	rules := observation.Rules{Network: net.Genesis.ID}
	if n := testing.AllocsPerRun(10, func() { must(observation.Decode(o.Raw, rules)) }); n > 2 {
		t.Errorf("Decode allocates %v times", n)
	}
}

func TestSealPanics(t *testing.T) {
	net := kit.New("test", kit.Equal(4)...)
	head := net.Signers[0].Head
	broken := head
	broken.Height = 3
	for name, f := range map[string]func(){
		"malformed leaf":    func() { observation.Seal(head, net.Group, []observation.Leaf{{}}, 1) },
		"too many leaves":   func() { observation.Seal(head, net.Group, make([]observation.Leaf, observation.MaxLeaves+1), 1) },
		"head with no hash": func() { observation.Seal(broken, net.Group, nil, 1) },
		"key of another":    func() { observation.Seal(head, net.Group, nil, 1).Sign(kit.Key(77)) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if r := recover(); r == nil || !strings.Contains(fmt.Sprint(r), "observation: ") {
					t.Fatalf("recovered %v", r)
				}
			}()
			f()
		})
	}
}

func TestDraftDoesNotAdvance(t *testing.T) {
	net := kit.New("test", kit.Equal(4)...)
	head := net.Signers[0].Head
	leaf := []observation.Leaf{kit.Vote(domain.Hash{1}, observation.Pending, 0, 1)}
	a, b := observation.Seal(head, net.Group, leaf, 5), observation.Seal(head, net.Group, leaf, 5)
	if a.HeaderHash() != b.HeaderHash() || a.Header() != b.Header() {
		t.Fatal("the same draft twice differs")
	}
	sig := domain.Sign(net.Signers[0].Key, domain.TagObservation, net.Genesis.ID, a.HeaderHash())
	if got, want := a.Signed(sig), b.Sign(net.Signers[0].Key); !bytes.Equal(got.Raw, want.Raw) {
		t.Fatal("Sign and Signed differ")
	}
}

func FuzzDecode(f *testing.F) {
	net := kit.New("test", kit.Equal(4)...)
	rules := observation.Rules{Network: net.Genesis.ID}
	f.Add(net.Signers[0].Observe(net.Group, 9).Raw)
	f.Add(net.Signers[0].Observe(net.Group, 9, kit.Vote(domain.Hash{1}, observation.Pending, 0, 7)).Raw)
	f.Fuzz(func(t *testing.T, raw []byte) {
		o, err := observation.Decode(raw, rules)
		if err != nil {
			if refusal.ReasonOf(err) == notaryv1.Reason_REASON_UNSPECIFIED {
				t.Fatalf("%v is no refusal", err)
			}
			return
		}
		var m notaryv1.Observation
		if err := proto.Unmarshal(raw, &m); err != nil {
			t.Fatal(err)
		}
		if again := must(canonical.Marshal(&m)); !bytes.Equal(again, raw) {
			t.Fatalf("accepted %x, which re-encodes to %x", raw, again)
		}
		if o.Hash != o.Header.Hash() || observation.RootOf(o.Leaves) != o.Header.Root {
			t.Fatal("hash or root does not hold")
		}
	})
}
