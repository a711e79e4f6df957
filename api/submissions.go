package api

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
)

// submissions is the work of one SubmitTransactions stream. One goroutine reads and hands over, and the handler's own
// answers what is ready; it alone sends. At most window transactions, of streamBytes, are in flight or not answered yet, and one more message has
// been read; then the stream is not read on, and HTTP/2's flow control holds the client back.
type submissions struct {
	service *notaryService
	stream  notaryv1.NotaryService_SubmitTransactionsServer
	call    *call
	places  chan struct{}       // from before a transaction is handed over until it is answered
	room    *semaphore.Weighted // for its bytes
	ended   chan error          // why reading ended
	bell    chan struct{}       // there is something to answer, or a first one to wait for

	waiting atomic.Pointer[time.Time] // since when the reader waits for a message; nil while it has one
	several atomic.Bool               // transactions came together, so answers may

	begun sync.WaitGroup // those whose ready may still be called

	mu     sync.Mutex
	closed bool // no more is handed over
	left   bool // nobody is answered any more
	open   int  // handed over and not answered
	first  *submission
	last   *submission // of those that are waited for, by the time at which their waits end
	ready  []*submission
}

// submission is one transaction of a stream.
type submission struct {
	w        *submissions
	sequence uint64
	wish     *wish
	weight   int64 // of its bytes
	started  time.Time
	until    time.Time // when the wait ends

	// With submissions.mu held. handed: pending is set; over: ready was called.
	pending      Pending
	handed, over bool
	next, prev   *submission
	listed       bool

	// What is answered, in place of what pending says.
	status *notaryv1.TransactionStatus
	err    error
}

// wish is what the transactions of one message are waited for, whether they are answered with their proofs, and whether they
// are refused rather than hold the stream back.
type wish struct {
	level notaryv1.WaitLevel
	proof bool
	known uint64 // see Reader.Proof
	shed  bool
}

// streamBytes is how many bytes of transactions may be under way on one stream: a client that reads no answers has the node keep them.
const streamBytes = 4 << 20

// How many transactions may come in a message beside the first, and how many answers go in one, which ends with the answer
// that makes proofs longer than maxProofs: clients take messages of 4 MiB unless told otherwise.
const (
	maxMore     = 255
	maxTogether = 64
	maxProofs   = 1 << 20
)

// SubmitTransactions implements notaryv1.NotaryServiceServer. Answers come in the order in which
// transactions get there. When the server stops, no more is read, what is in flight is answered, and
// the stream ends with SHUTTING_DOWN.
func (s *notaryService) SubmitTransactions(stream notaryv1.NotaryService_SubmitTransactionsServer) error {
	ctx, cancel := context.WithCancel(stream.Context())
	w := &submissions{
		service: s, stream: stream, call: callOf(ctx), places: make(chan struct{}, s.window), room: semaphore.NewWeighted(streamBytes),
		ended: make(chan error, 1), bell: make(chan struct{}, 1),
	}
	defer w.leave() // nothing outlives the call but the reader, which ends with the stream
	defer cancel()
	go w.read(ctx)
	return w.run(ctx)
}

// read hands over requests until the stream or ctx ends. A transaction costs a client what it does in a call of its own, so that a
// stream is no way around the rate: a client that is faster than it may is read from more slowly.
func (w *submissions) read(ctx context.Context) {
	for {
		now := time.Now()
		w.waiting.Store(&now)
		req, err := w.stream.Recv()
		w.waiting.Store(nil)
		if err != nil {
			w.ended <- err
			return
		}
		if len(req.GetMore()) > 0 {
			w.several.Store(true)
		}
		wish := &wish{level: req.GetWaitFor(), proof: req.GetWithProof(), known: req.GetKnownEpoch(), shed: req.GetShedLoad()}
		if !w.admit(ctx, req.GetSequence(), req.GetTransaction(), wish) {
			return
		}
		for i, raw := range req.GetMore() {
			if !w.admit(ctx, req.GetSequence()+uint64(i)+1, raw, wish) {
				return
			}
		}
	}
}

