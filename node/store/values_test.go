package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"reflect"
	"testing"

	"github.com/notarynet/notaryd/conflict"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/utxo"
)

// oneInterned knows two values, numbers 0 and 1.
func oneInterned() *interned {
	in := &interned{}
	in.add([32]byte{1}, [32]byte{2})
	return in
}

// valueKind decodes a value and encodes again what it read.
type valueKind struct {
	name   string
	sample []byte
	again  func([]byte) ([]byte, error)
}

var hashOf7 = domain.Hash(bytes.Repeat([]byte{7}, 32))

func valueKinds() []valueKind {
	output := payment(owners[0], 300)
	final := &ledgerValue{Tx: hashOf7, FinalInfo: FinalInfo{
		Seq: 9, FinalMS: now, Round: 2, GroupEpoch: 300, Link: domain.Hash{1},
		Edges: []EdgeRef{{Key: domain.PublicKey{2}, SigningEpoch: 1, Height: 700, Leaf: 4}, {Key: domain.PublicKey{1}, Height: 1}},
	}, Raw: []byte("a transaction")}
	rejection := rejectedValue{Seq: 3, Rejection: Rejection{
		Tx: hashOf7, Rival: domain.Hash{5}, Reason: notaryv1.Reason_REASON_DOUBLE_SPEND, Field: "inputs[0]", Detail: "spent", TimeMS: now,
	}}
	record := recordsOf(&utxo.Tx{ID: hashOf7, Inputs: []utxo.Input{{Kind: notaryv1.InputKind_INPUT_KIND_SPEND}}}, observation.Accepted, 3)[0]
	recordValue := record.Value()
	return []valueKind{
		{"live", newLiveValue(now, &output).append(nil), func(b []byte) ([]byte, error) {
			v, err := decodeLive(b)
			return v.append(nil), err
		}},
		{"id", appendID(nil, hashOf7), func(b []byte) ([]byte, error) {
			v, err := decodeID(b)
			return appendID(nil, v), err
		}},
		{"spent by", spentValue{By: hashOf7}.append(nil), againSpent},
		{"spent, kept", spentValue{hashOf7, output.AppendTo(nil)}.append(nil), againSpent},
		{"began", (&Began{Manifest: hashOf7, TimeMS: now, Finals: 3, Outputs: 4, Weight: 5}).append(nil), func(b []byte) ([]byte, error) {
			v, err := decodeBegan(b)
			return v.append(nil), err
		}},
		{"amount", appendAmount(nil, 1<<40), func(b []byte) ([]byte, error) {
			v, err := decodeAmount(b)
			return appendAmount(nil, v), err
		}},
		{"bytes", appendBytes(nil, []byte("a transaction")), func(b []byte) ([]byte, error) {
			v, err := decodeBytes(b)
			return appendBytes(nil, v), err
		}},
		{"created", eventValue{Index: 200}.append(nil), againEvent},
		{"spent", eventValue{Spent: true}.append(nil), againEvent},
		{"final", final.append(nil, &fresh{base: oneInterned()}), func(b []byte) ([]byte, error) {
			v, err := decodeLedger(9, b, oneInterned())
			if err != nil {
				return nil, err
			}
			return v.append(nil, &fresh{base: oneInterned()}), nil
		}},
		{"place", appendPlace(nil, 1<<40), func(b []byte) ([]byte, error) {
			v, err := decodePlace(b)
			return appendPlace(nil, v), err
		}},
		{"rejected", rejection.append(nil), func(b []byte) ([]byte, error) {
			v, err := decodeRejected(hashOf7, b)
			return v.append(nil), err
		}},
		{"sheaf", (&sheaf{TimeMS: now, Pending: []sheafTx{{ID: hashOf7, Raw: []byte("a transaction")}, {ID: domain.Hash{1}}}, Records: []conflict.Record{record, record}}).append(nil), func(b []byte) ([]byte, error) {
			v, err := decodeSheaf(b)
			return v.append(nil), err
		}},
		{"head", headValue{Height: 8, Hash: hashOf7}.append(nil), func(b []byte) ([]byte, error) {
			v, err := decodeHead(b)
			return v.append(nil), err
		}},
		{"time", appendTime(nil, now), func(b []byte) ([]byte, error) {
			v, err := decodeTime(b)
			return appendTime(nil, v), err
		}},
		{"counts", countsValue{1, 2, 3, 4, 5}.append(nil), func(b []byte) ([]byte, error) {
			v, err := decodeCounts(b)
			return v.append(nil), err
		}},
		{"observation", appendObservation(nil, hashOf7, []byte("raw")), func(b []byte) ([]byte, error) {
			h, raw, err := decodeObservation(b)
			return appendObservation(nil, h, raw), err
		}},
		{"entered", (&Entered{7, hashOf7, []conflict.Lock{{Tx: hashOf7, Link: domain.Hash{1}, Round: 3}}, []conflict.Bond{{
			Tx: hashOf7, Spends: []utxo.Outpoint{{Tx: hashOf7, Index: 1}, {Index: 2}},
		}}}).append(nil), func(b []byte) ([]byte, error) {
			e, err := decodeEntered(b)
			return e.append(nil), err
		}},
		{"clear", (&Clear{hashOf7, map[observation.ChainID]uint64{{SigningEpoch: 2}: 9, {Key: domain.PublicKey{5}}: 1 << 40}}).append(nil), func(b []byte) ([]byte, error) {
			c, err := decodeClear(b)
			return c.append(nil), err
		}},
		{"vote", recordValue[:], func(b []byte) ([]byte, error) {
			r, err := decodeVote(appendVoteKey(nil, &record), b)
			v := r.Value()
			return v[:], err
		}},
	}
}

