package observation

import (
	"fmt"

	"github.com/notarynet/notaryd/proto/canonical"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

var transactionSchema = canonical.MustCompile(&notaryv1.Transaction{}, MaxTransactionBytes)

// Verify checks a proof against what the verifier knows; no node and no network are needed
// (docs/spec/proof.md, section 4). An error is a refusal whose field is the part at fault, such as
// "observations[1].signature" or "transactions[0].edges[2].path", and makes the verdict Invalid. Without
// an error the verdict is Valid, NotEnoughWeight or NoTrustRoot.
func (p *Proof) Verify(root Root) (Verdict, error) {
	v := Verdict{State: p.State, Network: p.Network, GroupEpoch: p.GroupEpoch, Link: p.Link}
	if err := root.Own.valid(); err != nil {
		return v, err
	}
	if err := p.check(); err != nil {
		return v, err
	}
	g, w, err := root.groupOf(p)
	v.Links = w.told
	if err != nil {
		return v, err
	}
	if g == nil {
		v.Conclusion = NoTrustRoot
		return v, nil
	}
	if err := p.verifyObservations(g, root.VerifyBatch); err != nil {
		return v, err
	}
	if rooted, err := w.vouch(p, g); err != nil {
		return v, err
	} else if !rooted {
		v.Conclusion = NoTrustRoot
		return v, nil
	}
	v.Anchors = w.found
	told := make([]TransactionVerdict, len(p.Transactions))
	conclusion := Valid
	for i := range p.Transactions {
		if told[i], err = p.verifyTransaction(g, i, root.Own); err != nil {
			return v, refusal.Under(fmt.Sprintf("transactions[%d]", i), err)
		}
		if told[i].Conclusion != Valid {
			conclusion = told[i].Conclusion
		}
	}
	v.Conclusion, v.Transactions = conclusion, told
	return v, nil
}

// verifyObservations checks that every observation is signed by the voter that it names, in the only
// signing epoch in which that voter votes.
func (p *Proof) verifyObservations(g *group.Group, batch func([]domain.Check) []bool) error {
	checks := make([]domain.Check, len(p.Observations))
	for i := range p.Observations {
		o := &p.Observations[i]
		if int64(o.KeyIndex) >= int64(len(g.Voters())) {
			return refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, fmt.Sprintf("observations[%d].key_index", i), "key %d of %d", o.KeyIndex, len(g.Voters()))
		}
		voter := &g.Voters()[o.KeyIndex]
		if o.SigningEpoch != voter.SigningEpoch {
			return refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, fmt.Sprintf("observations[%d].signing_epoch", i), "signing epoch %d, but the group lists %d", o.SigningEpoch, voter.SigningEpoch)
		}
		h := p.header(o, voter.Key)
		checks[i] = checkOf(&h, h.Hash(), o.Signature)
	}
	forged := func(i int) error {
		return refusal.New(notaryv1.Reason_REASON_BAD_SIGNATURE, fmt.Sprintf("observations[%d].signature", i), "not by %s over this header", checks[i].Key)
	}
	if batch == nil {
		for i := range checks {
			if !checks[i].Verify() {
				return forged(i)
			}
		}
		return nil
	}
	for i, ok := range batch(checks) {
		if !ok {
			return forged(i)
		}
	}
	return nil
}

// verifyTransaction checks one transaction, whose observations were checked, and sums its weight.
func (p *Proof) verifyTransaction(g *group.Group, i int, own *OwnTrust) (TransactionVerdict, error) {
	t := &p.Transactions[i]
	v := TransactionVerdict{ID: t.ID, Included: len(t.Raw) > 0, Round: t.Round}
	if len(t.Raw) > 0 {
		if err := checkRaw(t.Raw, t.ID); err != nil {
			return v, err
		}
	}
	votes := make([]vote, len(t.Edges))
	for j := range t.Edges {
		e := &t.Edges[j]
		o := &p.Observations[e.Observation]
		leaf := p.leaf(t, e).Encode()
		if !VerifyPath(o.Root, leaf[:], e.LeafIndex, o.LeafCount, e.Path) {
			return v, refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, fmt.Sprintf("edges[%d].path", j),
				"leaf and path do not lead to the root of observation %d", e.Observation)
		}
		votes[j] = vote{voter: int(o.KeyIndex), timeMS: e.TimeMS}
	}
	v.tell(g, votes, own)
	return v, nil
}

// checkRaw refuses a transaction that is not canonical or whose body is not the one that id names.
// Witnesses lie outside the id: they are carried, not judged.
func checkRaw(raw []byte, id domain.Hash) error {
	if err := transactionSchema.Check(raw); err != nil {
		return refusal.Under("transaction", err)
	}
	if got := domain.Sum(domain.TagTx, bodyOf(raw)); got != id {
		return refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, "transaction", "its body is %s", got)
	}
	return nil
}
