package observation_test

import (
	"bytes"
	"reflect"
	"runtime"
	"slices"
	"testing"

	"github.com/notarynet/notaryd/observation"
	kit "github.com/notarynet/notaryd/observation/observationtest"
	"github.com/notarynet/notaryd/proto/canonical"
	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
)

func TestBuildRefused(t *testing.T) {
	const invalid = notaryv1.Reason_REASON_INVALID_ARGUMENT
	for _, c := range []struct {
		name   string
		change func(net *kit.Network, item *observation.Item, e *observation.Edge)
		reason notaryv1.Reason
		field  string
	}{
		{"network", func(_ *kit.Network, _ *observation.Item, e *observation.Edge) { e.Header.Network[0]++ },
			notaryv1.Reason_REASON_WRONG_NETWORK, "items[0].edges[1].header.network"},
		{"link", func(_ *kit.Network, _ *observation.Item, e *observation.Edge) { e.Header.Link[0]++ }, invalid, "items[0].edges[1].header.link"},
		{"epoch", func(_ *kit.Network, _ *observation.Item, e *observation.Edge) { e.Header.GroupEpoch++ }, invalid, "items[0].edges[1].header.link"},
		{"key", func(_ *kit.Network, _ *observation.Item, e *observation.Edge) { e.Header.Key[0]++ }, invalid, "items[0].edges[1].header.key"},
		{"signing epoch", func(_ *kit.Network, _ *observation.Item, e *observation.Edge) { e.Header.SigningEpoch++ }, invalid, "items[0].edges[1].header.signing_epoch"},
		{"subject", func(_ *kit.Network, _ *observation.Item, e *observation.Edge) { e.Leaf.Subject[0]++ }, invalid, "items[0].edges[1].leaf.subject"},
		{"subject type", func(_ *kit.Network, _ *observation.Item, e *observation.Edge) { e.Leaf.Type = observation.SubjectPeer }, invalid, "items[0].edges[1].leaf.subject"},
		{"state", func(_ *kit.Network, _ *observation.Item, e *observation.Edge) { e.Leaf.State = observation.Pending }, invalid, "items[0].edges[1].leaf.state"},
		{"round", func(_ *kit.Network, _ *observation.Item, e *observation.Edge) { e.Leaf.Round++ }, invalid, "items[0].edges[1].leaf.round"},
		{"path", func(_ *kit.Network, _ *observation.Item, e *observation.Edge) { e.Path[0]++ }, invalid, "items[0].edges[1].path"},
		{"height", func(_ *kit.Network, _ *observation.Item, e *observation.Edge) { e.Header.Height = 0 }, invalid, "items[0].edges[1].header.height"},
		{"no edges", func(_ *kit.Network, item *observation.Item, _ *observation.Edge) { item.Edges = nil }, notaryv1.Reason_REASON_MISSING_FIELD, "transactions[0].edges"},
		{"transaction", func(net *kit.Network, item *observation.Item, _ *observation.Edge) {
			item.Raw = net.Spend("other", 0).Raw
		}, invalid, "items[0].transaction"},
	} {
		t.Run(c.name, func(t *testing.T) {
			net := kit.New("test", kit.Equal(4)...)
			tx := net.Spend("paid", 0)
			item := observation.Item{ID: tx.ID, Edges: net.Accept(tx.ID, observation.Accepted, 0, 3, 2)}
			c.change(net, &item, &item.Edges[1])
			_, err := observation.BuildProof(net.Group, nil, []observation.Item{item})
			wantRefusal(t, err, c.reason, c.field)
		})
	}
	net := kit.New("test", kit.Equal(4)...)
	_, err := observation.BuildProof(net.Group, nil, nil)
	wantRefusal(t, err, notaryv1.Reason_REASON_MISSING_FIELD, "transactions")
}

