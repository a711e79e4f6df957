package node

import (
	"context"
	"errors"
	"fmt"

	"github.com/notarynet/notaryd/node/lifecycle"
	"github.com/notarynet/notaryd/node/store"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// states are the names of the machine's states in the API.
var states = map[lifecycle.State]notaryv1.TransactionState{
	lifecycle.New:       notaryv1.TransactionState_TRANSACTION_STATE_RESOLVING,
	lifecycle.Resolving: notaryv1.TransactionState_TRANSACTION_STATE_RESOLVING,
	lifecycle.Held:      notaryv1.TransactionState_TRANSACTION_STATE_HELD,
	lifecycle.Valid:     notaryv1.TransactionState_TRANSACTION_STATE_VALID,
	lifecycle.Pending:   notaryv1.TransactionState_TRANSACTION_STATE_PENDING,
	lifecycle.Accepted:  notaryv1.TransactionState_TRANSACTION_STATE_ACCEPTED,
	lifecycle.Final:     notaryv1.TransactionState_TRANSACTION_STATE_FINAL,
	lifecycle.Rejected:  notaryv1.TransactionState_TRANSACTION_STATE_REJECTED,
	lifecycle.Contested: notaryv1.TransactionState_TRANSACTION_STATE_CONTESTED,
}

// status is where a flight stands.
func (sh *shell) status(ctx context.Context, f *flight) *notaryv1.TransactionStatus {
	f.mu.Lock()
	state, err, info := f.state, f.err, f.info
	f.mu.Unlock()
	if state == lifecycle.Final {
		var s *notaryv1.TransactionStatus
		var err error
		if info != nil {
			s = sh.statusOf(f.tx.ID, info)
		} else {
			s, err = sh.finalStatus(f.tx.ID) // it was final before this flight began
		}
		if s != nil && err == nil {
			return s
		}
	}
	s := &notaryv1.TransactionStatus{
		TransactionId: f.tx.ID[:], State: states[state], ReceivedMs: f.receivedMS,
		GroupEpoch: sh.group().Epoch(), QuorumWeight: uint64(group.QuorumWeight), Rejection: rejection(err),
	}
	if info != nil {
		s.FinalMs = info.FinalMS
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(sh.ctx, cancel)() // the tallies answer nobody once the node has ended
	if w, err := sh.counting.weights(ctx, f.tx.ID); err == nil {
		s.Round, s.PendingWeight, s.AcceptedWeight = w.round, uint64(w.pending), uint64(w.accepted)
	}
	return s
}

// rejection is an error as clients see it.
func rejection(err error) *notaryv1.Rejection {
	if err == nil {
		return nil
	}
	r := &notaryv1.Rejection{Reason: refusal.ReasonOf(err), Detail: err.Error()}
	var e *refusal.Error
	if errors.As(err, &e) {
		r.Field, r.Detail = e.Field, e.Detail
	}
	return r
}

// finalStatus is the status of a transaction that is final here, or nil. Who is refused for want of room is nearly
// always told nil, and that costs one look.
func (sh *shell) finalStatus(id domain.Hash) (*notaryv1.TransactionStatus, error) {
	if final, err := sh.store.IsFinal(id); err != nil || !final {
		return nil, err
	}
	t, found, err := sh.store.Transaction(id)
	if err != nil || !found || t.Final == nil {
		return nil, err
	}
	return sh.statusOf(id, t.Final), nil
}

func (sh *shell) statusOf(id domain.Hash, info *store.FinalInfo) *notaryv1.TransactionStatus {
	s := &notaryv1.TransactionStatus{
		TransactionId: id[:], State: notaryv1.TransactionState_TRANSACTION_STATE_FINAL, Round: info.Round,
		GroupEpoch: info.GroupEpoch, QuorumWeight: uint64(group.QuorumWeight), FinalMs: info.FinalMS,
	}
	sh.backed(id, s, info)
	s.PendingWeight = s.AcceptedWeight // whoever accepts supports
	return s
}

// rejectedStatus is the status of a transaction that was refused for good, perhaps in an earlier life.
func (sh *shell) rejectedStatus(t *store.Transaction) *notaryv1.TransactionStatus {
	r := t.Rejection
	return &notaryv1.TransactionStatus{
		TransactionId: t.ID[:], State: notaryv1.TransactionState_TRANSACTION_STATE_REJECTED,
		GroupEpoch: sh.group().Epoch(), QuorumWeight: uint64(group.QuorumWeight),
		Rejection: &notaryv1.Rejection{Reason: r.Reason, Field: r.Field, Detail: r.Detail},
	}
}

// Transaction is what is known of a transaction, and its bytes where they are here.
func (n *Node) Transaction(ctx context.Context, id domain.Hash) (*notaryv1.TransactionStatus, []byte, error) {
	sh := n.sh
	if f := sh.flights.get(id); f != nil {
		f.box.prompt() // who asks again hears of what was left
		return sh.status(ctx, f), f.tx.Raw, nil
	}
	t, found, err := sh.store.Transaction(id)
	switch {
	case err != nil:
		return nil, nil, err
	case found && t.Final != nil:
		return sh.statusOf(id, t.Final), t.Raw, nil
	case found && t.Rejection != nil:
		return sh.rejectedStatus(t), t.Raw, nil
	}
	if g, ok := sh.graves.find(id); ok {
		return &notaryv1.TransactionStatus{
			TransactionId: id[:], State: notaryv1.TransactionState_TRANSACTION_STATE_REJECTED,
			GroupEpoch: sh.group().Epoch(), QuorumWeight: uint64(group.QuorumWeight),
			ReceivedMs: g.receivedMS, Rejection: rejection(g.err),
		}, nil, nil
	}
	return nil, nil, refusal.New(notaryv1.Reason_REASON_NOT_FOUND, "transaction_id", "%s is not known here", id)
}

// Proof is the canonical acceptance proof of a final transaction, with the links from the group of a known
// epoch to the one that signed; from genesis where that epoch is 0 or later than the proof's.
func (n *Node) Proof(ctx context.Context, id domain.Hash, withTransaction bool, known uint64) ([]byte, error) {
	t, err := n.final(ctx, id)
	if err != nil {
		return nil, err
	}
	raw := t.Raw
	if !withTransaction {
		raw = nil
	}
	p, err := n.sh.prove(id, raw, t.Final)
	if err != nil {
		return nil, err
	}
	if err := n.sh.lineage.linkFrom(p, p.GroupEpoch, known); err != nil {
		return nil, fmt.Errorf("links to epoch %d: %w", p.GroupEpoch, err)
	}
	return p.Encode(), nil
}

// final is the record of a final transaction; NOT_FOUND and NOT_FINAL say why there is none.
func (n *Node) final(ctx context.Context, id domain.Hash) (*store.Transaction, error) {
	t, found, err := n.sh.store.Transaction(id)
	switch {
	case err != nil:
		return nil, err
	case !found || t.Final == nil:
		if _, _, err := n.Transaction(ctx, id); err != nil {
			return nil, err
		}
		return nil, refusal.New(notaryv1.Reason_REASON_NOT_FINAL, "transaction_id", "%s is not final here", id)
	}
	return t, nil
}

// prove is a proof without links by the group that made a transaction final. raw is the transaction, or nil to
// leave it out.
func (sh *shell) prove(id domain.Hash, raw []byte, info *store.FinalInfo) (*observation.Proof, error) {
	g, err := sh.lineage.group(info.GroupEpoch)
	if err != nil {
		return nil, err
	}
	return prove(sh.lineage.edges, g, id, raw, info)
}