func againEvent(b []byte) ([]byte, error) {
	v, err := decodeEvent(b)
	return v.append(nil), err
}

// Values come back as they went in; a version from the future and every value cut short are refused.
func TestValuesRoundTrip(t *testing.T) {
	for _, kind := range valueKinds() {
		again, err := kind.again(kind.sample)
		if err != nil || !bytes.Equal(again, kind.sample) {
			t.Errorf("%s: %x came back as %x, %v", kind.name, kind.sample, again, err)
		}
		future := append([]byte{kind.sample[0] + 1}, kind.sample[1:]...)
		if _, err := kind.again(future); !errors.Is(err, ErrCorrupt) || !errors.Is(err, ErrStoreFailed) {
			t.Errorf("%s: version %d gave %v", kind.name, future[0], err)
		}
		if _, err := kind.again(nil); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: nothing gave %v", kind.name, err)
		}
		switch kind.name {
		case "live", "bytes", "observation", "spent by", "spent, kept", "final": // end with somebody else's bytes
			continue
		}
		for n := range kind.sample {
			if again, err := kind.again(kind.sample[:n]); err == nil {
				t.Errorf("%s: cut to %d of %d bytes it is %x", kind.name, n, len(kind.sample), again)
			}
		}
		if _, err := kind.again(append(bytes.Clone(kind.sample), 0)); err == nil {
			t.Errorf("%s: a byte too many was taken", kind.name)
		}
	}
}

func TestDecodedFieldsAreThoseEncoded(t *testing.T) {
	final := &ledgerValue{Tx: hashOf7, FinalInfo: FinalInfo{
		Seq: 1 << 60, FinalMS: now, Round: 1 << 31, GroupEpoch: 1 << 63, Link: domain.Hash{2},
		Edges: []EdgeRef{{domain.PublicKey{1}, 1 << 31, 1 << 63, 1 << 31}},
	}, Raw: []byte("a transaction")}
	value := final.append(nil, &fresh{base: oneInterned()})
	if got, err := decodeLedger(1<<60, value, oneInterned()); err != nil || !reflect.DeepEqual(got, final) {
		t.Errorf("got %+v, %v", got, err)
	}
	if id, err := ledgerID(value); err != nil || id != hashOf7 {
		t.Errorf("the id is %s, %v", id, err)
	}
	f := sheaf{Pending: []sheafTx{{ID: hashOf7, Raw: []byte("one")}, {ID: domain.Hash{1}, Raw: []byte("the other")}}}
	sheafValue := f.append(nil)
	got, err := decodeSheaf(sheafValue)
	if err != nil || !reflect.DeepEqual(got.Pending, f.Pending) || string(sheafValue[f.Pending[1].At:][:9]) != "the other" {
		t.Errorf("got %+v, %v", got, err)
	}
	c := countsValue{Finals: 1, Live: 2, Rejected: 3, RejectedFirst: 4, RejectedNext: 5}
	if got, err := decodeCounts(c.append(nil)); err != nil || got != c {
		t.Errorf("got %+v, %v", got, err)
	}
	r := rejectedValue{Seq: 4, Rejection: Rejection{Tx: hashOf7, Rival: domain.Hash{9}, Reason: 54, Field: "f", Detail: "d", TimeMS: 6}}
	if got, err := decodeRejected(hashOf7, r.append(nil)); err != nil || got != r {
		t.Errorf("got %+v, %v", got, err)
	}
}

