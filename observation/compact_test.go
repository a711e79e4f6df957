package observation_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"pgregory.net/rapid"

	"github.com/notarynet/notaryd/observation"
	kit "github.com/notarynet/notaryd/observation/observationtest"
	"github.com/notarynet/notaryd/proto/bls"
	"github.com/notarynet/notaryd/proto/canonical"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
)

// statement is that a transaction is final in round 3.
func statement(net *kit.Network, tx domain.Hash) observation.FinalStatement {
	return observation.FinalStatement{Network: net.Genesis.ID, Link: net.Group.Link(), Tx: tx, Round: 3}
}

// compactOf is a compact proof by the first signers of a network.
func compactOf(net *kit.Network, signers int) *observation.Compact {
	tx := net.Spend("paid", 0)
	c, bad, err := observation.BuildCompact(net.Group, statement(net, tx.ID), tx.Raw, net.Final(tx.ID, 3, signers))
	if err != nil || len(bad) > 0 {
		panic(fmt.Sprint(bad, err))
	}
	return c
}

func verified(t fataler, c *observation.Compact, root observation.Root) observation.Verdict {
	t.Helper()
	v, err := c.Verify(root)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return v
}

// TestCompact: the same weights and the same conclusion as of a proof of edges by the same signers.
func TestCompact(t *testing.T) {
	for _, net := range []*kit.Network{
		kit.NewBLS("test", kit.Equal(4)...),
		kit.NewBLS("uneven", kit.Peer{Weight: 500_000_000, Keys: 3}, kit.Peer{Weight: 300_000_001, Keys: 2}, kit.Peer{Weight: 199_999_999, Keys: 5}),
	} {
		for n := 1; n <= len(net.Signers); n++ {
			c := compactOf(net, n)
			root := observation.NewRoot(net.Group)
			root.Own = &observation.OwnTrust{Weights: map[domain.Hash]group.Weight{net.Group.Members()[0].PeerID: 1000}, Threshold: 10}
			got := verified(t, c, root)
			ordinary := must(observation.BuildProof(net.Group, nil, []observation.Item{{
				ID: c.Tx, Raw: c.Raw, Round: 3, Edges: net.Accept(c.Tx, observation.Accepted, 3, n, 2),
			}}))
			want := must(ordinary.Verify(root))
			w := &want.Transactions[0]
			w.TimeMS, w.EarliestMS, w.LatestMS, w.SpreadMS = 0, 0, 0, 0
			if a, b := must(json.Marshal(got)), must(json.Marshal(want)); !bytes.Equal(a, b) {
				t.Errorf("%d of %d keys:\n%s\n%s", n, len(net.Signers), a, b)
			}
			if got.Conclusion == observation.Valid != group.Quorum(got.Transactions[0].Weight) {
				t.Errorf("%d of %d keys: %s", n, len(net.Signers), got.Conclusion)
			}
		}
	}
}

// TestCompactForms: all forms say the same, and the encoding is what protobuf makes.
func TestCompactForms(t *testing.T) {
	net := kit.NewBLS("test", kit.Equal(4)...)
	c := compactOf(net, 3)
	again := must(observation.DecodeCompactFile(c.EncodeFile(), observation.Limits{}))
	if !bytes.Equal(again.Encode(), c.Encode()) {
		t.Error("the file is another proof")
	}
	if got := must(observation.DecodeCompactJSON(must(c.JSON()), observation.Limits{})); !bytes.Equal(got.Encode(), c.Encode()) {
		t.Error("the JSON form is another proof")
	}
	if raw := must(canonical.Marshal(unmarshal(t, c.Encode(), new(notaryv1.CompactProof)))); !bytes.Equal(raw, c.Encode()) {
		t.Error("not what the encoder of protobuf makes")
	}
	if observation.IsCompactFile([]byte(observation.FileMagic)) || !observation.IsCompactFile([]byte(observation.CompactMagic)) {
		t.Error("the files are mistaken for each other")
	}
	_, err := observation.DecodeFile(c.EncodeFile(), observation.Limits{})
	wantRefusal(t, err, notaryv1.Reason_REASON_MALFORMED, "magic")
	_, err = observation.DecodeCompactFile([]byte("NOTARY\x01\x02"), observation.Limits{})
	wantRefusal(t, err, notaryv1.Reason_REASON_UNKNOWN_KIND, "version")
	_, err = observation.DecodeCompact(c.Encode(), observation.Limits{MaxBytes: 100})
	wantRefusal(t, err, notaryv1.Reason_REASON_TOO_LARGE, "")
}

