package utxo

import (
	"testing"

	"google.golang.org/protobuf/proto"

	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
)

func benchTransfer(b *testing.B) *Tx {
	b.Helper()
	d, err := transfer().Build()
	if err != nil {
		b.Fatal(err)
	}
	tx, err := d.Sign(alice).Finish()
	if err != nil {
		b.Fatal(err)
	}
	return tx
}

// BenchmarkDecode is every rule that the bytes decide, for one input, three outputs and one signature.
func BenchmarkDecode(b *testing.B) {
	raw := benchTransfer(b).Raw
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Decode(raw, testRules); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkGenerated only parses the same bytes with the generated code, without one rule.
func BenchmarkGenerated(b *testing.B) {
	raw := benchTransfer(b).Raw
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		var p notaryv1.Transaction
		var body notaryv1.TransactionBody
		if err := proto.Unmarshal(raw, &p); err != nil {
			b.Fatal(err)
		}
		if err := proto.Unmarshal(p.Body, &body); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkValidate(b *testing.B) {
	tx, s := benchTransfer(b), world(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Validate(tx, s, today); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkVerify is the signature, as a ceiling for the two above.
func BenchmarkVerify(b *testing.B) {
	checks := benchTransfer(b).Checks()
	for b.Loop() {
		if !checks[0].Verify() {
			b.Fatal("does not verify")
		}
	}
}
