// Package group holds who decides in one epoch and with what weight: peers, their node keys, and
// integer weights that sum to 1e9 (docs/spec/group.md). Quorums are counted with it everywhere,
// offline too.
package group

import (
	"bytes"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/notarynet/notaryd/proto/canonical"
	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// Limits of a group, as in group.proto.
const (
	MaxMembers    = 1024
	MaxMemberKeys = 32
	// MaxBytes bounds an encoded group, so that it fits a LINK output.
	MaxBytes = 196_608
)

// NodeKey is one signing key of a member, with the only signing epoch in which it votes.
type NodeKey struct {
	Key          domain.PublicKey
	SigningEpoch uint32
	// BLS is a compressed BLS12-381 public key of 48 bytes, or nil.
	BLS []byte
}

// Member is one peer of a group.
type Member struct {
	PeerID domain.Hash
	Weight Weight
	// Keys are strictly ascending.
	Keys []NodeKey
}

// Voter is one node key of a group with the share that its vote carries.
type Voter struct {
	NodeKey
	PeerID domain.Hash
	Share  Weight
}

// Group is immutable once made.
type Group struct {
	network  domain.Hash
	epoch    uint64
	previous domain.Hash
	members  []Member
	evidence []domain.Hash

	body   []byte
	link   domain.Hash
	voters []Voter // by ascending key
	index  map[domain.PublicKey]int
}

// New makes the group of an epoch. Members are sorted by peer id and their keys by key; previous is
// the link hash of the epoch before and zero for epoch 0. It is refused unless weights sum to Total,
// every member has a key and a weight, and no key or peer appears twice.
func New(network domain.Hash, epoch uint64, previous domain.Hash, members []Member, evidence []domain.Hash) (*Group, error) {
	g := &Group{network: network, epoch: epoch, previous: previous, evidence: slices.Clone(evidence)}
	for _, m := range members {
		m.Keys = slices.Clone(m.Keys)
		slices.SortFunc(m.Keys, func(a, b NodeKey) int { return a.Key.Compare(b.Key) })
		g.members = append(g.members, m)
	}
	slices.SortFunc(g.members, func(a, b Member) int { return a.PeerID.Compare(b.PeerID) })
	slices.SortFunc(g.evidence, domain.Hash.Compare)
	return g.finish()
}

// schema bounds and orders the encoding of a group.
var schema = canonical.MustCompile(&notaryv1.Group{}, MaxBytes)

// Decode reads the canonical encoding of a group.
func Decode(b []byte) (*Group, error) {
	var p notaryv1.Group
	if err := schema.Unmarshal(b, &p); err != nil {
		return nil, err
	}
	g := &Group{epoch: p.Epoch}
	var err error
	if g.network, err = domain.HashFrom(p.Network); err != nil {
		return nil, refusal.New(notaryv1.Reason_REASON_MISSING_FIELD, "network", "%v", err)
	}
	if len(p.Previous) != 0 {
		g.previous = domain.Hash(p.Previous)
	}
	if g.members, err = membersFrom(p.Members); err != nil {
		return nil, err
	}
	for _, e := range p.Evidence {
		h, err := domain.HashFrom(e)
		if err != nil {
			return nil, refusal.New(notaryv1.Reason_REASON_MISSING_FIELD, "evidence", "%v", err)
		}
		g.evidence = append(g.evidence, h)
	}
	if g, err = g.finish(); err != nil {
		return nil, err
	}
	if !bytes.Equal(g.body, b) {
		// Zeros stated for "none": a second encoding, and a second link hash, of one group.
		return nil, refusal.New(notaryv1.Reason_REASON_NON_CANONICAL, "previous", "zeros stated")
	}
	return g, nil
}

func membersFrom(in []*notaryv1.Member) ([]Member, error) {
	out := make([]Member, len(in))
	for i, p := range in {
		id, err := domain.HashFrom(p.PeerId)
		if err != nil {
			return nil, refusal.New(notaryv1.Reason_REASON_MISSING_FIELD, "members", "peer id: %v", err)
		}
		if p.Weight > uint64(Total) {
			return nil, invalid("members", "weight %d exceeds the whole", p.Weight)
		}
		m := Member{PeerID: id, Weight: Weight(p.Weight), Keys: make([]NodeKey, len(p.Keys))}
		for j, k := range p.Keys {
			key, err := domain.HashFrom(k.Key)
			if err != nil {
				return nil, refusal.New(notaryv1.Reason_REASON_MISSING_FIELD, "members", "node key: %v", err)
			}
			m.Keys[j] = NodeKey{Key: domain.PublicKey(key), SigningEpoch: k.SigningEpoch, BLS: k.BlsKey}
		}
		out[i] = m
	}
	return out, nil
}

func invalid(field, format string, args ...any) error {
	return refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, field, format, args...)
}

