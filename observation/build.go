package observation

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// Item is one transaction to be proven, with the leaves that prove it.
type Item struct {
	ID domain.Hash
	// Raw is the canonical Transaction to carry along, or nil.
	Raw []byte
	// Round of the leaves.
	Round uint32
	// Edges in any order. Where a node key has several, the one earliest in its chain is taken; of several signatures over
	// one header the lowest.
	Edges []Edge
}

// BuildProof makes the acceptance proof of some transactions, all by group g. links lead to g from a
// group that verifiers know; none where g is the group of genesis. An edge that does not belong is
// refused, by its place among the items. Signatures are not checked and the weight is not summed: Verify
// does both.
func BuildProof(g *group.Group, links []*Link, items []Item) (*Proof, error) {
	return build(Accepted, g, links, items)
}

// BuildCertificate makes the certificate of some transactions: as BuildProof, of PENDING leaves.
func BuildCertificate(g *group.Group, links []*Link, items []Item) (*Proof, error) {
	return build(Pending, g, links, items)
}

func build(state State, g *group.Group, links []*Link, items []Item) (*Proof, error) {
	p := &Proof{State: state, Network: g.Network(), GroupEpoch: g.Epoch(), Link: g.Link(), Links: links}
	b := builder{proof: p, group: g, places: map[order]*placed{}}
	chosen := make([][]Edge, len(items))
	for i := range items {
		var err error
		if chosen[i], err = b.choose(&items[i]); err != nil {
			return nil, refusal.Under(fmt.Sprintf("items[%d]", i), err)
		}
	}
	for i := range items {
		b.lower(items[i].Edges)
	}
	b.number()
	for i := range items {
		p.Transactions = append(p.Transactions, b.prove(&items[i], chosen[i]))
	}
	slices.SortFunc(p.Transactions, func(x, y ProvenTransaction) int { return x.ID.Compare(y.ID) })
	if err := p.check(); err != nil {
		return nil, err
	}
	return p, p.checkBounds()
}

// order is what observations of a proof are sorted and told apart by.
type order struct {
	key, signingEpoch uint32
	height            uint64
}

func (o *ProofObservation) order() order { return order{o.KeyIndex, o.SigningEpoch, o.Height} }

func compareOrder(a, b order) int {
	return cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(a.signingEpoch, b.signingEpoch), cmp.Compare(a.height, b.height))
}

// placed is an observation of the proof, its position known once all are.
type placed struct {
	header   Header
	entry    ProofObservation
	position uint32
}

type builder struct {
	proof  *Proof
	group  *group.Group
	places map[order]*placed
}

// choose checks the edges of an item and keeps one of each node key, by ascending key.
func (b *builder) choose(item *Item) ([]Edge, error) {
	if len(item.Raw) > 0 {
		if err := checkRaw(item.Raw, item.ID); err != nil {
			return nil, err
		}
	}
	edges := slices.Clone(item.Edges)
	slices.SortFunc(edges, func(x, y Edge) int {
		if c := cmp.Or(x.Header.Key.Compare(y.Header.Key),
			cmp.Compare(x.Header.Height, y.Header.Height), cmp.Compare(x.LeafIndex, y.LeafIndex)); c != 0 || x.Header == y.Header {
			return c
		}
		return x.Header.Hash().Compare(y.Header.Hash()) // of a liar that forked
	})
	for i := range item.Edges {
		if err := b.belongs(item, &item.Edges[i]); err != nil {
			return nil, refusal.Under(fmt.Sprintf("edges[%d]", i), err)
		}
	}
	edges = slices.CompactFunc(edges, func(x, y Edge) bool { return x.Header.Key == y.Header.Key })
	for i := range edges {
		if err := b.place(&edges[i]); err != nil {
			return nil, err
		}
	}
	return edges, nil
}

