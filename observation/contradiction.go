package observation

import (
	"cmp"

	"github.com/notarynet/notaryd/proto/canonical"
	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// maxBodyBytes bounds a transaction body, as in transaction.proto.
const maxBodyBytes = 245_760

var bodySchema = canonical.MustCompile(&notaryv1.TransactionBody{}, maxBodyBytes)

// Contradiction names the rule that two votes of one chain break, given that their transactions conflict;
// EVIDENCE_KIND_UNSPECIFIED where they break none. The order of a and b does not matter. Votes of two node
// keys or of two signing epochs never contradict each other.
//
// The votes need not lie in one epoch: rounds go on across epochs (rule N1).
func Contradiction(a, b *Edge) notaryv1.EvidenceKind {
	const none = notaryv1.EvidenceKind_EVIDENCE_KIND_UNSPECIFIED
	if a.Header.Chain() != b.Header.Chain() || a.Header.Network != b.Header.Network ||
		a.Leaf.Type != SubjectTx || b.Leaf.Type != SubjectTx || a.Leaf.Subject == b.Leaf.Subject {
		return none
	}
	if a.Leaf.State == Accepted && b.Leaf.State == Pending {
		a, b = b, a
	}
	switch {
	case a.Leaf.State == Pending && b.Leaf.State == Pending && a.Leaf.Round == b.Leaf.Round:
		return notaryv1.EvidenceKind_EVIDENCE_KIND_CONFLICTING_PENDING
	case a.Leaf.State == Accepted && b.Leaf.State == Accepted && a.Leaf.Round == b.Leaf.Round:
		return notaryv1.EvidenceKind_EVIDENCE_KIND_CONFLICTING_ACCEPTED
	case a.Leaf.State == Pending && b.Leaf.State == Accepted && a.Leaf.Round > b.Leaf.Round && a.before(b):
		return notaryv1.EvidenceKind_EVIDENCE_KIND_ACCEPTED_AFTER_PENDING
	}
	return none
}

// before reports whether e was placed earlier in its chain than o.
func (e *Edge) before(o *Edge) bool {
	return cmp.Or(cmp.Compare(e.Header.Height, o.Header.Height), cmp.Compare(e.LeafIndex, o.LeafIndex)) < 0
}

// Conflict reports whether two transaction bodies spend one outpoint. Each must be the canonical encoding
// of a TransactionBody; a refusal names "bodies[0]" or "bodies[1]".
func Conflict(a, b []byte) (bool, error) {
	spent := map[outpoint]bool{}
	err := spends(a, func(o outpoint) { spent[o] = true })
	if err != nil {
		return false, refusal.Under("bodies[0]", err)
	}
	var shared bool
	err = spends(b, func(o outpoint) { shared = shared || spent[o] })
	return shared, refusal.Under("bodies[1]", err)
}

// outpoint is what a SPEND consumes.
type outpoint struct {
	tx    domain.Hash
	index uint32
}

// spends calls each for every outpoint that a body spends.
func spends(body []byte, each func(outpoint)) error {
	if err := bodySchema.Check(body); err != nil {
		return err
	}
	for f := range canonical.Fields(body) {
		if f.Number != 2 {
			continue
		}
		var kind uint64
		var where []byte
		for g := range canonical.Fields(f.Bytes) {
			switch g.Number {
			case 1:
				kind = g.Value
			case 2:
				where = g.Bytes
			}
		}
		if kind != uint64(notaryv1.InputKind_INPUT_KIND_SPEND) {
			continue
		}
		o, ok := outpointOf(where)
		if !ok {
			// No transaction, so nobody's vote on it is honest; and it conflicts with nothing.
			return missing("inputs.outpoint.transaction")
		}
		each(o)
	}
	return nil
}

func outpointOf(b []byte) (o outpoint, ok bool) {
	for f := range canonical.Fields(b) {
		switch f.Number {
		case 1:
			o.tx, ok = domain.Hash(f.Bytes), true
		case 2:
			o.index = uint32(f.Value)
		}
	}
	return o, ok
}
