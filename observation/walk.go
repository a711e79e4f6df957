package observation

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// LinkVerdict is what the verifier makes of one link of a proof.
type LinkVerdict struct {
	// Epoch and Link name the group that the link leads to.
	Epoch uint64      `json:"epoch"`
	Link  domain.Hash `json:"link"`
	// Footing says how it came to be trusted.
	Footing Footing `json:"footing"`
	// By is the epoch of the group whose weight stands behind it, Weight how much of it; both 0 where
	// the group was known before.
	By     uint64       `json:"by_epoch"`
	Weight group.Weight `json:"weight"`
}

// Footing is how a group came to be trusted.
type Footing string

// The footings.
const (
	// Known before the proof was seen.
	Known Footing = "known"
	// Proven: more than 2/3 of the group before accepted the transaction that made it.
	Proven Footing = "proven"
	// VouchedFor: more than 2/3 of an earlier group signed headers under it.
	VouchedFor Footing = "vouched_for"
	// Unrooted: no group known leads to it.
	Unrooted Footing = "unrooted"
	// NotNeeded: it lies before a link to a group that was known.
	NotNeeded Footing = "not_needed"
)

// Break says that two groups of one epoch are both led to from what is known here: one of them by links
// that more than 2/3 of a group's weight signed, against what that weight had signed before. It is no
// fault of a proof alone: the network's history is broken.
type Break struct {
	// Epoch that has two groups.
	Epoch uint64
	// Known is the group known before, Other the one that the proof leads to, by Link.
	Known, Other *group.Group
	Link         *Link
	// Field is the link's place in the proof.
	Field string
}

// Error implements error.
func (b *Break) Error() string { return b.Unwrap().Error() }

// Unwrap is the refusal that names the link.
func (b *Break) Unwrap() error {
	return refusal.New(notaryv1.Reason_REASON_DOUBLE_SPEND, b.Field, "the network's history is broken: epoch %d has two groups, %s known here and %s",
		b.Epoch, b.Known.Link(), b.Other.Link())
}

// walker goes from what a verifier knows along the links of one proof.
type walker struct {
	root  *Root
	links []*Link
	// known are the groups to walk from and those walked to, by ascending epoch.
	known []*group.Group
	told  []LinkVerdict
	found []Anchor
	// vouched is the position of a link that waits for the next proof to vouch for it; -1 for none.
	vouched int
}

// groupOf finds the group that a proof names, walking its links where it is not known. The group is nil
// without an error where nothing known here leads to it; a proof that contradicts what is known is
// refused. Where the walker's vouched is set, the proof's own headers are still to vouch for the group.
func (r *Root) groupOf(p *Proof) (*group.Group, *walker, error) {
	w := &walker{root: r, links: p.Links, vouched: -1}
	if err := r.checkNetwork(p); err != nil {
		return nil, w, err
	}
	if g, ok := r.Groups[p.Link]; ok {
		if g.Epoch() != p.GroupEpoch {
			return nil, w, refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, "group_epoch", "epoch %d, but this link is of epoch %d", p.GroupEpoch, g.Epoch())
		}
		return g, w, nil
	}
	if len(p.Links) > 0 {
		g, err := w.walk()
		return g, w, err
	}
	if slices.ContainsFunc(slices.Collect(maps.Values(r.Groups)), func(g *group.Group) bool { return g.Epoch() == p.GroupEpoch }) {
		return nil, w, refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, "link", "another group than the one known for epoch %d", p.GroupEpoch)
	}
	return nil, w, nil
}

// walk begins behind the last link whose group is known.
func (w *walker) walk() (*group.Group, error) {
	w.known = slices.SortedFunc(maps.Values(w.root.Groups), func(a, b *group.Group) int {
		return cmp.Or(cmp.Compare(a.Epoch(), b.Epoch()), a.Link().Compare(b.Link()))
	})
	start := 0
	for i, l := range w.links {
		if w.root.Groups[l.Group.Link()] != nil {
			start = i + 1
		}
	}
	for i, l := range w.links[:start] {
		if w.root.Groups[l.Group.Link()] != nil {
			w.tell(i, Known, 0, 0)
		} else {
			w.tell(i, NotNeeded, 0, 0)
		}
	}
	for i := start; i < len(w.links); i++ {
		if w.links[i].Proof == nil {
			w.vouched = i
			w.tell(i, Unrooted, 0, 0)
		} else if rooted, err := w.step(i); err != nil || !rooted {
			return nil, err
		}
	}
	return w.links[len(w.links)-1].Group, nil
}