// TestCompactSize: the budget of a proof by 100 peers without the transaction and without links.
func TestCompactSize(t *testing.T) {
	c := compactOf(kit.NewBLS("test", kit.Equal(100)...), 100)
	c.Raw = nil
	if n := len(c.EncodeFile()); n > 250 {
		t.Errorf("%d bytes at 100 peers, at most 250", n)
	}
}

// compactForgeries spoil a compact proof of three of four peers.
func compactForgeries(net *kit.Network) []struct {
	name   string
	change func(p *notaryv1.CompactProof)
	reason notaryv1.Reason
	field  string
} {
	const (
		invalid      = notaryv1.Reason_REASON_INVALID_ARGUMENT
		nonCanonical = notaryv1.Reason_REASON_NON_CANONICAL
		badSignature = notaryv1.Reason_REASON_BAD_SIGNATURE
		absent       = notaryv1.Reason_REASON_MISSING_FIELD
	)
	type compact = notaryv1.CompactProof
	another := compactOf(net, 3)
	other := net.Spend("other", 1)
	stranger := net.Final(other.ID, 3, 1)[0].Share
	return []struct {
		name   string
		change func(p *notaryv1.CompactProof)
		reason notaryv1.Reason
		field  string
	}{
		{"network absent", func(p *compact) { p.Network = nil }, absent, "network"},
		{"link absent", func(p *compact) { p.Link = nil }, absent, "link"},
		{"transaction id absent", func(p *compact) { p.TransactionId = nil }, absent, "transaction_id"},
		{"signers absent", func(p *compact) { p.Signers = nil }, absent, "signers"},
		{"signature absent", func(p *compact) { p.Signature = nil }, absent, "signature"},
		{"a zero byte behind the signers", func(p *compact) { p.Signers = append(p.Signers, 0) }, nonCanonical, "signers"},
		{"another network", func(p *compact) { flip(p.Network) }, notaryv1.Reason_REASON_WRONG_NETWORK, "network"},
		{"another epoch", func(p *compact) { p.GroupEpoch = 9 }, invalid, "group_epoch"},
		{"another link", func(p *compact) { flip(p.Link) }, invalid, "link"},
		{"another transaction", func(p *compact) { p.TransactionId, p.Transaction = other.ID[:], nil }, badSignature, "signature"},
		{"bytes of another transaction", func(p *compact) { p.Transaction = other.Raw }, invalid, "transaction"},
		{"bytes that are none", func(p *compact) { p.Transaction = []byte{1} }, notaryv1.Reason_REASON_MALFORMED, "transaction"},
		{"another round", func(p *compact) { p.Round++ }, badSignature, "signature"},
		{"a signer more", func(p *compact) { p.Signers = []byte{0x0f} }, badSignature, "signature"},
		{"a signer less", func(p *compact) { p.Signers = []byte{0x03} }, badSignature, "signature"},
		{"other signers", func(p *compact) { p.Signers = []byte{0x0e} }, badSignature, "signature"},
		{"a signer that is none", func(p *compact) { p.Signers = []byte{0x17} }, invalid, "signers"},
		{"signers far off", func(p *compact) { p.Signers = append(make([]byte, 4095), 1) }, invalid, "signers"},
		{"too many signers", func(p *compact) { p.Signers = append(make([]byte, 4096), 1) }, notaryv1.Reason_REASON_LIMIT_EXCEEDED, "signers"},
		{"a share of another statement", func(p *compact) { p.Signature = stranger[:] }, badSignature, "signature"},
		{"no point", func(p *compact) { p.Signature = make([]byte, 96) }, badSignature, "signature"},
		{"infinity", func(p *compact) { p.Signature = append([]byte{0xc0}, make([]byte, 95)...) }, badSignature, "signature"},
		{"half a signature", func(p *compact) { p.Signature = another.Signature[:48] }, notaryv1.Reason_REASON_MALFORMED, "signature"},
	}
}

func forgeCompact(c *observation.Compact, change func(*notaryv1.CompactProof)) []byte {
	var m notaryv1.CompactProof
	if err := proto.Unmarshal(c.Encode(), &m); err != nil {
		panic(err)
	}
	change(&m)
	return must(canonical.Marshal(&m))
}

