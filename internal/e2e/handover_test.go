package e2e

import (
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/notarynet/notaryd/proto/group"
	"github.com/notarynet/notaryd/utxo"
)

// introduce has all members label each other, but for one that hears nothing of one other: so there is something left
// to say.
func (n *network) introduce(t *testing.T) {
	t.Helper()
	for _, v := range n.nodes {
		for _, other := range n.nodes {
			if other != v && (v.index != 0 || other.index != 1) {
				v.label(t, other, group.MaxScore)
			}
		}
	}
}

// customers pay at two nodes, one transaction after the other at each, until they are told to stop, and say how long
// each took.
type customers struct {
	stop  atomic.Bool
	all   sync.WaitGroup
	mu    sync.Mutex
	paid  []*utxo.Tx
	spans []time.Duration
}

func (n *network) customers(t *testing.T, first, coins int, at ...int) *customers {
	c := new(customers)
	for k, i := range at {
		v := n.nodes[i]
		c.all.Go(func() {
			for coin := first + k; coin < first+coins && !c.stop.Load(); coin += len(at) {
				tx, began := n.pay(bob, 0, coin), time.Now()
				if s, err := v.submit(t, tx.Raw, waitFinal); err != nil {
					t.Errorf("coin %d at node %d: %v, %v", coin, i, s, err)
					return
				}
				c.mu.Lock()
				c.paid, c.spans = append(c.paid, tx), append(c.spans, time.Since(began))
				c.mu.Unlock()
			}
		})
	}
	return c
}

func (c *customers) end() {
	c.stop.Store(true)
	c.all.Wait()
}

// TestHandOverUnderLoad: groups follow each other while customers pay; a node that is killed meanwhile and one that was
// away for several epochs go through every hand-over; nothing is lost, and proofs of all epochs hold from genesis on.
func TestHandOverUnderLoad(t *testing.T) {
	n := start(t, 4, setup{coins: 4000, speak: true})
	c := n.customers(t, 0, 3000, 0, 1)
	n.introduce(t)
	n.each(t, "the first hand-over", func(v *notary) bool { return v.epoch(t) >= 1 })

	killed := n.nodes[2]
	n.nodes[0].label(t, n.nodes[1], 900)
	killed.kill(t)
	killed.start(t)
	reached := n.nodes[0].epoch(t)
	n.nodes[1].label(t, n.nodes[3], 700)
	n.each(t, "another hand-over, with a node that was killed", func(v *notary) bool { return v.epoch(t) > reached })

	away := n.nodes[3]
	away.kill(t)
	reached = n.nodes[0].epoch(t)
	for i, score := range []int32{500, 200} { // it keeps less than a third, so nobody waits for it
		n.nodes[0].label(t, away, score)
		n.each(t, "a hand-over without a node", func(v *notary) bool { return v.epoch(t) > reached+uint64(i) })
	}
	away.start(t)
	n.meet(t)
	n.each(t, "the one that was away to be where the others are", func(v *notary) bool { return v.epoch(t) >= reached+2 })
	c.end()

	last := n.nodes[0].epoch(t) // of all the least: from here on nobody votes in an earlier one
	for _, v := range n.nodes[1:] {
		last = min(last, v.epoch(t))
	}
	after := []*utxo.Tx{away.pays(t, bob, 1, 3500), killed.pays(t, bob, 1, 3501)}
	n.allFinal(t, append(after, c.paid...)...)
	n.equalLedgers(t)
	for _, tx := range after {
		// Groups may follow each other meanwhile.
		if s := n.nodes[1].status(t, tx.ID); s.GroupEpoch < last || s.GroupEpoch > n.nodes[1].epoch(t) {
			t.Errorf("final in epoch %d, paid in %d, and the present one is %d", s.GroupEpoch, last, n.nodes[1].epoch(t))
		}
		n.verify(t, n.nodes[1].proof(t, tx.ID), tx.ID)
	}
	epochs := make(map[uint64]bool)
	for i, tx := range c.paid {
		e := n.nodes[0].status(t, tx.ID).GroupEpoch
		if !epochs[e] || i%50 == 0 {
			n.verify(t, n.nodes[i%4].proof(t, tx.ID), tx.ID)
		}
		epochs[e] = true
	}
	if len(epochs) < 3 {
		t.Errorf("payments became final in %d epochs only", len(epochs))
	}
	slices.Sort(c.spans)
	t.Logf("%d payments in %d epochs, %d hand-overs; to finality: median %v, 99 %% %v, longest %v", len(c.spans), len(epochs), last,
		c.spans[len(c.spans)/2], c.spans[len(c.spans)*99/100], c.spans[len(c.spans)-1])
}