// TestBuildOnce: of several votes of one key the earliest is taken, whatever the order they come in.
func TestBuildOnce(t *testing.T) {
	net := kit.New("test", kit.Equal(4)...)
	tx := net.Spend("paid", 0)
	var edges []observation.Edge
	for i, s := range net.Signers[:3] {
		for j := range 2 {
			timeMS := kit.StartMS + uint64(10*i+j)
			leaf := kit.Vote(tx.ID, observation.Accepted, 0, timeMS)
			o := s.Observe(net.Group, timeMS, leaf, leaf)
			edges = append(edges, o.Edge(0), o.Edge(1))
		}
	}
	want := must(observation.BuildProof(net.Group, nil, []observation.Item{{ID: tx.ID, Edges: edges}}))
	slices.Reverse(edges)
	got := must(observation.BuildProof(net.Group, nil, []observation.Item{{ID: tx.ID, Edges: edges}}))
	if !reflect.DeepEqual(got, want) {
		t.Fatal("the order of edges shows in the proof")
	}
	if len(got.Observations) != 3 || len(got.Transactions[0].Edges) != 3 {
		t.Fatalf("%d observations, %d edges", len(got.Observations), len(got.Transactions[0].Edges))
	}
	for i, e := range got.Transactions[0].Edges {
		if e.LeafIndex != 0 || got.Observations[i].Height != 1 {
			t.Errorf("edge %d is not the earliest: %+v", i, e)
		}
	}
}

// TestBuildFork: the branches of a forked chain have no place in one proof, and each has one alone.
func TestBuildFork(t *testing.T) {
	net := kit.New("test", kit.Equal(4)...)
	a, b := net.Spend("first", 0), net.Spend("second", 1)
	liar := *net.Signers[0]
	x := net.Signers[0].Observe(net.Group, 1, kit.Vote(a.ID, observation.Accepted, 0, 1)).Edge(0)
	y := liar.Observe(net.Group, 2, kit.Vote(b.ID, observation.Accepted, 0, 1)).Edge(0)
	both := []observation.Item{{ID: a.ID, Edges: []observation.Edge{x}}, {ID: b.ID, Edges: []observation.Edge{y}}}
	_, err := observation.BuildProof(net.Group, nil, both)
	wantRefusal(t, err, notaryv1.Reason_REASON_INVALID_ARGUMENT, "items[1].edges")
	for i := range both {
		p := must(observation.BuildProof(net.Group, nil, both[i:i+1]))
		if v := must(p.Verify(observation.NewRoot(net.Group))); v.Transactions[0].Weight != 250_000_000 {
			t.Errorf("weight %d", v.Transactions[0].Weight)
		}
	}
}

// TestEdgesAgain: the edges of a proof build it again.
func TestEdgesAgain(t *testing.T) {
	net, p := twoTransactions()
	items := make([]observation.Item, len(p.Transactions))
	for i, tx := range p.Transactions {
		items[i] = observation.Item{ID: tx.ID, Raw: tx.Raw, Round: tx.Round, Edges: p.Edges(net.Group, i)}
	}
	if again := must(observation.BuildProof(net.Group, nil, items)); !bytes.Equal(again.Encode(), p.Encode()) {
		t.Fatal("another proof")
	}
}

func TestEncodeIsCanonical(t *testing.T) {
	net, p := twoTransactions()
	if !bytes.Equal(must(canonical.Marshal(p.Message())), p.Encode()) {
		t.Fatal("not what the encoder of protobuf makes")
	}
	tx := net.Spend("certified", 2)
	c := must(observation.BuildCertificate(net.Group, nil, []observation.Item{{ID: tx.ID, Edges: net.Accept(tx.ID, observation.Pending, 0, 3, 4)}}))
	if !bytes.Equal(must(canonical.Marshal(c.Message())), c.Encode()) {
		t.Fatal("the certificate is not what the encoder of protobuf makes")
	}
	defer func() {
		if recover() == nil {
			t.Fatal("a certificate became a file")
		}
	}()
	c.EncodeFile()
}

func TestLimits(t *testing.T) {
	_, p := twoTransactions()
	raw := p.Encode()
	for _, c := range []struct {
		name   string
		limits observation.Limits
		reason notaryv1.Reason
		field  string
	}{
		{"bytes", observation.Limits{MaxBytes: len(raw) - 1}, notaryv1.Reason_REASON_TOO_LARGE, ""},
		{"observations", observation.Limits{MaxObservations: 2}, notaryv1.Reason_REASON_LIMIT_EXCEEDED, "observations"},
		{"transactions", observation.Limits{MaxTransactions: 1}, notaryv1.Reason_REASON_LIMIT_EXCEEDED, "transactions"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := observation.DecodeProof(raw, c.limits)
			wantRefusal(t, err, c.reason, c.field)
		})
	}
	just := observation.Limits{MaxBytes: len(raw), MaxObservations: 3, MaxTransactions: 2}
	if _, err := observation.DecodeProof(raw, just); err != nil {
		t.Fatal(err)
	}
	_, err := observation.DecodeProofJSON(must(p.JSON()), observation.Limits{MaxBytes: 100})
	wantRefusal(t, err, notaryv1.Reason_REASON_TOO_LARGE, "")
}

