package observation

import (
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// Root is what a verifier knows before it sees a proof.
type Root struct {
	// Groups of one network that are trusted as they are, by link hash: that of genesis at least.
	Groups map[domain.Hash]*group.Group
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
	r := Root{Groups: make(map[domain.Hash]*group.Group, len(groups))}
	for _, g := range groups {
		r.Groups[g.Link()] = g
	}
	return r
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

// groupOf finds the group that a proof names. It is nil without an error where nothing known here leads
// to it; a proof that contradicts what is known is refused.
func (r *Root) groupOf(p *Proof) (*group.Group, error) {
	if err := r.checkNetwork(p); err != nil {
		return nil, err
	}
	if len(p.Links) > 0 {
		return r.walk(p)
	}
	if g, ok := r.Groups[p.Link]; ok {
		if g.Epoch() != p.GroupEpoch {
			return nil, refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, "group_epoch", "epoch %d, but this link is of epoch %d", p.GroupEpoch, g.Epoch())
		}
		return g, nil
	}
	for _, g := range r.Groups {
		if g.Epoch() == p.GroupEpoch {
			// Whichever of the known groups of this epoch is met, the proof contradicts it.
			return nil, refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, "link", "another group than the one known for epoch %d", p.GroupEpoch)
		}
	}
	return nil, nil
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

// walk goes from a known group along the links of a proof. Links are not made by this version of the
// protocol, so no proof that holds some can be checked.
func (r *Root) walk(*Proof) (*group.Group, error) {
	return nil, refusal.New(notaryv1.Reason_REASON_UNIMPLEMENTED, "links", "this version verifies proofs by known groups alone")
}
