package e2e

import (
	"context"
	"math"
	"testing"
	"time"

	"github.com/notarynet/notaryd/node"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/utxo"
)

// TestChildrenFirst: transactions sent in the wrong order, each to another node, wait for their parents
// and then become final.
func TestChildrenFirst(t *testing.T) {
	n := start(t, 4, setup{})
	chain := []*utxo.Tx{n.pay(bob, 0, 0)}
	for i := range 5 {
		from, to := bob, bob
		if i == 4 {
			to = carol
		}
		last := chain[len(chain)-1]
		chain = append(chain, n.sign(n.spend(utxo.Outpoint{Tx: last.ID}).Pay(addressOf(to), utxo.Product{}, coinValue), from))
	}
	for i := len(chain) - 1; i > 0; i-- {
		v := n.nodes[i%4]
		v.mustSubmit(t, chain[i], waitNone)
		eventually(t, "a child to be held", func() bool { return v.status(t, chain[i].ID).GetState() == stateHeld })
	}
	if n.nodes[0].final(t, chain[1].ID) {
		t.Fatal("a child is final before its parent")
	}
	n.nodes[0].mustSubmit(t, chain[0], waitNone)
	n.allFinal(t, chain...)
	n.equalLedgers(t)
}

// TestTimeLocks: outputs that are locked for a while, by the clock or by age, and a window that opens
// later: final then, not before; and held, where that takes an hour.
func TestTimeLocks(t *testing.T) {
	const hour = 3_600_000
	began := nowMS()
	opens := began + 1500
	mine, payment := addressOf(alice), notaryv1.OutputKind_OUTPUT_KIND_PAYMENT
	n := start(t, 4, setup{coins: 3, extra: []*utxo.Output{
		{Address: mine, Amount: coinValue, Kind: payment, NotBeforeMS: opens},
		{Address: mine, Amount: coinValue, Kind: payment, NotBeforeMS: began + hour},
	}})
	aged := n.sign(n.spend(n.coin(0)).Output(utxo.Output{
		Address: mine, Amount: coinValue / 2, Kind: payment, MinAgeMS: 700,
	}).Output(utxo.Output{Address: mine, Amount: coinValue / 2, Kind: payment, MinAgeMS: hour}), alice)
	n.nodes[0].mustSubmit(t, aged, waitFinal)
	n.allFinal(t, aged)
	young := func(index uint32) *utxo.Tx {
		return n.sign(n.spend(utxo.Outpoint{Tx: aged.ID, Index: index}).Pay(addressOf(bob), utxo.Product{}, coinValue/2), alice)
	}
	windowed := func(coin int, from uint64) *utxo.Tx {
		return n.sign(n.spend(n.coin(coin)).Pay(addressOf(bob), utxo.Product{}, coinValue).Window(from, 0), alice)
	}
	starts := nowMS() + 600
	soon := []*utxo.Tx{n.pay(bob, 0, 3), young(0), windowed(1, starts)}
	for i, tx := range soon {
		n.nodes[i].mustSubmit(t, tx, waitNone)
	}
	for i, c := range []struct {
		tx     *utxo.Tx
		reason notaryv1.Reason
	}{
		{n.pay(bob, 0, 4), notaryv1.Reason_REASON_LOCK_NOT_OPEN}, {young(1), notaryv1.Reason_REASON_LOCK_NOT_OPEN},
		{windowed(2, began+hour), notaryv1.Reason_REASON_WINDOW_NOT_OPEN},
	} {
		v := n.nodes[i]
		v.mustSubmit(t, c.tx, waitNone)
		eventually(t, "it to be held", func() bool { return v.status(t, c.tx.ID).GetState() == stateHeld })
		if got := v.status(t, c.tx.ID).Rejection.GetReason(); got != c.reason {
			t.Errorf("held for %v, want %v", got, c.reason)
		}
	}
	n.allFinal(t, soon...)
	n.equalLedgers(t)
	ripe := uint64(math.MaxUint64) // where it became final first
	for _, v := range n.nodes {
		ripe = min(ripe, v.status(t, aged.ID).FinalMs+700)
	}
	for _, v := range n.nodes {
		for i, from := range []uint64{opens, ripe, starts} {
			if s := v.status(t, soon[i].ID); s.FinalMs < from {
				t.Errorf("node %d: final at %d, locked until %d", v.index, s.FinalMs, from)
			}
		}
	}
}

