package client

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc"

	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
	"github.com/notarynet/notaryd/utxo"
)

// Levels that Submit can wait for.
const (
	WaitNone     = notaryv1.WaitLevel_WAIT_LEVEL_NONE
	WaitPending  = notaryv1.WaitLevel_WAIT_LEVEL_PENDING
	WaitAccepted = notaryv1.WaitLevel_WAIT_LEVEL_ACCEPTED
	WaitFinal    = notaryv1.WaitLevel_WAIT_LEVEL_FINAL
)

// Receipt is a final transaction with the proof of it.
type Receipt struct {
	*Transaction
	Status *notaryv1.TransactionStatus
	// Proof is verified; its file form is Proof.EncodeFile.
	Proof   *observation.Proof
	Verdict observation.Verdict
}

// Submit hands in the exact bytes of a transaction and waits until it has reached a level at the node
// or ctx ends; it may be called again with the same bytes whatever happened. A transaction that will never
// be final, as the node says, gives an error: *Error where it refused it, *RejectedError where the network did. That is
// one node's word, which ProveDead checks.
func (c *Client) Submit(ctx context.Context, raw []byte, level notaryv1.WaitLevel) (*notaryv1.TransactionStatus, error) {
	answer, err := c.submit(ctx, &notaryv1.SubmitTransactionRequest{Transaction: raw, WaitFor: level})
	return answer.GetStatus(), err
}

// submit repeats a submission for as long as the node ends its waits before ctx does: nodes bound them.
func (c *Client) submit(ctx context.Context, req *notaryv1.SubmitTransactionRequest) (*notaryv1.SubmitTransactionResponse, error) {
	for {
		answer, err := call(ctx, c, c.api.SubmitTransaction, req)
		var e *Error
		if !errors.As(err, &e) || e.Reason != notaryv1.Reason_REASON_WAIT_EXPIRED {
			if err == nil {
				err = Rejected(answer.GetStatus())
			}
			return answer, err
		}
		if !sleep(ctx, max(e.RetryAfter, time.Millisecond)) {
			return nil, err
		}
	}
}

// SubmitFinal submits, waits for finality, and verifies the proof that comes in the same answer. What the node says
// against the transaction is checked as ProveDead does.
func (c *Client) SubmitFinal(ctx context.Context, tx *Transaction) (*Receipt, error) {
	answer, err := c.submit(ctx, &notaryv1.SubmitTransactionRequest{Transaction: tx.Raw, WaitFor: WaitFinal, WithProof: true})
	if err != nil {
		return nil, c.ProveDead(ctx, tx.Tx, err)
	}
	proof, verdict, err := c.Verify(tx.ID, answer.GetProof())
	if err != nil {
		return nil, err
	}
	return &Receipt{Transaction: tx, Status: answer.GetStatus(), Proof: proof, Verdict: verdict}, nil
}

// Send pays, waits for finality and returns the verified proof. Where it fails without the transaction
// being Dead, the payment may still become final: the coins stay tied, and only the same transaction
// may be submitted again. The transaction is returned for that beside the error.
func (c *Client) Send(ctx context.Context, from *Account, terms Terms, payments ...Payment) (*Receipt, error) {
	tx, err := c.BuildPayments(ctx, from, terms, payments...)
	if err != nil {
		return nil, err
	}
	receipt, err := c.SubmitFinal(ctx, tx)
	if err == nil || Dead(err) {
		from.Release(tx.Spends()...)
	}
	if err != nil {
		return &Receipt{Transaction: tx}, err
	}
	return receipt, nil
}

// Refused reports whether an error says that a transaction will never be final: the word of a node, which Dead tells
// from what was checked.
func Refused(err error) bool {
	var dead *RejectedError
	if errors.As(err, &dead) {
		return true
	}
	var e *Error
	if !errors.As(err, &e) || utxo.NotYet(e) {
		return false
	}
	switch e.Reason {
	case notaryv1.Reason_REASON_FEE_TOO_LOW, notaryv1.Reason_REASON_TOO_MANY_RIVALS: // this node does not want it: another may have it
		return false
	}
	// Reasons below those of the service speak of the transaction.
	return e.Reason != notaryv1.Reason_REASON_UNSPECIFIED && e.Reason < notaryv1.Reason_REASON_INVALID_ARGUMENT
}

// Rejected is what a status says against its transaction: nil, or *RejectedError where it is REJECTED.
func Rejected(s *notaryv1.TransactionStatus) error {
	if s.GetState() != notaryv1.TransactionState_TRANSACTION_STATE_REJECTED {
		return nil
	}
	id, err := domain.HashFrom(s.GetTransactionId())
	if err != nil {
		return refusal.New(notaryv1.Reason_REASON_MALFORMED, "status.transaction_id", "%v", err)
	}
	r := s.GetRejection()
	return &RejectedError{ID: id, Reason: r.GetReason(), Field: r.GetField(), Detail: r.GetDetail()}
}

// Validate asks the node whether it would vote for a transaction now, without submitting it; nil says
// yes, a *refusal.Error why not.
func (c *Client) Validate(ctx context.Context, raw []byte) error {
	answer, err := call(ctx, c, c.api.ValidateTransaction, &notaryv1.ValidateTransactionRequest{Transaction: raw})
	if err != nil {
		return err
	}
	if r := answer.GetRejection(); r != nil {
		return &refusal.Error{Reason: r.GetReason(), Field: r.GetField(), Detail: r.GetDetail()}
	}
	return nil
}

// Transaction is what the node knows of a transaction, with its exact bytes where the node has them. An
// answer about another transaction, or bytes of another one, are refused.
func (c *Client) Transaction(ctx context.Context, id domain.Hash) (*notaryv1.GetTransactionResponse, error) {
	answer, err := call(ctx, c, c.api.GetTransaction, &notaryv1.GetTransactionRequest{TransactionId: id[:]})
	if err != nil {
		return nil, err
	}
	if got := answer.GetStatus().GetTransactionId(); string(got) != string(id[:]) {
		return nil, refusal.New(notaryv1.Reason_REASON_MALFORMED, "status.transaction_id", "the node answered about %x", got)
	}
	if raw := answer.GetTransaction(); len(raw) > 0 {
		tx, err := utxo.Decode(raw, utxo.RulesOf(c.genesis))
		if err != nil {
			return nil, refusal.Under("transaction", err)
		}
		if tx.ID != id {
			return nil, refusal.New(notaryv1.Reason_REASON_MALFORMED, "transaction", "the node answered with the bytes of %s", tx.ID)
		}
	}
	return answer, nil
}

// Stream opens the service's stream of submissions, for throughput; the caller receives while it sends.
// Nothing is repeated on a stream: what has no answer when it breaks is submitted again on a new one. The node ends one on which nothing
// is under way and nothing has come for two minutes, with WAIT_EXPIRED.
func (c *Client) Stream(ctx context.Context) (grpc.BidiStreamingClient[notaryv1.SubmitTransactionsRequest, notaryv1.SubmitTransactionsResponse], error) {
	stream, err := c.api.SubmitTransactions(ctx)
	return stream, fromStatus(ctx, err)
}

// Explain asks the node why a transaction is where it is.
func (c *Client) Explain(ctx context.Context, id domain.Hash) (*notaryv1.ExplainTransactionResponse, error) {
	return call(ctx, c, c.api.ExplainTransaction, &notaryv1.ExplainTransactionRequest{TransactionId: id[:]})
}
