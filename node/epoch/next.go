package epoch

import (
	"errors"
	"slices"

	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
	"github.com/notarynet/notaryd/trust"
)

// Next is the group that follows.
//
// With convictions it acts on evidence, and only removes: the convicted members leave at once, the others
// keep their keys and their weights relative to each other, and nothing may be read. Without, it is the
// present group moved towards the aggregate of its members' relative vectors by at most trust.DefaultStep,
// with the keys that the cut gives. Peers that have revoked all keys leave at once, as the convicted do.
func (s *State) Next(read []*group.Peer, convictions []Conviction) (*group.Group, error) {
	if len(convictions) > 0 {
		return s.without(read, convictions)
	}
	m, err := s.moved(read)
	return m.group, err
}

// move is what labels and keys make of a group.
type move struct {
	group *group.Group
	keys  keyring // of everybody who could be in it
	// trusted reports whether labels give a peer anything, however little. Who is in and who is out does not depend on how sums are
	// rounded, unlike how much.
	trusted func(peer domain.Hash) bool
}

// moved is the next group by labels and keys.
func (s *State) moved(read []*group.Peer) (m move, err error) {
	cut, err := s.overlaid(read)
	if err != nil {
		return m, err
	}
	m.keys = s.keysBy(cut)
	shares := trust.Remove(sharesOf(s.group), s.keyless(m.keys))
	if len(shares) == 0 {
		return m, wrong("nobody has a key left")
	}
	a, err := s.aggregate(cut)
	if err != nil {
		return m, err
	}
	m.trusted = func(peer domain.Hash) bool { return a != nil && a.Trusts(peer) }
	if target := s.target(a, m.keys); len(target) > 0 {
		shares = trust.Step(shares, target, trust.DefaultStep, group.MaxMembers)
	}
	m.group, m.keys, err = s.fitting(shares, m.keys)
	return m, err
}

// without removes the members that evidence convicts.
func (s *State) without(read []*group.Peer, convictions []Conviction) (*group.Group, error) {
	if len(read) > 0 {
		return nil, wrong("a link that acts on evidence reads no metadata")
	}
	var gone, evidence []domain.Hash
	for _, c := range convictions {
		peer, known := s.owner[c.Key]
		switch {
		case !known || !s.isMember(peer):
			return nil, wrong("evidence %s is of no member", c.Evidence)
		case slices.Contains(gone, peer):
			return nil, wrong("evidence %s is of a member that other evidence removes", c.Evidence)
		}
		gone, evidence = append(gone, peer), append(evidence, c.Evidence)
	}
	left := trust.Remove(sharesOf(s.group), gone)
	if len(left) == 0 {
		return nil, wrong("nobody is left")
	}
	members := make([]group.Member, len(left))
	for i, share := range left {
		members[i] = group.Member{PeerID: share.Peer, Weight: share.Weight, Keys: s.presentKeys(share.Peer)}
	}
	return group.New(s.group.Network(), s.group.Epoch()+1, s.group.Link(), members, evidence)
}

func (s *State) isMember(peer domain.Hash) bool { return s.presentKeys(peer) != nil }

// presentKeys are the keys of a member of the present group; nil for others.
func (s *State) presentKeys(peer domain.Hash) []group.NodeKey {
	members := s.group.Members()
	at, found := slices.BinarySearchFunc(members, peer, func(m group.Member, id domain.Hash) int { return m.PeerID.Compare(id) })
	if !found {
		return nil
	}
	return members[at].Keys
}

// aggregate is the average of the members' views; nil where nobody trusts anybody.
func (s *State) aggregate(cut map[domain.Hash]*group.Peer) (*trust.Aggregate, error) {
	members := s.Shares()
	n, err := s.network(cut, members)
	if err != nil {
		return nil, err
	}
	a, err := n.Aggregate(members)
	if errors.Is(err, trust.ErrNoTrust) {
		return nil, nil
	}
	return a, err
}

// target is where weights would end if links could move them at once; empty where nobody trusts anybody
// who may be a member.
func (s *State) target(a *trust.Aggregate, keys keyring) []trust.Share {
	if a == nil {
		return nil
	}
	may := func(peer domain.Hash) bool { return len(keys[peer]) > 0 && !s.convicted[peer] }
	return trust.Elect(a.Weights(), may, group.MaxMembers)
}

