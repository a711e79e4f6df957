package observation

import (
	"maps"

	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// Root is what a verifier knows before it sees a proof.
type Root struct {
	// Groups of one network that are trusted as they are, by link hash: that of genesis at least.
	Groups map[domain.Hash]*group.Group
	// Outputs that hold these groups, by link hash, as far as they are known: the next link is held to
	// spend them.
	Outputs map[domain.Hash]GroupOutput
	// Own is the verifier's own trust, reported beside the verdict; nil for none.
	Own *OwnTrust
	// VerifyBatch verifies many signatures at once; nil verifies one by one. It must return the verdicts
	// of domain.Check.Verify, as domain.VerifyBatch does.
	VerifyBatch func([]domain.Check) []bool
}

// OwnTrust is the verifier's own view of the peers. It never decides validity.
type OwnTrust struct {
	// Weights by peer id; their sum is at most group.Total.
	Weights map[domain.Hash]group.Weight
	// Threshold that the trust behind a proof should reach.
	Threshold group.Weight
}

// NewRoot trusts the groups given, all of one network.
func NewRoot(groups ...*group.Group) Root {
	r := Root{Groups: make(map[domain.Hash]*group.Group, len(groups)), Outputs: map[domain.Hash]GroupOutput{}}
	for _, g := range groups {
		r.Groups[g.Link()] = g
	}
	return r
}

// GenesisRoot trusts a genesis document.
func GenesisRoot(g *group.Genesis) Root {
	return NewRoot().With(Anchor{Group: g.Group, Output: GroupOutput{Transaction: g.ID, Index: g.LinkIndex()}})
}

// Anchor is a group that a verifier knows to be that of its epoch.
type Anchor struct {
	Group *group.Group
	// Output that holds the group; zero where that is not known, as of a group that was vouched for.
	Output GroupOutput
}

// With is a root that trusts further groups too, such as Verdict.Anchors: later proofs need no links to
// them.
func (r Root) With(anchors ...Anchor) Root {
	groups, outputs := make(map[domain.Hash]*group.Group, len(r.Groups)+len(anchors)), make(map[domain.Hash]GroupOutput, len(r.Outputs)+len(anchors))
	maps.Copy(groups, r.Groups)
	maps.Copy(outputs, r.Outputs)
	for _, a := range anchors {
		groups[a.Group.Link()] = a.Group
		if !a.Output.Transaction.IsZero() {
			outputs[a.Group.Link()] = a.Output
		}
	}
	r.Groups, r.Outputs = groups, outputs
	return r
}

// Latest is the group of the highest epoch known; nil where none is.
func (r *Root) Latest() (latest *group.Group) {
	for _, g := range r.Groups {
		// At equal epochs the lower link hash, so that no map's order decides.
		if latest == nil || g.Epoch() > latest.Epoch() || g.Epoch() == latest.Epoch() && g.Link().Compare(latest.Link()) < 0 {
			latest = g
		}
	}
	return latest
}

// valid refuses own weights that exceed the whole.
func (o *OwnTrust) valid() error {
	if o == nil {
		return nil
	}
	var sum group.Weight
	for _, w := range o.Weights {
		// Order does not matter: either some weight or some sum exceeds the whole in any order, as sums
		// only grow and two weights of at most the whole cannot overflow.
		if w > group.Total || sum+w > group.Total {
			return refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, "own", "own trust exceeds %d", group.Total)
		}
		sum += w
	}
	return nil
}

func (r *Root) checkNetwork(p *Proof) error {
	for _, g := range r.Groups {
		if g.Network() == p.Network {
			return nil
		}
	}
	if len(r.Groups) == 0 {
		return nil
	}
	return refusal.New(notaryv1.Reason_REASON_WRONG_NETWORK, "network", "network %s is not the one known here", p.Network)
}
