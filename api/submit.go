package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// SubmitTransaction implements notaryv1.NotaryServiceServer. A rejected transaction is an error with its
// reason. When the wait ends before the level is reached, the error is WAIT_EXPIRED with the present
// TransactionStatus among its details: the transaction goes on, and submitting it again waits on.
func (s *notaryService) SubmitTransaction(ctx context.Context, req *notaryv1.SubmitTransactionRequest) (*notaryv1.SubmitTransactionResponse, error) {
	if req.GetWithProof() && req.GetWaitFor() != notaryv1.WaitLevel_WAIT_LEVEL_FINAL {
		return nil, refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, "with_proof", "there is a proof only with wait_for FINAL")
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
	id, err := domain.HashFrom(status.GetTransactionId())
	if err != nil {
		return nil, fmt.Errorf("status of a final transaction: %w", err)
	}
	if answer.Proof, err = s.backends.Reader.Proof(ctx, id, true, req.GetKnownEpoch()); err != nil {
		return nil, withStatus{err, status}
	}
	return answer, nil
}

// submit hands one transaction over and waits. The status may stand beside an error.
func (s *notaryService) submit(ctx context.Context, raw []byte, waitFor notaryv1.WaitLevel) (*notaryv1.TransactionStatus, error) {
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
	switch {
	case errors.Is(err, context.DeadlineExceeded) && wait.Err() != nil:
		return status, refusal.New(notaryv1.Reason_REASON_WAIT_EXPIRED, "",
			"not %s after %v; the transaction goes on, submit it again to wait on",
			levelName(level), time.Since(started).Round(time.Millisecond))
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

// submissions is the work of one SubmitTransactions stream. One goroutine reads, one goroutine for each
// transaction in flight waits, and takes the next when that is answered, and the handler's own does the rest; it
// alone sends. At most window
// transactions are in flight or answered but not sent, and one more has been read; then the stream is
// not read on, and HTTP/2's flow control holds the client back.
type submissions struct {
	service  *notaryService
	stream   notaryv1.NotaryService_SubmitTransactionsServer
	requests chan *notaryv1.SubmitTransactionsRequest
	handed   chan *notaryv1.SubmitTransactionsRequest // to a goroutine that is idle
	ended    chan error                               // why reading ended
	answers  chan *notaryv1.SubmitTransactionsResponse
	flying   int
}

// SubmitTransactions implements notaryv1.NotaryServiceServer. Answers come in the order in which
// transactions get there. When the server stops, no more is read, what is in flight is answered, and
// the stream ends with SHUTTING_DOWN.
func (s *notaryService) SubmitTransactions(stream notaryv1.NotaryService_SubmitTransactionsServer) error {
	ctx, cancel := context.WithCancel(stream.Context())
	w := &submissions{
		service: s, stream: stream,
		requests: make(chan *notaryv1.SubmitTransactionsRequest),
		handed:   make(chan *notaryv1.SubmitTransactionsRequest),
		ended:    make(chan error, 1),
		answers:  make(chan *notaryv1.SubmitTransactionsResponse, s.window),
	}
	var flights sync.WaitGroup
	defer flights.Wait() // nothing outlives the call but the reader, which ends with the stream
	defer cancel()
	go w.read(ctx)
	return w.run(ctx, &flights)
}

// read hands over requests until the stream or ctx ends. A transaction costs a client what a call does, so that a
// stream is no way around the rate: a client that is faster than it may is read from more slowly.
func (w *submissions) read(ctx context.Context) {
	table, client := w.service.guard.table, callOf(ctx).client
	for {
		req, err := w.stream.Recv()
		if err != nil {
			w.ended <- err
			return
		}
		for over := table.Take(client); over != nil; over = table.Take(client) {
			select {
			case <-time.After(over.RetryAfter):
			case <-ctx.Done():
				return
			}
		}
		select {
		case w.requests <- req:
		case <-ctx.Done():
			return
		}
	}
}

// run starts and answers transactions until there is nothing left to do.
func (w *submissions) run(ctx context.Context, flights *sync.WaitGroup) error {
	var result error
	reading, stopping, ended := true, w.service.stopping, w.ended
	for reading || w.flying > 0 {
		requests := w.requests
		if !reading || w.flying == w.service.window {
			requests = nil
		}
		select {
		case req := <-requests:
			w.flying++
			select {
			case w.handed <- req:
			default:
				flights.Go(func() { w.work(ctx, req) })
			}
		case answer := <-w.answers:
			w.flying--
			if err := w.stream.Send(answer); err != nil {
				return err
			}
		case err := <-ended:
			reading, ended = false, nil
			if !errors.Is(err, io.EOF) {
				return err
			}
		case <-stopping:
			reading, stopping, ended, result = false, nil, nil, errStopping
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return result
}

// work answers one request after the other until the call ends. Stacks that have grown are used again.
func (w *submissions) work(ctx context.Context, req *notaryv1.SubmitTransactionsRequest) {
	for {
		w.answers <- w.answer(ctx, req)
		select {
		case req = <-w.handed:
		case <-ctx.Done():
			return
		}
	}
}

// answer submits one transaction of a stream. Why it was refused, or did not get there in time, stands
// in the answer's rejection; the state is REJECTED only where the reason ends the transaction.
func (w *submissions) answer(ctx context.Context, req *notaryv1.SubmitTransactionsRequest) *notaryv1.SubmitTransactionsResponse {
	var status *notaryv1.TransactionStatus
	g, c := w.service.guard, callOf(ctx)
	err := g.protect(c, func() (err error) {
		status, err = w.service.submit(ctx, req.GetTransaction(), req.GetWaitFor())
		return explain(ctx, err)
	})
	answer := &notaryv1.SubmitTransactionsResponse{Sequence: req.GetSequence(), Status: status}
	if err == nil {
		return answer
	}
	if answer.Status == nil {
		answer.Status = &notaryv1.TransactionStatus{}
	}
	rejection, v := rejectionOf(err)
	answer.Status.Rejection = rejection
	if v.rejected() {
		answer.Status.State = notaryv1.TransactionState_TRANSACTION_STATE_REJECTED
	}
	if rejection.Reason == notaryv1.Reason_REASON_INTERNAL {
		g.log.Error("transaction of a stream", "method", c.method, "call", c.id, "sequence", req.GetSequence(), "error", err)
	}
	return answer
}
