package utxo

import (
	"fmt"
	"slices"

	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
)

// Builder collects what a transaction shall do. Its methods return the builder, to be chained; Build
// says what was wrong.
type Builder struct {
	tx Tx
}

// NewBuilder starts a transaction on a network.
func NewBuilder(network domain.Hash) *Builder {
	return &Builder{Tx{Network: network}}
}

// Spend consumes an outpoint.
func (b *Builder) Spend(o Outpoint) *Builder {
	return b.input(notaryv1.InputKind_INPUT_KIND_SPEND, o)
}

// Read requires that an outpoint is or once was final.
func (b *Builder) Read(o Outpoint) *Builder { return b.input(notaryv1.InputKind_INPUT_KIND_READ, o) }

func (b *Builder) input(kind notaryv1.InputKind, o Outpoint) *Builder {
	b.tx.Inputs = append(b.tx.Inputs, Input{Kind: kind, Outpoint: o})
	return b
}

// Issues is the product that outputs may issue out of nothing: that of the first outpoint spent so
// far; zero before the first.
func (b *Builder) Issues() Product { return b.tx.Issues() }

// Pay adds a PAYMENT of an amount in base units of a product; zero is the native coin.
func (b *Builder) Pay(to Address, p Product, amount uint64) *Builder {
	return b.Output(Output{Kind: notaryv1.OutputKind_OUTPUT_KIND_PAYMENT, Address: to, Product: p, Amount: amount})
}

// Fee adds a FEE in base units of the native coin; the zero address is the common pool.
func (b *Builder) Fee(to Address, amount uint64) *Builder {
	return b.Output(Output{Kind: notaryv1.OutputKind_OUTPUT_KIND_FEE, Address: to, Amount: amount})
}

// Store adds a DATA output without an amount, owned by an address.
func (b *Builder) Store(owner Address, d Data) *Builder {
	return b.Output(Output{Kind: notaryv1.OutputKind_OUTPUT_KIND_DATA, Address: owner, Data: &d})
}

// Output adds an output as it is.
func (b *Builder) Output(o Output) *Builder {
	b.tx.Outputs = append(b.tx.Outputs, o)
	return b
}

// Window sets the first and last instant for a vote in round 0, Unix milliseconds; 0 is unbounded.
func (b *Builder) Window(fromMS, untilMS uint64) *Builder {
	b.tx.ValidFromMS, b.tx.ValidUntilMS = fromMS, untilMS
	return b
}

// Facilitators sets the preferred node keys, in whatever order they come.
func (b *Builder) Facilitators(keys ...domain.PublicKey) *Builder {
	b.tx.Facilitators = slices.Clone(keys)
	slices.SortFunc(b.tx.Facilitators, domain.PublicKey.Compare)
	return b
}

// Memo sets free bytes for the receiver; at most 256.
func (b *Builder) Memo(memo []byte) *Builder {
	b.tx.Memo = slices.Clone(memo)
	return b
}

// Salt makes two otherwise equal transactions differ; at most 32 bytes.
func (b *Builder) Salt(salt []byte) *Builder {
	b.tx.Salt = slices.Clone(salt)
	return b
}

// Build encodes the body and refuses it as Decode would.
func (b *Builder) Build() (*Draft, error) {
	return NewDraft(b.tx.appendBody(nil), Rules{Network: b.tx.Network})
}

// appendBody appends the canonical TransactionBody.
func (tx *Tx) appendBody(b []byte) []byte {
	b = appendHash(b, 1, tx.Network)
	for _, in := range tx.Inputs {
		outpoint := appendUint(appendHash(nil, 1, in.Outpoint.Tx), 2, uint64(in.Outpoint.Index))
		b = appendBytes(b, 2, appendBytes(appendUint(nil, 1, uint64(int64(in.Kind))), 2, outpoint))
	}
	for i := range tx.Outputs {
		b = appendBytes(b, 3, tx.Outputs[i].AppendTo(nil))
	}
	b = appendUint(b, 4, tx.ValidFromMS)
	b = appendUint(b, 5, tx.ValidUntilMS)
	for _, k := range tx.Facilitators {
		b = appendBytes(b, 6, k[:])
	}
	b = appendText(b, 7, tx.Memo)
	return appendText(b, 8, tx.Salt)
}

// Draft is a finished body that gathers its witnesses.
type Draft struct {
	tx        *Tx
	rules     Rules
	witnesses []Witness
}

// NewDraft takes a body that somebody else built, to be looked at and co-signed.
func NewDraft(body []byte, r Rules) (*Draft, error) {
	tx, err := DecodeBody(body, r)
	if err != nil {
		return nil, err
	}
	return &Draft{tx: tx, rules: r}, nil
}

// ID is the transaction id, which no witness changes.
func (d *Draft) ID() domain.Hash { return d.tx.ID }

// Body is the canonical TransactionBody. Not to be changed.
func (d *Draft) Body() []byte { return d.tx.Body }

// Tx is the body as decoded. Not to be changed.
func (d *Draft) Tx() *Tx { return d.tx }

// Signature signs the transaction with one key, to be handed to whoever gathers the witnesses.
func (d *Draft) Signature(key domain.PrivateKey) domain.Signature {
	return domain.Sign(key, domain.TagTx, d.tx.Network, d.tx.ID)
}

// Sign adds, for each key, the witness of that key's own lock.
func (d *Draft) Sign(keys ...domain.PrivateKey) *Draft {
	for _, k := range keys {
		d.AddWitness(Witness{Lock: KeyLock(k.Public()), Signatures: []LockSignature{{Signature: d.Signature(k)}}})
	}
	return d
}

// SignLock adds the witness of a lock, signed by the first of these keys that suffice, by their order
// in the lock. The preimage is nil where the lock has no hash-lock.
func (d *Draft) SignLock(l Lock, preimage []byte, keys ...domain.PrivateKey) error {
	w := Witness{Lock: l, Preimage: preimage}
	for i, public := range l.Keys {
		at := slices.IndexFunc(keys, func(k domain.PrivateKey) bool { return k.Public() == public })
		if at >= 0 && len(w.Signatures) < int(l.Threshold) {
			w.Signatures = append(w.Signatures, LockSignature{Key: uint32(i), Signature: d.Signature(keys[at])})
		}
	}
	if err := checkWitness(&w); err != nil {
		return fmt.Errorf("witness of %s: %w", l.Address(), err)
	}
	d.AddWitness(w)
	return nil
}

// AddWitness adds a witness as it is.
func (d *Draft) AddWitness(w Witness) *Draft {
	d.witnesses = append(d.witnesses, w)
	return d
}

// Finish encodes the transaction, decodes it as a node would and verifies its signatures.
func (d *Draft) Finish() (*Tx, error) {
	tx, err := Decode(d.Raw(), d.rules)
	if err != nil {
		return nil, err
	}
	for k, c := range tx.Checks() {
		if !c.Verify() {
			return nil, BadSignature(tx, k)
		}
	}
	return tx, tx.CheckPossessions()
}

// Raw is the canonical Transaction with the witnesses so far, unchecked.
func (d *Draft) Raw() []byte {
	raw := appendBytes(nil, 1, d.tx.Body)
	for i := range d.witnesses {
		raw = appendBytes(raw, 2, d.witnesses[i].appendTo(nil))
	}
	return raw
}
