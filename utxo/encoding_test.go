package utxo

import (
	"bytes"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
)

// genHash draws one of a few hashes, so that they meet; zero among them where it is allowed.
func genHash(t *rapid.T, name string, zero bool) (h domain.Hash) {
	first := 1
	if zero {
		first = 0
	}
	h[0] = byte(rapid.IntRange(first, 5).Draw(t, name))
	return h
}

// genData draws data that is valid by itself.
func genData(t *rapid.T) *Data {
	d := &Data{
		MediaType: rapid.StringMatching(`[ -~]{0,20}`).Draw(t, "media type"),
		Location:  rapid.StringN(0, -1, 40).Draw(t, "location"),
	}
	if rapid.Bool().Draw(t, "reference") {
		d.Kind, d.Hash = notaryv1.DataKind_DATA_KIND_REFERENCE, genHash(t, "hash", false)
		d.Size = rapid.Uint64().Draw(t, "size")
		return d
	}
	d.Kind = rapid.SampledFrom([]notaryv1.DataKind{
		notaryv1.DataKind_DATA_KIND_INLINE, notaryv1.DataKind_DATA_KIND_RECORD, notaryv1.DataKind_DATA_KIND_ATTESTATION,
	}).Draw(t, "kind")
	d.Payload = rapid.SliceOfN(rapid.Byte(), 1, 40).Draw(t, "payload")
	return d
}

// genOutput draws an output that is valid by itself, of at most that amount.
func genOutput(t *rapid.T, most uint64) Output {
	o := Output{
		Kind:    rapid.SampledFrom([]notaryv1.OutputKind{payment, payment, fee, data}).Draw(t, "output"),
		Address: genHash(t, "address", false),
		Amount:  rapid.Uint64Range(1, most).Draw(t, "amount"),
	}
	if o.Kind == fee {
		o.Address = genHash(t, "payee", true)
		return o
	}
	o.Product = genHash(t, "product", true)
	o.Counterparty = genHash(t, "counterparty", true)
	o.NotBeforeMS = rapid.Uint64().Draw(t, "not before")
	o.MinAgeMS = rapid.Uint64().Draw(t, "min age")
	if o.Kind == data || rapid.Bool().Draw(t, "with data") {
		o.Data = genData(t)
	}
	return o
}

// genBuilder draws a transaction that is valid by itself.
func genBuilder(t *rapid.T) *Builder {
	b := NewBuilder(testNetwork)
	for i := range rapid.IntRange(1, 5).Draw(t, "inputs") {
		o := Outpoint{Tx: genHash(t, "parent", false), Index: uint32(i)}
		if i == 0 || rapid.Bool().Draw(t, "spend") {
			b.Spend(o)
		} else {
			b.Read(o)
		}
	}
	for range rapid.IntRange(1, 5).Draw(t, "outputs") {
		b.Output(genOutput(t, 1<<60))
	}
	if rapid.Bool().Draw(t, "window") {
		from := rapid.Uint64().Draw(t, "from")
		b.Window(from, rapid.Uint64Range(from, 1<<64-1).Draw(t, "until"))
	}
	var keys []domain.PublicKey
	for i := range rapid.IntRange(0, 3).Draw(t, "facilitators") {
		keys = append(keys, keyOf(byte(i+1)).Public())
	}
	return b.Facilitators(keys...).
		Memo(rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "memo")).
		Salt(rapid.SliceOfN(rapid.Byte(), 0, 32).Draw(t, "salt"))
}

// genSigned draws a transaction with some witnesses, needed or not.
func genSigned(t *rapid.T) (*Builder, *Tx) {
	b := genBuilder(t)
	d, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	if rapid.Bool().Draw(t, "alice") {
		d.Sign(alice)
	}
	if rapid.Bool().Draw(t, "shared") && d.SignLock(sharedLock, nil, bob, carol) != nil {
		t.Fatal("shared lock")
	}
	if rapid.Bool().Draw(t, "hash") && d.SignLock(hashLock, preimage, carol) != nil {
		t.Fatal("hash-lock")
	}
	tx, err := d.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return b, tx
}

// encode is the transaction as the encoders of this package write it.
func encode(tx *Tx) []byte {
	raw := appendBytes(nil, 1, tx.appendBody(nil))
	for i := range tx.Witnesses {
		raw = appendBytes(raw, 2, tx.Witnesses[i].appendTo(nil))
	}
	return raw
}

