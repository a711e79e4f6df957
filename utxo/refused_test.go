package utxo

import (
	"testing"

	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
)

// refused is a transaction that one rule refuses.
type refused struct {
	name   string
	reason notaryv1.Reason
	field  string
	raw    []byte
}

// edit changes a transfer of alice before it is encoded and signed by her.
type edit = func(*notaryv1.TransactionBody)

// refusedTransactions holds at least one transaction for each rule and reason, in the order of the
// rules. They are the vectors of testdata/refused.json.
func refusedTransactions(t testing.TB) []refused {
	t.Helper()
	var all []refused
	all = append(all, refusedBytes(t)...)
	all = append(all, refusedInputs(t)...)
	all = append(all, refusedOutputs(t)...)
	all = append(all, refusedData(t)...)
	all = append(all, refusedWitnesses(t)...)
	all = append(all, refusedPeers(t)...)
	all = append(all, refusedLinks(t)...)
	all = append(all, refusedAgainstView(t)...)
	return append(all, refusedContents(t)...)
}

// mine are the keys that sign an edited transfer.
var mine = []domain.PrivateKey{alice}

func edited(t testing.TB, name string, reason notaryv1.Reason, field string, e edit) refused {
	t.Helper()
	body := bodyOf(t, transfer())
	e(body)
	return refused{name, reason, field, sealed(t, body, mine)}
}

func refusedBytes(t testing.TB) []refused {
	good := sealed(t, bodyOf(t, transfer()), mine)
	long := append(append([]byte{}, good[:1]...), good[1]|0x80, good[2]|0x80, 0)
	return []refused{
		{"too large", notaryv1.Reason_REASON_TOO_LARGE, "", make([]byte, MaxTxBytes+1)},
		{"cut", notaryv1.Reason_REASON_MALFORMED, "witnesses[0]", good[:len(good)-1]},
		{"a length of one byte too many", notaryv1.Reason_REASON_NON_CANONICAL, "body", append(long, good[3:]...)},
		{"unknown field", notaryv1.Reason_REASON_NON_CANONICAL, "", append(append([]byte{}, good...), 0x18, 1)},
		{"nothing", notaryv1.Reason_REASON_MISSING_FIELD, "body", []byte{}},
		edited(t, "network of 31 bytes", notaryv1.Reason_REASON_MALFORMED, "network", func(b *notaryv1.TransactionBody) {
			b.Network = b.Network[1:]
		}),
		edited(t, "memo too long", notaryv1.Reason_REASON_LIMIT_EXCEEDED, "memo", func(b *notaryv1.TransactionBody) {
			b.Memo = make([]byte, 257)
		}),
		edited(t, "too many inputs", notaryv1.Reason_REASON_LIMIT_EXCEEDED, "inputs", func(b *notaryv1.TransactionBody) {
			for range MaxInputs {
				b.Inputs = append(b.Inputs, b.Inputs[0])
			}
		}),
		edited(t, "network absent", notaryv1.Reason_REASON_MISSING_FIELD, "network", func(b *notaryv1.TransactionBody) {
			b.Network = nil
		}),
		edited(t, "network of zeros", notaryv1.Reason_REASON_NON_CANONICAL, "network", func(b *notaryv1.TransactionBody) {
			b.Network = make([]byte, 32)
		}),
		edited(t, "another network", notaryv1.Reason_REASON_WRONG_NETWORK, "network", func(b *notaryv1.TransactionBody) {
			b.Network = bytes32(1)
		}),
	}
}

