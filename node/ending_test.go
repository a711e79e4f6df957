package node

import (
	"context"
	"testing"
	"time"

	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// TestQuestionsEndWithTheNode: once a node has ended, whoever asks it for an account is told so, however long they would
// wait.
func TestQuestionsEndWithTheNode(t *testing.T) {
	v := newVillage(t, nil)
	n := v.start(0)
	tx := v.pay(0, "")
	n.submit(t, tx)
	n.Stop()
	eventually(t, "the end of its owners", func() bool {
		n.sh.hands.mu.Lock()
		defer n.sh.hands.mu.Unlock()
		return n.sh.hands.closed
	})
	ctx, cancel := context.WithTimeout(t.Context(), villagePatience)
	defer cancel()
	for what, ask := range map[string]func() error{
		"an account": func() error { _, err := n.Explain(ctx, tx.ID, unpaid); return err },
		"a contest":  func() error { _, err := n.Contest(ctx, tx.ID, unpaid); return err },
	} {
		began := time.Now()
		if err := ask(); refusal.ReasonOf(err) != notaryv1.Reason_REASON_SHUTTING_DOWN {
			t.Errorf("%s: %v after %v", what, err, time.Since(began))
		}
	}
}
