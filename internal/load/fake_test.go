package load

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"

	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// What the node of these tests takes to get a transaction to each stage, unless a test says otherwise.
var takes = [Stages]time.Duration{Pending: 2 * time.Millisecond, Accepted: 5 * time.Millisecond, Final: 8 * time.Millisecond, Proof: 9 * time.Millisecond}

// asked is one transaction in a message to the node.
type asked struct {
	tx, stream int
	stage      Stage
	at         time.Duration // since the node is there
	message    int           // counted over all streams
	shed       bool
}

// node answers whatever is asked on its streams, under a fake clock.
type node struct {
	start time.Time
	// says, where set, is the node's answer to something and how long it takes.
	says func(a asked) (*notaryv1.SubmitTransactionsResponse, time.Duration)
	// held is how long a stream's Send blocks, as flow control does.
	held time.Duration

	mu       sync.Mutex
	asked    []asked
	messages int
	underWay map[int]int // requests without an answer, by transaction
	most     int         // transactions under way at once
}

func newNode() *node { return &node{start: time.Now(), underWay: make(map[int]int)} }

// streams opens so many.
func (n *node) streams(count int) []Opener {
	all := make([]Opener, count)
	for k := range all {
		all[k] = func(ctx context.Context) (Stream, error) {
			return &stream{node: n, ctx: ctx, number: k, inbox: make(chan received, 10_000)}, nil
		}
	}
	return all
}

// of is all that was asked about transactions at a stage.
func (n *node) of(s Stage) (found []asked) {
	for _, a := range n.asked {
		if a.stage == s {
			found = append(found, a)
		}
	}
	return found
}

// received is an answer, or why there is none.
type received struct {
	answer *notaryv1.SubmitTransactionsResponse
	err    error
}

// stream implements Stream.
type stream struct {
	grpc.ClientStream
	node   *node
	ctx    context.Context
	number int
	inbox  chan received
	open   sync.WaitGroup
}

func (s *stream) Send(r *notaryv1.SubmitTransactionsRequest) error {
	if s.node.held > 0 {
		time.Sleep(s.node.held)
	}
	if s.ctx.Err() != nil {
		return io.EOF
	}
	s.node.mu.Lock()
	defer s.node.mu.Unlock()
	for i, raw := range append([][]byte{r.GetTransaction()}, r.GetMore()...) {
		a := asked{int(binary.BigEndian.Uint32(raw)), s.number, stageOf(r), time.Since(s.node.start), s.node.messages, r.GetShedLoad()}
		s.node.asked = append(s.node.asked, a)
		s.node.underWay[a.tx]++
		s.node.most = max(s.node.most, len(s.node.underWay))
		s.reply(a, r.GetSequence()+uint64(i))
	}
	s.node.messages++
	return nil
}

// reply has the answer arrive when it is time.
func (s *stream) reply(a asked, sequence uint64) {
	answer, after := reaches(a.stage), takes[a.stage]
	if s.node.says != nil {
		answer, after = s.node.says(a)
	}
	if answer == nil {
		return // never
	}
	answer.Sequence = sequence
	s.open.Add(1)
	time.AfterFunc(after, func() {
		s.node.mu.Lock()
		if s.node.underWay[a.tx]--; s.node.underWay[a.tx] == 0 {
			delete(s.node.underWay, a.tx)
		}
		s.node.mu.Unlock()
		s.inbox <- received{answer: answer}
		s.open.Done()
	})
}

func (s *stream) CloseSend() error {
	go func() {
		s.open.Wait()
		s.inbox <- received{err: io.EOF}
	}()
	return nil
}

func (s *stream) Recv() (*notaryv1.SubmitTransactionsResponse, error) {
	select {
	case r := <-s.inbox:
		return r.answer, r.err
	case <-s.ctx.Done():
		return nil, errors.New("the stream was given up")
	}
}

// stageOf is what a request asks for.
func stageOf(r *notaryv1.SubmitTransactionsRequest) Stage {
	switch r.GetWaitFor() {
	case notaryv1.WaitLevel_WAIT_LEVEL_PENDING:
		return Pending
	case notaryv1.WaitLevel_WAIT_LEVEL_ACCEPTED:
		return Accepted
	}
	if r.GetWithProof() {
		return Proof
	}
	return Final
}

// reaches is the answer that a transaction is at a stage.
func reaches(s Stage) *notaryv1.SubmitTransactionsResponse {
	answer := &notaryv1.SubmitTransactionsResponse{Status: &notaryv1.TransactionStatus{State: notaryv1.TransactionState_TRANSACTION_STATE_FINAL}}
	switch s {
	case Pending:
		answer.Status.State = notaryv1.TransactionState_TRANSACTION_STATE_PENDING
	case Accepted:
		answer.Status.State = notaryv1.TransactionState_TRANSACTION_STATE_ACCEPTED
	case Proof:
		answer.Proof = []byte("proof")
	}
	return answer
}

// refuses is an answer with a reason, which says to come again after 30 ms.
func refuses(reason notaryv1.Reason) *notaryv1.SubmitTransactionsResponse {
	return &notaryv1.SubmitTransactionsResponse{Status: &notaryv1.TransactionStatus{Rejection: &notaryv1.Rejection{Reason: reason, RetryAfterMs: 30}}}
}

// numbered makes transactions that are their numbers.
func numbered(count int) [][]byte {
	txs := make([][]byte, count)
	for i := range txs {
		txs[i] = binary.BigEndian.AppendUint32(nil, uint32(i))
	}
	return txs
}

// wantTo fails unless so many were timed to a stage, all in the time that the node takes.
func wantTo(t *testing.T, o *Outcome, s Stage, count int) {
	t.Helper()
	if len(o.To[s]) != count {
		t.Errorf("%d timed to %v, want %d", len(o.To[s]), s, count)
	}
	if count > 0 && (slices.Min(o.To[s]) != takes[s] || slices.Max(o.To[s]) != takes[s]) {
		t.Errorf("%v takes %v to %v, want %v", s, slices.Min(o.To[s]), slices.Max(o.To[s]), takes[s])
	}
}