// A final record cannot make the reader allocate for edges that are not there, nor name a value that
// has no number.
func TestFinalRecordIsBounded(t *testing.T) {
	b := (&ledgerValue{FinalInfo: FinalInfo{Link: domain.Hash{1}}}).append(nil, &fresh{base: oneInterned()})
	huge := binary.AppendUvarint(bytes.Clone(b[:len(b)-1]), 1<<62)
	if _, err := decodeLedger(1, huge, oneInterned()); !errors.Is(err, ErrCorrupt) {
		t.Errorf("2^62 edges gave %v", err)
	}
	if _, err := decodeSheaf(binary.AppendUvarint((&sheaf{Pending: []sheafTx{{}}}).append(nil)[:1+8+1+32], 1<<63)); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a transaction of 2^63 bytes gave %v", err)
	}
	if _, err := decodeLedger(1, b, &interned{}); !errors.Is(err, ErrCorrupt) {
		t.Errorf("an unknown number gave %v", err)
	}
}

// Varints have one form.
func TestVarintsAreShortest(t *testing.T) {
	if _, err := decodeAmount([]byte{version1, 0x81, 0x00}); !errors.Is(err, ErrCorrupt) {
		t.Errorf("1 in two bytes gave %v", err)
	}
	if _, err := decodeEvent(binary.AppendUvarint([]byte{version1, eventCreated}, 1<<32)); !errors.Is(err, ErrCorrupt) {
		t.Errorf("index 2^32 gave %v", err)
	}
}

// Numbers given out in a batch that fails are given out again.
func TestInternedNumbers(t *testing.T) {
	in := oneInterned()
	f := fresh{base: in}
	if n := f.number([32]byte{3}); n != 2 {
		t.Errorf("first new number is %d", n)
	}
	if n := f.number([32]byte{4}); n != 3 {
		t.Errorf("second new number is %d", n)
	}
	if n := f.number([32]byte{3}); n != 2 {
		t.Errorf("the same value got %d", n)
	}
	g := fresh{base: in}
	if n := g.number([32]byte{4}); n != 2 {
		t.Errorf("after a batch that was not written: %d", n)
	}
	var w writes
	g.settle(&w)
	if v, ok := in.value(2); !ok || v != [32]byte{4} || len(w.list) != 1 {
		t.Errorf("settled: %v %v, %d writes", v, ok, len(w.list))
	}
}

// FuzzValues: no decoder panics, and what one takes is exactly what the encoder writes.
func FuzzValues(f *testing.F) {
	kinds := valueKinds()
	for i, kind := range kinds {
		f.Add(i, kind.sample)
	}
	f.Fuzz(func(t *testing.T, i int, b []byte) {
		if i < 0 {
			i = -(i + 1)
		}
		kind := kinds[i%len(kinds)]
		again, err := kind.again(b)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatalf("%s: error of another kind: %v", kind.name, err)
			}
			return
		}
		if !bytes.Equal(again, b) {
			t.Fatalf("%s: %x was read, %x written", kind.name, b, again)
		}
	})
}

// FuzzKeys: no parser panics, and what one takes is exactly what the builder makes.
func FuzzKeys(f *testing.F) {
	for _, kind := range keyKinds {
		f.Add([]byte{byte(kind.class)})
	}
	o := genesisOutpoint(1)
	f.Add(appendVoteKey(nil, &conflict.Record{Outpoint: o}))
	f.Add(addressKey{owners[0], gold, o}.append(nil))
	f.Fuzz(func(t *testing.T, k []byte) {
		for _, kind := range keyKinds {
			v, err := kind.parse(k)
			if err == nil && !bytes.Equal(kind.key(v), k) {
				t.Fatalf("class %c: %x was read as %v", kind.class, k, v)
			}
		}
	})
}

func againSpent(b []byte) ([]byte, error) {
	v, err := decodeSpent(b)
	return v.append(nil), err
}
