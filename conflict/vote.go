package conflict

import (
	"cmp"

	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
)

// Vote is one leaf about a transaction, placed in the chain of the node key that signed it. Whoever
// makes a Vote has checked the signature and the root of its observation.
type Vote struct {
	Tx    domain.Hash
	State observation.State
	Round uint32
	// Group is the group of the epoch that the header names.
	Group *group.Group
	// Voter is the position of the node key in Group.Voters().
	Voter int
	// SigningEpoch, Height and Leaf place the vote in the voter's chain.
	SigningEpoch uint32
	Height       uint64
	Leaf         uint32
	// TimeMS is when the voter says it voted, Unix milliseconds.
	TimeMS uint64
}

// Key is the node key that voted.
func (v *Vote) Key() domain.PublicKey { return v.Group.Voters()[v.Voter].Key }

// counts reports whether the vote has weight at all: a state that is counted, a voter of the group, and
// the only signing epoch in which that key votes.
func (v *Vote) counts() bool {
	if v.State < observation.Pending || v.State > observation.Abstain || v.Group == nil {
		return false
	}
	voters := v.Group.Voters()
	return v.Voter >= 0 && v.Voter < len(voters) && voters[v.Voter].SigningEpoch == v.SigningEpoch
}

// compareVotes orders the votes of one transaction: by epoch, link, round, state and voter.
func compareVotes(a, b Vote) int {
	if c := compareGroups(a.Group, b.Group); c != 0 {
		return c
	}
	return cmp.Or(cmp.Compare(a.Round, b.Round), cmp.Compare(a.State, b.State), cmp.Compare(a.Voter, b.Voter))
}

// compareGroups orders groups by epoch, then link hash.
func compareGroups(a, b *group.Group) int {
	if a == b {
		return 0
	}
	if c := cmp.Compare(a.Epoch(), b.Epoch()); c != 0 {
		return c
	}
	return a.Link().Compare(b.Link())
}