// TestTinyEdges: edges of two bytes must not become a great deal of memory before they are refused.
func TestTinyEdges(t *testing.T) {
	var raw []byte
	field := func(b []byte, number byte, content []byte) []byte {
		m := must(canonical.Marshal(&notaryv1.ProvenTransaction{Transaction: content}))
		m[0] = number<<3 | 2
		return append(b, m...)
	}
	id := bytes.Repeat([]byte{7}, 32)
	edges := field(nil, 1, id)
	for range 60_000 {
		edges = append(edges, 4<<3|2, 0)
	}
	raw = field(raw, 1, id)
	raw = field(raw, 3, id)
	observation0 := must(canonical.Marshal(&notaryv1.ProofObservation{Height: 1, Root: id, LeafCount: 1, Signature: append(id, id...)}))
	raw = field(raw, 5, observation0)
	for len(raw) < 15<<20 {
		raw = field(raw, 6, edges)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := observation.DecodeProof(raw, observation.Limits{})
	runtime.ReadMemStats(&after)
	wantRefusal(t, err, notaryv1.Reason_REASON_NON_CANONICAL, "transactions[0].edges[1].observation")
	if used := after.TotalAlloc - before.TotalAlloc; used > 100_000 {
		t.Fatalf("%d bytes allocated for a proof that is refused at its second edge", used)
	}
}

func TestFileRefused(t *testing.T) {
	_, p := twoTransactions()
	good := p.EncodeFile()
	for _, c := range []struct {
		name   string
		file   []byte
		reason notaryv1.Reason
		field  string
	}{
		{"empty", nil, notaryv1.Reason_REASON_MALFORMED, "magic"},
		{"magic alone, cut", []byte("NOTARY\x00"), notaryv1.Reason_REASON_MALFORMED, "magic"},
		{"other magic", append([]byte("notary\x00\x01"), good[8:]...), notaryv1.Reason_REASON_MALFORMED, "magic"},
		{"later version", append([]byte("NOTARY\x00\x02"), good[8:]...), notaryv1.Reason_REASON_UNKNOWN_KIND, "version"},
		{"nothing behind", []byte("NOTARY\x00\x01"), notaryv1.Reason_REASON_MISSING_FIELD, "network"},
		{"trailing", append(bytes.Clone(good), 0), notaryv1.Reason_REASON_MALFORMED, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := observation.DecodeFile(c.file, observation.Limits{})
			wantRefusal(t, err, c.reason, c.field)
		})
	}
}

func TestJSONRefused(t *testing.T) {
	for name, j := range map[string]string{
		"no JSON": "{", "unknown field": `{"colour":"red"}`, "no base64": `{"network":"!"}`, "text for a number": `{"groupEpoch":"x"}`,
	} {
		_, err := observation.DecodeProofJSON([]byte(j), observation.Limits{})
		if err == nil {
			t.Errorf("%s: accepted", name)
			continue
		}
		wantRefusal(t, err, notaryv1.Reason_REASON_MALFORMED, "")
	}
	_, err := observation.DecodeProofJSON([]byte("{}"), observation.Limits{})
	wantRefusal(t, err, notaryv1.Reason_REASON_MISSING_FIELD, "network")
}

func TestCertificateRefused(t *testing.T) {
	_, err := observation.DecodeCertificate(nil, observation.Limits{})
	wantRefusal(t, err, notaryv1.Reason_REASON_MISSING_FIELD, "quorum")
	_, err = observation.DecodeCertificate([]byte{0x0a, 0}, observation.Limits{})
	wantRefusal(t, err, notaryv1.Reason_REASON_MISSING_FIELD, "quorum.network")
	_, err = observation.DecodeCertificate(make([]byte, 2<<20), observation.Limits{})
	wantRefusal(t, err, notaryv1.Reason_REASON_TOO_LARGE, "")
	// An acceptance proof is no certificate, nor the other way round: their leaves differ.
	net, p := twoTransactions()
	swapped := must(canonical.Marshal(&notaryv1.Certificate{Quorum: p.Message().(*notaryv1.AcceptanceProof)}))
	c := must(observation.DecodeCertificate(swapped, observation.Limits{}))
	_, err = c.Verify(observation.NewRoot(net.Group))
	wantRefusal(t, err, notaryv1.Reason_REASON_INVALID_ARGUMENT, "transactions[0].edges[0].path")
}

