package observation

import (
	"fmt"

	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// Bounds of a proof, as in observation.proto.
const (
	// MaxProofBytes bounds an encoded acceptance proof.
	MaxProofBytes = 16 << 20
	// MaxCertificateBytes bounds the quorum within an encoded certificate.
	MaxCertificateBytes = 1 << 20
	// MaxProofItems bounds the observations and the transactions of a proof, and the edges of a transaction.
	MaxProofItems = 65_536
	// MaxTransactionBytes bounds a transaction that a proof carries.
	MaxTransactionBytes = 262_144
)

// Proof shows offline that more than 2/3 of a group's weight signed one state of some transactions, each
// in one round: an acceptance proof where State is Accepted, a certificate where it is Pending. What all
// edges share is stated once (docs/spec/proof.md). It shares memory with what it was decoded from.
type Proof struct {
	// State of every leaf: Accepted or Pending.
	State   State
	Network domain.Hash
	// GroupEpoch and Link name the group that signed.
	GroupEpoch uint64
	Link       domain.Hash
	// Links lead from a group that the verifier knows to Link, oldest first.
	Links []*Link
	// Observations are strictly ascending by (KeyIndex, SigningEpoch, Height); every one has an edge.
	Observations []ProofObservation
	// Transactions are strictly ascending by id.
	Transactions []ProvenTransaction
}

// ProofObservation is a signed header less what the proof states for all.
type ProofObservation struct {
	// KeyIndex is the position of the node key among the voters of the group.
	KeyIndex       uint32
	SigningEpoch   uint32
	Height         uint64
	Previous, Root domain.Hash
	LeafCount      uint32
	TimeMS         uint64
	Signature      domain.Signature
}

// ProvenTransaction is one transaction and the edges that prove it.
type ProvenTransaction struct {
	ID domain.Hash
	// Raw is the canonical Transaction, or nil. Its body hashes to ID; its witnesses are no part of what
	// is proven.
	Raw []byte
	// Round of all its leaves.
	Round uint32
	// Edges are strictly ascending by observation and by node key.
	Edges []ProofEdge
}

// ProofEdge places the leaf of a transaction in an observation of the proof.
type ProofEdge struct {
	// Observation is a position among the observations of the proof.
	Observation uint32
	LeafIndex   uint32
	// TimeMS is the time that the leaf states, Unix milliseconds.
	TimeMS uint64
	// Path is the audit path, its nodes concatenated.
	Path []byte
}

// header rebuilds what was signed.
func (p *Proof) header(o *ProofObservation, key domain.PublicKey) Header {
	return Header{
		Network:      p.Network,
		Key:          key,
		SigningEpoch: o.SigningEpoch,
		Height:       o.Height,
		Previous:     o.Previous,
		GroupEpoch:   p.GroupEpoch,
		Link:         p.Link,
		Root:         o.Root,
		LeafCount:    o.LeafCount,
		TimeMS:       o.TimeMS,
	}
}

// leaf rebuilds the leaf of an edge.
func (p *Proof) leaf(t *ProvenTransaction, e *ProofEdge) Leaf {
	return Leaf{Subject: t.ID, Type: SubjectTx, State: p.State, Round: t.Round, TimeMS: e.TimeMS}
}

// Edges are the edges of the i-th transaction, complete again: what a store keeps of a proof that
// arrived. The group must be the one that the proof names, and the proof verified.
func (p *Proof) Edges(g *group.Group, i int) []Edge {
	t := &p.Transactions[i]
	edges := make([]Edge, len(t.Edges))
	for j := range t.Edges {
		e := &t.Edges[j]
		o := &p.Observations[e.Observation]
		edges[j] = Edge{
			Header:    p.header(o, g.Voters()[o.KeyIndex].Key),
			Signature: o.Signature,
			LeafIndex: e.LeafIndex,
			Leaf:      p.leaf(t, e),
			Path:      e.Path,
		}
	}
	return edges
}

// check holds the rules that need no group: order, references, bounds of numbers.
func (p *Proof) check() error {
	if p.State != Accepted && p.State != Pending {
		return refusal.New(notaryv1.Reason_REASON_UNKNOWN_KIND, "state", "%s proves nothing", p.State)
	}
	for i := range p.Observations {
		if err := p.checkObservation(i); err != nil {
			return err
		}
	}
	for i := range p.Transactions {
		if err := p.checkTransaction(i); err != nil {
			return err
		}
	}
	if err := p.checkLinks(); err != nil {
		return err
	}
	return p.checkWhole()
}

// checkWhole holds what shows only at the end: something is proven, and no observation is idle.
func (p *Proof) checkWhole() error {
	if len(p.Transactions) == 0 {
		return missing("transactions")
	}
	used := make([]bool, len(p.Observations))
	for i := range p.Transactions {
		for _, e := range p.Transactions[i].Edges {
			used[e.Observation] = true
		}
	}
	for i, u := range used {
		if !u {
			return refusal.New(notaryv1.Reason_REASON_NON_CANONICAL, fmt.Sprintf("observations[%d]", i), "no edge refers to it")
		}
	}
	return nil
}

func (p *Proof) checkObservation(i int) error {
	o := &p.Observations[i]
	at := func() string { return fmt.Sprintf("observations[%d]", i) }
	if i > 0 && o.compare(&p.Observations[i-1]) <= 0 {
		return refusal.New(notaryv1.Reason_REASON_NON_CANONICAL, at(), "not above the one before by key, signing epoch and height")
	}
	h := p.header(o, domain.PublicKey{})
	if err := h.check(); err != nil {
		return refusal.Under(at(), err)
	}
	return nil
}

func (p *Proof) checkTransaction(i int) error {
	t := &p.Transactions[i]
	if i > 0 && t.ID.Compare(p.Transactions[i-1].ID) <= 0 {
		return refusal.New(notaryv1.Reason_REASON_NON_CANONICAL, fmt.Sprintf("transactions[%d].transaction_id", i), "not above the one before")
	}
	if len(t.Edges) == 0 {
		return missing(fmt.Sprintf("transactions[%d].edges", i))
	}
	for j := range t.Edges {
		if err := p.checkEdge(t, j); err != nil {
			return refusal.Under(fmt.Sprintf("transactions[%d]", i), err)
		}
	}
	return nil
}

// checkEdge refuses a reference to nothing and a node key that was counted already: observations are
// ordered by key, so ascending keys make them distinct.
func (p *Proof) checkEdge(t *ProvenTransaction, j int) error {
	e := &t.Edges[j]
	at := func(field string) string { return fmt.Sprintf("edges[%d].%s", j, field) }
	if int64(e.Observation) >= int64(len(p.Observations)) {
		return refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, at("observation"), "there is no observation %d", e.Observation)
	}
	o := &p.Observations[e.Observation]
	if j > 0 {
		before := t.Edges[j-1].Observation
		switch {
		case e.Observation <= before:
			return refusal.New(notaryv1.Reason_REASON_NON_CANONICAL, at("observation"), "not above the edge before")
		case o.KeyIndex == p.Observations[before].KeyIndex:
			return refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, at("observation"), "node key %d twice", o.KeyIndex)
		}
	}
	if e.LeafIndex >= o.LeafCount {
		return refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, at("leaf_index"), "leaf %d of %d", e.LeafIndex, o.LeafCount)
	}
	if len(e.Path)%domain.Size != 0 || len(e.Path) > maxPathNodes*domain.Size {
		return refusal.New(notaryv1.Reason_REASON_MALFORMED, at("path"), "%d bytes", len(e.Path))
	}
	return nil
}

// compare orders observations by key, signing epoch, height.
func (o *ProofObservation) compare(b *ProofObservation) int {
	return compareOrder(o.order(), b.order())
}