// TestHoldBounds: what waits is bounded in time and number, and what was given up can be sent again. The
// children spend an output each, for those that came later are held longer.
func TestHoldBounds(t *testing.T) {
	n := start(t, 4, setup{node: func(c *node.Config) {
		c.HoldPatience, c.MaxHeld, c.MaxHeldPerOrigin = 300*time.Millisecond, 8, 3
	}})
	const count = 4
	split := n.spend(n.coin(0))
	for range count {
		split.Pay(addressOf(bob), utxo.Product{}, coinValue/count)
	}
	parent := n.sign(split, alice)
	var children []*utxo.Tx
	for i := range count {
		children = append(children, n.sign(n.spend(utxo.Outpoint{Tx: parent.ID, Index: uint32(i)}).
			Pay(addressOf(carol), utxo.Product{}, coinValue/count), bob))
	}
	v := n.nodes[0]
	for _, c := range children[:3] {
		eventually(t, "it to be held", func() bool {
			v.mustSubmit(t, c, waitNone) // again, where it was given up before it was seen
			return v.status(t, c.ID).GetState() == stateHeld
		})
	}
	_, err := v.submit(t, children[3].Raw, waitFinal)
	wantReason(t, err, notaryv1.Reason_REASON_WAIT_EXPIRED)
	_, err = v.submit(t, children[0].Raw, waitFinal)
	wantReason(t, err, notaryv1.Reason_REASON_WAIT_EXPIRED)
	v.mustSubmit(t, parent, waitFinal)
	v.mustSubmit(t, children[0], waitFinal)
	n.allFinal(t, parent, children[0])
	n.equalLedgers(t)
}

// TestWindowClosed: a window that is over is refused, and what is sent in time is not.
func TestWindowClosed(t *testing.T) {
	n := start(t, 4, setup{})
	closed := n.sign(n.spend(n.coin(0)).Pay(addressOf(bob), utxo.Product{}, coinValue).Window(0, nowMS()-1), alice)
	_, err := n.nodes[0].submit(t, closed.Raw, waitFinal)
	wantReason(t, err, notaryv1.Reason_REASON_WINDOW_CLOSED)
	open := n.sign(n.spend(n.coin(0)).Pay(addressOf(bob), utxo.Product{}, coinValue).Window(nowMS()-10_000, nowMS()+60_000), alice)
	n.nodes[0].mustSubmit(t, open, waitFinal)
	n.allFinal(t, open)
	for _, v := range n.nodes {
		if v.final(t, closed.ID) {
			t.Errorf("node %d: final outside its window", v.index)
		}
	}
	n.equalLedgers(t)
}

// TestWindowMissed: a node that was away while a transaction was certified takes it after its window, too:
// the window gates round 0 only.
func TestWindowMissed(t *testing.T) {
	n := start(t, 4, setup{})
	n.nodes[3].kill(t)
	// Windows are as short as this machine leaves the three time to vote in.
	var tx *utxo.Tx
	var until uint64
	for coin, lasts := 0, 400*time.Millisecond; ; coin, lasts = coin+1, 2*lasts {
		until = nowMS() + uint64(lasts.Milliseconds())
		tx = n.sign(n.spend(n.coin(coin)).Pay(addressOf(bob), utxo.Product{}, coinValue).Window(0, until), alice)
		ctx, cancel := context.WithTimeout(t.Context(), 2*lasts)
		_, err := n.nodes[0].running.SubmitTransaction(ctx, &notaryv1.SubmitTransactionRequest{Transaction: tx.Raw, WaitFor: waitFinal})
		cancel()
		if err == nil {
			break
		}
		if lasts > patience {
			t.Fatal(err)
		}
	}
	n.allFinal(t, tx)
	eventually(t, "the window to close", func() bool { return nowMS() > until })
	n.nodes[3].start(t)
	n.meet(t)
	// Whoever tries to bring it in before the votes are there does no harm.
	if _, err := n.nodes[3].submit(t, tx.Raw, waitFinal); err != nil {
		wantReason(t, err, notaryv1.Reason_REASON_WINDOW_CLOSED)
	}
	n.allFinal(t, tx)
	n.equalLedgers(t)
}

// TestCounterparty: an output with a counterparty moves only when both sign.
func TestCounterparty(t *testing.T) {
	n := start(t, 4, setup{coins: 1, extra: []*utxo.Output{{
		Address: addressOf(alice), Amount: coinValue, Kind: notaryv1.OutputKind_OUTPUT_KIND_PAYMENT, Counterparty: addressOf(bob),
	}}})
	alone := n.pay(carol, 0, 1)
	_, err := n.nodes[0].submit(t, alone.Raw, waitFinal)
	wantReason(t, err, notaryv1.Reason_REASON_COUNTERPARTY_MISSING)
	// The same body, now with both: the verdict on the first copy does not bind it.
	both := n.sign(n.spend(n.coin(1)).Pay(addressOf(carol), utxo.Product{}, coinValue).Salt([]byte("0")), alice, bob)
	if both.ID != alone.ID {
		t.Fatal("witnesses changed the id")
	}
	n.nodes[0].mustSubmit(t, both, waitFinal)
	n.allFinal(t, both)
	n.equalLedgers(t)
}
