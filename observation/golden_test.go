package observation_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/notarynet/notaryd/observation"
	kit "github.com/notarynet/notaryd/observation/observationtest"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

var update = flag.Bool("update", false, "write the vectors anew")

// golden compares a value with a file of testdata, which other implementations read too. What a format
// says must not change, so a difference is a fault of the code and seldom of the file.
func golden(t *testing.T, name string, v any) {
	t.Helper()
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, buf.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want := must(os.ReadFile(path)); !bytes.Equal(buf.Bytes(), want) {
		t.Fatalf("%s differs; go test -update writes it anew", path)
	}
}

// octets are bytes as hexadecimal text.
type octets []byte

func (o octets) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(o)), nil }

type leafVector struct {
	Name    string      `json:"name"`
	Subject domain.Hash `json:"subject"`
	Type    uint8       `json:"type"`
	State   uint8       `json:"state"`
	Round   uint32      `json:"round"`
	TimeMS  uint64      `json:"time_ms"`
	Leaf    octets      `json:"leaf"`
	Hash    domain.Hash `json:"leaf_hash"`
}

// refusalVector is an input that must be refused.
type refusalVector struct {
	Name   string `json:"name"`
	Input  octets `json:"input"`
	Reason string `json:"reason"`
	Field  string `json:"field"`
}

func refused(name string, input []byte, err error) refusalVector {
	e, ok := err.(*refusal.Error)
	if !ok {
		panic(fmt.Sprintf("%s: %v is no refusal", name, err))
	}
	return refusalVector{name, input, refusal.Name(e.Reason), e.Field}
}

func TestGoldenLeaves(t *testing.T) {
	var out struct {
		Leaves  []leafVector    `json:"leaves"`
		Refused []refusalVector `json:"refused"`
	}
	subject := domain.Sum(domain.TagTx, []byte("a transaction"))
	for _, l := range []observation.Leaf{
		{Subject: subject, Type: observation.SubjectTx, State: observation.Pending, TimeMS: kit.StartMS},
		{Subject: subject, Type: observation.SubjectTx, State: observation.Accepted, Round: 1, TimeMS: kit.StartMS + 1},
		{Subject: subject, Type: observation.SubjectTx, State: observation.Abstain, Round: 1 << 31, TimeMS: 0},
		{Subject: subject, Type: observation.SubjectTx, State: observation.Rejected, Round: 1<<32 - 1, TimeMS: 1<<64 - 1},
		{Subject: subject, Type: observation.SubjectTx, State: observation.Seen, TimeMS: 1},
		{Subject: subject, Type: observation.SubjectObservation, State: observation.Seen, TimeMS: 256},
		{Subject: subject, Type: observation.SubjectPeer, State: observation.Seen, TimeMS: 65536},
		{Subject: subject, Type: observation.SubjectEvidence, State: observation.Seen, TimeMS: 1 << 24},
		{Subject: subject, Type: observation.SubjectTx, State: observation.Inherited, Round: 3, TimeMS: 2},
		{Subject: subject, Type: observation.SubjectLink, State: observation.Inherited, TimeMS: 3},
		{Subject: subject, Type: observation.SubjectLink, State: observation.Closed, TimeMS: 4},
	} {
		b := l.Encode()
		out.Leaves = append(out.Leaves, leafVector{
			fmt.Sprintf("%s of subject type %d", l.State, l.Type), l.Subject, uint8(l.Type), uint8(l.State), l.Round, l.TimeMS, b[:], observation.RootOf(b[:]),
		})
	}
	for _, change := range []struct {
		name  string
		index int
		to    byte
	}{
		{"no type", 32, 0}, {"type above", 32, 6}, {"no state", 33, 0}, {"state above", 33, 8}, {"reserved", 46, 1},
		{"SEEN in a round", 33, 5}, {"vote on an observation", 32, 2}, {"vote on a link", 32, 5}, {"transaction closed", 33, 6},
	} {
		l := observation.Leaf{Subject: subject, Type: observation.SubjectTx, State: observation.Pending, Round: 2, TimeMS: 3}.Encode()
		l[change.index] = change.to
		_, err := observation.DecodeLeaf(l[:])
		out.Refused = append(out.Refused, refused(change.name, l[:], err))
	}
	golden(t, "leaves.json", out)
}

type treeVector struct {
	Leaves []octets    `json:"leaves"`
	Root   domain.Hash `json:"root"`
	Paths  []octets    `json:"paths"`
}

