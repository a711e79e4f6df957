package observation

import (
	"fmt"

	"github.com/notarynet/notaryd/proto/canonical"
	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

var (
	proofSchema       = canonical.MustCompile(&notaryv1.AcceptanceProof{}, MaxProofBytes)
	certificateSchema = canonical.MustCompile(&notaryv1.Certificate{}, MaxCertificateBytes+8)
)

// Limits narrow what a decoder of proofs accepts, for those who pay for verifying what others send. A
// zero keeps the limit of the protocol.
type Limits struct {
	// MaxBytes of the canonical encoding.
	MaxBytes int
	// MaxObservations bounds the signatures to verify, those of links included.
	MaxObservations int
	// MaxLinks bounds the links.
	MaxLinks int
	// MaxTransactions bounds the transactions proven.
	MaxTransactions int
}

func (l Limits) maxBytes(most int) int { return narrow(l.MaxBytes, most) }

func narrow(limit, most int) int {
	if limit <= 0 || limit > most {
		return most
	}
	return limit
}

// DecodeProof reads the canonical encoding of an AcceptanceProof and checks all that needs no group:
// encoding, order, references. Memory stays within a small multiple of the input, since each element is
// checked before the next is read. The proof keeps b.
func DecodeProof(b []byte, limits Limits) (*Proof, error) {
	return decode(Accepted, b, limits)
}

// DecodeCertificate reads the canonical encoding of a Certificate, as DecodeProof does.
func DecodeCertificate(b []byte, limits Limits) (*Proof, error) {
	if most := limits.maxBytes(certificateSchema.MaxBytes()); len(b) > most {
		return nil, tooLarge(b, most)
	}
	if err := certificateSchema.Check(b); err != nil {
		return nil, err
	}
	for f := range canonical.Fields(b) {
		p, err := decode(Pending, f.Bytes, limits)
		if err != nil {
			return nil, refusal.Under("quorum", err)
		}
		return p, nil
	}
	return nil, missing("quorum")
}

func tooLarge(b []byte, most int) error {
	return refusal.New(notaryv1.Reason_REASON_TOO_LARGE, "", "%d bytes, at most %d", len(b), most)
}

func decode(state State, b []byte, limits Limits) (*Proof, error) {
	if most := limits.maxBytes(MaxProofBytes); len(b) > most {
		return nil, tooLarge(b, most)
	}
	return decodeQuorum(state, b, limits, true)
}

// decodeQuorum reads an AcceptanceProof of some state, with links or refusing them at once.
func decodeQuorum(state State, b []byte, limits Limits, links bool) (*Proof, error) {
	if err := proofSchema.Check(b); err != nil {
		return nil, err
	}
	p := &Proof{State: state}
	signatures := narrow(limits.MaxObservations, MaxProofItems) // that may still come
	var network, link bool
	for f := range canonical.Fields(b) {
		var err error
		switch f.Number {
		case 1:
			p.Network, network = domain.Hash(f.Bytes), true
		case 2:
			p.GroupEpoch = f.Value
		case 3:
			p.Link, link = domain.Hash(f.Bytes), true
		case 4:
			if !links {
				return nil, refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, "links", "a link's proof holds no links of its own")
			}
			signatures, err = p.decodeLink(f.Bytes, limits, signatures)
		case 5:
			err = p.decodeObservation(f.Bytes, signatures)
		case 6:
			err = p.decodeTransaction(f.Bytes, limits)
		}
		if err != nil {
			return nil, err
		}
	}
	if !network {
		return nil, missing("network")
	}
	if !link {
		return nil, missing("link")
	}
	if err := p.checkLinks(); err != nil {
		return nil, err
	}
	return p, p.checkWhole()
}

// decodeLink reads the next link. Its signatures count against the limit of the whole, of which it
// returns what is left.
func (p *Proof) decodeLink(b []byte, limits Limits, signatures int) (int, error) {
	i := len(p.Links)
	if i == narrow(limits.MaxLinks, MaxLinks) {
		return 0, refusal.New(notaryv1.Reason_REASON_LIMIT_EXCEEDED, "links", "more than %d elements", i)
	}
	l, err := DecodeLink(b, Limits{MaxObservations: limits.MaxObservations})
	if err != nil {
		return 0, refusal.Under(fmt.Sprintf("links[%d]", i), err)
	}
	p.Links = append(p.Links, l)
	if l.Proof == nil {
		return signatures, nil
	}
	if signatures -= len(l.Proof.Observations); signatures < 0 {
		return 0, refusal.New(notaryv1.Reason_REASON_LIMIT_EXCEEDED, fmt.Sprintf("links[%d].proof.observations", i), "too many signatures in all")
	}
	return signatures, nil
}

// decodeObservation reads the next observation of at most the number given.
func (p *Proof) decodeObservation(b []byte, most int) error {
	i := len(p.Observations)
	if i == most {
		return refusal.New(notaryv1.Reason_REASON_LIMIT_EXCEEDED, "observations", "more than %d elements", i)
	}
	var o ProofObservation
	var previous, root, signature []byte
	for f := range canonical.Fields(b) {
		switch f.Number {
		case 1:
			o.KeyIndex = uint32(f.Value)
		case 2:
			o.SigningEpoch = uint32(f.Value)
		case 3:
			o.Height = f.Value
		case 4:
			previous = f.Bytes
		case 5:
			root = f.Bytes
		case 6:
			o.LeafCount = uint32(f.Value)
		case 7:
			o.TimeMS = f.Value
		case 8:
			signature = f.Bytes
		}
	}
	at := func(field string) string { return fmt.Sprintf("observations[%d].%s", i, field) }
	switch {
	case root == nil:
		return missing(at("root"))
	case signature == nil:
		return missing(at("signature"))
	}
	o.Root, o.Signature = domain.Hash(root), domain.Signature(signature)
	if previous != nil {
		o.Previous = domain.Hash(previous)
		if o.Previous.IsZero() {
			return refusal.New(notaryv1.Reason_REASON_NON_CANONICAL, at("previous"), "zero is left out")
		}
	}
	p.Observations = append(p.Observations, o)
	return p.checkObservation(i)
}

func (p *Proof) decodeTransaction(b []byte, limits Limits) error {
	i := len(p.Transactions)
	if i == narrow(limits.MaxTransactions, MaxProofItems) {
		return refusal.New(notaryv1.Reason_REASON_LIMIT_EXCEEDED, "transactions", "more than %d elements", i)
	}
	var t ProvenTransaction
	var id []byte
	for f := range canonical.Fields(b) {
		switch f.Number {
		case 1:
			id = f.Bytes
		case 2:
			t.Raw = f.Bytes
		case 3:
			t.Round = uint32(f.Value)
		case 4:
			t.Edges = append(t.Edges, decodeEdge(f.Bytes))
			// Here and not below: edges of two bytes must not become millions of structs.
			if err := p.checkEdge(&t, len(t.Edges)-1); err != nil {
				return refusal.Under(fmt.Sprintf("transactions[%d]", i), err)
			}
		}
	}
	if id == nil {
		return missing(fmt.Sprintf("transactions[%d].transaction_id", i))
	}
	t.ID = domain.Hash(id)
	p.Transactions = append(p.Transactions, t)
	return p.checkTransaction(i)
}

func decodeEdge(b []byte) (e ProofEdge) {
	for f := range canonical.Fields(b) {
		switch f.Number {
		case 1:
			e.Observation = uint32(f.Value)
		case 2:
			e.LeafIndex = uint32(f.Value)
		case 3:
			e.TimeMS = f.Value
		case 4:
			e.Path = f.Bytes
		}
	}
	return e
}
