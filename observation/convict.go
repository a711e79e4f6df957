package observation

import (
	"fmt"

	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// Verify checks that the evidence convicts its key on this network. A refusal names the part at fault.
// Who the key belongs to, and whether it had weight, is not its matter.
func (e *Evidence) Verify(network domain.Hash) error {
	if e.Kind == conflictingFinal {
		return e.verifyFinals(network)
	}
	for i := range e.Edges {
		if e.Edges[i].Header.Network != network {
			return refusal.New(notaryv1.Reason_REASON_WRONG_NETWORK, fmt.Sprintf("leaves[%d].header.network", i), "network %s", e.Edges[i].Header.Network)
		}
	}
	if a, b := e.Edges[0].Header.Chain(), e.Edges[1].Header.Chain(); a != b {
		return refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, "leaves", "of %s in signing epoch %d and %s in %d", a.Key, a.SigningEpoch, b.Key, b.SigningEpoch)
	}
	if e.Kind == notaryv1.EvidenceKind_EVIDENCE_KIND_FORKED_CHAIN {
		return e.verifyFork()
	}
	return e.verifyVotes()
}

func (e *Evidence) verifyFork() error {
	if !forked(&e.Edges[0].Header, &e.Edges[1].Header) {
		return refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, "leaves", "not two observations at one height")
	}
	for i := range e.Edges {
		signed := e.Edges[i].Signed()
		if check := signed.Check(); !check.Verify() {
			return refusal.New(notaryv1.Reason_REASON_BAD_SIGNATURE, fmt.Sprintf("leaves[%d].signature", i), "not by %s over this header", check.Key)
		}
	}
	return nil
}

func (e *Evidence) verifyVotes() error {
	if err := e.checkBodies(e.Edges[0].Leaf.Subject, e.Edges[1].Leaf.Subject); err != nil {
		return err
	}
	if kind := Contradiction(&e.Edges[0], &e.Edges[1]); kind != e.Kind {
		return refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, "kind", "the votes show %s", kind)
	}
	if e.Kind == notaryv1.EvidenceKind_EVIDENCE_KIND_ACCEPTED_AFTER_PENDING && e.Edges[0].Leaf.State != Pending {
		return refusal.New(notaryv1.Reason_REASON_NON_CANONICAL, "leaves", "PENDING comes first")
	}
	if err := e.checkConflict(); err != nil {
		return err
	}
	for i := range e.Edges {
		if err := e.Edges[i].check(); err != nil {
			return refusal.Under(fmt.Sprintf("leaves[%d]", i), err)
		}
	}
	return nil
}

func (e *Evidence) verifyFinals(network domain.Hash) error {
	for i := range e.Finals {
		if e.Finals[i].Network != network {
			return refusal.New(notaryv1.Reason_REASON_WRONG_NETWORK, fmt.Sprintf("finals[%d].network", i), "network %s", e.Finals[i].Network)
		}
	}
	a, b := &e.Finals[0], &e.Finals[1]
	if a.Chain() != b.Chain() {
		return refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, "finals", "of %s in signing epoch %d and %s in %d", a.Key, a.SigningEpoch, b.Key, b.SigningEpoch)
	}
	if a.Tx == b.Tx {
		return refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, "finals", "both for %s", a.Tx)
	}
	if err := e.checkBodies(a.Tx, b.Tx); err != nil {
		return err
	}
	if err := e.checkConflict(); err != nil {
		return err
	}
	for i := range e.Finals {
		if check := e.Finals[i].Check(); !check.Verify() {
			return refusal.New(notaryv1.Reason_REASON_BAD_SIGNATURE, fmt.Sprintf("finals[%d].node_signature", i), "not by %s over this statement", check.Key)
		}
	}
	return nil
}

// checkBodies refuses bodies that are not those of the transactions that were signed.
func (e *Evidence) checkBodies(subjects ...domain.Hash) error {
	for i, body := range e.Bodies {
		if got := domain.Sum(domain.TagTx, body); got != subjects[i] {
			return refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, fmt.Sprintf("bodies[%d]", i), "hashes to %s, but what was signed is about %s", got, subjects[i])
		}
	}
	return nil
}

// checkConflict refuses transactions that may both be voted for.
func (e *Evidence) checkConflict() error {
	conflict, err := Conflict(e.Bodies[0], e.Bodies[1])
	if err != nil {
		return err
	}
	if !conflict {
		return refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, "bodies", "spend nothing in common")
	}
	return nil
}
