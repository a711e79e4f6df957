package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/notarynet/notaryd/client"
	"github.com/notarynet/notaryd/client/wallet"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// outcome is what became of a submitted transaction, in JSON too.
type outcome struct {
	ID        string `json:"transaction_id"`
	State     string `json:"state"`
	Weight    uint64 `json:"accepted_weight"`
	TimeMS    uint64 `json:"time_ms,omitempty"`
	SpreadMS  uint64 `json:"spread_ms,omitempty"`
	ElapsedMS int64  `json:"elapsed_ms"`
	ProofFile string `json:"proof_file,omitempty"`
	heldView

	proof *observation.Proof
}

// String is one line for people.
func (o *outcome) String() string {
	if o.proof == nil {
		return fmt.Sprintf("%s after %d ms, not final yet; follow it with notary tx watch %s", o.State, o.ElapsedMS, o.ID)
	}
	return fmt.Sprintf("final after %d ms with %s of the weight, notarised at %s", o.ElapsedMS, percent(o.Weight), instant(o.TimeMS))
}

// build makes a transaction of the wallet and keeps it on disk before anybody else sees it. Only one
// program at a time builds for a wallet, so that no two choose one coin.
func (a *app) build(ctx context.Context, c *client.Client, do func(context.Context, *client.Account) (*client.Transaction, error)) (tx *client.Transaction, err error) {
	store, w, err := a.current()
	if err != nil {
		return nil, err
	}
	open, err := a.unlock(w)
	if err != nil {
		return nil, err
	}
	unlock, err := store.Lock(ctx, w.Name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	account := client.NewAccount(open.Key)
	if err := a.tie(ctx, c, store, w.Name, account); err != nil {
		return nil, err
	}
	if tx, err = do(ctx, account); err != nil {
		return nil, err
	}
	return tx, store.AddPending(w.Name, wallet.Pending{Network: c.Genesis().ID, ID: tx.ID, Raw: tx.Raw, Spends: tx.Spends(), UntilMS: tx.ValidUntilMS})
}

// tie keeps the coins of transactions under way out of the choice, and forgets those that are decided
// or that the network never heard of before their window closed.
func (a *app) tie(ctx context.Context, c *client.Client, store *wallet.Store, name string, account *client.Account) error {
	list, err := store.Pending(name)
	if err != nil {
		return err
	}
	for _, p := range list {
		if p.Network != c.Genesis().ID {
			continue
		}
		over, err := a.over(ctx, c, p)
		if err != nil {
			return err
		}
		if !over {
			account.Tie(p.Spends...)
			continue
		}
		if err := store.RemovePending(name, p.ID); err != nil {
			return err
		}
	}
	return nil
}

// over reports whether a transaction under way is over, one way or the other.
func (a *app) over(ctx context.Context, c *client.Client, p wallet.Pending) (bool, error) {
	answer, err := c.Transaction(ctx, p.ID)
	switch {
	case errors.Is(err, refusal.Because(notaryv1.Reason_REASON_NOT_FOUND)):
		return uint64(a.now().UnixMilli()) > p.UntilMS, nil
	case err != nil:
		return false, err
	}
	s := answer.GetStatus()
	if s.GetRejection().GetReason() == notaryv1.Reason_REASON_WINDOW_CLOSED {
		return uint64(a.now().UnixMilli()) > p.UntilMS, nil // this node came too late, by its clock
	}
	return client.Decided(s), nil
}

// settled forgets a transaction of the wallet that is final or dead.
func (a *app) settled(ctx context.Context, id domain.Hash) error {
	store, w, err := a.current()
	if err != nil {
		return err
	}
	unlock, err := store.Lock(ctx, w.Name)
	if err != nil {
		return err
	}
	return errors.Join(store.RemovePending(w.Name, id), unlock())
}

// follow submits a transaction and waits, showing its weight, until it has reached a level. A final one
// comes with its verified proof; where that is wanting, the error does not speak of the transaction, and the
// outcome stands beside it.
func (a *app) follow(ctx context.Context, c *client.Client, id domain.Hash, raw []byte, level notaryv1.WaitLevel) (*outcome, error) {
	started := a.now()
	// Whoever waits for finality sees the weight grow; the other levels are passed too quickly for that.
	first := level
	if level == client.WaitFinal {
		first = client.WaitNone
	}
	status, err := c.Submit(ctx, raw, first)
	if err == nil && level == client.WaitFinal && !client.Decided(status) {
		status, err = a.watch(ctx, c, id)
	}
	if err != nil {
		return nil, a.undecided(ctx, id, err)
	}
	out := &outcome{ID: id.String(), State: stateName(status.GetState()), Weight: status.GetAcceptedWeight()}
	if status.GetState() == notaryv1.TransactionState_TRANSACTION_STATE_FINAL {
		proof, verdict, err := c.Proof(ctx, id)
		if err != nil {
			return out, unproven(id, err)
		}
		out.proof, out.heldView = proof, viewHeld(status)
		if out.Held {
			a.tell("notary: transaction %s is %s", id, out.warning())
		}
		for _, t := range verdict.Transactions {
			if t.ID == id {
				out.TimeMS, out.SpreadMS, out.Weight = t.TimeMS, t.SpreadMS, uint64(t.Weight)
			}
		}
	}
	out.ElapsedMS = a.now().Sub(started).Round(time.Millisecond).Milliseconds()
	return out, nil
}

// unproven is the error of a transaction that is final as the node says, which has to show it.
func unproven(id domain.Hash, err error) error {
	f := explain(err)
	f.err = fmt.Errorf("the node calls transaction %s final, but no proof came: %w", id, err)
	if f.exit == exitRefused { // what is refused is the proof
		f.exit, f.hint = exitFailed, "ask another node with --node"
	}
	return f
}

// finish is follow for a new transaction of the wallet, which is forgotten as soon as it is decided.
func (a *app) finish(ctx context.Context, c *client.Client, id domain.Hash, raw []byte, level notaryv1.WaitLevel) (*outcome, error) {
	out, err := a.follow(ctx, c, id, raw, level)
	if err == nil && out.proof != nil || out == nil && (client.Refused(err) || client.Lapsed(err)) {
		a.forget(ctx, id)
	}
	return out, err
}

// resume is finish for a transaction that was perhaps submitted before: whoever has not heard of it cannot tell
// that nobody has.
func (a *app) resume(ctx context.Context, c *client.Client, id domain.Hash, raw []byte) (*outcome, error) {
	out, err := a.follow(ctx, c, id, raw, client.WaitFinal)
	switch {
	case err == nil || out == nil && client.Refused(err):
		a.forget(ctx, id)
	case out == nil && client.Lapsed(err):
		return nil, &failure{exitOpen, name(err), "ask another node with --node before you pay anew",
			fmt.Errorf("the window of transaction %s is closed and this node has heard of no vote for it; where others have, it may be final: %w", id, err)}
	}
	return out, err
}

// forget is settled for a transaction whose outcome is about to be told.
func (a *app) forget(ctx context.Context, id domain.Hash) {
	if err := a.settled(ctx, id); err != nil {
		// The next transaction finds out for itself; what this one came to is more important.
		a.tell("notary: %v", err)
	}
}

// undecided says what to do when it is not known what will become of a transaction.
func (a *app) undecided(ctx context.Context, id domain.Hash, err error) error {
	if client.Refused(err) || client.Lapsed(err) {
		return err
	}
	f := explain(err)
	if ctx.Err() != nil || f.exit == exitOpen {
		return &failure{exitOpen, "WAIT_EXPIRED", "follow it with notary tx watch " + id.String(),
			fmt.Errorf("transaction %s is not there yet and may still become final: %w", id, cause(ctx, err))}
	}
	f.hint = "submit the very same transaction again with notary tx resubmit " + id.String() + ", which never pays twice"
	if f.exit == exitUnreachable {
		f.err = fmt.Errorf("transaction %s may or may not have reached the node: %w", id, err)
		return f
	}
	// Whatever else went wrong here, the node may have passed it on before.
	f.exit, f.err = exitOpen, fmt.Errorf("transaction %s may still become final: %w", id, err)
	return f
}

// cause names our own limit where that is what ended a call.
func cause(ctx context.Context, err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return errTimeout // ctx may notice a moment later
	}
	if c := context.Cause(ctx); c != nil {
		return c
	}
	return err
}

// watch shows a transaction's weight until it is final.
func (a *app) watch(ctx context.Context, c *client.Client, id domain.Hash) (*notaryv1.TransactionStatus, error) {
	m := a.meter()
	defer m.close()
	for s, err := range c.WatchTransaction(ctx, id) {
		if err != nil {
			return nil, err
		}
		m.show(s)
		switch s.GetState() {
		case notaryv1.TransactionState_TRANSACTION_STATE_FINAL:
			return s, nil
		case notaryv1.TransactionState_TRANSACTION_STATE_REJECTED:
			r := s.GetRejection()
			return nil, &client.RejectedError{ID: id, Reason: r.GetReason(), Field: r.GetField(), Detail: r.GetDetail()}
		}
	}
	return nil, fmt.Errorf("the node stopped telling about %s", id)
}
