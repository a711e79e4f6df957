package observation

import (
	"fmt"

	"github.com/notarynet/notaryd/proto/canonical"
	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

const (
	// MaxOmissionBytes bounds an encoded omission report, MaxOmissionChain the observations in it.
	MaxOmissionBytes = 512 << 10
	MaxOmissionChain = 4096
	// OmissionWindowMS is how long, by the times of its own headers, a node must have kept silent.
	OmissionWindowMS = 10_000
)

var omissionSchema = canonical.MustCompile(&notaryv1.OmissionReport{}, MaxOmissionBytes)

// Omission shows that a node referred to an observation that holds a vote on a transaction, and then signed
// nothing about that transaction for OmissionWindowMS (docs/spec/evidence.md, section 6). It convicts nobody.
// Immutable.
type Omission struct {
	// Raw is the canonical encoding.
	Raw []byte
	// Vote is PENDING or ACCEPTED, by a key that is not the silent one.
	Vote Edge
	// Body is the canonical body of the transaction that Vote is on.
	Body []byte
	// Chain is the silent node's, from the observation that refers to the one that holds Vote to the first that
	// is OmissionWindowMS later.
	Chain []*Observation
}

// Key is the chain that kept silent.
func (o *Omission) Key() ChainID { return o.Chain[0].Header.Chain() }

// Tx is the transaction that it kept silent about.
func (o *Omission) Tx() domain.Hash { return o.Vote.Leaf.Subject }

// NewOmission makes a report of a vote, the canonical body of its transaction, and the chain of the silent node
// from its reference on; what comes after the window is left out. A refusal names what makes it no omission.
// Signatures are not checked: Verify does.
func NewOmission(vote Edge, body []byte, chain []*Observation) (*Omission, error) {
	for i, c := range chain {
		if pastWindow(chain[0], c) {
			chain = chain[:i+1]
			break
		}
	}
	o := &Omission{Vote: vote, Body: body, Chain: chain}
	if len(chain) == 0 {
		return nil, missing("chain")
	}
	o.Raw = appendElement(nil, 1, vote.appendSignedLeaf(nil))
	o.Raw = appendBytes(o.Raw, 2, body)
	for _, c := range chain {
		o.Raw = appendElement(o.Raw, 3, c.Raw)
	}
	if err := omissionSchema.Check(o.Raw); err != nil {
		return nil, err
	}
	return o, o.check()
}

// DecodeOmission reads the canonical encoding of a report made on a network. What it shows is not checked: Verify
// does. The report keeps raw.
func DecodeOmission(raw []byte, network domain.Hash) (*Omission, error) {
	if err := omissionSchema.Check(raw); err != nil {
		return nil, err
	}
	o := &Omission{Raw: raw}
	var vote []byte
	var chain [][]byte
	for f := range canonical.Fields(raw) {
		switch f.Number {
		case 1:
			vote = f.Bytes
		case 2:
			o.Body = f.Bytes
		case 3:
			chain = append(chain, f.Bytes)
		}
	}
	switch {
	case vote == nil:
		return nil, missing("vote")
	case o.Body == nil:
		return nil, missing("body")
	case len(chain) == 0:
		return nil, missing("chain")
	}
	var err error
	if o.Vote, err = decodeSignedLeaf(vote, true); err != nil {
		return nil, refusal.Under("vote", err)
	}
	if o.Vote.Header.Network != network {
		return nil, refusal.New(notaryv1.Reason_REASON_WRONG_NETWORK, "vote.header.network", "network %s", o.Vote.Header.Network)
	}
	for i, c := range chain {
		decoded, err := Decode(c, Rules{Network: network})
		if err != nil {
			return nil, refusal.Under(fmt.Sprintf("chain[%d]", i), err)
		}
		o.Chain = append(o.Chain, decoded)
	}
	return o, nil
}

// Verify checks that the report shows what Omission says. A refusal names the part at fault. Whether the chain
// speaks of a rival of the transaction cannot be read off ids: who has the bodies asks Speaks.
func (o *Omission) Verify() error {
	if err := o.check(); err != nil {
		return err
	}
	if err := o.Vote.check(); err != nil {
		return refusal.Under("vote", err)
	}
	for i, c := range o.Chain {
		if check := c.Check(); !check.Verify() {
			return refusal.New(notaryv1.Reason_REASON_BAD_SIGNATURE, fmt.Sprintf("chain[%d].signature", i), "not by %s over this header", check.Key)
		}
	}
	return nil
}

// check is Verify without path and signatures.
func (o *Omission) check() error {
	vote := &o.Vote
	if l := &vote.Leaf; l.Type != SubjectTx || l.State != Pending && l.State != Accepted {
		return invalid("vote.leaf", "neither PENDING nor ACCEPTED for a transaction")
	}
	if got := domain.Sum(domain.TagTx, o.Body); got != o.Tx() {
		return invalid("body", "hashes to %s, but the vote is on %s", got, o.Tx())
	}
	first, last := o.Chain[0], len(o.Chain)-1
	if vote.Header.Key == first.Header.Key {
		return invalid("vote.header", "the vote is by the node itself")
	}
	if vote.Header.Network != first.Header.Network {
		return invalid("vote.header", "of another network than the chain")
	}
	if held := vote.Header.Hash(); !first.speaks(SubjectObservation, func(h domain.Hash) bool { return h == held }) {
		return invalid("chain[0]", "does not refer to the observation that holds the vote")
	}
	for i, c := range o.Chain {
		name := fmt.Sprintf("chain[%d]", i)
		if i > 0 {
			if before := o.Chain[i-1]; c.Header.Chain() != before.Header.Chain() || c.Header.Network != before.Header.Network ||
				c.Header.Height != before.Header.Height+1 || c.Header.Previous != before.Hash {
				return invalid(name, "is not the successor of the one before")
			}
		}
		if i < last && pastWindow(first, c) {
			return refusal.New(notaryv1.Reason_REASON_NON_CANONICAL, name, "is past the window and not the last")
		}
		if c.speaks(SubjectTx, func(tx domain.Hash) bool { return tx == o.Tx() }) {
			return invalid(name, "speaks of the transaction")
		}
	}
	if !pastWindow(first, o.Chain[last]) {
		return invalid("chain", "ends less than %d ms after it begins", OmissionWindowMS)
	}
	return nil
}

// Speaks reports whether the chain has a leaf on any of some transactions.
func (o *Omission) Speaks(of func(tx domain.Hash) bool) bool {
	for _, c := range o.Chain {
		if c.speaks(SubjectTx, of) {
			return true
		}
	}
	return false
}

func (o *Observation) speaks(of SubjectType, is func(domain.Hash) bool) bool {
	for i := range o.Len() {
		if l := o.Leaf(i); l.Type == of && is(l.Subject) {
			return true
		}
	}
	return false
}

func pastWindow(first, o *Observation) bool {
	return o.Header.TimeMS >= first.Header.TimeMS && o.Header.TimeMS-first.Header.TimeMS >= OmissionWindowMS
}

func invalid(field, format string, args ...any) error {
	return refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, field, format, args...)
}