func verifyCompact(raw []byte, root observation.Root) (v observation.Verdict, err error) {
	c, err := observation.DecodeCompact(raw, observation.Limits{})
	if err != nil {
		return v, err
	}
	return c.Verify(root)
}

func TestCompactForged(t *testing.T) {
	net := kit.NewBLS("test", kit.Equal(4)...)
	c, root := compactOf(net, 3), observation.NewRoot(net.Group)
	for _, f := range compactForgeries(net) {
		t.Run(f.name, func(t *testing.T) {
			v, err := verifyCompact(forgeCompact(c, f.change), root)
			wantRefusal(t, err, f.reason, f.field)
			if v.Conclusion != observation.Invalid {
				t.Error(v.Conclusion)
			}
		})
	}
	bare := kit.New("test", kit.Equal(4)...)
	c.Network, c.Link = bare.Genesis.ID, bare.Group.Link()
	c.Raw = nil
	_, err := c.Verify(observation.NewRoot(bare.Group))
	wantRefusal(t, err, notaryv1.Reason_REASON_INVALID_ARGUMENT, "signers")
	if v := verified(t, c, observation.NewRoot()); v.Conclusion != observation.NoTrustRoot {
		t.Error(v.Conclusion)
	}
}

// TestCompactFlipped: no byte of a compact proof can be changed so that it still holds.
func TestCompactFlipped(t *testing.T) {
	net := kit.NewBLS("test", kit.Equal(4)...)
	c, root := compactOf(net, 3), observation.NewRoot(net.Group)
	c.Raw = nil
	raw := c.Encode()
	for i := range raw {
		forged := bytes.Clone(raw)
		forged[i] ^= 1 << (i % 8)
		if v, err := verifyCompact(forged, root); err == nil && v.Conclusion != observation.NoTrustRoot {
			t.Errorf("byte %d flipped: %s", i, v.Conclusion)
		}
	}
}

