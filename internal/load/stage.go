package load

import notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"

// Stage is how far a transaction has come.
type Stage int

// The stages, each of which comes with or after the one before.
const (
	Pending  Stage = iota // the node has voted PENDING
	Accepted              // the node has voted ACCEPTED
	Final                 // final at the node
	Proof                 // final, and the proof of it is here
	Stages                // how many there are
)

// String is the name of a stage as people read it.
func (s Stage) String() string {
	return [Stages]string{"pending", "accepted", "final", "proof"}[s]
}

// ask is the request for a transaction at a stage.
func (s Stage) ask(sequence uint64, tx []byte) *notaryv1.SubmitTransactionsRequest {
	level := notaryv1.WaitLevel_WAIT_LEVEL_FINAL
	switch s {
	case Pending:
		level = notaryv1.WaitLevel_WAIT_LEVEL_PENDING
	case Accepted:
		level = notaryv1.WaitLevel_WAIT_LEVEL_ACCEPTED
	}
	return &notaryv1.SubmitTransactionsRequest{Sequence: sequence, Transaction: tx, WaitFor: level, WithProof: s == Proof}
}

// reached reports whether an answer says that a transaction is there.
func (s Stage) reached(answer *notaryv1.SubmitTransactionsResponse) bool {
	state := answer.GetStatus().GetState()
	switch s {
	case Pending:
		return state >= notaryv1.TransactionState_TRANSACTION_STATE_PENDING && state <= notaryv1.TransactionState_TRANSACTION_STATE_FINAL
	case Accepted:
		return state >= notaryv1.TransactionState_TRANSACTION_STATE_ACCEPTED && state <= notaryv1.TransactionState_TRANSACTION_STATE_FINAL
	case Proof:
		return state == notaryv1.TransactionState_TRANSACTION_STATE_FINAL && len(answer.GetProof()) > 0
	}
	return state == notaryv1.TransactionState_TRANSACTION_STATE_FINAL
}
