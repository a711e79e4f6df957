package node

import (
	"context"
	"testing"

	"github.com/notarynet/notaryd/observation"
	kit "github.com/notarynet/notaryd/observation/observationtest"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
	"github.com/notarynet/notaryd/utxo"
)

// TestPrune: old observations go, and with them the proofs of what they made final, but for those of addresses that
// were named. Everything else of a transaction stays.
func TestPrune(t *testing.T) {
	payer, payee := utxo.KeyLock(kit.Key(100).Public()).Address(), utxo.KeyLock(kit.Key(101).Public()).Address()
	stranger := utxo.KeyLock(kit.Key(102).Public()).Address()
	for name, own := range map[string]utxo.Address{"payer": payer, "payee": payee, "stranger": stranger} {
		t.Run(name, func(t *testing.T) {
			v := newVillage(t, nil)
			nodes := []*villager{v.start(0), v.start(1), v.start(2)}
			v.meet(nodes...)
			n := nodes[0]
			first, second := v.pay(0, "a"), v.pay(1, "b")
			n.submitFinal(t, first)
			n.submitFinal(t, second) // or the votes on the first would lie in heads, which stay
			early := n.first(t)
			kept := uint64(2)
			if own == stranger {
				kept = 0
			}
			for round := range 2 { // once more changes nothing
				r, err := n.prune(t.Context(), nowMS()+1<<40, map[utxo.Address]bool{own: true})
				if err != nil || r.ProofsKept != kept || r.ProofsGone != 0 {
					t.Fatalf("round %d: %v, %v", round, r, err)
				}
			}
			// Whoever sends the node what it signed long ago does not make it think that its key signs elsewhere.
			if err := n.sh.observe(t.Context(), early); err != nil {
				t.Errorf("its own pruned observation: %v", err)
			}
			raw, err := n.Proof(t.Context(), first.ID, true, 0)
			watched := error(nil)
			for r, err := range n.WatchAcceptances(t.Context(), "0", true, 0) {
				if watched = err; err != nil || len(r.Proof) > 0 {
					break
				}
			}
			if own == stranger {
				if refusal.ReasonOf(err) != notaryv1.Reason_REASON_NOT_FOUND || refusal.ReasonOf(watched) != notaryv1.Reason_REASON_CURSOR_GAP {
					t.Errorf("a proof that is gone: %v; watched: %v", err, watched)
				}
			} else {
				if err != nil || watched != nil {
					t.Fatal(err, watched)
				}
				p, err := observation.DecodeProof(raw, observation.Limits{})
				if err != nil {
					t.Fatal(err)
				}
				if verdict, err := p.Verify(observation.NewRoot(v.genesis.Group)); err != nil || verdict.Conclusion != observation.Valid {
					t.Errorf("the proof that was kept: %+v, %v", verdict.Conclusion, err)
				}
			}
			if s, raw, err := n.Transaction(t.Context(), first.ID); err != nil || s.State != notaryv1.TransactionState_TRANSACTION_STATE_FINAL || len(raw) == 0 {
				t.Errorf("the transaction went with its proof: %v, %v", s, err)
			}
		})
	}
}

func TestPruneRefuses(t *testing.T) {
	v := newVillage(t, nil)
	n := v.idle(nil)
	if _, err := n.Prune(t.Context(), 3_599_999, nil); refusal.ReasonOf(err) != notaryv1.Reason_REASON_INVALID_ARGUMENT {
		t.Errorf("an age below an hour: %v", err)
	}
	if _, err := n.Prune(t.Context(), 3_600_000, []string{"nobody"}); refusal.ReasonOf(err) != notaryv1.Reason_REASON_INVALID_ARGUMENT {
		t.Errorf("an address that is none: %v", err)
	}
	if r, err := n.Prune(t.Context(), 3_600_000, nil); err != nil || r.BeforeMs == 0 {
		t.Errorf("%v, %v", r, err)
	}
}

// submitFinal hands a transaction to a node and waits until it is final there.
func (n *villager) submitFinal(t *testing.T, tx *utxo.Tx) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), villagePatience)
	defer cancel()
	if _, err := n.Submit(ctx, "test", tx.Raw, notaryv1.WaitLevel_WAIT_LEVEL_FINAL); err != nil {
		t.Fatal(err)
	}
}
