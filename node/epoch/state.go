package epoch

import (
	"maps"
	"slices"

	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
	"github.com/notarynet/notaryd/trust"
)

// State is what the links so far have come to. Immutable.
type State struct {
	group *group.Group
	// seeds are the bias of every vector: the members of epoch 0.
	seeds []trust.Share
	// cut is the newest metadata that a link has read of each peer.
	cut map[domain.Hash]*group.Peer
	// convicted are the peers that links have removed, for good.
	convicted map[domain.Hash]bool
	// owner is the peer of every node key that was ever in a group or read by a link: a key that has been
	// rotated out convicts its peer all the same.
	owner map[domain.PublicKey]domain.Hash
}

// Start is the state before the first link: the group of epoch 0, and nothing read.
func Start(genesis *group.Group) *State {
	s := &State{
		group: genesis, seeds: sharesOf(genesis),
		cut: map[domain.Hash]*group.Peer{}, convicted: map[domain.Hash]bool{}, owner: map[domain.PublicKey]domain.Hash{},
	}
	s.own(genesis, nil)
	return s
}

// Group is the present group.
func (s *State) Group() *group.Group { return s.group }

// Shares are the members of the present group with their weights.
func (s *State) Shares() []trust.Share { return sharesOf(s.group) }

// Seeds are the members of epoch 0 with their weights: the bias of every vector.
func (s *State) Seeds() []trust.Share { return slices.Clone(s.seeds) }

// Read is the newest metadata of a peer that a link has read; nil where none has.
func (s *State) Read(peer domain.Hash) *group.Peer { return s.cut[peer] }

// Convicted are the peers that links have removed, ascending.
func (s *State) Convicted() []domain.Hash {
	return slices.SortedFunc(maps.Keys(s.convicted), domain.Hash.Compare)
}

// PeerOf is the peer of a node key that is or was in a group, or that a link has read.
func (s *State) PeerOf(key domain.PublicKey) (domain.Hash, bool) {
	peer, ok := s.owner[key]
	return peer, ok
}

// Conviction is evidence and the node key that it convicts. A pair that the state knows no peer for
// convicts nobody yet.
type Conviction struct {
	Evidence domain.Hash
	Key      domain.PublicKey
}

// After is the state once a link is final: its group and what it read, in any order. It does not judge.
// Whom a link leaves out that lists evidence is convicted.
func (s *State) After(link *group.Group, read []*group.Peer) *State {
	next := &State{
		group: link, seeds: s.seeds,
		cut: maps.Clone(s.cut), convicted: maps.Clone(s.convicted), owner: maps.Clone(s.owner),
	}
	for _, p := range read {
		if old := next.cut[p.ID]; old == nil || old.Version < p.Version {
			next.cut[p.ID] = p
		}
	}
	if len(link.Evidence()) > 0 {
		for _, peer := range s.leftOut(link) {
			next.convicted[peer] = true
		}
	}
	next.own(link, read)
	return next
}

// own enters node keys that nobody had before. The first peer of a key stays its peer.
func (s *State) own(g *group.Group, read []*group.Peer) {
	enter := func(key domain.PublicKey, peer domain.Hash) {
		if _, known := s.owner[key]; !known {
			s.owner[key] = peer
		}
	}
	for _, m := range g.Members() {
		for _, k := range m.Keys {
			enter(k.Key, m.PeerID)
		}
	}
	for _, p := range slices.SortedFunc(slices.Values(read), byID) {
		for i := range p.Keys {
			enter(p.Keys[i].Key, p.ID)
		}
	}
}

func byID(a, b *group.Peer) int { return a.ID.Compare(b.ID) }

// overlaid is the cut after what a link reads. It refuses a version older than one already read: whoever
// proposes must not turn back time (STALE_CUT).
func (s *State) overlaid(read []*group.Peer) (map[domain.Hash]*group.Peer, error) {
	out := maps.Clone(s.cut)
	for _, p := range read {
		if old := out[p.ID]; old != nil && old.Version > p.Version {
			return nil, refusal.New(notaryv1.Reason_REASON_STALE_CUT, "inputs", "version %d of %s, a link has read %d", p.Version, p.ID, old.Version)
		}
		out[p.ID] = p
	}
	return out, nil
}

func sharesOf(g *group.Group) []trust.Share {
	out := make([]trust.Share, len(g.Members()))
	for i, m := range g.Members() {
		out[i] = trust.Share{Peer: m.PeerID, Weight: m.Weight}
	}
	return out
}
