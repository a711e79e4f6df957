package node

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/notarynet/notaryd/node/store"
	"github.com/notarynet/notaryd/observation"
	kit "github.com/notarynet/notaryd/observation/observationtest"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
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
			v.tick = 20 * time.Millisecond
			nodes := []*villager{v.start(0), v.start(1), v.start(2)}
			v.meet(nodes...)
			n := nodes[0]
			first, second := v.pay(0, "a"), v.pay(1, "b")
			n.submitFinal(t, first)
			n.submitFinal(t, second) // or the votes on the first would lie in heads, which stay
			early := n.first(t)
			n.cleared(t)
			kept := own != stranger // of the second the votes may lie in heads
			for round := range 2 {  // once more changes nothing
				r, err := n.prune(t.Context(), nowMS()+1<<40, map[utxo.Address]bool{own: true})
				if err != nil || (r.ProofsKept > 0) != kept || r.ProofsGone != 0 {
					t.Fatalf("round %d: %v, %v", round, r, err)
				}
			}
			// Whoever sends the node what it signed long ago does not make it think that its key signs elsewhere.
			if err := n.sh.observe(t.Context(), early); err != nil {
				t.Errorf("its own pruned observation: %v", err)
			}
			raw, err := n.Proof(t.Context(), first.ID, true, 0)
			watched := error(nil)
			for r, err := range n.WatchAcceptances(t.Context(), "0", true, 0, unpaid) {
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

// cleared waits until a node remembers that all chains are clear, up to where they are by then.
func (n *villager) cleared(t *testing.T) {
	t.Helper()
	heads := n.sh.store.Heads()
	eventually(t, "all chains to be clear", func() bool {
		c, _, err := n.sh.store.Clear()
		return err == nil && !slices.ContainsFunc(heads, func(h observation.Head) bool {
			return c.Heights[observation.ChainID{Key: h.Key, SigningEpoch: h.SigningEpoch}] < h.Height
		})
	})
}

// clearAll has the store of a node that does not run remember that all chains are clear.
func clearAll(t *testing.T, sh *shell) {
	t.Helper()
	c := store.Clear{Link: sh.group().Link(), Heights: make(map[observation.ChainID]uint64)}
	for _, h := range sh.store.Heads() {
		c.Heights[observation.ChainID{Key: h.Key, SigningEpoch: h.SigningEpoch}] = h.Height
	}
	if err := sh.store.SaveClear(c); err != nil {
		t.Fatal(err)
	}
}

// TestPruneKeepsProofsOfLateFinals: what was signed long ago and became final here just now, since the node was away, keeps
// its proof like all else of an address that is named.
func TestPruneKeepsProofsOfLateFinals(t *testing.T) {
	const hour = 3_600_000
	v := newVillage(t, nil)
	n := v.idle(nil)
	late, young := v.pay(0, "late"), v.pay(1, "young")
	now := nowMS()
	edges := make(map[domain.Hash][]store.EdgeRef)
	for i := 1; i < 4; i++ {
		head := observation.Head{Key: v.signers[i].Key.Public()}
		for height, at := range []uint64{now - 48*hour, now - 47*hour, now - hour, now} {
			tx := []*utxo.Tx{late, young}[height/2]
			edges[tx.ID] = append(edges[tx.ID], store.EdgeRef{Key: head.Key, Height: uint64(height) + 1})
			o := observation.Seal(head, v.genesis.Group, []observation.Leaf{kit.Vote(tx.ID, observation.Accepted, 0, at)}, at).Sign(v.signers[i].Key)
			head = o.Head()
			if err := n.sh.store.SaveObservations([]*observation.Observation{o}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, tx := range []*utxo.Tx{late, young} {
		var quorum []store.EdgeRef
		for _, e := range edges[tx.ID] {
			if e.Height%2 == 1 {
				quorum = append(quorum, e)
			}
		}
		v.commit(n.sh.store, tx, now, quorum...)
	}
	clearAll(t, n.sh)
	own := utxo.KeyLock(kit.Key(101).Public()).Address()
	r, err := n.prune(t.Context(), now-24*hour, map[utxo.Address]bool{own: true})
	if err != nil || r.ProofsKept != 1 || r.ProofsGone != 0 {
		t.Fatalf("%v, %v", r, err)
	}
	if o, found, err := n.sh.store.Observation(observation.ChainID{Key: v.signers[1].Key.Public()}, 1); found || err != nil {
		t.Fatalf("nothing was pruned: %v, %v", o, err)
	}
	for _, tx := range []*utxo.Tx{late, young} {
		if _, err := n.Proof(t.Context(), tx.ID, true, 0); err != nil {
			t.Errorf("the proof of %s: %v", tx.ID, err)
		}
	}
}

// TestPruneKeepsLocks: what binds a voter is found again by a node that has pruned and restarts, and so is all that this
// voter signs later: else its statement would never be valid here, and the epoch might not end.
func TestPruneKeepsLocks(t *testing.T) {
	c := newCourt(t)
	c.sh.lately, c.sh.flights = newLately(), newDirectory()
	undecided := c.rivals(1)[0].ID
	c.save(1, c.sign(1), c.sign(1), c.sign(1, kit.Vote(undecided, observation.Accepted, 0, 1)))
	c.save(1, c.sign(1), c.sign(1))
	start := func() *epochs {
		t.Helper()
		ep, err := newEpochs(c.sh.self, c.sh.store, c.sh.lineage, newEpochMetrics(prometheus.NewRegistry()), c.sh.log)
		if err != nil {
			t.Fatal(err)
		}
		ep.lately, ep.settle = c.sh.lately, c.sh.settling
		ep.signs = func(*group.Group) bool { return false }
		ep.begin()
		if err := errors.Join(ep.advance(t.Context(), 1), ep.keepClear()); err != nil {
			t.Fatal(err)
		}
		return ep
	}
	start()
	cuts, err := c.sh.store.Prunable(^uint64(0), nowMS(), c.sh.walked())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.sh.store.PruneObservations(^uint64(0), cuts); err != nil {
		t.Fatal(err)
	}
	chain := observation.ChainID{Key: c.net.Signers[1].Head.Key, SigningEpoch: c.net.Signers[1].Head.SigningEpoch}
	if _, found, err := c.sh.store.Observation(chain, 1); found || err != nil {
		t.Errorf("what binds nobody was not pruned: %v, %v", found, err)
	}
	again := start()
	if next, ok := again.handover.Next(1); !ok || next != 6 {
		t.Errorf("the chain is walked up to %d, %v", next, ok)
	}
	if open := again.handover.Open(true); len(open) != 1 || open[0].Tx != undecided {
		t.Errorf("%v binds, want %s alone", open, undecided)
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
