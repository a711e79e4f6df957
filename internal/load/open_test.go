package load

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/notarynet/notaryd/internal/bubble"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
)

// TestOpenSendsWhatIsDue: each transaction goes out at its time, over the streams in turn.
func TestOpenSendsWhatIsDue(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		n := newNode()
		answers := make(chan struct{}, 10)
		plan := Plan{Txs: numbered(10), Stage: Final, Answered: func() { answers <- struct{}{} }}
		out, err := Open(t.Context(), n.streams(3), plan, 1000)
		if err != nil {
			t.Fatal(err)
		}
		for i, a := range n.asked {
			if want := (asked{i, i % 3, Final, time.Duration(i) * time.Millisecond, i, true}); a != want {
				t.Errorf("asked %+v, want %+v", a, want)
			}
		}
		wantTo(t, out, Final, 10)
		if out.Sent != 10 || out.Late != 0 || out.Elapsed != 9*time.Millisecond+takes[Final] || len(answers) != 10 {
			t.Errorf("%+v, %d answers", out, len(answers))
		}
	})
}

// TestOpenTimesFromWhenItWasDue: what a slow stream holds back goes out together, in messages that are not too long, and the time
// that it has waited counts.
func TestOpenTimesFromWhenItWasDue(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		n := newNode()
		n.held = 50 * time.Millisecond
		out, err := Open(t.Context(), n.streams(1), Plan{Txs: numbered(100), Stage: Final}, 1000)
		if err != nil {
			t.Fatal(err)
		}
		sizes := make([]int, n.messages)
		for _, a := range n.asked {
			sizes[a.message]++
		}
		// At 50 ms 50 are due, at 100 ms all.
		if !slices.Equal(sizes, []int{1, together, together, together, 3}) {
			t.Errorf("messages of %v", sizes)
		}
		if out.Late != 153*time.Millisecond {
			t.Errorf("late by %v", out.Late) // 97 goes out at 200 ms and is there 50 ms later
		}
		var want []time.Duration
		for _, a := range n.asked {
			want = append(want, a.at-time.Duration(a.tx)*time.Millisecond+takes[Final])
		}
		slices.Sort(want)
		if slices.Sort(out.To[Final]); !slices.Equal(out.To[Final], want) {
			t.Errorf("they took %v, want %v", out.To[Final], want)
		}
	})
}

// TestOpenRepeatsNothing: what is turned away counts as refused, what is rejected as failed, both once.
func TestOpenRepeatsNothing(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		n := newNode()
		n.says = func(a asked) (*notaryv1.SubmitTransactionsResponse, time.Duration) {
			switch {
			case a.tx%5 == 1:
				return refuses(notaryv1.Reason_REASON_OVERLOADED), 0
			case a.tx%5 == 2:
				return refuses(notaryv1.Reason_REASON_DOUBLE_SPEND), 0
			}
			return reaches(a.stage), takes[a.stage]
		}
		out, err := Open(t.Context(), n.streams(4), Plan{Txs: numbered(50), Stage: Final, Sample: 50}, 1000)
		if err != nil {
			t.Fatal(err)
		}
		if out.Refused != 10 || out.Failed != 10 || out.Sent != 50 || len(n.asked) != 50*int(Stages) {
			t.Errorf("%d refused, %d failed, %d sent, %d asked", out.Refused, out.Failed, out.Sent, len(n.asked))
		}
		for s := range Stages {
			wantTo(t, out, s, 30)
		}
	})
}

// TestOpenEndsWithItsContext: what has no answer, and what was never sent, has failed.
func TestOpenEndsWithItsContext(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		n := newNode()
		n.says = func(a asked) (*notaryv1.SubmitTransactionsResponse, time.Duration) {
			if a.tx < 10 {
				return reaches(a.stage), takes[a.stage]
			}
			return nil, 0
		}
		over := errors.New("over")
		ctx, cancel := context.WithTimeoutCause(t.Context(), 50*time.Millisecond+time.Microsecond, over)
		defer cancel()
		out, err := Open(ctx, n.streams(2), Plan{Txs: numbered(100), Stage: Final}, 1000)
		if !errors.Is(err, over) {
			t.Fatal(err)
		}
		wantTo(t, out, Final, 10)
		if out.Sent != 51 || out.Failed != 90 {
			t.Errorf("%d sent, %d failed", out.Sent, out.Failed)
		}
	})
}
