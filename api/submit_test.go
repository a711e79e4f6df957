package api

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/notarynet/notaryd/internal/bubble"
	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
)

func TestSubmitPassesOnWhatItIsGiven(t *testing.T) {
	type seen struct {
		origin, raw string
		level       notaryv1.WaitLevel
	}
	got := make(chan seen, 1)
	n := serve(t, quick(), &script{
		submit: func(_ context.Context, origin string, raw []byte, level notaryv1.WaitLevel) (*notaryv1.TransactionStatus, error) {
			got <- seen{origin, string(raw), level}
			return statusOf(hash(1), stateFinal), nil
		},
		proof: func(_ context.Context, id domain.Hash, with bool, _ uint64) ([]byte, error) {
			if id != hash(1) || !with {
				t.Errorf("proof of %v, with its transaction: %v", id, with)
			}
			return []byte("proof"), nil
		},
	})
	for _, c := range []struct {
		ask, want notaryv1.WaitLevel
		proof     bool
	}{
		{0, levelNone, false}, {levelNone, levelNone, false}, {notaryv1.WaitLevel_WAIT_LEVEL_PENDING, notaryv1.WaitLevel_WAIT_LEVEL_PENDING, false},
		{notaryv1.WaitLevel_WAIT_LEVEL_ACCEPTED, notaryv1.WaitLevel_WAIT_LEVEL_ACCEPTED, false}, {levelFinal, levelFinal, true},
	} {
		answer, err := n.client.SubmitTransaction(within(t), &notaryv1.SubmitTransactionRequest{Transaction: []byte("tx"), WaitFor: c.ask, WithProof: c.proof})
		if err != nil {
			t.Fatal(err)
		}
		if s := <-got; s != (seen{"127.0.0.1", "tx", c.want}) {
			t.Errorf("%v: the backend saw %+v", c.ask, s)
		}
		if (string(answer.GetProof()) == "proof") != c.proof || answer.GetStatus().GetState() != stateFinal {
			t.Errorf("%v: %v", c.ask, answer)
		}
	}
}

func TestSubmitRefusesBadRequestsItself(t *testing.T) {
	n := serve(t, quick(), &script{})
	for name, c := range map[string]struct {
		req    *notaryv1.SubmitTransactionRequest
		reason notaryv1.Reason
		field  string
	}{
		"empty":     {&notaryv1.SubmitTransactionRequest{}, notaryv1.Reason_REASON_MISSING_FIELD, "transaction"},
		"too large": {&notaryv1.SubmitTransactionRequest{Transaction: make([]byte, 262_145)}, notaryv1.Reason_REASON_TOO_LARGE, "transaction"},
		"level":     {&notaryv1.SubmitTransactionRequest{Transaction: []byte("tx"), WaitFor: 9}, notaryv1.Reason_REASON_INVALID_ARGUMENT, "wait_for"},
		"proof":     {&notaryv1.SubmitTransactionRequest{Transaction: []byte("tx"), WithProof: true}, notaryv1.Reason_REASON_INVALID_ARGUMENT, "with_proof"},
	} {
		_, err := n.client.SubmitTransaction(within(t), c.req)
		wantReason(t, err, c.reason)
		if got := detail[*errdetails.BadRequest](err).GetFieldViolations(); len(got) != 1 || got[0].GetField() != c.field {
			t.Errorf("%s: %v", name, got)
		}
	}
	_, err := n.client.ValidateTransaction(within(t), &notaryv1.ValidateTransactionRequest{})
	if err != nil {
		t.Errorf("a dry run answers with a rejection, not %v", err)
	}
}

// waiting is a submitter whose transactions stay PENDING until the wait ends.
func waiting(ctx context.Context, _ string, _ []byte, _ notaryv1.WaitLevel) (*notaryv1.TransactionStatus, error) {
	<-ctx.Done()
	return statusOf(hash(3), notaryv1.TransactionState_TRANSACTION_STATE_PENDING), ctx.Err()
}