func TestGoldenTrees(t *testing.T) {
	var out []treeVector
	for n := range 10 {
		var v treeVector
		var all []byte
		for i := range n {
			l := kit.Vote(domain.Sum(domain.TagTx, []byte{byte(i)}), observation.Pending, 0, uint64(i)).Encode()
			v.Leaves, all = append(v.Leaves, l[:]), append(all, l[:]...)
		}
		tree := observation.NewTree(all)
		v.Root = tree.Root()
		for i := range n {
			v.Paths = append(v.Paths, tree.Path(i))
		}
		out = append(out, v)
	}
	golden(t, "trees.json", out)
}

type headerVector struct {
	Network      domain.Hash `json:"network"`
	Key          domain.Hash `json:"key"`
	SigningEpoch uint32      `json:"signing_epoch"`
	Height       uint64      `json:"height"`
	Previous     domain.Hash `json:"previous"`
	GroupEpoch   uint64      `json:"group_epoch"`
	Link         domain.Hash `json:"link"`
	Root         domain.Hash `json:"root"`
	LeafCount    uint32      `json:"leaf_count"`
	TimeMS       uint64      `json:"time_ms"`
	Header       octets      `json:"header"`
	Hash         domain.Hash `json:"hash"`
	Seed         octets      `json:"private_key"`
	Message      octets      `json:"signed_message"`
	Signature    octets      `json:"signature"`
	Observation  octets      `json:"observation"`
}

func TestGoldenObservations(t *testing.T) {
	net := kit.New("test", kit.Equal(4)...)
	var out struct {
		Genesis      octets          `json:"genesis"`
		Group        octets          `json:"group"`
		Link         domain.Hash     `json:"link"`
		Observations []headerVector  `json:"observations"`
		Refused      []refusalVector `json:"refused"`
	}
	out.Genesis, out.Group, out.Link = net.Genesis.Bytes, net.Group.Bytes(), net.Group.Link()
	s := net.Signers[2]
	leaves := []observation.Leaf{
		kit.Vote(domain.Sum(domain.TagTx, []byte("one")), observation.Pending, 0, kit.StartMS+1),
		kit.Vote(domain.Sum(domain.TagTx, []byte("two")), observation.Accepted, 3, kit.StartMS+2),
		{Subject: domain.Sum(domain.TagObservation, nil), Type: observation.SubjectObservation, State: observation.Seen, TimeMS: kit.StartMS + 3},
	}
	var last *observation.Observation
	for n := range 4 {
		o := s.Observe(net.Group, kit.StartMS+uint64(50*n), leaves[:n]...)
		h, seed := o.Header.Encode(), s.Key.Seed()
		out.Observations = append(out.Observations, headerVector{
			o.Header.Network, domain.Hash(o.Header.Key), o.Header.SigningEpoch, o.Header.Height, o.Header.Previous, o.Header.GroupEpoch,
			o.Header.Link, o.Header.Root, o.Header.LeafCount, o.Header.TimeMS, h[:], o.Hash, seed[:],
			domain.Message(domain.TagObservation, net.Genesis.ID, o.Hash), o.Signature[:], o.Raw,
		})
		last = o
	}
	for _, f := range []struct {
		name   string
		change func(h *observation.Header, m *notaryv1.Observation)
	}{
		{"another network", func(h *observation.Header, _ *notaryv1.Observation) { h.Network[0]++ }},
		{"height 0", func(h *observation.Header, _ *notaryv1.Observation) { h.Height = 0 }},
		{"no previous", func(h *observation.Header, _ *notaryv1.Observation) { h.Previous = zeroHash }},
		{"another root", func(h *observation.Header, _ *notaryv1.Observation) { h.Root[0]++ }},
		{"another leaf", func(_ *observation.Header, m *notaryv1.Observation) { m.Leaves[0]++ }},
		{"a leaf less", func(_ *observation.Header, m *notaryv1.Observation) { m.Leaves = m.Leaves[47:] }},
		{"malformed leaf", func(_ *observation.Header, m *notaryv1.Observation) { m.Leaves[47+46] = 1 }},
		{"no signature", func(_ *observation.Header, m *notaryv1.Observation) { m.Signature = nil }},
	} {
		raw := remake(last, f.change)
		_, err := observation.Decode(raw, observation.Rules{Network: net.Genesis.ID})
		out.Refused = append(out.Refused, refused(f.name, raw, err))
	}
	golden(t, "observations.json", out)
}

type proofCase struct {
	Name       string               `json:"name"`
	File       octets               `json:"file"`
	Conclusion string               `json:"conclusion"`
	Reason     string               `json:"reason,omitempty"`
	Field      string               `json:"field,omitempty"`
	Verdict    *observation.Verdict `json:"verdict,omitempty"`
	JSON       json.RawMessage      `json:"json,omitempty"`
}