// TestBuildCompact: shares that do not hold, of strangers, of other statements and of nobody do not get into the proof,
// whatever their order, and their makers are named.
func TestBuildCompact(t *testing.T) {
	net := kit.NewBLS("test", kit.Equal(7)...)
	strangers := kit.NewBLS("elsewhere", kit.Equal(9)...)
	tx := net.Spend("paid", 0)
	s := statement(net, tx.ID)
	root := observation.NewRoot(net.Group)
	var rounds [5][]observation.FinalSignature
	for round := range rounds {
		rounds[round] = net.Final(tx.ID, uint32(round), len(net.Signers))
	}
	var stranger observation.FinalSignature
	for _, x := range strangers.Signers {
		if _, member := net.Group.Voter(x.Head.Key); !member {
			stranger = x.Final(net.Group, tx.ID, 3)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		var given []observation.FinalSignature
		var weight group.Weight
		liars := map[domain.PublicKey]bool{}
		for i := range net.Signers {
			f := rounds[3][i]
			switch rapid.IntRange(0, 5).Draw(t, "kind") {
			case 0: // keeps silent
				continue
			case 1: // a share of another statement
				f.Share = rounds[4][i].Share
				liars[f.Key] = true
			case 2: // no point at all
				f.Share = bls.Signature{1}
				liars[f.Key] = true
			case 3: // another statement, honestly
				f = rounds[2][i]
			default:
				weight += net.Group.Voters()[i].Share
			}
			given = append(given, f)
			if rapid.Bool().Draw(t, "twice") {
				given = append(given, f)
			}
		}
		given = rapid.Permutation(append(given, stranger)).Draw(t, "order")
		c, bad, err := observation.BuildCompact(net.Group, s, nil, given)
		if len(bad) != len(liars) {
			t.Fatalf("%d liars found of %d", len(bad), len(liars))
		}
		for _, k := range bad {
			if !liars[k] {
				t.Fatalf("%s is no liar", k)
			}
		}
		if weight == 0 {
			if err == nil {
				t.Fatal("a proof by nobody")
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if v := verified(t, c, root); v.Transactions[0].Weight != weight {
			t.Fatalf("weight %d, want %d", v.Transactions[0].Weight, weight)
		}
	})
	elsewhere := s
	elsewhere.Link = domain.Hash{1}
	_, _, err := observation.BuildCompact(net.Group, elsewhere, nil, nil)
	wantRefusal(t, err, notaryv1.Reason_REASON_INVALID_ARGUMENT, "link")
}

func TestFinalSignature(t *testing.T) {
	net := kit.NewBLS("test", kit.Equal(4)...)
	tx := net.Spend("paid", 0)
	f := net.Signers[0].Final(net.Group, tx.ID, 3)
	again := must(observation.DecodeFinal(f.Encode()))
	if again != f {
		t.Fatalf("%+v", again)
	}
	check := again.Check()
	voter := net.Group.Voters()[0]
	if !check.Verify() || !bls.Verify(bls.PublicKey(voter.BLS), domain.TagFinal, net.Genesis.ID, again.FinalStatement.Hash(), again.Share) {
		t.Fatal("refused")
	}
	for name, change := range map[string]func(*observation.FinalSignature){
		"network": func(f *observation.FinalSignature) { f.Network[0]++ }, "link": func(f *observation.FinalSignature) { f.Link[0]++ },
		"transaction": func(f *observation.FinalSignature) { f.Tx[0]++ }, "round": func(f *observation.FinalSignature) { f.Round++ },
		"signing epoch": func(f *observation.FinalSignature) { f.SigningEpoch++ }, "key": func(f *observation.FinalSignature) { f.Key = net.Signers[1].Head.Key },
	} {
		forged := f
		change(&forged)
		if check := forged.Check(); check.Verify() {
			t.Errorf("another %s: accepted", name)
		}
	}
	for field, number := range map[string]int{"network": 1, "node_key": 2, "link": 4, "transaction_id": 5, "node_signature": 7, "signature": 8} {
		var m notaryv1.FinalSignature
		unmarshal(t, f.Encode(), &m)
		r := m.ProtoReflect()
		r.Clear(r.Descriptor().Fields().ByNumber(protoreflect.FieldNumber(number)))
		_, err := observation.DecodeFinal(must(canonical.Marshal(&m)))
		wantRefusal(t, err, notaryv1.Reason_REASON_MISSING_FIELD, field)
	}
}

// FuzzCompact: no crash, and what is read is written back as it was.
func FuzzCompact(f *testing.F) {
	net := kit.NewBLS("test", kit.Equal(4)...)
	f.Add(compactOf(net, 3).Encode())
	root := observation.NewRoot(net.Group)
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := observation.DecodeCompact(b, observation.Limits{MaxBytes: 4096})
		if err != nil {
			return
		}
		if !bytes.Equal(c.Encode(), b) {
			t.Fatalf("%x", b)
		}
		if v, err := c.Verify(root); err == nil && v.Conclusion == observation.Invalid {
			t.Fatal("invalid without a reason")
		}
	})
}

// FuzzFinal: what is read as a final signature is written back as it was.
func FuzzFinal(f *testing.F) {
	net := kit.NewBLS("test", kit.Equal(4)...)
	good := net.Signers[0].Final(net.Group, net.Spend("paid", 0).ID, 3)
	f.Add(good.Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if f, err := observation.DecodeFinal(b); err == nil && !bytes.Equal(f.Encode(), b) {
			t.Fatalf("%x", b)
		}
	})
}

// BenchmarkCompact reads and verifies the file of one transaction without its bytes, all peers signing; the keys of the
// group are read anew each time.
func BenchmarkCompact(b *testing.B) {
	for _, n := range []int{4, 20, 100} {
		net := kit.NewBLS("test", kit.Equal(n)...)
		root := observation.NewRoot(net.Group)
		c := compactOf(net, n)
		finals := net.Final(c.Tx, 3, n)
		c.Raw = nil
		file := c.EncodeFile()
		b.Run(fmt.Sprintf("verify/%d peers", n), func(b *testing.B) {
			for b.Loop() {
				c, err := observation.DecodeCompactFile(file, observation.Limits{})
				if err != nil {
					b.Fatal(err)
				}
				if v, err := c.Verify(root); err != nil || v.Conclusion != observation.Valid {
					b.Fatal(v, err)
				}
			}
			b.ReportMetric(float64(len(file)), "bytes")
		})
		b.Run(fmt.Sprintf("build/%d peers", n), func(b *testing.B) {
			for b.Loop() {
				if _, _, err := observation.BuildCompact(net.Group, c.Statement(), nil, finals); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