// finish checks the rules of a group and derives what is looked up.
func (g *Group) finish() (*Group, error) {
	if (g.epoch == 0) != g.previous.IsZero() {
		return nil, invalid("previous", "epoch 0 alone has no previous link")
	}
	if len(g.members) == 0 || len(g.members) > MaxMembers {
		return nil, invalid("members", "%d members, want 1 to %d", len(g.members), MaxMembers)
	}
	if !ascending(g.evidence, domain.Hash.Compare) {
		return nil, invalid("evidence", "not strictly ascending")
	}
	if !ascending(g.members, func(a, b Member) int { return a.PeerID.Compare(b.PeerID) }) {
		return nil, invalid("members", "not strictly ascending by peer id")
	}
	var sum Weight
	for _, m := range g.members {
		if err := checkMember(m); err != nil {
			return nil, err
		}
		sum += m.Weight
		g.voters = append(g.voters, shares(m)...)
	}
	if sum != Total {
		return nil, invalid("members", "weights sum to %d, want %d", sum, Total)
	}
	slices.SortFunc(g.voters, func(a, b Voter) int { return a.Key.Compare(b.Key) })
	g.index = make(map[domain.PublicKey]int, len(g.voters))
	for i, v := range g.voters {
		if _, twice := g.index[v.Key]; twice {
			return nil, invalid("members", "node key %s belongs to two members", v.Key)
		}
		g.index[v.Key] = i
	}
	return g, g.encode()
}

func checkMember(m Member) error {
	if m.Weight == 0 || m.Weight > Total {
		return invalid("members", "peer %s has weight %d", m.PeerID, m.Weight)
	}
	if len(m.Keys) == 0 || len(m.Keys) > MaxMemberKeys {
		return invalid("members", "peer %s has %d node keys, want 1 to %d", m.PeerID, len(m.Keys), MaxMemberKeys)
	}
	if !ascending(m.Keys, func(a, b NodeKey) int { return a.Key.Compare(b.Key) }) {
		return invalid("members", "node keys of %s are not strictly ascending", m.PeerID)
	}
	for _, k := range m.Keys {
		if len(k.BLS) != 0 && len(k.BLS) != 48 {
			return invalid("members", "BLS key of %d bytes", len(k.BLS))
		}
	}
	return nil
}

func ascending[T any](s []T, compare func(a, b T) int) bool {
	for i := 1; i < len(s); i++ {
		if compare(s[i-1], s[i]) >= 0 {
			return false
		}
	}
	return true
}

// shares splits a member's weight equally among its keys; the remainder goes to the lowest keys, one
// unit each.
func shares(m Member) []Voter {
	n := Weight(len(m.Keys))
	out := make([]Voter, len(m.Keys))
	for i, k := range m.Keys {
		share := m.Weight / n
		if Weight(i) < m.Weight%n {
			share++
		}
		out[i] = Voter{NodeKey: k, PeerID: m.PeerID, Share: share}
	}
	return out
}

func (m *Member) proto() *notaryv1.Member {
	p := &notaryv1.Member{PeerId: m.PeerID[:], Weight: uint64(m.Weight)}
	for i := range m.Keys {
		k := &m.Keys[i]
		p.Keys = append(p.Keys, &notaryv1.NodeKey{Key: k.Key[:], SigningEpoch: k.SigningEpoch, BlsKey: k.BLS})
	}
	return p
}

func (g *Group) encode() error {
	p := &notaryv1.Group{Network: g.network[:], Epoch: g.epoch}
	if !g.previous.IsZero() {
		p.Previous = g.previous[:]
	}
	for i := range g.members {
		p.Members = append(p.Members, g.members[i].proto())
	}
	for _, e := range g.evidence {
		p.Evidence = append(p.Evidence, e[:])
	}
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(p)
	if err != nil {
		return err
	}
	if len(b) > MaxBytes {
		return refusal.New(notaryv1.Reason_REASON_LIMIT_EXCEEDED, "members", "group of %d bytes, at most %d", len(b), MaxBytes)
	}
	g.body, g.link = b, domain.Sum(domain.TagLink, b)
	return nil
}

// Network is the network id.
func (g *Group) Network() domain.Hash { return g.network }

// Epoch counts links; epoch 0 is the genesis seed list.
func (g *Group) Epoch() uint64 { return g.epoch }

// Previous is the link hash of the epoch before; zero for epoch 0.
func (g *Group) Previous() domain.Hash { return g.previous }

// Link is H("notary/link/v1", encoding): what votes name as the group they are counted with.
func (g *Group) Link() domain.Hash { return g.link }

// Bytes is the canonical encoding. Not to be changed.
func (g *Group) Bytes() []byte { return g.body }

// Members are the peers, by ascending peer id. Not to be changed.
func (g *Group) Members() []Member { return g.members }

// Evidence are the hashes of the evidence that this group acts on. Not to be changed.
func (g *Group) Evidence() []domain.Hash { return g.evidence }

// Voters are all node keys, ascending by key, with the share of each. Positions in it are what
// proofs and tallies name keys by. Not to be changed.
func (g *Group) Voters() []Voter { return g.voters }

// Voter is the position of a node key among Voters.
func (g *Group) Voter(key domain.PublicKey) (int, bool) {
	i, ok := g.index[key]
	return i, ok
}

// Share is the weight of a node key; 0 where it has none.
func (g *Group) Share(key domain.PublicKey) Weight {
	if i, ok := g.index[key]; ok {
		return g.voters[i].Share
	}
	return 0
}