// generated is the transaction as the generated decoder and encoder see it: the twin of ours.
func generated(t interface{ Fatal(...any) }, raw []byte) []byte {
	var p notaryv1.Transaction
	var body notaryv1.TransactionBody
	if err := proto.Unmarshal(raw, &p); err != nil {
		t.Fatal(err)
	}
	if err := proto.Unmarshal(p.Body, &body); err != nil {
		t.Fatal(err)
	}
	var err error
	if p.Body, err = (proto.MarshalOptions{Deterministic: true}).Marshal(&body); err != nil {
		t.Fatal(err)
	}
	out, err := proto.MarshalOptions{Deterministic: true}.Marshal(&p)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestDecodeUndoesBuild(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b, tx := genSigned(t)
		want := &b.tx
		if tx.Network != want.Network || tx.ValidFromMS != want.ValidFromMS || tx.ValidUntilMS != want.ValidUntilMS ||
			!bytes.Equal(tx.Memo, want.Memo) || !bytes.Equal(tx.Salt, want.Salt) {
			t.Fatalf("%+v, want %+v", tx, want)
		}
		if len(tx.Inputs) != len(want.Inputs) || len(tx.Outputs) != len(want.Outputs) || len(tx.Facilitators) != len(want.Facilitators) {
			t.Fatalf("%+v, want %+v", tx, want)
		}
		for i := range tx.Inputs {
			if tx.Inputs[i] != want.Inputs[i] {
				t.Fatalf("input %d", i)
			}
		}
		for i := range tx.Outputs {
			if !tx.Outputs[i].Equal(&want.Outputs[i]) {
				t.Fatalf("output %d: %+v, want %+v", i, tx.Outputs[i], want.Outputs[i])
			}
		}
		for i := range tx.Facilitators {
			if tx.Facilitators[i] != want.Facilitators[i] {
				t.Fatalf("facilitator %d", i)
			}
		}
		if !bytes.Equal(encode(tx), tx.Raw) || !bytes.Equal(generated(t, tx.Raw), tx.Raw) {
			t.Fatal("does not encode to itself")
		}
		if tx.ID != domain.Sum(domain.TagTx, tx.Body) || len(tx.Spends())+len(tx.Reads()) != len(tx.Inputs) {
			t.Fatal("id or inputs")
		}
	})
}

// TestOneByteMakesAnother: whatever byte of a transaction is changed, it is refused or another one; no
// two encodings share an id unless only their witnesses differ.
func TestOneByteMakesAnother(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		_, tx := genSigned(t)
		raw := bytes.Clone(tx.Raw)
		i := rapid.IntRange(0, len(raw)-1).Draw(t, "at")
		raw[i] ^= byte(rapid.IntRange(1, 255).Draw(t, "flip"))
		other, err := Decode(raw, testRules)
		if err != nil {
			return
		}
		body := i < len(raw) && bytes.Equal(other.Body, tx.Body)
		if body != (other.ID == tx.ID) || other.FullHash == tx.FullHash {
			t.Fatalf("byte %d: id %s, was %s", i, other.ID, tx.ID)
		}
		if !bytes.Equal(encode(other), raw) {
			t.Fatalf("byte %d: accepted, but encodes to something else", i)
		}
	})
}

// TestEveryByteOfOne tries all 255 changes of each byte of one transaction.
func TestEveryByteOfOne(t *testing.T) {
	tx := mustFinish(t, validDrafts(t)["two of three keys"])
	refusals := 0
	for i := range tx.Raw {
		raw := bytes.Clone(tx.Raw)
		for flip := 1; flip < 256; flip++ {
			raw[i] = tx.Raw[i] ^ byte(flip)
			other, err := Decode(raw, testRules)
			if err != nil {
				refusals++
				continue
			}
			if (other.ID == tx.ID) != bytes.Equal(other.Body, tx.Body) || !bytes.Equal(encode(other), raw) {
				t.Fatalf("byte %d flipped by %02x", i, flip)
			}
		}
	}
	if refusals < 255 {
		t.Errorf("only %d refusals", refusals)
	}
}

func TestOutputEncoding(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := genOutput(t, 1<<64-1)
		b := o.AppendTo([]byte("x"))[1:]
		var p notaryv1.Output
		if err := outputSchema.Unmarshal(b, &p); err != nil {
			t.Fatal(err)
		}
		again, err := proto.MarshalOptions{Deterministic: true}.Marshal(&p)
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%x, the generated encoder says %x, %v", b, again, err)
		}
		got, err := DecodeOutput(b)
		if err != nil || !got.Equal(&o) {
			t.Fatalf("%+v, %v, want %+v", got, err, o)
		}
		if other := genOutput(t, 1<<64-1); other.Equal(&o) != bytes.Equal(other.AppendTo(nil), b) {
			t.Fatal("equal outputs and equal encodings are not the same")
		}
	})
}

// TestOutputsOfTheNetwork: the store decodes kinds that ordinary transactions cannot make.
func TestOutputsOfTheNetwork(t *testing.T) {
	s := world(t)
	for _, i := range []uint32{atReward, atLink, atPeer} {
		e, _ := s.Lookup(at(i))
		if got, err := DecodeOutput(e.Output.AppendTo(nil)); err != nil || !got.Equal(&e.Output) {
			t.Errorf("%d: %+v, %v", i, got, err)
		}
	}
}

// FuzzDecode: no crash, no signature check panics, and what is accepted has one encoding, in the eyes
// of the generated code too.
func FuzzDecode(f *testing.F) {
	for _, d := range validDrafts(f) {
		f.Add(d.Raw())
	}
	for _, c := range refusedTransactions(f) {
		if len(c.raw) < 1000 {
			f.Add(c.raw)
		}
	}
	s := world(f)
	f.Fuzz(func(t *testing.T, raw []byte) {
		tx, err := Decode(raw, testRules)
		if err != nil {
			return
		}
		if !bytes.Equal(encode(tx), raw) || !bytes.Equal(generated(t, raw), raw) {
			t.Fatalf("%x is not its own encoding", raw)
		}
		if d, err := ValidateSigned(tx, s, today); err == nil {
			after := world(t)
			if err := after.Apply(d, now); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// FuzzDecodeOutput: no crash, and what is accepted has one encoding.
func FuzzDecodeOutput(f *testing.F) {
	for i := range uint32(worldSize) {
		e, _ := world(f).Lookup(at(i))
		f.Add(e.Output.AppendTo(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		o, err := DecodeOutput(b)
		if err == nil && !bytes.Equal(o.AppendTo(nil), b) {
			t.Fatalf("%x is read as %+v", b, o)
		}
	})
}
