package utxo

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

var update = flag.Bool("update", false, "write the vectors of testdata anew")

// hexBytes is hexadecimal in JSON.
type hexBytes []byte

func (h hexBytes) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(h)), nil }

func (h *hexBytes) UnmarshalText(s []byte) (err error) {
	*h, err = hex.DecodeString(string(s))
	return err
}

// golden compares v with a file of testdata, or writes it, and reads the file back into v.
func golden[T any](t *testing.T, file string, v *T) {
	t.Helper()
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	b = append(b, '\n')
	path := filepath.Join("testdata", file)
	if *update {
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	kept, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b, kept) {
		t.Fatalf("%s is no longer what the code makes: a vector changed, which breaks every wallet (-update writes it)", path)
	}
	*v = *new(T)
	if err := json.Unmarshal(kept, v); err != nil {
		t.Fatal(err)
	}
}

type outpointVector struct {
	Transaction hexBytes `json:"transaction"`
	Index       uint32   `json:"index"`
}

func outpointOf(o Outpoint) outpointVector { return outpointVector{o.Tx[:], o.Index} }

type lockVector struct {
	Name      string     `json:"name"`
	Threshold uint32     `json:"threshold"`
	Seeds     []hexBytes `json:"seeds"`
	Keys      []hexBytes `json:"keys"`
	Preimage  hexBytes   `json:"preimage,omitempty"`
	HashLock  hexBytes   `json:"hash_lock,omitempty"`
	Encoding  hexBytes   `json:"encoding"`
	Address   hexBytes   `json:"address"`
	Text      string     `json:"text"`
}

func lockVectorOf(name string, l Lock, preimage []byte) lockVector {
	v := lockVector{Name: name, Threshold: l.Threshold, Preimage: preimage, Encoding: l.Bytes()}
	for _, k := range l.Keys {
		seed := seedOf(k)
		v.Seeds, v.Keys = append(v.Seeds, seed[:]), append(v.Keys, k[:])
	}
	if !l.HashLock.IsZero() {
		v.HashLock = l.HashLock[:]
	}
	a := l.Address()
	v.Address, v.Text = a[:], FormatAddress(prefix, a)
	return v
}

func seedOf(k domain.PublicKey) [32]byte {
	for _, key := range []domain.PrivateKey{alice, bob, carol} {
		if key.Public() == k {
			return key.Seed()
		}
	}
	panic("nobody's key")
}

type productVector struct {
	Outpoint outpointVector `json:"outpoint"`
	Bytes    hexBytes       `json:"bytes"`
	Product  hexBytes       `json:"product"`
}

// namesFile is testdata/names.json: how locks become addresses, and outpoints products.
type namesFile struct {
	Prefix   string          `json:"prefix"`
	Locks    []lockVector    `json:"locks"`
	Products []productVector `json:"products"`
	Mistyped []string        `json:"mistyped_addresses"`
}

func TestNameVectors(t *testing.T) {
	text := FormatAddress(prefix, aliceLock.Address())
	f := &namesFile{Prefix: prefix, Locks: []lockVector{
		lockVectorOf("one key", aliceLock, nil),
		lockVectorOf("two of three keys", sharedLock, nil),
		lockVectorOf("one key and a preimage", hashLock, preimage),
	}, Mistyped: []string{
		"", text[:len(text)-1], text + "q", "N" + text[1:], text[:8] + "b" + text[9:], "notary" + text[5:],
		bech32mEncode(prefix, toGroups(bytes32(1)[:31])), bech32mEncode(prefix, toGroups(make([]byte, 32))),
		bech32mEncode("other", toGroups(bytes32(1))),
	}}
	for _, o := range []Outpoint{at(0), at(1), {Tx: testNetwork, Index: 1<<32 - 1}} {
		b, p := o.Bytes(), ProductID(o)
		f.Products = append(f.Products, productVector{outpointOf(o), b[:], p[:]})
	}
	golden(t, "names.json", f)
	for _, v := range f.Locks {
		l := Lock{Threshold: v.Threshold}
		for i, s := range v.Seeds {
			k := domain.NewPrivateKey([32]byte(s)).Public()
			if !bytes.Equal(k[:], v.Keys[i]) {
				t.Errorf("%s: key %d", v.Name, i)
			}
			l.Keys = append(l.Keys, k)
		}
		copy(l.HashLock[:], v.HashLock)
		a, err := ParseAddress(f.Prefix, v.Text)
		if err != nil || a != l.Address() || !bytes.Equal(a[:], v.Address) {
			t.Errorf("%s: %s, %v", v.Name, a, err)
		}
	}
	for _, s := range f.Mistyped {
		if _, err := ParseAddress(f.Prefix, s); err == nil {
			t.Errorf("%q is an address", s)
		}
	}
}

