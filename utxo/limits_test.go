package utxo

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// TestLimits walks over each limit of a body: the most is taken, one more is not.
func TestLimits(t *testing.T) {
	to := bobLock.Address()
	note := func(edit func(*Data)) *Builder {
		d := Data{Kind: notaryv1.DataKind_DATA_KIND_INLINE, Payload: []byte{1}}
		edit(&d)
		return start(atAlice).Store(to, d)
	}
	keys := func(n int) (out []domain.PublicKey) {
		for i := range n {
			out = append(out, domain.PublicKey(bytes32(byte(i+1))))
		}
		return out
	}
	for name, c := range map[string]struct {
		most  int
		build func(n int) *Builder
	}{
		"memo":         {256, func(n int) *Builder { return transfer().Memo(make([]byte, n)) }},
		"salt":         {32, func(n int) *Builder { return transfer().Salt(make([]byte, n)) }},
		"facilitators": {8, func(n int) *Builder { return transfer().Facilitators(keys(n)...) }},
		"media type":   {128, func(n int) *Builder { return note(func(d *Data) { d.MediaType = strings.Repeat("a", n) }) }},
		"location":     {512, func(n int) *Builder { return note(func(d *Data) { d.Location = strings.Repeat("a", n) }) }},
		"payload":      {MaxPayloadBytes, func(n int) *Builder { return note(func(d *Data) { d.Payload = make([]byte, n) }) }},
		"inputs": {MaxInputs, func(n int) *Builder {
			b := NewBuilder(testNetwork).Pay(to, Product{}, 1)
			for i := range n {
				b.Spend(at(uint32(i)))
			}
			return b
		}},
		"outputs": {MaxOutputs, func(n int) *Builder {
			b := start(atAlice)
			for range n {
				b.Pay(to, Product{}, 1)
			}
			return b
		}},
	} {
		if _, err := c.build(c.most).Build(); err != nil {
			t.Errorf("%s: %d: %v", name, c.most, err)
		}
		if _, err := c.build(c.most + 1).Build(); refusal.ReasonOf(err) != notaryv1.Reason_REASON_LIMIT_EXCEEDED {
			t.Errorf("%s: %d: %v", name, c.most+1, err)
		}
	}
}

// TestWitnessLimits: 256 witnesses, 16 keys.
func TestWitnessLimits(t *testing.T) {
	d := mustDraft(t, transfer())
	for i := range MaxWitnesses {
		seed := [32]byte{byte(i), byte(i >> 8), 3}
		k := domain.NewPrivateKey(seed)
		d.AddWitness(Witness{Lock: KeyLock(k.Public()), Signatures: []LockSignature{{}}})
	}
	if _, err := Decode(d.Raw(), testRules); err != nil {
		t.Error(err)
	}
	d.Sign(alice)
	if _, err := Decode(d.Raw(), testRules); refusal.ReasonOf(err) != notaryv1.Reason_REASON_LIMIT_EXCEEDED {
		t.Errorf("257 witnesses: %v", err)
	}
	for n, want := range map[int]notaryv1.Reason{MaxLockKeys: 0, MaxLockKeys + 1: notaryv1.Reason_REASON_LIMIT_EXCEEDED} {
		l := Lock{Threshold: uint32(n)}
		w := Witness{}
		for i := range n {
			l.Keys = append(l.Keys, domain.PublicKey(bytes32(byte(i+1))))
			w.Signatures = append(w.Signatures, LockSignature{Key: uint32(i)})
		}
		w.Lock = l
		if _, err := Decode(mustDraft(t, transfer()).AddWitness(w).Raw(), testRules); refusal.ReasonOf(err) != want {
			t.Errorf("%d keys: %v", n, err)
		}
	}
}

// TestAmountLimits: sums of exactly 2^64 - 1 are amounts, one unit more is not; products do not mix.
func TestAmountLimits(t *testing.T) {
	to := bobLock.Address()
	const most = 1<<64 - 1
	for name, c := range map[string]struct {
		builder *Builder
		reason  notaryv1.Reason
	}{
		"one output":          {start(atRich).Pay(to, Product{}, most), 0},
		"two outputs":         {start(atRich).Pay(to, Product{}, most-1).Pay(to, Product{}, 1), 0},
		"a unit more":         {start(atRich).Pay(to, Product{}, most).Pay(to, Product{}, 1), notaryv1.Reason_REASON_AMOUNT_OVERFLOW},
		"a fee more":          {start(atRich).Pay(to, Product{}, most).Fee(to, 1), notaryv1.Reason_REASON_AMOUNT_OVERFLOW},
		"wrapping to nothing": {start(atRich).Pay(to, Product{}, 1<<63).Pay(to, Product{}, 1<<63), notaryv1.Reason_REASON_AMOUNT_OVERFLOW},
		"wrapping twice": {start(atAlice).Pay(to, Product{}, most).Pay(to, Product{}, most).Pay(to, Product{}, 100*coin+2),
			notaryv1.Reason_REASON_AMOUNT_OVERFLOW},
		"as much of another": {start(atRich).Pay(to, Product{}, most).Pay(to, ProductID(at(atRich)), most), 0},
		"more than is issued in all": {start(atRich).Pay(to, Product{}, most).Pay(to, ProductID(at(atRich)), most).Pay(to, ProductID(at(atRich)), 1),
			notaryv1.Reason_REASON_AMOUNT_OVERFLOW},
	} {
		raw := mustDraftRaw(c.builder)
		_, _, err := judge(raw, world(t), today)
		if refusal.ReasonOf(err) != c.reason {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := Decode(raw, testRules); refusal.ReasonOf(err) != c.reason {
			t.Errorf("%s: by its bytes alone: %v", name, err)
		}
	}
}

// mustDraftRaw encodes and signs for alice without any check.
func mustDraftRaw(b *Builder) []byte {
	body := b.tx.appendBody(nil)
	d := &Draft{tx: &Tx{Body: body, Network: b.tx.Network, ID: domain.Sum(domain.TagTx, body)}}
	return d.Sign(alice).Raw()
}

// TestEveryCutIsRefused: no prefix of a transaction is one, but that which ends before its witnesses,
// and no byte can be put in or taken out without a trace.
func TestEveryCutIsRefused(t *testing.T) {
	for name, d := range validDrafts(t) {
		tx := mustFinish(t, d)
		first := len(appendBytes(nil, 1, tx.Body))
		whole := []int{first}
		rest := tx.Raw[first:]
		for i := range tx.Witnesses {
			rest = rest[len(appendBytes(nil, 2, tx.Witnesses[i].appendTo(nil))):]
			whole = append(whole, len(tx.Raw)-len(rest))
		}
		for n := range tx.Raw {
			if _, err := Decode(tx.Raw[:n], testRules); (err == nil) != slices.Contains(whole, n) {
				t.Errorf("%s: the first %d bytes: %v", name, n, err)
			}
			less := slices.Delete(bytes.Clone(tx.Raw), n, n+1)
			if other, err := Decode(less, testRules); err == nil && !bytes.Equal(encode(other), less) {
				t.Errorf("%s: without byte %d", name, n)
			}
			more := slices.Insert(bytes.Clone(tx.Raw), n, tx.Raw[n])
			if other, err := Decode(more, testRules); err == nil && !bytes.Equal(encode(other), more) {
				t.Errorf("%s: byte %d twice", name, n)
			}
		}
	}
}
