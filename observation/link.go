package observation

import (
	"fmt"
	"slices"

	"github.com/notarynet/notaryd/proto/canonical"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

const (
	// MaxLinks bounds the links that a proof carries.
	MaxLinks = 4096
	// MaxLinkBytes bounds an encoded link.
	MaxLinkBytes = 1 << 20
)

var linkSchema = canonical.MustCompile(&notaryv1.Link{}, MaxLinkBytes)

// GroupOutput names the LINK output that holds a group: what the next link spends.
type GroupOutput struct {
	Transaction domain.Hash `json:"transaction_id"`
	Index       uint32      `json:"index"`
}

// Link leads a verifier to the group of a later epoch, in one of two forms (docs/spec/proof.md, section
// 8). A *proven* link is the transaction that made the group, with its acceptance proof by the group
// before. A *vouched* one is the group alone: the signed headers of the proof that comes next say that
// it is the group of its epoch. Immutable.
type Link struct {
	// Group that the link leads to.
	Group *group.Group
	// Proof of the transaction by the group before, without links and without its bytes; nil in a
	// vouched link.
	Proof *Proof
	// Output holds Group; zero in a vouched link.
	Output GroupOutput
	// Raw is the canonical encoding.
	Raw []byte

	// spends are the outpoints that the transaction consumes.
	spends []GroupOutput
}

// Vouched is the link that is the group alone.
func Vouched(g *group.Group) *Link {
	return &Link{Group: g, Raw: appendBytes(nil, 3, g.Bytes())}
}

// NewLink is the proven link of a canonical transaction that makes a group, with its proof by the group
// before. Witnesses are taken out of the transaction, and the transaction and links out of the proof; it is
// refused as by DecodeLink.
func NewLink(transaction []byte, proof *Proof) (*Link, error) {
	p := *proof
	p.Links, p.Transactions = nil, slices.Clone(p.Transactions)
	for i := range p.Transactions {
		p.Transactions[i].Raw = nil
	}
	if err := transactionSchema.Check(transaction); err != nil {
		return nil, refusal.Under("transaction", err)
	}
	raw := appendBytes(nil, 1, appendBytes(nil, 1, bodyOf(transaction)))
	return DecodeLink(appendBytes(raw, 2, p.Encode()), Limits{})
}

// DecodeLink reads the canonical encoding of a Link and checks all that needs no other group: encodings,
// that the transaction makes one group, and that the proof is of this transaction and by the group that
// the new one names as the one before. No signature is checked. The link keeps b.
func DecodeLink(b []byte, limits Limits) (*Link, error) {
	if err := linkSchema.Check(b); err != nil {
		return nil, err
	}
	l := &Link{Raw: b}
	var transaction, proof, vouched []byte
	for f := range canonical.Fields(b) {
		switch f.Number {
		case 1:
			transaction = f.Bytes
		case 2:
			proof = f.Bytes
		case 3:
			vouched = f.Bytes
		}
	}
	switch {
	case vouched != nil && (transaction != nil || proof != nil):
		return nil, refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, "group", "stated beside a transaction or a proof")
	case vouched != nil:
		return l, l.decodeGroup("group", vouched)
	case transaction == nil:
		return nil, missing("transaction")
	case proof == nil:
		return nil, missing("proof")
	}
	if err := l.decodeTransaction(transaction); err != nil {
		return nil, refusal.Under("transaction", err)
	}
	var err error
	if l.Proof, err = decodeQuorum(Accepted, proof, limits, false); err != nil {
		return nil, refusal.Under("proof", err)
	}
	return l, refusal.Under("proof", l.checkProof())
}

// decodeGroup reads the group that the link leads to, which is never that of genesis.
func (l *Link) decodeGroup(at string, b []byte) error {
	g, err := group.Decode(b)
	if err != nil {
		return refusal.Under(at, err)
	}
	if g.Epoch() == 0 {
		return refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, at+".epoch", "no link leads to epoch 0")
	}
	l.Group = g
	return nil
}