func refusedInputs(t testing.TB) []refused {
	return []refused{
		edited(t, "input of no kind", notaryv1.Reason_REASON_UNKNOWN_KIND, "inputs[0].kind", func(b *notaryv1.TransactionBody) {
			b.Inputs[0].Kind = 0
		}),
		edited(t, "input of an unknown kind", notaryv1.Reason_REASON_UNKNOWN_KIND, "inputs[0].kind", func(b *notaryv1.TransactionBody) {
			b.Inputs[0].Kind = 3
		}),
		edited(t, "input without outpoint", notaryv1.Reason_REASON_MISSING_FIELD, "inputs[0].outpoint.transaction", func(b *notaryv1.TransactionBody) {
			b.Inputs[0].Outpoint = nil
		}),
		edited(t, "outpoint of zeros", notaryv1.Reason_REASON_NON_CANONICAL, "inputs[0].outpoint.transaction", func(b *notaryv1.TransactionBody) {
			b.Inputs[0].Outpoint.Transaction = make([]byte, 32)
		}),
		edited(t, "nothing spent", notaryv1.Reason_REASON_NO_SPEND, "inputs", func(b *notaryv1.TransactionBody) {
			b.Inputs[0].Kind = read
		}),
		edited(t, "no inputs", notaryv1.Reason_REASON_NO_SPEND, "inputs", func(b *notaryv1.TransactionBody) {
			b.Inputs = nil
		}),
		edited(t, "no outputs", notaryv1.Reason_REASON_NO_OUTPUT, "outputs", func(b *notaryv1.TransactionBody) {
			b.Outputs = nil
		}),
		edited(t, "window ends before it begins", notaryv1.Reason_REASON_INVALID_WINDOW, "valid_until_ms", func(b *notaryv1.TransactionBody) {
			b.ValidFromMs, b.ValidUntilMs = now+1, now
		}),
		edited(t, "facilitators descending", notaryv1.Reason_REASON_NON_CANONICAL, "facilitators[1]", func(b *notaryv1.TransactionBody) {
			b.Facilitators = [][]byte{bytes32(2), bytes32(1)}
		}),
		edited(t, "facilitator twice", notaryv1.Reason_REASON_NON_CANONICAL, "facilitators[1]", func(b *notaryv1.TransactionBody) {
			b.Facilitators = [][]byte{bytes32(1), bytes32(1)}
		}),
		edited(t, "outpoint twice", notaryv1.Reason_REASON_DUPLICATE_OUTPOINT, "inputs[1].outpoint", func(b *notaryv1.TransactionBody) {
			b.Inputs = append(b.Inputs, b.Inputs[0])
		}),
		edited(t, "outpoint spent and read", notaryv1.Reason_REASON_DUPLICATE_OUTPOINT, "inputs[1].outpoint", func(b *notaryv1.TransactionBody) {
			b.Inputs = append(b.Inputs, &notaryv1.Input{Kind: read, Outpoint: b.Inputs[0].Outpoint})
		}),
	}
}

func refusedOutputs(t testing.TB) []refused {
	output := func(name string, reason notaryv1.Reason, field string, e func(*notaryv1.Output)) refused {
		return edited(t, name, reason, "outputs[1]."+field, func(b *notaryv1.TransactionBody) { e(b.Outputs[1]) })
	}
	onFee := func(name, field string, e func(*notaryv1.Output)) refused {
		return edited(t, name, notaryv1.Reason_REASON_INVALID_OUTPUT, "outputs[2]."+field, func(b *notaryv1.TransactionBody) { e(b.Outputs[2]) })
	}
	all := []refused{
		output("outputs overflow", notaryv1.Reason_REASON_AMOUNT_OVERFLOW, "amount", func(o *notaryv1.Output) { o.Amount = 1<<64 - 60*coin }),
		output("output of no kind", notaryv1.Reason_REASON_UNKNOWN_KIND, "kind", func(o *notaryv1.Output) { o.Kind = 0 }),
		output("output of an unknown kind", notaryv1.Reason_REASON_UNKNOWN_KIND, "kind", func(o *notaryv1.Output) { o.Kind = -1 }),
		output("a reward made", notaryv1.Reason_REASON_RESERVED_OUTPUT, "kind", func(o *notaryv1.Output) { o.Kind = notaryv1.OutputKind_OUTPUT_KIND_REWARD }),
		output("no address", notaryv1.Reason_REASON_MISSING_FIELD, "address", func(o *notaryv1.Output) { o.Address = nil }),
		output("address of zeros", notaryv1.Reason_REASON_NON_CANONICAL, "address", func(o *notaryv1.Output) { o.Address = make([]byte, 32) }),
		output("product of zeros", notaryv1.Reason_REASON_NON_CANONICAL, "product", func(o *notaryv1.Output) { o.Product = make([]byte, 32) }),
		output("counterparty of zeros", notaryv1.Reason_REASON_NON_CANONICAL, "counterparty", func(o *notaryv1.Output) { o.Counterparty = make([]byte, 32) }),
		output("a payment of nothing", notaryv1.Reason_REASON_ZERO_AMOUNT, "amount", func(o *notaryv1.Output) { o.Amount = 0 }),
		onFee("a fee in gold", "product", func(o *notaryv1.Output) { o.Product = gold[:] }),
		onFee("a fee for later", "not_before_ms", func(o *notaryv1.Output) { o.NotBeforeMs = 1 }),
		onFee("a fee to age", "min_age_ms", func(o *notaryv1.Output) { o.MinAgeMs = 1 }),
		onFee("a fee with a counterparty", "counterparty", func(o *notaryv1.Output) { o.Counterparty = bytes32(1) }),
		onFee("a fee with data", "data", func(o *notaryv1.Output) { o.Data = &notaryv1.Data{Kind: 1, Payload: []byte{1}} }),
	}
	return append(all, edited(t, "a fee of nothing", notaryv1.Reason_REASON_ZERO_AMOUNT, "outputs[2].amount", func(b *notaryv1.TransactionBody) {
		b.Outputs[2].Amount = 0
	}))
}