// TestBuildSignatures: two signatures over one header leave no trace of the order they came in.
func TestBuildSignatures(t *testing.T) {
	net := kit.New("test", kit.Equal(4)...)
	a, b := net.Spend("first", 0), net.Spend("second", 1)
	o := net.Signers[0].Observe(net.Group, 1, kit.Vote(a.ID, observation.Accepted, 0, 1), kit.Vote(b.ID, observation.Accepted, 0, 1))
	x, y := o.Edge(0), o.Edge(1)
	y.Signature = domain.Signature{1}
	first := []observation.Item{{ID: a.ID, Edges: []observation.Edge{x}}, {ID: b.ID, Edges: []observation.Edge{y}}}
	p := must(observation.BuildProof(net.Group, nil, first))
	slices.Reverse(first)
	q := must(observation.BuildProof(net.Group, nil, first))
	if !bytes.Equal(p.Encode(), q.Encode()) || len(p.Observations) != 1 {
		t.Fatal("the order of items shows in the proof")
	}
}

// TestBuildOneItem: of one transaction neither the order of several signatures over one header, at one leaf or at two, nor
// that of the branches of a fork shows in the proof; of the signatures the lowest is taken.
func TestBuildOneItem(t *testing.T) {
	net := kit.New("test", kit.Equal(4)...)
	tx := net.Spend("paid", 0)
	leaf := kit.Vote(tx.ID, observation.Accepted, 0, 1)
	liar := *net.Signers[0]
	o := net.Signers[0].Observe(net.Group, 1, leaf, leaf)
	again, later := o.Edge(0), o.Edge(1)
	again.Signature, later.Signature = domain.Signature{2}, domain.Signature{1}
	for name, edges := range map[string][]observation.Edge{
		"one leaf": {o.Edge(0), again}, "two leaves": {o.Edge(0), later}, "three signatures": {o.Edge(0), later, again},
		"fork": {o.Edge(0), liar.Observe(net.Group, 2, leaf, leaf).Edge(0)},
	} {
		p := must(observation.BuildProof(net.Group, nil, []observation.Item{{ID: tx.ID, Edges: edges}}))
		slices.Reverse(edges)
		q := must(observation.BuildProof(net.Group, nil, []observation.Item{{ID: tx.ID, Edges: edges}}))
		if !bytes.Equal(p.Encode(), q.Encode()) {
			t.Errorf("%s: the order of edges shows in the proof", name)
		}
		for _, e := range edges {
			if s := p.Observations[0].Signature; name != "fork" && bytes.Compare(e.Signature[:], s[:]) < 0 {
				t.Errorf("%s: a lower signature than %x was given", name, s)
			}
		}
	}
}

// TestBuildSignatureOfAnother: the lowest signature over a header is taken, also where it came with an edge that was not.
func TestBuildSignatureOfAnother(t *testing.T) {
	net := kit.New("test", kit.Equal(4)...)
	a, b := net.Spend("first", 0), net.Spend("second", 1)
	early := net.Signers[0].Observe(net.Group, 1, kit.Vote(a.ID, observation.Accepted, 0, 1)).Edge(0)
	o := net.Signers[0].Observe(net.Group, 2, kit.Vote(a.ID, observation.Accepted, 0, 1), kit.Vote(b.ID, observation.Accepted, 0, 1))
	idle := o.Edge(0)
	idle.Signature = domain.Signature{1}
	items := []observation.Item{{ID: a.ID, Edges: []observation.Edge{early, idle}}, {ID: b.ID, Edges: []observation.Edge{o.Edge(1)}}}
	for range 2 {
		p := must(observation.BuildProof(net.Group, nil, items))
		if len(p.Observations) != 2 || p.Observations[1].Signature != idle.Signature {
			t.Errorf("%d observations, the signature is not the lowest", len(p.Observations))
		}
		slices.Reverse(items)
	}
}