// decodeTransaction finds the group that the transaction makes, and what it spends.
func (l *Link) decodeTransaction(raw []byte) error {
	if err := transactionSchema.Check(raw); err != nil {
		return err
	}
	body := bodyOf(raw)
	switch {
	case len(body) == 0:
		return missing("body")
	case len(raw) > len(appendBytes(nil, 1, body)):
		return refusal.New(notaryv1.Reason_REASON_NON_CANONICAL, "witnesses", "the proof makes them needless")
	}
	err := spends(body, func(o outpoint) { l.spends = append(l.spends, GroupOutput{Transaction: o.tx, Index: o.index}) })
	if err != nil {
		return refusal.Under("body", err)
	}
	l.Output.Transaction = domain.Sum(domain.TagTx, body)
	outputs := uint32(0)
	for f := range canonical.Fields(body) {
		if f.Number != 3 {
			continue
		}
		if kind, payload := dataOf(f.Bytes); kind == notaryv1.OutputKind_OUTPUT_KIND_LINK {
			at := fmt.Sprintf("body.outputs[%d]", outputs)
			if l.Group != nil {
				return refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, at, "a second group")
			}
			if err := l.decodeGroup(at+".data.payload", payload); err != nil {
				return err
			}
			l.Output.Index = outputs
		}
		outputs++
	}
	if l.Group == nil {
		return refusal.New(notaryv1.Reason_REASON_MISSING_FIELD, "body.outputs", "none of them holds a group")
	}
	return nil
}

// dataOf is the kind of an output and its payload; nil where it has none.
func dataOf(output []byte) (kind notaryv1.OutputKind, payload []byte) {
	for f := range canonical.Fields(output) {
		switch f.Number {
		case 4:
			kind = notaryv1.OutputKind(f.Value)
		case 5:
			for f := range canonical.Fields(f.Bytes) {
				if f.Number == 2 {
					payload = f.Bytes
				}
			}
		}
	}
	return kind, payload
}

// checkProof holds proof and group together: one transaction, this one, by the group before.
func (l *Link) checkProof() error {
	p := l.Proof
	invalid := func(field, format string, args ...any) error {
		return refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, field, format, args...)
	}
	switch {
	case len(p.Transactions) != 1:
		return invalid("transactions", "%d of them, want the one that makes the group", len(p.Transactions))
	case len(p.Transactions[0].Raw) > 0:
		return refusal.New(notaryv1.Reason_REASON_NON_CANONICAL, "transactions[0].transaction", "the link states it already")
	case p.Transactions[0].ID != l.Output.Transaction:
		return invalid("transactions[0].transaction_id", "of another transaction than %s", l.Output.Transaction)
	case p.Network != l.Group.Network():
		return refusal.New(notaryv1.Reason_REASON_WRONG_NETWORK, "network", "network %s, but the group is of %s", p.Network, l.Group.Network())
	case p.GroupEpoch != l.Group.Epoch()-1:
		return invalid("group_epoch", "by epoch %d, but the group is of epoch %d", p.GroupEpoch, l.Group.Epoch())
	case p.Link != l.Group.Previous():
		return invalid("link", "by another group than the one that the new group names before it")
	}
	return nil
}

// bodyOf is the body of a canonical transaction.
func bodyOf(raw []byte) (body []byte) {
	for f := range canonical.Fields(raw) {
		if f.Number == 1 {
			body = f.Bytes
		}
	}
	return body
}

// checkLinks holds the links of a proof together: each leads on from the group of the one before, the
// last to the group that signed the proof.
func (p *Proof) checkLinks() error {
	for i, l := range p.Links {
		at := fmt.Sprintf("links[%d]", i)
		if l.Group.Network() != p.Network {
			return refusal.New(notaryv1.Reason_REASON_WRONG_NETWORK, at, "of network %s", l.Group.Network())
		}
		if i == 0 {
			continue
		}
		before := p.Links[i-1].Group
		switch {
		case l.Proof == nil && p.Links[i-1].Proof == nil:
			return refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, at, "nothing vouches for the group before it")
		case l.Proof == nil && l.Group.Epoch() <= before.Epoch():
			return refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, at+".group.epoch", "epoch %d after epoch %d", l.Group.Epoch(), before.Epoch())
		case l.Proof != nil && l.Proof.Link != before.Link():
			return refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, at+".proof.link", "by another group than the one of the link before")
		}
	}
	if n := len(p.Links); n > 0 {
		last := p.Links[n-1].Group
		switch {
		case last.Link() != p.Link:
			return refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, "link", "the links lead to %s", last.Link())
		case last.Epoch() != p.GroupEpoch:
			return refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, "group_epoch", "epoch %d, but this link is of epoch %d", p.GroupEpoch, last.Epoch())
		}
	}
	return nil
}