type proofVectors struct {
	Name    string      `json:"name"`
	Genesis octets      `json:"genesis"`
	Cases   []proofCase `json:"cases"`
}

// judge runs the verifier over a file.
func judge(name string, net *kit.Network, file []byte) proofCase {
	c := proofCase{Name: name, File: file}
	p, err := observation.DecodeFile(file, observation.Limits{})
	var v observation.Verdict
	if err == nil {
		v, err = p.Verify(observation.GenesisRoot(net.Genesis))
	}
	c.Conclusion = v.Conclusion.String()
	if err != nil {
		r := refused(name, nil, err)
		c.Reason, c.Field = r.Reason, r.Field
		return c
	}
	c.Verdict = &v
	return c
}

func TestGoldenProofs(t *testing.T) {
	net, p := twoTransactions()
	good := judge("two transactions, three of four peers", net, p.EncodeFile())
	good.JSON = must(p.JSON())
	small := proofVectors{Name: "four peers", Genesis: net.Genesis.Bytes, Cases: []proofCase{good}}
	add := func(v *proofVectors, name string, net *kit.Network, p *observation.Proof) {
		v.Cases = append(v.Cases, judge(name, net, p.EncodeFile()))
	}
	for n := 1; n <= 4; n++ {
		net, p := proofOf(t, 4, n, 3)
		add(&small, fmt.Sprintf("%d of four peers", n), net, p)
	}
	for _, f := range forgeries() {
		small.Cases = append(small.Cases, judge("forged: "+f.name, net, append([]byte(observation.FileMagic), forge(p, f.change)...)))
	}
	_, raw := twiceTheKey()
	small.Cases = append(small.Cases, judge("forged: node key twice", net, append([]byte(observation.FileMagic), raw...)))
	small.Cases = append(small.Cases, judge("a later epoch", net, append([]byte(observation.FileMagic), forge(p, func(m *notaryv1.AcceptanceProof) {
		m.GroupEpoch = 7
		flip(m.Link)
	})...)))
	file := p.EncodeFile()
	small.Cases = append(small.Cases, judge("another magic", net, append([]byte("N"), file...)), judge("a later version", net, append([]byte("NOTARY\x00\x02"), file[8:]...)),
		judge("cut off", net, file[:len(file)-1]), judge("trailing", net, append(bytes.Clone(file), 0x38, 1)))

	uneven := kit.New("uneven", kit.Peer{Weight: 500_000_000, Keys: 3}, kit.Peer{Weight: 300_000_001, Keys: 2}, kit.Peer{Weight: 199_999_999, Keys: 1})
	large := proofVectors{Name: "peers of several keys", Genesis: uneven.Genesis.Bytes}
	for n := 1; n <= len(uneven.Signers); n++ {
		tx := uneven.Spend("paid", 0)
		add(&large, fmt.Sprintf("%d of six keys", n), uneven, must(observation.BuildProof(uneven.Group, nil, []observation.Item{{
			ID: tx.ID, Round: 1, Edges: uneven.Accept(tx.ID, observation.Accepted, 1, n, n),
		}})))
	}
	golden(t, "proofs.json", []proofVectors{small, large})
}

func TestGoldenCompact(t *testing.T) {
	net := kit.NewBLS("test", kit.Equal(4)...)
	out := proofVectors{Name: "four peers", Genesis: net.Genesis.Bytes}
	judged := func(name string, file []byte) proofCase {
		c := proofCase{Name: name, File: file}
		p, err := observation.DecodeCompactFile(file, observation.Limits{})
		var v observation.Verdict
		if err == nil {
			v, err = p.Verify(observation.NewRoot(net.Group))
		}
		c.Conclusion = v.Conclusion.String()
		if err != nil {
			r := refused(name, nil, err)
			c.Reason, c.Field = r.Reason, r.Field
			return c
		}
		c.Verdict = &v
		return c
	}
	for n := 1; n <= 4; n++ {
		c := compactOf(net, n)
		v := judged(fmt.Sprintf("%d of four peers", n), c.EncodeFile())
		v.JSON = must(c.JSON())
		out.Cases = append(out.Cases, v)
	}
	c := compactOf(net, 3)
	for _, f := range compactForgeries(net) {
		if f.name != "signers far off" && f.name != "too many signers" { // long, and nothing to see
			out.Cases = append(out.Cases, judged("forged: "+f.name, append([]byte(observation.CompactMagic), forgeCompact(c, f.change)...)))
		}
	}
	later := forgeCompact(c, func(m *notaryv1.CompactProof) { m.GroupEpoch = 7; flip(m.Link) })
	out.Cases = append(out.Cases, judged("a later epoch", append([]byte(observation.CompactMagic), later...)))
	golden(t, "compact.json", out)
}

