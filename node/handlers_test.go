package node

import (
	"bytes"
	"testing"

	"github.com/notarynet/notaryd/node/gossip"
	"github.com/notarynet/notaryd/observation"
	kit "github.com/notarynet/notaryd/observation/observationtest"
	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/utxo"
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

// TestCopyWithOtherWitnesses: a copy of a known transaction whose witness is corrupt has its id, and is passed on no more
// than one of an unknown transaction: neighbours that do not know the transaction would blame this node for it.
func TestCopyWithOtherWitnesses(t *testing.T) {
	v := newVillage(t, nil)
	n, tx, from := v.start(0), v.pay(0, ""), v.signers[1].Key.Public()
	corrupt := bytes.Clone(tx.Raw)
	corrupt[len(corrupt)-1] ^= 1
	if copied, err := utxo.Decode(corrupt, n.sh.rules); err != nil || copied.ID != tx.ID {
		t.Fatalf("no copy of the transaction: %v", err)
	}
	validate := func(raws ...[]byte) gossip.Verdict {
		return (handlers{n.sh}).ValidateTransactions(t.Context(), from, raws)
	}
	check := func(when string) {
		t.Helper()
		if got := validate(corrupt); got != gossip.Reject {
			t.Errorf("%s, alone: verdict %d", when, got)
		}
		if got := validate(tx.Raw, corrupt); got != gossip.Reject {
			t.Errorf("%s, beside the genuine one: verdict %d", when, got)
		}
		if got := validate(tx.Raw); got != gossip.Take {
			t.Errorf("%s, the genuine one: verdict %d", when, got)
		}
	}
	check("unknown")
	check("on its way")
	n.sh.lately.add(tx.ID)
	check("final lately")
}

// TestOwnObservationForged: an observation of this node's own that comes back with another signature is passed on to nobody.
func TestOwnObservationForged(t *testing.T) {
	v := newVillage(t, nil)
	n, from := v.start(0), v.signers[1].Key.Public()
	n.submit(t, v.pay(0, ""))
	own := n.first(t)
	forged := *own
	forged.Raw = bytes.Replace(own.Raw, own.Signature[:], bytes.Repeat([]byte{7}, len(own.Signature)), 1)
	for _, c := range []struct {
		o    *observation.Observation
		want gossip.Verdict
	}{{&forged, gossip.Reject}, {own, gossip.Take}} {
		raw := observation.EncodeRuns([]*observation.Observation{c.o})[0]
		if got := (handlers{n.sh}).ValidateObservation(t.Context(), from, raw); got != c.want {
			t.Errorf("verdict %d, want %d", got, c.want)
		}
	}
}

// TestRunOfObservations: what a member signed at once is taken in whole, or refused whole: a message with one bad signature, or
// with a gap, leaves nothing here and is held against its sender.
func TestRunOfObservations(t *testing.T) {
	v := newVillage(t, nil)
	n := v.start(0)
	signer := v.signers[1]
	var row []*observation.Observation
	for range 3 {
		row = append(row, signer.Observe(v.genesis.Group, kit.StartMS))
	}
	forged := *row[1]
	forged.Raw = append([]byte(nil), row[1].Raw...)
	forged.Raw[len(forged.Raw)-1] ^= 1
	message := func(list ...*observation.Observation) []byte {
		runs := observation.EncodeRuns(list)
		if len(runs) != 1 {
			t.Fatalf("%d messages", len(runs))
		}
		return runs[0]
	}
	chain := observation.ChainID{Key: signer.Key.Public()}
	for name, raw := range map[string][]byte{
		"a bad signature": message(row[0], &forged, row[2]), "a gap": message(row[0], row[2]), "no run": row[0].Raw,
	} {
		if got := (handlers{n.sh}).ValidateObservation(t.Context(), signer.Key.Public(), raw); got != gossip.Reject {
			t.Errorf("%s: verdict %d", name, got)
		}
	}
	if head := n.sh.store.Head(chain); head.Height != 0 {
		t.Errorf("%d observations are here of messages that were refused", head.Height)
	}
	if got := (handlers{n.sh}).ValidateObservation(t.Context(), signer.Key.Public(), message(row...)); got != gossip.Take {
		t.Errorf("verdict %d", got)
	}
	eventually(t, "all to be here", func() bool { return n.sh.store.Head(chain) == row[2].Head() })
}