type knownVector struct {
	Outpoint outpointVector `json:"outpoint"`
	// Output is a canonical notary.v1.Output.
	Output  hexBytes `json:"output"`
	FinalMS uint64   `json:"final_ms"`
	SpentBy hexBytes `json:"spent_by,omitempty"`
}

// known is a view in the form of the vectors.
func known(s *Set) (out []knownVector) {
	for i := range uint32(worldSize) {
		e, _ := s.Lookup(at(i))
		v := knownVector{outpointOf(at(i)), e.Output.AppendTo(nil), e.FinalMS, nil}
		if !e.SpentBy.IsZero() {
			v.SpentBy = e.SpentBy[:]
		}
		out = append(out, v)
	}
	return out
}

// setOf is the view that vectors state.
func setOf(t *testing.T, known []knownVector) *Set {
	t.Helper()
	s := &Set{entries: make(map[Outpoint]Entry)}
	for _, k := range known {
		o, err := DecodeOutput(k.Output)
		if err != nil {
			t.Fatal(err)
		}
		e := Entry{Output: o, FinalMS: k.FinalMS}
		copy(e.SpentBy[:], k.SpentBy)
		s.entries[Outpoint{Tx: domain.Hash(k.Outpoint.Transaction), Index: k.Outpoint.Index}] = e
	}
	return s
}

type witnessVector struct {
	Seeds    []hexBytes `json:"seeds"`
	Lock     hexBytes   `json:"lock"`
	Address  hexBytes   `json:"address"`
	Preimage hexBytes   `json:"preimage,omitempty"`
	// Signatures are in the order of their keys in the lock, as are the seeds above.
	Signatures []hexBytes `json:"signatures"`
}

type validVector struct {
	Name string `json:"name"`
	// BodyJSON is the proto3 JSON mapping of notary.v1.TransactionBody.
	BodyJSON json.RawMessage `json:"body_json"`
	Body     hexBytes        `json:"body"`
	ID       hexBytes        `json:"id"`
	// Signed is the message that every signature covers.
	Signed    hexBytes        `json:"signed_message"`
	Witnesses []witnessVector `json:"witnesses"`
	Raw       hexBytes        `json:"transaction"`
	FullHash  hexBytes        `json:"full_hash"`
	// Issues is the product that the transaction may issue.
	Issues  hexBytes         `json:"issues"`
	Spent   []outpointVector `json:"spent"`
	Created []hexBytes       `json:"created_outputs"`
}

// validFile is testdata/valid.json, refusedFile testdata/refused.json: transactions on one network,
// judged at one instant against the outputs that are known.
type validFile struct {
	Network  hexBytes      `json:"network"`
	NowMS    uint64        `json:"now_ms"`
	WorkBits int           `json:"work_bits"`
	EpochMS  uint64        `json:"epoch_ms"`
	Known    []knownVector `json:"known_outputs"`
	Cases    []validVector `json:"transactions"`
}

