package epoch

import (
	"bytes"
	"slices"

	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
	"github.com/notarynet/notaryd/trust"
)

// Judge says whether a link leads from this state to the right group. The caller has found that it follows
// the present group (utxo.Validate), and hands over what it reads and all evidence that is known here against
// members. Evidence that is not known yet is a reason to wait (UNKNOWN_EVIDENCE); everything else is for ever.
func (s *State) Judge(link *group.Group, read []*group.Peer, known []Conviction) error {
	if link.Previous() != s.group.Link() {
		return wrong("it follows %s, the present group is %s", link.Previous(), s.group.Link())
	}
	if len(link.Evidence()) > 0 {
		return s.judgeRemoval(link, read, known)
	}
	m, err := s.moved(read)
	if err != nil {
		return err
	}
	return s.compare(link, m)
}

// compare judges a link by what is computed here. Weights may differ by the tolerance, for sums are rounded; whoever has no trust at all
// gets no seat out of it, however many there are with a unit each.
func (s *State) compare(link *group.Group, m move) error {
	want := m.group
	if Same(s.group, want) || Same(s.group, link) {
		return wrong("nothing changes")
	}
	if got := sharesOf(link); !trust.Agree(got, sharesOf(want)) {
		return wrong("weights differ from those computed here by %d", trust.Distance(got, sharesOf(want)))
	}
	for _, member := range link.Members() {
		if s.convicted[member.PeerID] {
			return wrong("%s was removed by a link before, for ever", member.PeerID)
		}
		if !s.isMember(member.PeerID) && !m.trusted(member.PeerID) {
			return wrong("no member trusts %s", member.PeerID)
		}
		if !slices.EqualFunc(member.Keys, m.keys[member.PeerID], sameKey) {
			return wrong("the keys of %s are not those that it has published", member.PeerID)
		}
	}
	return nil
}

// judgeRemoval: everybody that the link leaves out is convicted by evidence known here, whichever piece of it
// the link lists: of each kind nodes keep the first that they meet. What is known of the list must fit.
func (s *State) judgeRemoval(link *group.Group, read []*group.Peer, known []Conviction) error {
	gone := s.leftOut(link)
	if len(gone) != len(link.Evidence()) {
		return wrong("%d members removed on %d pieces of evidence", len(gone), len(link.Evidence()))
	}
	acted := make([]Conviction, 0, len(gone))
	for i, peer := range gone {
		at := slices.IndexFunc(known, func(c Conviction) bool { return s.owner[c.Key] == peer })
		if at < 0 {
			return refusal.New(notaryv1.Reason_REASON_UNKNOWN_EVIDENCE, "outputs[0].data.payload.evidence", "nothing known here convicts %s", peer)
		}
		acted = append(acted, Conviction{link.Evidence()[i], known[at].Key})
	}
	for _, e := range link.Evidence() {
		at := slices.IndexFunc(known, func(c Conviction) bool { return c.Evidence == e })
		if at >= 0 && !slices.Contains(gone, s.owner[known[at].Key]) {
			return wrong("evidence %s convicts nobody that is removed", e)
		}
	}
	want, err := s.without(read, acted)
	if err != nil {
		return err
	}
	if want.Link() != link.Link() {
		return wrong("it does more than remove whom evidence convicts")
	}
	return nil
}

// leftOut are the present members that a group does not have, ascending.
func (s *State) leftOut(link *group.Group) []domain.Hash {
	var out []domain.Hash
	for _, m := range s.group.Members() {
		if !slices.ContainsFunc(link.Members(), func(o group.Member) bool { return o.PeerID == m.PeerID }) {
			out = append(out, m.PeerID)
		}
	}
	return out
}

// Same reports whether two groups have the same members with the same weights and keys.
func Same(a, b *group.Group) bool {
	return slices.EqualFunc(a.Members(), b.Members(), func(x, y group.Member) bool {
		return x.PeerID == y.PeerID && x.Weight == y.Weight && slices.EqualFunc(x.Keys, y.Keys, sameKey)
	})
}

func sameKey(a, b group.NodeKey) bool {
	return a.Key == b.Key && a.SigningEpoch == b.SigningEpoch && bytes.Equal(a.BLS, b.BLS)
}

// Worth reports whether a link is worth making: evidence, members or keys changed, or weights moved by more
// than Still. Weights follow each other for ever by ever smaller steps; a link for each would say nothing.
func Worth(present, next *group.Group) bool {
	if len(next.Evidence()) > 0 || trust.Distance(sharesOf(present), sharesOf(next)) > Still {
		return true
	}
	return !slices.EqualFunc(present.Members(), next.Members(), func(x, y group.Member) bool {
		return x.PeerID == y.PeerID && slices.EqualFunc(x.Keys, y.Keys, sameKey)
	})
}

// Still is the weight below which nobody proposes a link for weights alone: 1 part in 1e4.
const Still = group.Total / 10_000
