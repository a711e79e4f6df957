package node

import (
	"testing"

	"github.com/notarynet/notaryd/node/gossip"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
)

// TestFinalGossipedAgain: a transaction that is final here, in a batch that was not seen, ends at once and is voted on no
// more.
func TestFinalGossipedAgain(t *testing.T) {
	v := newVillage(t, nil)
	nodes := []*villager{v.start(0), v.start(1), v.start(2)}
	v.meet(nodes...)
	tx, n := v.pay(0, ""), nodes[0]
	n.submit(t, tx)
	eventually(t, "final", func() bool { return n.final(t, tx) && n.sh.flights.get(tx.ID) == nil })
	chain := observation.ChainID{Key: n.sh.self}
	before := n.sh.store.Head(chain)
	received := n.sh.metrics.received[fromGossip]
	for _, late := range []bool{true, false} {
		if !late { // as after tens of thousands of others
			for i := range byte(latelyWays) {
				n.sh.lately.add(domain.Hash{tx.ID[0], tx.ID[1], i, 1})
			}
		}
		flights := counterOf(t, received)
		if got := (handlers{n.sh}).ValidateTransactions(t.Context(), nodes[1].sh.self, [][]byte{tx.Raw}); got != gossip.Take {
			t.Fatalf("verdict %d", got)
		}
		if got := counterOf(t, received) - flights; got > 0 == late {
			t.Errorf("%v flights of one that was final lately: %v", got, late)
		}
		eventually(t, "landed", func() bool { return n.sh.flights.get(tx.ID) == nil })
	}
	if got := n.sh.store.Head(chain); got != before {
		t.Errorf("signed %d observations more", got.Height-before.Height)
	}
	status, _, err := n.Transaction(t.Context(), tx.ID)
	if err != nil || status.GetState() != notaryv1.TransactionState_TRANSACTION_STATE_FINAL {
		t.Errorf("%s, %v", status.GetState(), err)
	}
}