// TestWaitExpires: the answer comes before the client's deadline, with the present status.
func TestWaitExpires(t *testing.T) {
	bubble.Test(t, func(t *testing.T) { // 50 ms are not always what an answer takes on a machine that does other things
		config := quick()
		n := serveInMemory(t, config, &script{submit: waiting})
		check := func(err error) {
			t.Helper()
			wantReason(t, err, notaryv1.Reason_REASON_WAIT_EXPIRED)
			if status.Code(err) != codes.DeadlineExceeded || detail[*errdetails.RetryInfo](err) == nil {
				t.Errorf("%v", err)
			}
			if got := detail[*notaryv1.TransactionStatus](err); got.GetState() != notaryv1.TransactionState_TRANSACTION_STATE_PENDING {
				t.Errorf("status in details: %v", got)
			}
			if !strings.Contains(err.Error(), "not FINAL after") {
				t.Errorf("%v", err)
			}
		}
		began := time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_, err := n.client.SubmitTransaction(ctx, &notaryv1.SubmitTransactionRequest{Transaction: []byte("tx"), WaitFor: levelFinal})
		check(err)
		if took := time.Since(began); took != 950*time.Millisecond {
			t.Errorf("answered after %v of a second", took)
		}

		config.MaxWait = time.Millisecond
		impatient := serveInMemory(t, config, &script{submit: waiting})
		_, err = impatient.client.SubmitTransaction(context.Background(), &notaryv1.SubmitTransactionRequest{Transaction: []byte("tx"), WaitFor: levelFinal})
		check(err)

		stream, err := impatient.client.SubmitTransactions(within(t))
		if err != nil {
			t.Fatal(err)
		}
		stream.Send(&notaryv1.SubmitTransactionsRequest{Sequence: 5, Transaction: []byte("tx"), WaitFor: levelFinal})
		answer, err := stream.Recv()
		if err != nil || answer.GetStatus().GetRejection().GetReason() != notaryv1.Reason_REASON_WAIT_EXPIRED ||
			answer.GetStatus().GetState() != notaryv1.TransactionState_TRANSACTION_STATE_PENDING {
			t.Errorf("%v, %v", answer, err)
		}
	})
}

func TestWaitUntil(t *testing.T) {
	s := &notaryService{maxWait: time.Minute}
	now := time.Now()
	for _, c := range []struct{ deadline, want time.Duration }{
		{0, time.Minute},
		{100 * time.Millisecond, 90 * time.Millisecond},
		{10 * time.Second, 10*time.Second - 50*time.Millisecond},
		{time.Hour, time.Minute},
	} {
		ctx, cancel := context.Background(), func() {}
		if c.deadline > 0 {
			ctx, cancel = context.WithDeadline(ctx, now.Add(c.deadline))
		}
		if got := s.waitUntil(ctx, now).Sub(now); got != c.want {
			t.Errorf("deadline %v: waits %v, want %v", c.deadline, got, c.want)
		}
		cancel()
	}
}

// TestSubmitterThatBreaksItsContract is INTERNAL, not an answer that looks final.
func TestSubmitterThatBreaksItsContract(t *testing.T) {
	for _, broken := range []*notaryv1.TransactionStatus{nil, statusOf(hash(1), notaryv1.TransactionState_TRANSACTION_STATE_ACCEPTED)} {
		n := serve(t, quick(), &script{
			submit: func(context.Context, string, []byte, notaryv1.WaitLevel) (*notaryv1.TransactionStatus, error) {
				return broken, nil
			},
		})
		_, err := n.client.SubmitTransaction(within(t), &notaryv1.SubmitTransactionRequest{Transaction: []byte("tx"), WaitFor: levelFinal})
		wantReason(t, err, notaryv1.Reason_REASON_INTERNAL)
	}
}

// gate is a submitter that holds every transaction until it is let through by name.
type gate struct {
	mu      sync.Mutex
	doors   map[string]chan struct{}
	inside  atomic.Int32
	arrived chan string
}

func newGate() *gate {
	return &gate{doors: map[string]chan struct{}{}, arrived: make(chan string, 10_000)}
}

func (g *gate) door(name string) chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.doors[name] == nil {
		g.doors[name] = make(chan struct{})
	}
	return g.doors[name]
}

