package client

import (
	"context"
	"errors"
	"fmt"

	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/utxo"
)

// DeadError says that a transaction will never be final, as was checked here: what it would have spent may be
// spent otherwise, as far as Rival has not spent it.
type DeadError struct {
	ID domain.Hash
	// Rival is a final transaction that spends Shared, which ID would have spent too, and Proof is the verified
	// proof of it. Zero and nil where the body alone breaks the network's rules.
	Rival  domain.Hash
	Shared utxo.Outpoint
	Proof  *observation.Proof
	// Err is what the node said, or which rule the body breaks.
	Err error
}

// Error implements error.
func (e *DeadError) Error() string {
	if e.Rival.IsZero() {
		return fmt.Sprintf("transaction %s will never be final: %v", e.ID, e.Err)
	}
	return fmt.Sprintf("transaction %s will never be final: %s, which is proven to be, spends %s", e.ID, e.Rival, e.Shared)
}

// Unwrap is what the node said, or which rule the body breaks.
func (e *DeadError) Unwrap() error { return e.Err }

// UnprovenError says that a node calls a transaction dead and that nothing shows it. Where the node errs or lies
// the transaction may still become final, so its inputs stay tied. Submitting the same bytes at another node, or
// having another transaction that spends one of its inputs become final, settles it.
type UnprovenError struct {
	ID domain.Hash
	// Said is what the node said, Why what its proof lacks.
	Said, Why error
}

// Error implements error.
func (e *UnprovenError) Error() string {
	said := e.Said
	var rejected *RejectedError
	if errors.As(said, &rejected) {
		said = rejected.Unwrap() // it names the transaction too
	}
	return fmt.Sprintf("transaction %s may still become final: the node refuses it (%v) and does not prove that it never will (%v)", e.ID, said, e.Why)
}

// Unwrap is what the node said.
func (e *UnprovenError) Unwrap() error { return e.Said }

// Dead reports whether an error says that a transaction is dead and holds the proof of it. Everything else leaves
// open what becomes of it.
func Dead(err error) bool {
	var dead *DeadError
	return errors.As(err, &dead)
}

// ProveDead finds out whether what a node says against a transaction is true. It returns *DeadError where the body
// breaks the network's rules, or where the node has shown that another transaction is final which spends one of the
// same outpoints; else *UnprovenError. An error that does not call the transaction dead (see Refused) is returned as
// it is.
//
// All other reasons are a node's word: a closed window keeps it from the first vote only, which others may have
// cast in time, and what hangs on witnesses may differ in another copy of the transaction.
func (c *Client) ProveDead(ctx context.Context, tx *utxo.Tx, said error) error {
	if !Refused(said) || Dead(said) {
		return said
	}
	if _, err := utxo.DecodeBody(tx.Body, utxo.RulesOf(c.genesis)); err != nil {
		return &DeadError{ID: tx.ID, Err: err}
	}
	dead, err := c.outlived(ctx, tx)
	if err != nil {
		return &UnprovenError{ID: tx.ID, Said: said, Why: err}
	}
	dead.Err = said
	return dead
}

// outlived has the node name the final rival of a transaction, and prove it.
func (c *Client) outlived(ctx context.Context, tx *utxo.Tx) (*DeadError, error) {
	answer, err := c.Explain(ctx, tx.ID)
	if err != nil {
		return nil, err
	}
	if len(answer.GetWinner()) == 0 {
		return nil, errors.New("it names no rival that is final")
	}
	rival, err := domain.HashFrom(answer.GetWinner())
	if err != nil {
		return nil, fmt.Errorf("the rival that it names: %w", err)
	}
	if rival == tx.ID {
		return nil, errors.New("the rival that it names is the transaction itself")
	}
	proof, _, err := c.Proof(ctx, rival)
	if err != nil {
		return nil, err
	}
	other, err := Proven(proof, rival)
	if err != nil {
		return nil, err
	}
	shared, found := sharedSpend(tx, other)
	if !found {
		return nil, fmt.Errorf("%s is final and spends nothing of it", rival)
	}
	return &DeadError{ID: tx.ID, Rival: rival, Shared: shared, Proof: proof}, nil
}

// sharedSpend is the first outpoint that both transactions spend.
func sharedSpend(a, b *utxo.Tx) (utxo.Outpoint, bool) {
	spent := make(map[utxo.Outpoint]struct{}, len(b.Inputs))
	for _, o := range b.Spends() {
		spent[o] = struct{}{}
	}
	for _, o := range a.Spends() {
		if _, both := spent[o]; both {
			return o, true
		}
	}
	return utxo.Outpoint{}, false
}