// admit hands one transaction over once the client may and there is a place; false says that no more are taken.
func (w *submissions) admit(ctx context.Context, sequence uint64, raw []byte, wish *wish) bool {
	if w.service.guard.await(ctx, w.call) != nil {
		return false
	}
	w.service.guard.submitted(w.call, raw)
	select {
	case w.places <- struct{}{}:
	default:
		select {
		case w.places <- struct{}{}:
		case <-ctx.Done():
			return false
		}
	}
	if w.room.Acquire(ctx, weightOf(raw)) != nil {
		return false
	}
	return w.hand(ctx, sequence, raw, wish)
}

// weightOf is what a transaction takes of the room for bytes. One that is too large for any is refused by its size.
func weightOf(raw []byte) int64 { return int64(min(len(raw), streamBytes)) }

// hand hands one transaction over; false says that no more are.
func (w *submissions) hand(ctx context.Context, sequence uint64, raw []byte, wish *wish) bool {
	if !w.enter() {
		return false
	}
	now := time.Now()
	s := &submission{w: w, sequence: sequence, wish: wish, weight: weightOf(raw), started: now, until: w.service.waitUntil(ctx, now)}
	var pending Pending
	s.err = w.service.guard.protect(w.call, func() (err error) {
		if err = checkTransaction(raw); err != nil {
			return err
		}
		if err = checkProofWanted(wish.proof, wish.level); err != nil {
			return err
		}
		level, err := checkLevel(wish.level)
		if err != nil {
			return err
		}
		pending, err = w.service.backends.Submitter.Begin(ctx, w.call.client, raw, level, wish.shed, s.done)
		return err
	})
	if s.err != nil {
		w.begun.Done()
	}
	w.handed(s, pending)
	return true
}

// enter makes room for one more; false says that no more are handed over.
func (w *submissions) enter() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return false
	}
	w.open++
	w.begun.Add(1)
	return true
}

// handed says that a transaction was handed over, or why not.
func (w *submissions) handed(s *submission, pending Pending) {
	w.mu.Lock()
	s.pending, s.handed = pending, true
	ring, forget := false, false
	switch {
	case s.over || s.err != nil:
		w.ready = append(w.ready, s)
		ring = len(w.ready) == 1
	case w.left:
		forget = true
	default:
		ring = w.first == nil
		w.list(s)
	}
	w.mu.Unlock()
	switch {
	case forget:
		w.forget(pending)
	case ring:
		w.ring()
	}
}

// done is what the backend calls when the wait is over.
func (s *submission) done() {
	w := s.w
	w.mu.Lock()
	s.over = true
	ring := false
	if s.handed {
		w.unlist(s)
		w.ready = append(w.ready, s)
		ring = len(w.ready) == 1
	}
	w.mu.Unlock()
	if ring {
		w.ring()
	}
	w.begun.Done()
}

func (w *submissions) ring() {
	select {
	case w.bell <- struct{}{}:
	default:
	}
}

func (w *submissions) list(s *submission) {
	s.listed, s.prev = true, w.last
	if w.last == nil {
		w.first = s
	} else {
		w.last.next = s
	}
	w.last = s
}

func (w *submissions) unlist(s *submission) {
	if !s.listed {
		return
	}
	if s.prev == nil {
		w.first = s.next
	} else {
		s.prev.next = s.next
	}
	if s.next == nil {
		w.last = s.prev
	} else {
		s.next.prev = s.prev
	}
	s.listed, s.next, s.prev = false, nil, nil
}

