package main

import (
	"testing"

	"github.com/notarynet/notaryd/client/clienttest"
)

// TestHeldTranscript: the group accepts, and the node's own trust does not: the payment is final, the proof is
// kept, and everybody who asks is told.
func TestHeldTranscript(t *testing.T) {
	w := newWorld(t).withWallet()
	w.net.Set(clienttest.Faults{OwnWeight: 210_000_000, OwnThreshold: 500_000_000})
	held := idOf(t, w.want(exitOK, "send", w.bob(), "1", "--json"))
	w.want(exitOK, "send", w.bob(), "2")
	w.want(exitOK, "tx", "get", held)
	w.want(exitWeight, "tx", "watch", held)
	w.want(exitWeight, "tx", "watch", held, "--json")
	w.net.Set(clienttest.Faults{OwnWeight: 620_000_000, OwnThreshold: 500_000_000})
	fine := idOf(t, w.want(exitOK, "send", w.bob(), "1", "--json"))
	w.want(exitOK, "tx", "watch", fine, "--json")
	w.golden("held")
}