func TestGoldenLinks(t *testing.T) {
	file := func(raw []byte) []byte { return append([]byte(observation.FileMagic), raw...) }
	a, p := manyLinks()
	good := judge("proven, vouched for, proven", a.Network, p.EncodeFile())
	good.JSON = must(p.JSON())
	out := proofVectors{Name: "links", Genesis: a.Genesis.Bytes, Cases: []proofCase{good}}
	plain := plainly(a, payment(a))
	out.Cases = append(out.Cases, judge("four proven", a.Network, plain.EncodeFile()))
	short := payment(a)
	short.Links = []*observation.Link{a.Links[0], observation.Vouched(a.Group)}
	out.Cases = append(out.Cases, judge("proven, vouched for by the proof itself", a.Network, short.EncodeFile()))
	weak := payment(a, 0, 1)
	weak.Links = short.Links
	out.Cases = append(out.Cases, judge("too few vouch, at the end", a.Network, weak.EncodeFile()))
	for _, f := range linkForgeries() {
		if f.field != "?" {
			out.Cases = append(out.Cases, judge("forged: "+f.name, a.Network, file(relink(p, f.change))))
		}
	}
	other := aged(1)
	tx := other.LinkTx(other.Output, other.Next(equals(other, 1, 2, 3)...), func(b *notaryv1.TransactionBody) { b.Inputs[0].Outpoint.Index++ })
	astray := other.Fork()
	astray.Enter(must(observation.NewLink(tx.Raw, other.Prove(tx, 0, other.Everybody()...))))
	second := proofVectors{Name: "one link", Genesis: other.Genesis.Bytes, Cases: []proofCase{
		judge("forged: spends another output", other.Network, plainly(astray, payment(astray)).EncodeFile()),
	}}
	golden(t, "links.json", []proofVectors{out, second})
}

func TestGoldenCertificates(t *testing.T) {
	net := kit.New("test", kit.Equal(4)...)
	tx := net.Spend("paid", 0)
	p := must(observation.BuildCertificate(net.Group, nil, []observation.Item{{ID: tx.ID, Edges: net.Accept(tx.ID, observation.Pending, 0, 3, 2)}}))
	golden(t, "certificates.json", struct {
		Genesis     octets              `json:"genesis"`
		Certificate octets              `json:"certificate"`
		Verdict     observation.Verdict `json:"verdict"`
	}{net.Genesis.Bytes, p.Encode(), must(p.Verify(observation.NewRoot(net.Group)))})
}

func TestGoldenEvidence(t *testing.T) {
	net, all := someEvidence()
	type vector struct {
		Kind         string      `json:"kind"`
		Evidence     octets      `json:"evidence"`
		Hash         domain.Hash `json:"hash"`
		Key          domain.Hash `json:"key"`
		SigningEpoch uint32      `json:"signing_epoch"`
	}
	out := struct {
		Network  domain.Hash     `json:"network"`
		Evidence []vector        `json:"evidence"`
		Refused  []refusalVector `json:"refused"`
	}{Network: net.Genesis.ID}
	for kind := forkedChain; kind <= conflictingFinal; kind++ {
		e := all[kind]
		out.Evidence = append(out.Evidence, vector{kind.String(), e.Raw, e.Hash, domain.Hash(e.Key().Key), e.Key().SigningEpoch})
		for _, at := range []int{1, 8, 80, 220, 300} {
			raw := bytes.Clone(e.Raw)
			raw[at] ^= 1
			forged, err := observation.DecodeEvidence(raw)
			if err == nil {
				err = forged.Verify(net.Genesis.ID)
			}
			out.Refused = append(out.Refused, refused(fmt.Sprintf("%s, byte %d flipped", kind, at), raw, err))
		}
	}
	golden(t, "evidence.json", out)
}

// TestGoldenGroup guards the fixtures that all vectors hang on.
func TestGoldenGroup(t *testing.T) {
	net := kit.New("test", kit.Equal(4)...)
	if again := must(group.Decode(net.Group.Bytes())); again.Link() != net.Group.Link() || again.Network() != net.Genesis.ID {
		t.Fatal("the group does not survive its encoding")
	}
}