// run answers until there is nothing left to do, or until the stream has been idle for too long.
func (w *submissions) run(ctx context.Context) error {
	var result error
	var batch []*submission
	reading, stopping, ended := true, w.service.stopping, w.ended
	expiry, armed := time.NewTimer(time.Hour), false
	defer expiry.Stop()
	idle := w.service.guard.idleTimeout
	look, busy := time.NewTicker(max(idle/8, time.Millisecond)), time.Now() // when something was under way last
	defer look.Stop()
	for {
		batch = w.take(batch)
		if err := w.answer(ctx, batch); err != nil {
			return err
		}
		until, waits, open := w.answered(len(batch))
		if open > 0 || len(batch) > 0 {
			busy = time.Now()
		}
		switch {
		case !reading && open == 0:
			return result
		case waits && !armed:
			expiry.Reset(time.Until(until))
			armed = true
		}
		select {
		case <-w.bell:
		case err := <-ended:
			reading, ended = false, nil
			if !errors.Is(err, io.EOF) {
				return err
			}
		case <-stopping:
			reading, stopping, ended, result = false, nil, nil, errStopping
			w.close()
		case <-expiry.C:
			armed = false
			w.expire(ctx)
		case <-look.C:
			if since := w.waiting.Load(); reading && open == 0 && since != nil && time.Since(busy) >= idle && time.Since(*since) >= idle {
				return w.service.guard.idle()
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// take is what is ready, in place of what was taken before.
func (w *submissions) take(before []*submission) []*submission {
	clear(before)
	w.mu.Lock()
	defer w.mu.Unlock()
	batch := w.ready
	w.ready = before[:0]
	return batch
}

// answered counts so many answers. It returns when the first of the waits ends, if any goes on, and how many
// transactions have no answer yet.
func (w *submissions) answered(n int) (until time.Time, waits bool, open int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.open -= n
	if w.first != nil {
		until, waits = w.first.until, true
	}
	return until, waits, w.open
}

// close hands no more over.
func (w *submissions) close() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
}

// expire ends the waits that have lasted as long as they may.
func (w *submissions) expire(ctx context.Context) {
	now := time.Now()
	var late []*submission
	w.mu.Lock()
	for w.first != nil && !w.first.until.After(now) {
		late = append(late, w.first)
		w.unlist(w.first)
	}
	w.mu.Unlock()
	for _, s := range late {
		if !s.pending.Leave() {
			continue // it is done
		}
		go func() { // the backend may have to ask somebody
			s.status, s.err = s.pending.Status(ctx), waitExpired(s.wish.level, s.started)
			s.done()
		}()
	}
}

// leave ends all waits, and is until the backend calls nobody any more.
func (w *submissions) leave() {
	w.mu.Lock()
	w.closed, w.left = true, true
	var all []*submission
	for w.first != nil {
		all = append(all, w.first)
		w.unlist(w.first)
	}
	w.mu.Unlock()
	for _, s := range all {
		w.forget(s.pending)
	}
	w.begun.Wait()
}

// forget ends a wait that nobody is answered for.
func (w *submissions) forget(p Pending) {
	if p.Leave() {
		w.begun.Done()
	}
}

// answer sends what came of some transactions, together where they came so.
func (w *submissions) answer(ctx context.Context, batch []*submission) error {
	for len(batch) > 0 {
		answer := w.outcome(ctx, batch[0])
		n, proofs := 1, len(answer.Proof)
		for w.several.Load() && n < min(len(batch), maxTogether) && proofs < maxProofs {
			next := w.outcome(ctx, batch[n])
			answer.More = append(answer.More, next)
			proofs += len(next.Proof)
			n++
		}
		if err := w.stream.Send(answer); err != nil {
			return err
		}
		for _, s := range batch[:n] {
			<-w.places
			w.room.Release(s.weight)
		}
		batch = batch[n:]
	}
	return nil
}

// outcome is what came of one transaction. Why it was refused, or did not get there in time, stands
// in the answer's rejection; the state is REJECTED only where the reason ends the transaction.
func (w *submissions) outcome(ctx context.Context, s *submission) *notaryv1.SubmitTransactionsResponse {
	g, status, err := w.service.guard, s.status, s.err
	var proof []byte
	if err == nil {
		err = g.protect(w.call, func() (err error) {
			status, err = s.pending.Result()
			if status, err = settled(s.wish.level, status, err); err == nil && s.wish.proof {
				proof, err = w.service.proofOf(ctx, status, s.wish.known)
			}
			return err
		})
	}
	answer := &notaryv1.SubmitTransactionsResponse{Sequence: s.sequence, Status: status, Proof: proof}
	if err = explain(ctx, err); err != nil {
		if answer.Status == nil {
			answer.Status = &notaryv1.TransactionStatus{}
		}
		rejection, v := rejectionOf(err)
		answer.Status.Rejection = rejection
		if v.rejected() {
			answer.Status.State = notaryv1.TransactionState_TRANSACTION_STATE_REJECTED
		}
		if rejection.Reason == notaryv1.Reason_REASON_INTERNAL {
			g.log.Error("transaction of a stream", "method", w.call.method, "call", w.call.id, "sequence", s.sequence, "error", err)
		}
	}
	return answer
}
