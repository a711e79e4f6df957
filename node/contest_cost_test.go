package node

import (
	"testing"
	"time"

	"github.com/notarynet/notaryd/proto/domain"
)

// linearSeconds is far more than a walk through some thousand contenders takes, under the race detector and on a busy machine too, and
// less than one through as many for each of them: 20 s at the least.
const linearSeconds = 8

// TestRecordOfManyLosers: after a double spend is decided, tens of thousands may still come for its outpoint. Who looks at
// the contest goes through them once.
func TestRecordOfManyLosers(t *testing.T) {
	const n = 1 << 15
	r := newRecord()
	for i := range n {
		r.joined(txID(i), points(1))
	}
	began := time.Now()
	v, ok := r.view(txID(n / 2))
	if took := time.Since(began); took > linearSeconds*time.Second {
		t.Errorf("looking at %d rivals took %v", n, took)
	}
	if !ok || len(v.members) != n || v.lowest != points(1)[0] {
		t.Errorf("%v: %d members", ok, len(v.members))
	}
}

// TestContestOfManyParts: the question about a long chain of conflicts, which the goroutine that decides contests answers, walks
// through the chain once, not once for each of its links.
func TestContestOfManyParts(t *testing.T) {
	const n = 1 << 12
	v := newVillageFor(t, 1, 1, nil)
	node := v.start(0)
	if err := node.sh.ask(t.Context(), func(r *record) {
		for i := range n {
			r.joined(txID(i), points(i, i+1))
		}
	}); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	c, err := node.Contest(t.Context(), txID(0), unpaid)
	if err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > linearSeconds*time.Second {
		t.Errorf("a contest of %d transactions took %v", n, took)
	}
	if got := len(c.GetContest().GetTransactionIds()); got != maxMembersTold {
		t.Errorf("%d members are told", got)
	}
	if lowest := points(1)[0]; domain.Hash(c.GetContest().GetOutpointTransaction()) != lowest.Tx || c.GetContest().GetOutpointIndex() != lowest.Index {
		t.Errorf("named by %x:%d, want %v", c.GetContest().GetOutpointTransaction(), c.GetContest().GetOutpointIndex(), lowest)
	}
}
