package load

import (
	"slices"
	"testing"
	"time"

	"github.com/notarynet/notaryd/internal/bubble"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
)

// TestClosedFillsItsWindow: never more than that are under way, and no fewer while there are more, however they are shared out. It
// ends with the last transaction.
func TestClosedFillsItsWindow(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		for _, streams := range []int{1, 3, 20} {
			n := newNode()
			out, err := Closed(t.Context(), n.streams(streams), Plan{Txs: numbered(500), Stage: Final, Sample: 20}, Limits{Window: 7, Duration: time.Minute})
			if err != nil {
				t.Fatal(err)
			}
			if n.most != 7 || out.Sent != 500 || out.Elapsed > 10*time.Second {
				t.Errorf("%d streams: %d under way at once, %d sent in %v", streams, n.most, out.Sent, out.Elapsed)
			}
			wantTo(t, out, Final, 500)
		}
	})
}

// TestClosedOffersAgain: what is turned away comes again when the node says, at every stage, and its time goes on.
func TestClosedOffersAgain(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		n := newNode()
		offered := make(map[int]int)
		n.says = func(a asked) (*notaryv1.SubmitTransactionsResponse, time.Duration) {
			key := a.tx*int(Stages) + int(a.stage)
			if offered[key]++; offered[key] <= 2 {
				return refuses(notaryv1.Reason_REASON_OVERLOADED), 0
			}
			return reaches(a.stage), takes[a.stage]
		}
		out, err := Closed(t.Context(), n.streams(2), Plan{Txs: numbered(40), Stage: Final, Sample: 1}, Limits{Window: 10, Duration: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		if out.Refused != 80 || out.Failed != 0 || out.Sent != 40 || len(out.To[Final]) != 40 || n.most > 10 {
			t.Errorf("%d refused, %d failed, %d sent, %d final, %d under way", out.Refused, out.Failed, out.Sent, len(out.To[Final]), n.most)
		}
		for s := range Stages {
			for _, took := range out.To[s] {
				if took != 60*time.Millisecond+takes[s] {
					t.Errorf("%v after %v", s, took)
				}
			}
		}
		if len(out.To[Proof]) != 1 {
			t.Errorf("%d timed to the proof", len(out.To[Proof]))
		}
	})
}

// TestClosedWaitsForCoins: a transaction goes out once the one before it that made its coin is final, and what failed made none.
func TestClosedWaitsForCoins(t *testing.T) {
	const coins = 10
	bubble.Test(t, func(t *testing.T) {
		n := newNode()
		final := make(map[int]time.Duration)
		n.says = func(a asked) (*notaryv1.SubmitTransactionsResponse, time.Duration) {
			if before := a.tx - coins; before >= 0 && (final[before] == 0 || final[before] > a.at) {
				t.Errorf("%d goes out at %v, its coin is there at %v", a.tx, a.at, final[before])
			}
			if a.tx == 13 {
				return refuses(notaryv1.Reason_REASON_DOUBLE_SPEND), 0
			}
			takes := time.Duration(1+a.tx%7) * 4 * time.Millisecond
			final[a.tx] = a.at + takes
			return reaches(a.stage), takes
		}
		out, err := Closed(t.Context(), n.streams(3), Plan{Txs: numbered(60), Stage: Final}, Limits{Window: 20, Coins: coins, Duration: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		// 13 fails, and 23, 33, 43 and 53 never go out.
		if len(out.To[Final]) != 55 || out.Failed != 1 || out.Sent != 56 {
			t.Errorf("%d final, %d failed, %d sent", len(out.To[Final]), out.Failed, out.Sent)
		}
		if out.Elapsed != time.Second {
			t.Errorf("over after %v", out.Elapsed)
		}
	})
}

// TestClosedStopsHandingIn: after the duration nothing goes out, and what is under way gets its answer.
func TestClosedStopsHandingIn(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		n := newNode()
		n.says = func(a asked) (*notaryv1.SubmitTransactionsResponse, time.Duration) {
			if a.tx < 10 {
				return refuses(notaryv1.Reason_REASON_OVERLOADED), 0
			}
			return reaches(a.stage), takes[a.stage]
		}
		const duration = 501 * time.Millisecond
		out, err := Closed(t.Context(), n.streams(2), Plan{Txs: numbered(10_000), Stage: Final}, Limits{Window: 100, Duration: duration})
		if err != nil {
			t.Fatal(err)
		}
		sizes := make([]int, n.messages)
		for _, a := range n.asked {
			sizes[a.message]++
			if a.at > duration || a.shed {
				t.Fatalf("%+v", a)
			}
		}
		if most := slices.Max(sizes); most != together {
			t.Errorf("a message of %d", most)
		}
		if out.Sent == 10_000 || out.Failed != 0 || out.Refused == 0 || out.Elapsed < duration || out.Elapsed > duration+takes[Final] {
			t.Errorf("%d sent, %d failed, %d refused, %v", out.Sent, out.Failed, out.Refused, out.Elapsed)
		}
		wantTo(t, out, Final, out.Sent-10)
		time.Sleep(time.Second) // what was turned away would come again now, and nobody takes it
	})
}