// validDrafts are transactions of every kind.
func validDrafts(t testing.TB) map[string]*Draft {
	t.Helper()
	to, me := bobLock.Address(), aliceLock.Address()
	shared := mustDraft(t, start(atShared).Pay(to, Product{}, 70*coin))
	hashed := mustDraft(t, start(atHash).Pay(to, Product{}, 30*coin))
	if shared.SignLock(sharedLock, nil, alice, carol) != nil || hashed.SignLock(hashLock, preimage, carol) != nil {
		t.Fatal("witness")
	}
	issue := start(atAlice)
	info := marshal(t, &notaryv1.ProductInfo{Name: "Apples", Decimals: 2})
	issue.Output(Output{
		Kind: payment, Address: me, Product: issue.Issues(), Amount: 50_000,
		Data: &Data{Kind: notaryv1.DataKind_DATA_KIND_PRODUCT_INFO, Payload: info},
	}).Pay(me, Product{}, 100*coin)
	locked := Output{Kind: payment, Address: to, Amount: 100 * coin, NotBeforeMS: now + day, MinAgeMS: 3600_000, Counterparty: sharedLock.Address()}
	document := domain.Hash(bytes32(5))
	folded := metadata(t, carol, 1)
	folded.Keys[0] = folded.Keys[0].WithBLS(carol)
	return map[string]*Draft{
		"transfer with change and fee": mustDraft(t, transfer().Memo([]byte("for the bread")).Salt([]byte{1, 2, 3})).Sign(alice),
		"issue a product":              mustDraft(t, issue).Sign(alice),
		"move a product":               mustDraft(t, start(atGold).Pay(to, gold, 400).Pay(me, gold, 600)).Sign(alice),
		"stamp a document": mustDraft(t, start(atAlice).Store(me, Data{
			Kind: notaryv1.DataKind_DATA_KIND_REFERENCE, Hash: document, Size: 1234, MediaType: "application/pdf", Location: "file:will.pdf",
		}).Pay(me, Product{}, 100*coin)).Sign(alice),
		"two of three keys":           shared,
		"a preimage":                  hashed,
		"owner and counterparty":      mustDraft(t, start(atBoth).Pay(to, Product{}, 40*coin)).Sign(alice, bob),
		"time locks to come":          mustDraft(t, start(atAlice).Output(locked)).Sign(alice),
		"a spent output that is read": mustDraft(t, start(atBob).Read(at(atSpent)).Pay(me, Product{}, 50*coin)).Sign(bob),
		"window and facilitators":     mustDraft(t, start(atBob).Pay(me, Product{}, 50*coin).Window(now-5, now+60_000).Facilitators(carol.Public(), alice.Public())).Sign(bob),
		"the first version of a peer": mustDraft(t, NewBuilder(testNetwork).Spend(Origin(group.PeerID(carol.Public()))).
			Output(mustPeer(t, folded))).Sign(carol),
		"the next version of a peer, with a fee": mustDraft(t, start(atPeer).Spend(at(atAlice)).Output(mustPeer(t, metadata(t, alice, 2))).
			Pay(me, Product{}, 99*coin).Fee(Address{}, coin)).Sign(alice),
		"a link on evidence": mustDraft(t, NewLink(at(atLink), []Outpoint{at(atPeer), at(atPeerBob)}, epoch1(t, document), testRules.EpochMS)).Sign(carol),
		"data that moves on": mustDraft(t, start(atData).Spend(at(atBob)).Pay(to, Product{}, 50*coin).Store(to, Data{
			Kind: notaryv1.DataKind_DATA_KIND_RECORD, Payload: []byte("a record, second version"),
		})).Sign(alice, bob),
	}
}

