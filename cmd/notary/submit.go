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
	"github.com/notarynet/notaryd/utxo"
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

// tie keeps the coins of transactions under way out of the choice, and forgets those that are proven to be over.
func (a *app) tie(ctx context.Context, c *client.Client, store *wallet.Store, name string, account *client.Account) error {
	list, err := store.Pending(name)
	if err != nil {
		return err
	}
	for _, p := range list {
		if p.Network != c.Genesis().ID {
			continue
		}
		spent, err := a.over(ctx, c, p)
		if err == nil && len(spent) > 0 {
			err = store.SettlePending(name, p.Network, spent)
		}
		if err != nil {
			return err
		}
	}
	if list, err = store.Pending(name); err != nil {
		return err
	}
	for _, p := range list {
		if p.Network == c.Genesis().ID {
			account.Tie(p.Spends...)
		}
	}
	return nil
}

// over finds out whether a transaction under way is over, one way or the other, and returns what the final one of it
// and its rivals spends; nothing where the node does not prove it. That a node has not heard of it, or finds its
// window closed, says nothing of the others.
func (a *app) over(ctx context.Context, c *client.Client, p wallet.Pending) ([]utxo.Outpoint, error) {
	answer, err := c.Transaction(ctx, p.ID)
	if errors.Is(err, refusal.Because(notaryv1.Reason_REASON_NOT_FOUND)) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	switch s := answer.GetStatus(); s.GetState() {
	case notaryv1.TransactionState_TRANSACTION_STATE_FINAL:
		if _, _, err = c.ShortProof(ctx, p.ID); err == nil {
			return p.Spends, nil
		}
	case notaryv1.TransactionState_TRANSACTION_STATE_REJECTED:
		var dead *client.DeadError
		if err = a.refuted(ctx, c, p.Raw, client.Rejected(s)); errors.As(err, &dead) && dead.Proof != nil {
			return rivalSpends(dead)
		}
	}
	return nil, ctx.Err() // unproven: resubmitting it tells why
}

// refuted is what becomes of a node's word against a transaction: proven or not.
func (a *app) refuted(ctx context.Context, c *client.Client, raw []byte, said error) error {
	if !client.Refused(said) {
		return said
	}
	tx, err := utxo.Decode(raw, utxo.Rules{Network: c.Genesis().ID})
	if err != nil {
		return errors.Join(said, err) // built here, or checked when it was read: it decodes
	}
	return c.ProveDead(ctx, tx, said)
}

// rivalSpends are the outpoints that the final rival of a dead transaction has spent.
func rivalSpends(dead *client.DeadError) ([]utxo.Outpoint, error) {
	rival, err := client.Proven(dead.Proof, dead.Rival)
	if err != nil {
		return nil, err
	}
	return rival.Spends(), nil
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
		return nil, a.undecided(ctx, id, a.refuted(ctx, c, raw, err))
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

// finish is follow for a transaction of the wallet, which is forgotten as soon as it is proven to be final or dead.
func (a *app) finish(ctx context.Context, c *client.Client, id domain.Hash, raw []byte, level notaryv1.WaitLevel) (*outcome, error) {
	out, err := a.follow(ctx, c, id, raw, level)
	var dead *client.DeadError
	var over error
	switch {
	case err == nil && out.proof != nil:
		over = a.settle(ctx, c, func() ([]utxo.Outpoint, error) {
			tx, err := utxo.Decode(raw, utxo.Rules{Network: c.Genesis().ID})
			if err != nil {
				return nil, err
			}
			return tx.Spends(), nil
		})
	case errors.As(err, &dead) && dead.Proof != nil:
		over = a.settle(ctx, c, func() ([]utxo.Outpoint, error) { return rivalSpends(dead) })
	case dead != nil:
		over = a.pendingChange(ctx, func(store *wallet.Store, name string) error { return store.RemovePending(name, id) })
	}
	if over != nil {
		// The next transaction finds out for itself; what this one came to is more important.
		a.tell("notary: %v", over)
	}
	return out, err
}

// settle forgets what spends an outpoint that a transaction has spent which is proven to be final.
func (a *app) settle(ctx context.Context, c *client.Client, spends func() ([]utxo.Outpoint, error)) error {
	spent, err := spends()
	if err != nil {
		return err
	}
	return a.pendingChange(ctx, func(store *wallet.Store, name string) error {
		return store.SettlePending(name, c.Genesis().ID, spent)
	})
}

// pendingChange changes the list of the wallet's transactions under way.
func (a *app) pendingChange(ctx context.Context, change func(*wallet.Store, string) error) error {
	store, w, err := a.current()
	if err != nil {
		return err
	}
	unlock, err := store.Lock(ctx, w.Name)
	if err != nil {
		return err
	}
	return errors.Join(change(store, w.Name), unlock())
}

// undecided says what to do when it is not known what will become of a transaction.
func (a *app) undecided(ctx context.Context, id domain.Hash, err error) error {
	var unproven *client.UnprovenError
	if client.Dead(err) || errors.As(err, &unproven) {
		return err
	}
	f := explain(err)
	if ctx.Err() != nil || f.exit == exitOpen {
		return &failure{exitOpen, "WAIT_EXPIRED", "follow it with notary tx watch " + id.String(),
			fmt.Errorf("transaction %s is not there yet and may still become final: %w", id, cause(ctx, err))}
	}
	f.hint = "submit the very same transaction again with notary tx resubmit " + id.String() + ", which never pays twice"
	if refusal.ReasonOf(err) == notaryv1.Reason_REASON_FEE_TOO_LOW {
		f.hint = "have its coins back with notary tx cancel " + id.String() + " --fee AMOUNT and pay anew with a higher --fee, or try another node with notary tx resubmit " + id.String() + " --node HOST:PORT"
	}
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
			return nil, client.Rejected(s)
		}
	}
	return nil, fmt.Errorf("the node stopped telling about %s", id)
}