// Network is what a link that reads some metadata is judged by: the labels that are heard for the present members, under the setting of all
// links. For margins and simulations.
func (s *State) Network(read []*group.Peer) (*trust.Network, error) {
	cut, err := s.overlaid(read)
	if err != nil {
		return nil, err
	}
	return s.network(cut, s.Shares())
}

// NetworkOf is the same for one peer, as if it were the only member: for its own vector, and what that rests on. A peer that is no seed
// and has published nothing is not in it.
func (s *State) NetworkOf(peer domain.Hash, read []*group.Peer) (*trust.Network, error) {
	cut, err := s.overlaid(read)
	if err != nil {
		return nil, err
	}
	var members []trust.Share
	if cut[peer] != nil {
		members = []trust.Share{{Peer: peer, Weight: group.Total}}
	}
	return s.network(cut, members)
}

func (s *State) network(cut map[domain.Hash]*group.Peer, members []trust.Share) (*trust.Network, error) {
	g, err := s.hear(cut, members).graph()
	if err != nil {
		return nil, err
	}
	setting := trust.DefaultSetting()
	setting.Seeds, setting.Convicted = s.seeds, s.Convicted()
	return trust.New(g, setting)
}

// keyring is the node keys of every peer that may be a member, none empty.
type keyring map[domain.Hash][]group.NodeKey

// keysBy are the keys of members and of peers in a cut. A peer has those of its metadata; a member that no
// link has read any of keeps those it has. A key that several peers list belongs to the one in whose name it
// came first.
func (s *State) keysBy(cut map[domain.Hash]*group.Peer) keyring {
	owner := func(key domain.PublicKey) (domain.Hash, bool) {
		peer, known := s.owner[key]
		return peer, known
	}
	// Keys new to everybody that two peers of this cut list go to the lower id.
	fresh := make(map[domain.PublicKey]domain.Hash)
	for id, p := range cut {
		for i := range p.Keys {
			key := p.Keys[i].Key
			if _, known := owner(key); known {
				continue
			}
			if other, twice := fresh[key]; !twice || id.Compare(other) < 0 {
				fresh[key] = id
			}
		}
	}
	out := make(keyring, len(cut)+len(s.group.Members()))
	for _, m := range s.group.Members() {
		if cut[m.PeerID] == nil {
			out[m.PeerID] = m.Keys
		}
	}
	for id, p := range cut {
		var keys []group.NodeKey
		for i := range p.Keys {
			peer, known := owner(p.Keys[i].Key)
			if !known {
				peer = fresh[p.Keys[i].Key]
			}
			if peer == id {
				keys = append(keys, p.Keys[i].NodeKey)
			}
		}
		if len(keys) > 0 {
			out[id] = keys
		}
	}
	return out
}

// keyless are the members that have revoked all their keys.
func (s *State) keyless(keys keyring) []domain.Hash {
	var out []domain.Hash
	for _, m := range s.group.Members() {
		if len(keys[m.PeerID]) == 0 {
			out = append(out, m.PeerID)
		}
	}
	return out
}

// fitting is the group of some shares, and the keys it took. Where the encoding would not fit a
// transaction, each peer has the lowest half of its keys, and so on: one each always fits.
func (s *State) fitting(shares []trust.Share, keys keyring) (*group.Group, keyring, error) {
	for most := group.MaxMemberKeys; ; most /= 2 {
		keys = keys.atMost(most)
		members := make([]group.Member, len(shares))
		for i, share := range shares {
			members[i] = group.Member{PeerID: share.Peer, Weight: share.Weight, Keys: keys[share.Peer]}
		}
		g, err := group.New(s.group.Network(), s.group.Epoch()+1, s.group.Link(), members, nil)
		if most > 1 && errors.Is(err, refusal.Because(notaryv1.Reason_REASON_LIMIT_EXCEEDED)) {
			continue
		}
		return g, keys, err
	}
}

func (k keyring) atMost(most int) keyring {
	out := make(keyring, len(k))
	for peer, keys := range k {
		out[peer] = keys[:min(most, len(keys))]
	}
	return out
}

func wrong(format string, args ...any) error {
	return refusal.New(notaryv1.Reason_REASON_WRONG_GROUP, "outputs[0].data.payload", format, args...)
}