func refusedData(t testing.TB) []refused {
	with := func(name string, reason notaryv1.Reason, field string, d *notaryv1.Data) refused {
		return edited(t, name, reason, "outputs[1]."+field, func(b *notaryv1.TransactionBody) {
			b.Outputs[1].Kind, b.Outputs[1].Data = data, d
		})
	}
	const (
		inline    = notaryv1.DataKind_DATA_KIND_INLINE
		reference = notaryv1.DataKind_DATA_KIND_REFERENCE
		info      = notaryv1.DataKind_DATA_KIND_PRODUCT_INFO
		invalid   = notaryv1.Reason_REASON_INVALID_OUTPUT
		absent    = notaryv1.Reason_REASON_MISSING_FIELD
	)
	described := func(name, field string, issued bool, payload []byte) refused {
		return edited(t, name, invalid, "outputs[1]."+field, func(b *notaryv1.TransactionBody) {
			o := b.Outputs[1]
			if issued {
				p := ProductID(at(atAlice))
				o.Product = p[:]
			}
			o.Data = &notaryv1.Data{Kind: info, Payload: payload}
		})
	}
	name := marshal(t, &notaryv1.ProductInfo{Name: "Gold"})
	return []refused{
		with("DATA without data", absent, "data", nil),
		with("data of no kind", notaryv1.Reason_REASON_UNKNOWN_KIND, "data.kind", &notaryv1.Data{Payload: []byte{1}}),
		with("data of an unknown kind", notaryv1.Reason_REASON_UNKNOWN_KIND, "data.kind", &notaryv1.Data{Kind: 99, Payload: []byte{1}}),
		with("a group as data", notaryv1.Reason_REASON_RESERVED_OUTPUT, "data.kind", &notaryv1.Data{Kind: notaryv1.DataKind_DATA_KIND_GROUP, Payload: []byte{1}}),
		with("peer metadata as data", notaryv1.Reason_REASON_RESERVED_OUTPUT, "data.kind", &notaryv1.Data{Kind: notaryv1.DataKind_DATA_KIND_PEER_METADATA, Payload: []byte{1}}),
		with("inline without payload", absent, "data.payload", &notaryv1.Data{Kind: inline}),
		with("inline with a hash", invalid, "data.hash", &notaryv1.Data{Kind: inline, Payload: []byte{1}, Hash: bytes32(1)}),
		with("inline with a size", invalid, "data.size", &notaryv1.Data{Kind: inline, Payload: []byte{1}, Size: 1}),
		with("reference without hash", absent, "data.hash", &notaryv1.Data{Kind: reference, Size: 1}),
		with("reference to zeros", notaryv1.Reason_REASON_NON_CANONICAL, "data.hash", &notaryv1.Data{Kind: reference, Hash: make([]byte, 32)}),
		with("reference with a payload", invalid, "data.payload", &notaryv1.Data{Kind: reference, Hash: bytes32(1), Payload: []byte{1}}),
		with("media type with a line break", invalid, "data.media_type", &notaryv1.Data{Kind: inline, Payload: []byte{1}, MediaType: "a\n"}),
		with("media type beyond ASCII", invalid, "data.media_type", &notaryv1.Data{Kind: inline, Payload: []byte{1}, MediaType: "é"}),
		described("a description of the native coin", "data", false, name),
		described("a description that is none", "data.payload", true, []byte{0xff}),
		described("too many decimals", "data.payload", true, marshal(t, &notaryv1.ProductInfo{Decimals: 19})),
	}
}

