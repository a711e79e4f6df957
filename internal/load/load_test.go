package load

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/notarynet/notaryd/internal/bubble"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
)

// both has a test do something with an open loop of 1,000 a second and with a closed loop.
func both(t *testing.T, test func(t *testing.T, load func(context.Context, []Opener, Plan) (*Outcome, error))) {
	for name, load := range map[string]func(context.Context, []Opener, Plan) (*Outcome, error){
		"open": func(ctx context.Context, streams []Opener, plan Plan) (*Outcome, error) {
			return Open(ctx, streams, plan, 1000)
		},
		"closed": func(ctx context.Context, streams []Opener, plan Plan) (*Outcome, error) {
			return Closed(ctx, streams, plan, Limits{Window: 8, Duration: time.Second})
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) { test(t, load) })
		})
	}
}

// TestSampledAreTimedToAllStages: what is asked besides comes right after the transaction, each in a message of its own.
func TestSampledAreTimedToAllStages(t *testing.T) {
	both(t, func(t *testing.T, load func(context.Context, []Opener, Plan) (*Outcome, error)) {
		for _, stage := range []Stage{Final, Proof} {
			n := newNode()
			out, err := load(t.Context(), n.streams(2), Plan{Txs: numbered(8), Stage: stage, Sample: 8})
			if err != nil {
				t.Fatal(err)
			}
			for s := range Stages {
				if s == stage {
					wantTo(t, out, s, 8)
				} else if count := len(n.of(s)); count == 0 {
					t.Errorf("nobody asks for %v", s)
				} else {
					wantTo(t, out, s, count)
				}
			}
			main := make(map[int]int) // the message of each transaction
			for _, a := range n.of(stage) {
				main[a.tx] = a.message
			}
			alone := make(map[int]bool)
			for _, a := range n.asked {
				if a.stage != stage && (alone[a.message] || a.message <= main[a.tx]) {
					t.Errorf("%v: %+v is not alone, or before its transaction in %d", stage, a, main[a.tx])
				}
				alone[a.message] = true
			}
		}
	})
}

// TestSampleIsSpreadEvenly: also where nobody knows how many transactions there will be.
func TestSampleIsSpreadEvenly(t *testing.T) {
	both(t, func(t *testing.T, load func(context.Context, []Opener, Plan) (*Outcome, error)) {
		n := newNode()
		out, err := load(t.Context(), n.streams(2), Plan{Txs: numbered(900), Stage: Final, Sample: 50})
		if err != nil {
			t.Fatal(err)
		}
		wantTo(t, out, Final, 900)
		samples := n.of(Pending)
		if len(samples) < 45 || len(samples) > 55 {
			t.Errorf("a sample of %d, want about 50", len(samples))
		}
		for i, a := range samples[1:] {
			if apart := a.tx - samples[i].tx; apart < 15 || apart > 25 {
				t.Errorf("%d and %d are of the sample", samples[i].tx, a.tx)
			}
		}
	})
}

// TestProofMustBeThere: FINAL without the proof that was asked for is no good answer.
func TestProofMustBeThere(t *testing.T) {
	both(t, func(t *testing.T, load func(context.Context, []Opener, Plan) (*Outcome, error)) {
		n := newNode()
		n.says = func(asked) (*notaryv1.SubmitTransactionsResponse, time.Duration) { return reaches(Final), takes[Final] }
		out, err := load(t.Context(), n.streams(1), Plan{Txs: numbered(5), Stage: Proof})
		if err != nil || out.Failed != 5 || len(out.To[Proof]) != 0 {
			t.Errorf("%+v, %v", out, err)
		}
	})
}

// TestBrokenStreamEndsAll: the load ends with the stream's error, what has no answer has failed, and nothing is left running.
func TestBrokenStreamEndsAll(t *testing.T) {
	both(t, func(t *testing.T, load func(context.Context, []Opener, Plan) (*Outcome, error)) {
		n := newNode()
		broken := errors.New("broken")
		streams := n.streams(3)
		streams[1] = func(ctx context.Context) (Stream, error) {
			s := &stream{node: n, ctx: ctx, number: 1, inbox: make(chan received, 100)}
			time.AfterFunc(100*time.Millisecond, func() { s.inbox <- received{err: broken} })
			return s, nil
		}
		n.says = func(asked) (*notaryv1.SubmitTransactionsResponse, time.Duration) { return nil, 0 }
		out, err := load(t.Context(), streams, Plan{Txs: numbered(200), Stage: Final})
		if !errors.Is(err, broken) || out.Elapsed != 100*time.Millisecond {
			t.Fatalf("%+v, %v", out, err)
		}
		if out.Failed < 8 || len(out.To[Final]) != 0 {
			t.Errorf("%d failed", out.Failed)
		}
	})
}

func TestStreamThatDoesNotOpen(t *testing.T) {
	both(t, func(t *testing.T, load func(context.Context, []Opener, Plan) (*Outcome, error)) {
		streams := newNode().streams(2)
		streams[1] = func(context.Context) (Stream, error) { return nil, errors.ErrUnsupported }
		if _, err := load(t.Context(), streams, Plan{Txs: numbered(9), Stage: Final}); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%v", err)
		}
	})
}

// TestStreamMayNotEndBefore: a node that closes a stream in order owes no answers.
func TestStreamMayNotEndBefore(t *testing.T) {
	both(t, func(t *testing.T, load func(context.Context, []Opener, Plan) (*Outcome, error)) {
		n := newNode()
		n.says = func(asked) (*notaryv1.SubmitTransactionsResponse, time.Duration) { return nil, 0 }
		out, err := load(t.Context(), n.streams(1), Plan{Txs: numbered(4), Stage: Final})
		if !errors.Is(err, io.ErrUnexpectedEOF) || out.Failed != 4 {
			t.Errorf("%+v, %v", out, err)
		}
	})
}

// TestAnswersAreToRequests: one that nobody asked for, or a second one, is an error.
func TestAnswersAreToRequests(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := &stream{node: newNode(), ctx: t.Context(), inbox: make(chan received, 10)}
		l := &lane{plan: &Plan{Txs: numbered(2), Stage: Final}, stream: s, open: make(map[uint64]request)}
		if err := l.send(append(l.requests(&transfer{}, false), l.requests(&transfer{index: 1}, false)...)); err != nil {
			t.Fatal(err)
		}
		first, second, again := reaches(Final), reaches(Final), reaches(Final)
		second.Sequence, again.Sequence = 1, 1
		first.More = []*notaryv1.SubmitTransactionsResponse{second}
		s.inbox <- received{answer: first}
		s.inbox <- received{answer: again}
		if err := l.receive(); err == nil || len(l.out.To[Final]) != 2 {
			t.Errorf("%+v, %v", l.out, err)
		}
	})
}