// before is the group that a proven link's proof is by; nil where nothing known leads to it. The links
// hold together: what is not known before the walk is the group of the link before.
func (w *walker) before(i int) *group.Group {
	if g := w.root.Groups[w.links[i].Proof.Link]; g != nil || i == 0 {
		return g
	}
	return w.links[i-1].Group
}

// output is the one that holds the group before a link, where it is known.
func (w *walker) output(i int) (GroupOutput, bool) {
	if o, ok := w.root.Outputs[w.links[i].Proof.Link]; ok || i == 0 {
		return o, ok
	}
	return w.links[i-1].Output, w.links[i-1].Proof != nil
}

// step follows a proven link. It is not rooted where nothing known leads to the group before it.
func (w *walker) step(i int) (rooted bool, err error) {
	l, before := w.links[i], w.before(i)
	at := fmt.Sprintf("links[%d]", i)
	if before == nil {
		w.tell(i, Unrooted, 0, 0)
		return false, nil
	}
	if err := l.Proof.verifyObservations(before, w.root.VerifyBatch); err != nil {
		return false, refusal.Under(at+".proof", err)
	}
	if rooted, err := w.vouch(l.Proof, before); err != nil || !rooted {
		return false, err
	}
	verdict, err := l.Proof.verifyTransaction(before, 0, nil)
	if err != nil {
		return false, refusal.Under(at+".proof.transactions[0]", err)
	}
	if verdict.Conclusion != Valid {
		return false, refusal.New(notaryv1.Reason_REASON_NOT_ENOUGH_WEIGHT, at+".proof", "%d of epoch %d accepted it, more than %d needed", verdict.Weight, before.Epoch(), group.QuorumWeight)
	}
	if output, known := w.output(i); known && !slices.Contains(l.spends, output) {
		return false, refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, at+".transaction", "does not spend output %d of %s, which holds the group before", output.Index, output.Transaction)
	}
	w.tell(i, Proven, before.Epoch(), verdict.Weight)
	return true, w.learn(i)
}

// vouch settles a vouched link that waits, if there is one, by a proof whose signatures under that group
// were checked: it is rooted where more than 2/3 of some earlier group's weight signed a header there. No
// group speaks past one that was known before the walk, so that nothing jumps over a checkpoint.
func (w *walker) vouch(p *Proof, under *group.Group) (rooted bool, err error) {
	i := w.vouched
	if i < 0 {
		return true, nil
	}
	told, checkpoint := &w.told[i], w.checkpoint(under.Epoch())
	for _, old := range slices.Backward(w.known) {
		if old.Epoch() >= under.Epoch() {
			continue
		}
		if old.Epoch() < checkpoint {
			break
		}
		if weight := p.weightIn(old, under); weight > told.Weight {
			told.Weight, told.By = weight, old.Epoch()
		}
		if group.Quorum(told.Weight) {
			told.Footing, w.vouched = VouchedFor, -1
			return true, w.learn(i)
		}
	}
	return false, nil
}

// checkpoint is the latest epoch before another of which a group was known before the walk.
func (w *walker) checkpoint(before uint64) (latest uint64) {
	for _, g := range w.root.Groups {
		if g.Epoch() < before {
			latest = max(latest, g.Epoch())
		}
	}
	return latest
}

// weightIn is how much of an older group's weight signed the observations of p: the shares there of node
// keys that sign in the signing epoch which the older group lists for them.
func (p *Proof) weightIn(old, signed *group.Group) (sum group.Weight) {
	for i := range p.Observations {
		o := &p.Observations[i]
		if i > 0 && o.KeyIndex == p.Observations[i-1].KeyIndex {
			continue // one key's vouching counts once
		}
		if at, ok := old.Voter(signed.Voters()[o.KeyIndex].Key); ok && old.Voters()[at].SigningEpoch == o.SigningEpoch {
			sum += old.Voters()[at].Share
		}
	}
	return sum
}

// learn takes the group of a link for that of its epoch, unless another one is known.
func (w *walker) learn(i int) error {
	l := w.links[i]
	at, found := slices.BinarySearchFunc(w.known, l.Group.Epoch(), func(g *group.Group, epoch uint64) int { return cmp.Compare(g.Epoch(), epoch) })
	if found {
		return &Break{Epoch: l.Group.Epoch(), Known: w.known[at], Other: l.Group, Link: l, Field: fmt.Sprintf("links[%d]", i)}
	}
	w.known = slices.Insert(w.known, at, l.Group)
	w.found = append(w.found, Anchor{Group: l.Group, Output: l.Output})
	return nil
}

func (w *walker) tell(i int, s Footing, by uint64, weight group.Weight) {
	g := w.links[i].Group
	w.told = append(w.told, LinkVerdict{Epoch: g.Epoch(), Link: g.Link(), Footing: s, By: by, Weight: weight})
}