func TestValidVectors(t *testing.T) {
	f := &validFile{Network: testNetwork[:], NowMS: now, WorkBits: testRules.WorkBits, EpochMS: testRules.EpochMS, Known: known(world(t))}
	drafts := validDrafts(t)
	for _, name := range slices.Sorted(maps.Keys(drafts)) {
		f.Cases = append(f.Cases, vectorOf(t, name, drafts[name]))
	}
	golden(t, "valid.json", f)
	for _, c := range f.Cases {
		s := setOf(t, f.Known)
		tx, d, err := judge(c.Raw, s, Moment{NowMS: f.NowMS})
		if err != nil {
			t.Errorf("%s: %v", c.Name, err)
			continue
		}
		if !bytes.Equal(tx.ID[:], c.ID) || !bytes.Equal(tx.Body, c.Body) || len(d.Created) != len(c.Created) || len(d.Spent) != len(c.Spent) {
			t.Errorf("%s: decoded to something else", c.Name)
		}
		var body notaryv1.TransactionBody
		if err := protojson.Unmarshal(c.BodyJSON, &body); err != nil || !bytes.Equal(marshal(t, &body), c.Body) {
			t.Errorf("%s: its JSON is another body: %v", c.Name, err)
		}
		for _, w := range c.Witnesses {
			for i, seed := range w.Seeds {
				s := domain.Sign(domain.NewPrivateKey([32]byte(seed)), domain.TagTx, tx.Network, tx.ID)
				if !bytes.Equal(s[:], w.Signatures[i]) {
					t.Errorf("%s: signature %d", c.Name, i)
				}
			}
		}
	}
}

func vectorOf(t *testing.T, name string, d *Draft) validVector {
	t.Helper()
	tx := mustFinish(t, d)
	delta, err := Validate(tx, world(t), today)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	issues := tx.Issues()
	v := validVector{
		Name: name, BodyJSON: bodyJSON(t, tx.Body), Body: tx.Body, ID: tx.ID[:], Signed: domain.Message(domain.TagTx, tx.Network, tx.ID),
		Raw: tx.Raw, FullHash: tx.FullHash[:], Issues: issues[:],
	}
	for i := range tx.Witnesses {
		w := &tx.Witnesses[i]
		a := w.Address()
		x := witnessVector{Lock: w.Lock.Bytes(), Address: a[:], Preimage: w.Preimage}
		for _, s := range w.Signatures {
			seed := seedOf(w.Lock.Keys[s.Key])
			x.Seeds, x.Signatures = append(x.Seeds, seed[:]), append(x.Signatures, s.Signature[:])
		}
		v.Witnesses = append(v.Witnesses, x)
	}
	for _, s := range delta.Spent {
		v.Spent = append(v.Spent, outpointOf(s.Outpoint))
	}
	for _, c := range delta.Created {
		v.Created = append(v.Created, c.Output.AppendTo(nil))
	}
	return v
}

func bodyJSON(t *testing.T, b []byte) json.RawMessage {
	t.Helper()
	var body notaryv1.TransactionBody
	if err := bodySchema.Unmarshal(b, &body); err != nil {
		t.Fatal(err)
	}
	out, err := protojson.Marshal(&body)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

type refusedVector struct {
	Name   string `json:"name"`
	Reason string `json:"reason"`
	Field  string `json:"field"`
	// Raw is absent for the one that is too large: any bytes of Size.
	Raw  hexBytes `json:"transaction,omitempty"`
	Size int      `json:"size"`
}

type refusedFile struct {
	Network  hexBytes        `json:"network"`
	NowMS    uint64          `json:"now_ms"`
	WorkBits int             `json:"work_bits"`
	EpochMS  uint64          `json:"epoch_ms"`
	Known    []knownVector   `json:"known_outputs"`
	Cases    []refusedVector `json:"transactions"`
}

func TestRefusedVectors(t *testing.T) {
	f := &refusedFile{Network: testNetwork[:], NowMS: now, WorkBits: testRules.WorkBits, EpochMS: testRules.EpochMS, Known: known(world(t))}
	for _, c := range refusedTransactions(t) {
		v := refusedVector{c.name, refusal.Name(c.reason), c.field, c.raw, len(c.raw)}
		if len(c.raw) > MaxTxBytes {
			v.Raw = nil
		}
		f.Cases = append(f.Cases, v)
	}
	golden(t, "refused.json", f)
	s := setOf(t, f.Known)
	for _, c := range f.Cases {
		raw := []byte(c.Raw)
		if len(raw) != c.Size {
			raw = make([]byte, c.Size)
		}
		_, _, err := judge(raw, s, Moment{NowMS: f.NowMS})
		if got := refusal.Name(refusal.ReasonOf(err)); got != c.Reason {
			t.Errorf("%s: %v, want %s", c.Name, err, c.Reason)
		}
	}
}
