package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// SubmitTransaction implements notaryv1.NotaryServiceServer. A rejected transaction is an error with its
// reason. When the wait ends before the level is reached, the error is WAIT_EXPIRED with the present
// TransactionStatus among its details: the transaction goes on, and submitting it again waits on.
func (s *notaryService) SubmitTransaction(ctx context.Context, req *notaryv1.SubmitTransactionRequest) (*notaryv1.SubmitTransactionResponse, error) {
	if err := checkProofWanted(req.GetWithProof(), req.GetWaitFor()); err != nil {
		return nil, err
	}
	note(ctx, slog.String("level", req.GetWaitFor().String()))
	status, err := s.submit(ctx, req.GetTransaction(), req.GetWaitFor())
	if id, e := domain.HashFrom(status.GetTransactionId()); e == nil {
		note(ctx, slog.String("transaction", id.String()), slog.String("state", status.GetState().String()))
	}
	if err != nil {
		return nil, withStatus{err, status}
	}
	answer := &notaryv1.SubmitTransactionResponse{Status: status}
	if !req.GetWithProof() {
		return answer, nil
	}
	if answer.Proof, err = s.proofOf(ctx, status, req.GetKnownEpoch()); err != nil {
		return nil, withStatus{err, status}
	}
	return answer, nil
}

// checkProofWanted refuses a wish for a proof of what need not be final.
func checkProofWanted(wanted bool, level notaryv1.WaitLevel) error {
	if wanted && level != notaryv1.WaitLevel_WAIT_LEVEL_FINAL {
		return refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, "with_proof", "there is a proof only with wait_for FINAL")
	}
	return nil
}

// proofOf is the acceptance proof of a transaction with a status of FINAL, and the transaction in it.
func (s *notaryService) proofOf(ctx context.Context, status *notaryv1.TransactionStatus, known uint64) ([]byte, error) {
	id, err := domain.HashFrom(status.GetTransactionId())
	if err != nil {
		return nil, fmt.Errorf("status of a final transaction: %w", err)
	}
	return s.backends.Reader.Proof(ctx, id, true, known)
}

// submit hands one transaction over and waits. The status may stand beside an error.
func (s *notaryService) submit(ctx context.Context, raw []byte, waitFor notaryv1.WaitLevel) (*notaryv1.TransactionStatus, error) {
	s.guard.submitted(callOf(ctx), raw)
	if err := checkTransaction(raw); err != nil {
		return nil, err
	}
	level, err := checkLevel(waitFor)
	if err != nil {
		return nil, err
	}
	started := time.Now()
	wait, cancel := context.WithDeadline(ctx, s.waitUntil(ctx, started))
	defer cancel()
	status, err := s.backends.Submitter.Submit(wait, callOf(ctx).client, raw, level)
	if errors.Is(err, context.DeadlineExceeded) && wait.Err() != nil {
		return status, waitExpired(level, started)
	}
	return settled(level, status, err)
}

// waitExpired says that a transaction is not where it was waited for.
func waitExpired(level notaryv1.WaitLevel, started time.Time) error {
	return refusal.New(notaryv1.Reason_REASON_WAIT_EXPIRED, "",
		"not %s after %v; the transaction goes on, submit it again to wait on",
		levelName(level), time.Since(started).Round(time.Millisecond))
}

// settled turns what a backend has answered into what the API does.
func settled(level notaryv1.WaitLevel, status *notaryv1.TransactionStatus, err error) (*notaryv1.TransactionStatus, error) {
	switch {
	case err != nil:
		return status, err
	case status == nil:
		return nil, errors.New("the submitter returned neither a status nor an error")
	case status.GetState() == notaryv1.TransactionState_TRANSACTION_STATE_REJECTED:
		return status, rejectionError(status.GetRejection())
	case level == notaryv1.WaitLevel_WAIT_LEVEL_FINAL && status.GetState() != notaryv1.TransactionState_TRANSACTION_STATE_FINAL:
		return status, fmt.Errorf("the submitter returned %v for FINAL", status.GetState())
	default:
		return status, nil
	}
}

// levelName is a wait level as people read it.
func levelName(level notaryv1.WaitLevel) string {
	const prefix = len("WAIT_LEVEL_")
	return level.String()[prefix:]
}

// waitUntil is when a wait ends so that the answer still reaches the client before its deadline: a tenth
// of the time that is left before it, at most 50 ms.
func (s *notaryService) waitUntil(ctx context.Context, now time.Time) time.Time {
	limit := now.Add(s.maxWait)
	deadline, ok := ctx.Deadline()
	if !ok {
		return limit
	}
	answer := deadline.Add(-min(deadline.Sub(now)/10, 50*time.Millisecond))
	if answer.Before(limit) {
		return answer
	}
	return limit
}