// belongs refuses an edge that Verify would refuse, but for its signature.
func (b *builder) belongs(item *Item, e *Edge) error {
	invalid := func(field, format string, args ...any) error {
		return refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, field, format, args...)
	}
	h := &e.Header
	voter, ok := b.group.Voter(h.Key)
	switch {
	case h.Network != b.group.Network():
		return refusal.New(notaryv1.Reason_REASON_WRONG_NETWORK, "header.network", "network %s", h.Network)
	case h.Link != b.group.Link() || h.GroupEpoch != b.group.Epoch():
		return invalid("header.link", "epoch %d, link %s", h.GroupEpoch, h.Link)
	case !ok:
		return invalid("header.key", "%s is no voter of the group", h.Key)
	case h.SigningEpoch != b.group.Voters()[voter].SigningEpoch:
		return invalid("header.signing_epoch", "signing epoch %d has no vote", h.SigningEpoch)
	case e.Leaf.Type != SubjectTx || e.Leaf.Subject != item.ID:
		return invalid("leaf.subject", "about %s", e.Leaf.Subject)
	case e.Leaf.State != b.proof.State:
		return invalid("leaf.state", "%s, want %s", e.Leaf.State, b.proof.State)
	case e.Leaf.Round != item.Round:
		return invalid("leaf.round", "round %d, want %d", e.Leaf.Round, item.Round)
	case !e.Included():
		return invalid("path", "does not lead to the root of the header")
	}
	return refusal.Under("header", h.check())
}

// place takes the observation of an edge into the proof, once.
func (b *builder) place(e *Edge) error {
	voter, _ := b.group.Voter(e.Header.Key)
	entry := ProofObservation{
		KeyIndex:     uint32(voter),
		SigningEpoch: e.Header.SigningEpoch,
		Height:       e.Header.Height,
		Previous:     e.Header.Previous,
		Root:         e.Header.Root,
		LeafCount:    e.Header.LeafCount,
		TimeMS:       e.Header.TimeMS,
		Signature:    e.Signature,
	}
	before, ok := b.places[entry.order()]
	switch {
	case !ok:
		b.places[entry.order()] = &placed{header: e.Header, entry: entry}
	case before.header != e.Header:
		return refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, "edges",
			"%s forked at height %d: prove the transactions of either branch apart", e.Header.Key, e.Header.Height)
	}
	return nil
}

// lower gives the observations of the proof the lowest of the signatures that came with edges, taken or not. A liar may
// sign one header in several ways; the choice must not depend on the order of items or edges.
func (b *builder) lower(edges []Edge) {
	for i := range edges {
		e := &edges[i]
		voter, _ := b.group.Voter(e.Header.Key)
		at := b.places[order{uint32(voter), e.Header.SigningEpoch, e.Header.Height}]
		if at != nil && at.header == e.Header && slices.Compare(e.Signature[:], at.entry.Signature[:]) < 0 {
			at.entry.Signature = e.Signature
		}
	}
}

// number sorts the observations and gives each its position.
func (b *builder) number() {
	all := make([]*placed, 0, len(b.places))
	for _, p := range b.places {
		all = append(all, p)
	}
	slices.SortFunc(all, func(x, y *placed) int { return compareOrder(x.entry.order(), y.entry.order()) })
	for i, p := range all {
		p.position = uint32(i)
		b.proof.Observations = append(b.proof.Observations, p.entry)
	}
}

func (b *builder) prove(item *Item, edges []Edge) ProvenTransaction {
	t := ProvenTransaction{ID: item.ID, Raw: item.Raw, Round: item.Round, Edges: make([]ProofEdge, len(edges))}
	for i := range edges {
		e := &edges[i]
		voter, _ := b.group.Voter(e.Header.Key)
		at := b.places[order{uint32(voter), e.Header.SigningEpoch, e.Header.Height}]
		t.Edges[i] = ProofEdge{Observation: at.position, LeafIndex: e.LeafIndex, TimeMS: e.Leaf.TimeMS, Path: e.Path}
	}
	return t
}

// checkBounds refuses what DecodeProof would.
func (p *Proof) checkBounds() error {
	schema := proofSchema
	if p.State == Pending {
		schema = certificateSchema
	}
	return schema.Check(p.Encode())
}
