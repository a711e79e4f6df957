package e2e

import (
	"testing"

	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
)

// TestCallsBeforeUp: the API is served before the node has joined the network; calls that come then wait
// and are answered, with what an earlier life left undecided already taken up.
func TestCallsBeforeUp(t *testing.T) {
	n := start(t, 1, setup{})
	v := n.nodes[0]
	for i := range 4 {
		v.restart(t)
		calls := make(chan error, 3)
		tx := n.pay(bob, 0, i)
		go func() {
			_, err := v.running.GetNetwork(t.Context(), &notaryv1.GetNetworkRequest{})
			calls <- err
		}()
		go func() {
			_, err := v.running.SubmitTransaction(t.Context(), &notaryv1.SubmitTransactionRequest{Transaction: tx.Raw, WaitFor: waitFinal})
			calls <- err
		}()
		go func() {
			stream, err := v.running.WatchAcceptances(t.Context(), &notaryv1.WatchAcceptancesRequest{Cursor: "0"})
			if err == nil {
				_, err = stream.Recv()
			}
			calls <- err
		}()
		for range cap(calls) {
			if err := <-calls; err != nil {
				t.Error(err)
			}
		}
	}
	n.equalLedgers(t)
}