func refusedWitnesses(t testing.TB) []refused {
	tampered := func(name string, reason notaryv1.Reason, field string, e func(*notaryv1.Transaction)) refused {
		return refused{name, reason, field, sealed(t, bodyOf(t, transfer()), mine, e)}
	}
	first := func(e func(*notaryv1.Witness)) func(*notaryv1.Transaction) {
		return func(p *notaryv1.Transaction) { e(p.Witnesses[0]) }
	}
	a, b := alice.Public(), bob.Public()
	if a.Compare(b) > 0 {
		a, b = b, a
	}
	const (
		lock    = notaryv1.Reason_REASON_INVALID_LOCK
		witness = notaryv1.Reason_REASON_INVALID_WITNESS
		absent  = notaryv1.Reason_REASON_MISSING_FIELD
	)
	two := func(w *notaryv1.Witness, keys ...uint32) {
		w.Lock.Keys, w.Lock.Threshold = [][]byte{a[:], b[:]}, uint32(len(keys))
		s := w.Signatures[0].Signature
		w.Signatures = nil
		for _, k := range keys {
			w.Signatures = append(w.Signatures, &notaryv1.LockSignature{Key: k, Signature: s})
		}
	}
	return []refused{
		tampered("no lock", absent, "witnesses[0].lock", first(func(w *notaryv1.Witness) { w.Lock = nil })),
		tampered("empty lock", lock, "witnesses[0].lock.keys", first(func(w *notaryv1.Witness) { w.Lock = &notaryv1.Lock{} })),
		tampered("no threshold", lock, "witnesses[0].lock.threshold", first(func(w *notaryv1.Witness) { w.Lock.Threshold = 0 })),
		tampered("threshold above the keys", lock, "witnesses[0].lock.threshold", first(func(w *notaryv1.Witness) { w.Lock.Threshold = 1<<32 - 1 })),
		tampered("keys descending", lock, "witnesses[0].lock.keys[1]", first(func(w *notaryv1.Witness) { w.Lock.Keys = [][]byte{b[:], a[:]} })),
		tampered("key twice", lock, "witnesses[0].lock.keys[1]", first(func(w *notaryv1.Witness) { w.Lock.Keys = [][]byte{a[:], a[:]} })),
		tampered("hash-lock of zeros", notaryv1.Reason_REASON_NON_CANONICAL, "witnesses[0].lock.hash_lock", first(func(w *notaryv1.Witness) { w.Lock.HashLock = make([]byte, 32) })),
		tampered("too few signatures", witness, "witnesses[0].signatures", first(func(w *notaryv1.Witness) { w.Signatures = nil })),
		tampered("too many signatures", witness, "witnesses[0].signatures", first(func(w *notaryv1.Witness) { two(w, 0, 1); w.Lock.Threshold = 1 })),
		tampered("signature without bytes", absent, "witnesses[0].signatures[0].signature", first(func(w *notaryv1.Witness) { w.Signatures[0].Signature = nil })),
		tampered("key out of range", witness, "witnesses[0].signatures[0].key", first(func(w *notaryv1.Witness) { w.Signatures[0].Key = 1 })),
		tampered("one key signs twice", witness, "witnesses[0].signatures[1].key", first(func(w *notaryv1.Witness) { two(w, 1, 1) })),
		tampered("signatures descending", witness, "witnesses[0].signatures[1].key", first(func(w *notaryv1.Witness) { two(w, 1, 0) })),
		tampered("preimage nobody asked for", witness, "witnesses[0].preimage", first(func(w *notaryv1.Witness) { w.Preimage = preimage })),
		tampered("preimage absent", witness, "witnesses[0].preimage", first(func(w *notaryv1.Witness) { w.Lock.HashLock = bytes32(1) })),
		tampered("wrong preimage", notaryv1.Reason_REASON_WRONG_PREIMAGE, "witnesses[0].preimage", first(func(w *notaryv1.Witness) {
			w.Lock.HashLock, w.Preimage = bytes32(1), preimage
		})),
		tampered("witness twice", notaryv1.Reason_REASON_DUPLICATE_WITNESS, "witnesses[1]", func(p *notaryv1.Transaction) {
			p.Witnesses = append(p.Witnesses, p.Witnesses[0])
		}),
		tampered("bad signature", notaryv1.Reason_REASON_BAD_SIGNATURE, "witnesses[0].signatures[0]", first(func(w *notaryv1.Witness) {
			w.Signatures[0].Signature[7] ^= 1
		})),
	}
}

// signedBy is what a builder says, signed by keys of their own locks.
func signedBy(t testing.TB, name string, reason notaryv1.Reason, field string, b *Builder, keys ...domain.PrivateKey) refused {
	t.Helper()
	return refused{name, reason, field, mustDraft(t, b).Sign(keys...).Raw()}
}