func (g *gate) submit(ctx context.Context, _ string, raw []byte, _ notaryv1.WaitLevel) (*notaryv1.TransactionStatus, error) {
	g.inside.Add(1)
	defer g.inside.Add(-1)
	g.arrived <- string(raw)
	select {
	case <-g.door(string(raw)):
		return statusOf(hash(raw[0]), stateFinal), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func TestStreamAnswersInOrderOfCompletion(t *testing.T) {
	g := newGate()
	n := serve(t, quick(), &script{submit: g.submit})
	stream, err := n.client.SubmitTransactions(within(t))
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range []string{"a", "b", "c"} {
		if err := stream.Send(&notaryv1.SubmitTransactionsRequest{Sequence: uint64(i), Transaction: []byte(name)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name     string
		sequence uint64
	}{{"c", 2}, {"a", 0}, {"b", 1}} {
		close(g.door(c.name))
		answer, err := stream.Recv()
		if err != nil || answer.GetSequence() != c.sequence || answer.GetStatus().GetTransactionId()[0] != c.name[0] {
			t.Fatalf("%s: %v, %v", c.name, answer, err)
		}
	}
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("the stream ends with %v", err)
	}
}

// TestStreamWindow: while the window is full the stream is not read, and the client is held back.
func TestStreamWindow(t *testing.T) {
	const window = 4
	config := quick()
	config.Limits.SubmitWindow = window
	g := newGate()
	n := serve(t, config, &script{submit: g.submit})
	stream, err := n.client.SubmitTransactions(within(t))
	if err != nil {
		t.Fatal(err)
	}
	const total = 400
	payload := strings.Repeat("x", 1000) // 400 kB in all: more than HTTP/2's window holds
	sent := make(chan int, total)
	go func() {
		defer close(sent)
		for i := range total {
			if stream.Send(&notaryv1.SubmitTransactionsRequest{Sequence: uint64(i), Transaction: []byte(payload)}) != nil {
				return
			}
			sent <- i
		}
		stream.CloseSend()
	}()
	for range window {
		<-g.arrived
	}
	if got := g.inside.Load(); got != window {
		t.Errorf("%d in flight, window %d", got, window)
	}
	// The sender can only be blocked for good if nothing is read: what it has sent stops short.
	count := 0
	for blocked := false; !blocked; {
		select {
		case _, open := <-sent:
			if !open {
				t.Fatal("everything was sent although the window is full")
			}
			count++
		case <-time.After(200 * time.Millisecond):
			blocked = true
		}
	}
	if got := g.inside.Load(); got != window || count == total {
		t.Errorf("%d in flight, %d of %d sent", got, count, total)
	}
	close(g.door(payload))
	answeredAndOver(t, stream, total)
}

// TestCancelledStreamLeavesNothing: when the client goes, its transactions' waits end.
func TestCancelledStreamLeavesNothing(t *testing.T) {
	g := newGate()
	n := serve(t, quick(), &script{submit: g.submit})
	ctx, cancel := context.WithCancel(within(t))
	stream, err := n.client.SubmitTransactions(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		stream.Send(&notaryv1.SubmitTransactionsRequest{Transaction: []byte("a")})
	}
	for range 20 {
		<-g.arrived
	}
	cancel()
	if err := n.end(); err != nil {
		t.Fatal(err)
	}
	if got := g.inside.Load(); got != 0 {
		t.Errorf("%d still wait after Serve has returned", got)
	}
}

// TestStreamTakesSeveral: transactions that come in one message are numbered on, each is answered once whatever becomes of the
// others, and only who sends several at once is answered several at once.
func TestStreamTakesSeveral(t *testing.T) {
	g := newGate()
	n := serve(t, quick(), &script{submit: g.submit})
	for _, name := range []string{"a", "b", "c"} {
		close(g.door(name))
	}
	wants := func(stream notaryv1.NotaryService_SubmitTransactionsClient, want map[uint64]string) (messages int) {
		t.Helper()
		for len(want) > 0 {
			first, err := stream.Recv()
			if err != nil {
				t.Fatalf("%d answers short: %v", len(want), err)
			}
			messages++
			for _, answer := range append(first.GetMore(), first) {
				name, asked := want[answer.GetSequence()]
				delete(want, answer.GetSequence())
				status := answer.GetStatus()
				switch {
				case !asked || answer != first && len(answer.GetMore()) > 0:
					t.Fatalf("answered %v", answer)
				case name == "" && status.GetRejection().GetReason() != notaryv1.Reason_REASON_MISSING_FIELD:
					t.Fatalf("%d, empty: %v", answer.GetSequence(), status)
				case name != "" && status.GetTransactionId()[0] != name[0]:
					t.Fatalf("%d, %s: %v", answer.GetSequence(), name, status)
				}
			}
		}
		return messages
	}
	stream := must(n.client.SubmitTransactions(within(t)))
	stream.Send(&notaryv1.SubmitTransactionsRequest{Sequence: 1, Transaction: []byte("a")})
	stream.Send(&notaryv1.SubmitTransactionsRequest{Sequence: 2})
	if got := wants(stream, map[uint64]string{1: "a", 2: ""}); got != 2 {
		t.Errorf("two that came one by one are answered in %d messages", got)
	}
	stream.Send(&notaryv1.SubmitTransactionsRequest{Sequence: 7, Transaction: []byte("a"), More: [][]byte{[]byte("b"), {}, []byte("c")}})
	wants(stream, map[uint64]string{7: "a", 8: "b", 9: "", 10: "c"})
	many := map[uint64]string{}
	for i := range uint64(maxMore + 1) {
		many[20+i] = ""
	}
	stream.Send(&notaryv1.SubmitTransactionsRequest{Sequence: 20, More: make([][]byte, maxMore)})
	if got := wants(stream, many); got > maxMore {
		t.Errorf("%d that came at once are answered in %d messages", maxMore+1, got)
	}
	stream.Send(&notaryv1.SubmitTransactionsRequest{Sequence: 1, More: make([][]byte, maxMore+1)})
	_, err := stream.Recv()
	wantReason(t, err, notaryv1.Reason_REASON_INVALID_ARGUMENT)
}

// TestStreamBringsProofs: of what is final, where they are wanted; a proof that cannot be made is said beside the state; and a message
// of answers stays within what clients take.
func TestStreamBringsProofs(t *testing.T) {
	const size = 300 << 10
	n := serve(t, quick(), &script{
		submit: func(_ context.Context, _ string, raw []byte, _ notaryv1.WaitLevel) (*notaryv1.TransactionStatus, error) {
			return statusOf(hash(raw[0]), stateFinal), nil
		},
		proof: func(_ context.Context, id domain.Hash, with bool, known uint64) ([]byte, error) {
			switch {
			case !with || known != 5:
				t.Errorf("proof of %v, with its transaction: %v, known: %d", id, with, known)
			case id == hash('x'):
				return nil, errScript
			}
			return append(make([]byte, size), id[:]...), nil
		},
	})
	stream := must(n.client.SubmitTransactions(within(t)))
	var more [][]byte
	for range 40 {
		more = append(more, []byte("b"))
	}
	stream.Send(&notaryv1.SubmitTransactionsRequest{Sequence: 1, Transaction: []byte("a"), WaitFor: levelFinal, WithProof: true, KnownEpoch: 5})
	stream.Send(&notaryv1.SubmitTransactionsRequest{Sequence: 2, Transaction: []byte("a"), WaitFor: notaryv1.WaitLevel_WAIT_LEVEL_ACCEPTED, WithProof: true})
	stream.Send(&notaryv1.SubmitTransactionsRequest{Sequence: 3, Transaction: []byte("x"), WaitFor: levelFinal, WithProof: true, KnownEpoch: 5})
	stream.Send(&notaryv1.SubmitTransactionsRequest{Sequence: 4, Transaction: []byte("b"), More: more, WaitFor: levelFinal, WithProof: true, KnownEpoch: 5})
	stream.CloseSend()
	answers := 0
	for {
		first, err := stream.Recv() // refuses more than 4 MiB
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range append(first.GetMore(), first) {
			answers++
			state, reason := a.GetStatus().GetState(), a.GetStatus().GetRejection().GetReason()
			switch a.GetSequence() {
			case 2:
				if reason != notaryv1.Reason_REASON_INVALID_ARGUMENT || len(a.GetProof()) > 0 {
					t.Errorf("ACCEPTED with a proof: %v", a)
				}
			case 3:
				if state != stateFinal || reason != notaryv1.Reason_REASON_NOT_FOUND || len(a.GetProof()) > 0 {
					t.Errorf("no proof: %v", a.GetStatus())
				}
			default:
				want := hash('b')
				if a.GetSequence() == 1 {
					want = hash('a')
				}
				if state != stateFinal || len(a.GetProof()) != size+len(want) || string(a.GetProof()[size:]) != string(want[:]) {
					t.Errorf("%d: %v, a proof of %d bytes", a.GetSequence(), a.GetStatus(), len(a.GetProof()))
				}
			}
		}
	}
	if want := 4 + len(more); answers != want {
		t.Errorf("%d answers, not %d", answers, want)
	}
}

// answeredAndOver takes so many answers, after which a stream ends.
func answeredAndOver(t *testing.T, stream notaryv1.NotaryService_SubmitTransactionsClient, answers int) {
	t.Helper()
	for range answers {
		if _, err := stream.Recv(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("the stream ends with %v", err)
	}
}

// TestStreamWindowOfBytes: nor is the stream read while the transactions under way are of so many bytes, however few they are.
func TestStreamWindowOfBytes(t *testing.T) {
	g := newGate()
	n := serve(t, quick(), &script{submit: g.submit})
	stream, err := n.client.SubmitTransactions(within(t))
	if err != nil {
		t.Fatal(err)
	}
	const total, size = 30, 250_000
	payload := strings.Repeat("x", size)
	go func() {
		for i := range total {
			if stream.Send(&notaryv1.SubmitTransactionsRequest{Sequence: uint64(i), Transaction: []byte(payload)}) != nil {
				return
			}
		}
		stream.CloseSend()
	}()
	const most = streamBytes / size
	for range most {
		<-g.arrived
	}
	select {
	case <-g.arrived:
		t.Errorf("more than %d bytes are under way", streamBytes)
	case <-time.After(200 * time.Millisecond):
	}
	close(g.door(payload))
	answeredAndOver(t, stream, total)
}
