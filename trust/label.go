package trust

import (
	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// MaxScore is the best label, -MaxScore the worst.
const MaxScore = 1000

// MaxLabels is how many peers one peer may label.
const MaxLabels = 4096

// Label is what Rater says of Ratee. A peer's label of itself says nothing and is dropped.
type Label struct {
	Rater, Ratee domain.Hash
	// Score is -MaxScore to MaxScore. A score of 0 is a label too: known, and worth nothing.
	Score int32
}

// Statement is one version of all that a peer says of others.
type Statement struct {
	Peer    domain.Hash
	Version uint64
	Labels  []Label
}

// StatementOf reads the labels of a peer metadata payload. It refuses a master key of the wrong
// length, version 0, scores out of range, and labels that are too many or not strictly ascending by
// peer; signatures and the chain of versions are the ledger's to check.
func StatementOf(m *notaryv1.PeerMetadata) (Statement, error) {
	key, err := domain.HashFrom(m.GetMasterKey())
	if err != nil {
		return Statement{}, refusal.New(notaryv1.Reason_REASON_MISSING_FIELD, "master_key", "%v", err)
	}
	if m.GetVersion() == 0 {
		return Statement{}, refusal.New(notaryv1.Reason_REASON_MISSING_FIELD, "version", "versions start at 1")
	}
	if len(m.GetLabels()) > MaxLabels {
		return Statement{}, refusal.New(notaryv1.Reason_REASON_LIMIT_EXCEEDED, "labels", "%d labels, at most %d", len(m.GetLabels()), MaxLabels)
	}
	s := Statement{Peer: domain.Sum(domain.TagPeer, key[:]), Version: m.GetVersion(), Labels: make([]Label, 0, len(m.GetLabels()))}
	for i, l := range m.GetLabels() {
		ratee, err := domain.HashFrom(l.GetPeerId())
		if err != nil {
			return Statement{}, refusal.New(notaryv1.Reason_REASON_MISSING_FIELD, "labels", "label %d: %v", i, err)
		}
		if l.GetScore() < -MaxScore || l.GetScore() > MaxScore {
			return Statement{}, refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, "labels", "label %d: score %d", i, l.GetScore())
		}
		if i > 0 && s.Labels[i-1].Ratee.Compare(ratee) >= 0 {
			return Statement{}, refusal.New(notaryv1.Reason_REASON_NON_CANONICAL, "labels", "label %d: not ascending by peer", i)
		}
		s.Labels = append(s.Labels, Label{Rater: s.Peer, Ratee: ratee, Score: l.GetScore()})
	}
	return s, nil
}

// Differences are the changes that lead from the labels of one version to those of the next, for
// Network.With. Either may be empty.
func Differences(old, next []Label) []Change {
	type pair struct{ rater, ratee domain.Hash }
	left := make(map[pair]int32, len(old))
	for _, l := range old {
		left[pair{l.Rater, l.Ratee}] = l.Score
	}
	var out []Change
	for _, l := range next {
		k := pair{l.Rater, l.Ratee}
		if score, ok := left[k]; !ok || score != l.Score {
			out = append(out, Change{Label: l})
		}
		delete(left, k)
	}
	for _, l := range old { // in the order of old, not of the map
		if _, gone := left[pair{l.Rater, l.Ratee}]; gone {
			out = append(out, Change{Label: l, Remove: true})
			delete(left, pair{l.Rater, l.Ratee})
		}
	}
	return out
}

// Change sets a label, or removes it.
type Change struct {
	Label
	// Remove takes the label back; Score is then ignored.
	Remove bool
}