func refusedAgainstView(t testing.TB) []refused {
	to := bobLock.Address()
	return []refused{
		signedBy(t, "window closed", notaryv1.Reason_REASON_WINDOW_CLOSED, "valid_until_ms", transfer().Window(0, now-1), alice),
		signedBy(t, "window not open", notaryv1.Reason_REASON_WINDOW_NOT_OPEN, "valid_from_ms", transfer().Window(now+1, 0), alice),
		signedBy(t, "spent already", notaryv1.Reason_REASON_OUTPOINT_SPENT, "inputs[0].outpoint", start(atSpent).Pay(to, Product{}, 10*coin), alice),
		signedBy(t, "spent already, and another unknown", notaryv1.Reason_REASON_OUTPOINT_SPENT, "inputs[1].outpoint",
			start(worldSize).Spend(at(atSpent)).Pay(to, Product{}, 10*coin), alice),
		signedBy(t, "a reward spent", notaryv1.Reason_REASON_RESERVED_OUTPUT, "inputs[0].outpoint", start(atReward).Pay(to, Product{}, 1_000_000*coin), alice),
		signedBy(t, "a link spent", notaryv1.Reason_REASON_RESERVED_OUTPUT, "inputs[1].outpoint", transfer().Spend(at(atLink)), alice),
		signedBy(t, "peer metadata spent", notaryv1.Reason_REASON_RESERVED_OUTPUT, "inputs[1].outpoint", transfer().Spend(at(atPeer)), alice),
		signedBy(t, "unknown output", notaryv1.Reason_REASON_UNKNOWN_OUTPOINT, "inputs[0].outpoint", start(worldSize).Pay(to, Product{}, coin), alice),
		signedBy(t, "unknown output read", notaryv1.Reason_REASON_UNKNOWN_OUTPOINT, "inputs[1].outpoint", transfer().Read(at(worldSize)), alice),
		signedBy(t, "time lock shut", notaryv1.Reason_REASON_LOCK_NOT_OPEN, "inputs[0].outpoint", start(atLater).Pay(to, Product{}, 20*coin), alice),
		signedBy(t, "too young", notaryv1.Reason_REASON_LOCK_NOT_OPEN, "inputs[0].outpoint", start(atYoung).Pay(to, Product{}, 20*coin), alice),
	}
}

func refusedContents(t testing.TB) []refused {
	to := bobLock.Address()
	const (
		unbalanced = notaryv1.Reason_REASON_UNBALANCED
		product    = notaryv1.Reason_REASON_UNKNOWN_PRODUCT
	)
	other := domain.Sum(domain.TagProduct, []byte("silver"))
	note := Data{Kind: notaryv1.DataKind_DATA_KIND_INLINE, Payload: []byte{1}}
	return []refused{
		signedBy(t, "a product from nowhere", product, "outputs[3].product", transfer().Pay(to, other, 1), alice),
		signedBy(t, "nothing of a product from nowhere", product, "outputs[3].product",
			transfer().Output(Output{Kind: data, Address: to, Product: other, Data: &note}), alice),
		signedBy(t, "a product that is only read", product, "outputs[3].product", transfer().Read(at(atGold)).Pay(to, gold, 1), alice),
		signedBy(t, "inputs overflow", notaryv1.Reason_REASON_AMOUNT_OVERFLOW, "inputs[1]", start(atRich).Spend(at(atAlice)).Pay(to, Product{}, 1), alice),
		signedBy(t, "more out than in", unbalanced, "outputs[0]", transfer().Pay(to, Product{}, 1), alice),
		signedBy(t, "less out than in", unbalanced, "outputs[0]", start(atAlice).Pay(to, Product{}, 1), alice),
		signedBy(t, "a product lost", unbalanced, "inputs[1]", transfer().Spend(at(atGold)), alice),
		signedBy(t, "a product made more", unbalanced, "outputs[3]", transfer().Spend(at(atGold)).Pay(to, gold, 1001), alice),
		signedBy(t, "no witness", notaryv1.Reason_REASON_MISSING_WITNESS, "inputs[0]", transfer()),
		signedBy(t, "somebody else's witness", notaryv1.Reason_REASON_MISSING_WITNESS, "inputs[0]", transfer(), bob),
		signedBy(t, "counterparty silent", notaryv1.Reason_REASON_COUNTERPARTY_MISSING, "inputs[0]", start(atBoth).Pay(to, Product{}, 40*coin), alice),
		signedBy(t, "counterparty alone", notaryv1.Reason_REASON_MISSING_WITNESS, "inputs[0]", start(atBoth).Pay(to, Product{}, 40*coin), bob),
		signedBy(t, "a witness too many", notaryv1.Reason_REASON_UNUSED_WITNESS, "witnesses[1]", transfer(), alice, carol),
		signedBy(t, "a witness for what is only read", notaryv1.Reason_REASON_UNUSED_WITNESS, "witnesses[1]", transfer().Read(at(atBob)), alice, bob),
	}
}
