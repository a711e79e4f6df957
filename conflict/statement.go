package conflict

import (
	"slices"

	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
)

// ClosingLeaves are the leaves with which a node closes an epoch: its inherited locks by link, each group of them
// behind a leaf that names the link, and last of all the link under which it goes on. They fill as many observations
// as they must, at most most leaves each, which are two or more; the last leaf of the last one closes. What the node
// ACCEPTED itself stands in its chain already.
func ClosingLeaves(stated []Lock, next domain.Hash, timeMS uint64, most int) (out [][]observation.Leaf) {
	locks := slices.SortedFunc(slices.Values(stated), func(a, b Lock) int {
		if c := a.Link.Compare(b.Link); c != 0 {
			return c
		}
		return compareLocks(a, b)
	})
	var leaves []observation.Leaf
	var link domain.Hash
	for _, l := range locks {
		if len(leaves) > 0 && len(leaves)+3 > most { // a link, a lock, and the end must fit
			out, leaves = append(out, leaves), nil
		}
		if len(leaves) == 0 || l.Link != link {
			link = l.Link
			leaves = append(leaves, observation.Leaf{Subject: link, Type: observation.SubjectLink, State: observation.Inherited, TimeMS: timeMS})
		}
		leaves = append(leaves, observation.Leaf{
			Subject: l.Tx, Type: observation.SubjectTx, State: observation.Inherited, Round: l.Round, TimeMS: timeMS,
		})
	}
	if len(leaves) >= most { // where two are all
		out, leaves = append(out, leaves), nil
	}
	leaves = append(leaves, observation.Leaf{Subject: next, Type: observation.SubjectLink, State: observation.Closed, TimeMS: timeMS})
	return append(out, leaves)
}

// WalkOf reads what an observation binds its signer to. An inherited lock behind no link is none; a closing leaf
// closes only at the end. Locks on what has ended are left out; nil leaves out none.
func WalkOf(o *observation.Observation, voter int, ended func(tx domain.Hash) bool) Walked {
	w := Walked{Voter: voter, Height: o.Header.Height}
	var link domain.Hash
	bind := func(l Lock) {
		if ended == nil || !ended(l.Tx) {
			w.Locks = append(w.Locks, l)
		}
	}
	for i := range o.Len() {
		switch leaf := o.Leaf(i); {
		case leaf.Type == observation.SubjectTx && leaf.State == observation.Accepted:
			bind(Lock{leaf.Subject, o.Header.Link, leaf.Round})
		case leaf.Type == observation.SubjectLink && leaf.State == observation.Inherited:
			link = leaf.Subject
		case leaf.Type == observation.SubjectTx && leaf.State == observation.Inherited && !link.IsZero():
			bind(Lock{leaf.Subject, link, leaf.Round})
		case leaf.State == observation.Closed && i == o.Len()-1:
			w.Closing = leaf.Subject
		}
	}
	return w
}
