package e2e

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/notarynet/notaryd/api"
	apiclient "github.com/notarynet/notaryd/client"
	"github.com/notarynet/notaryd/node"
	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/utxo"
)

// race submits each transaction to the node at its position at the same moment.
func (n *network) race(t *testing.T, txs ...*utxo.Tx) {
	t.Helper()
	up := n.up()
	var wait sync.WaitGroup
	for i, tx := range txs {
		wait.Go(func() {
			_, err := up[i%len(up)].submit(t, tx.Raw, waitNone)
			// A rival that is final by then is a good answer too.
			switch reasonOf(err) {
			case notaryv1.Reason_REASON_DOUBLE_SPEND, notaryv1.Reason_REASON_OUTPOINT_SPENT, notaryv1.Reason_REASON_UNSPECIFIED:
			default:
				t.Errorf("submitting %s: %v", tx.ID, err)
			}
		})
	}
	wait.Wait()
}

// winner waits until every running node holds exactly one of the rivals final, the same.
func (n *network) winner(t *testing.T, rivals ...*utxo.Tx) *utxo.Tx {
	t.Helper()
	var winner *utxo.Tx
	first := n.up()[0]
	eventually(t, fmt.Sprintf("one of %d rivals to be final", len(rivals)), func() bool {
		for _, tx := range rivals {
			if first.final(t, tx.ID) {
				winner = tx
				return true
			}
		}
		return false
	})
	n.allFinal(t, winner)
	for _, v := range n.up() {
		for _, tx := range rivals {
			if tx != winner && v.final(t, tx.ID) {
				t.Fatalf("node %d holds both %s and %s final", v.index, tx.ID, winner.ID)
			}
		}
	}
	return winner
}

// TestDoubleSpends: pairs of rivals race into different nodes; exactly one of each pair is final
// everywhere, and whoever asks for the other is told so.
func TestDoubleSpends(t *testing.T) {
	const pairs = 100
	n := start(t, 4, setup{coins: pairs})
	var rivals [pairs][2]*utxo.Tx
	var wait sync.WaitGroup
	for i := range pairs {
		rivals[i] = [2]*utxo.Tx{n.pay(bob, 0, i), n.pay(carol, 1, i)}
		for j, tx := range rivals[i] {
			v := n.nodes[(i+j*(1+i%3))%4]
			wait.Go(func() {
				_, err := v.submit(t, tx.Raw, waitFinal)
				switch reasonOf(err) {
				case notaryv1.Reason_REASON_UNSPECIFIED, notaryv1.Reason_REASON_DOUBLE_SPEND, notaryv1.Reason_REASON_OUTPOINT_SPENT:
				default:
					t.Errorf("pair %d, rival %d: %v", i, j, err)
				}
				if final := v.final(t, tx.ID); (err == nil) != final {
					t.Errorf("pair %d, rival %d: answered %v, and final is %v", i, j, err, final)
				}
			})
		}
	}
	wait.Wait()
	for _, pair := range rivals {
		winner := n.winner(t, pair[:]...)
		for _, tx := range pair {
			if tx == winner {
				continue
			}
			_, err := n.nodes[0].submit(t, tx.Raw, waitFinal)
			switch got := reasonOf(err); got {
			case notaryv1.Reason_REASON_DOUBLE_SPEND, notaryv1.Reason_REASON_OUTPOINT_SPENT:
			default:
				t.Errorf("the loser is answered %v", err)
			}
		}
	}
	n.equalLedgers(t)
	if got := n.nodes[0].running.store.Counts().Finals; got != pairs {
		t.Errorf("%d final, want %d", got, pairs)
	}
}

// TestThreeWay: three rivals for one outpoint.
func TestThreeWay(t *testing.T) {
	const rounds = 8
	n := start(t, 4, setup{coins: rounds})
	for i := range rounds {
		rivals := []*utxo.Tx{n.pay(bob, 0, i), n.pay(carol, 1, i), n.pay(alice, 2, i)}
		n.race(t, rivals...)
		n.winner(t, rivals...)
	}
	n.equalLedgers(t)
}

// TestChainedConflict: A = {1, 2}, B = {2, 3}, C = {3, 4}. Either B is final alone, or A and C are:
// never nothing, and never an outpoint that nobody can spend any more.
func TestChainedConflict(t *testing.T) {
	const rounds = 6
	n := start(t, 4, setup{coins: 4 * rounds})
	for i := range rounds {
		base := 4 * i
		a, b, c := n.pay(bob, 0, base, base+1), n.pay(carol, 1, base+1, base+2), n.pay(bob, 2, base+2, base+3)
		n.race(t, a, b, c)
		middle := func(v *notary) bool { return v.final(t, b.ID) }
		eventually(t, "a maximal set to be final", func() bool {
			for _, v := range n.nodes {
				if !middle(v) && (!v.final(t, a.ID) || !v.final(t, c.ID)) {
					return false
				}
			}
			return true
		})
		for _, v := range n.nodes {
			if middle(v) != middle(n.nodes[0]) || middle(v) && (v.final(t, a.ID) || v.final(t, c.ID)) {
				t.Fatalf("round %d: node %d disagrees", i, v.index)
			}
		}
		// What the losers held is free.
		if middle(n.nodes[0]) {
			n.nodes[1].mustSubmit(t, n.pay(alice, 3, base, base+3), waitFinal)
		}
	}
	eventually(t, "every node to be done", func() bool {
		for _, v := range n.nodes {
			if v.running.store.Counts().Finals != n.nodes[0].running.store.Counts().Finals {
				return false
			}
		}
		return true
	})
	n.equalLedgers(t)
}

// TestCorruptCopy: a copy with a corrupt witness that comes first does not stand in the way of the
// genuine transaction, at the node that saw it or elsewhere.
func TestCorruptCopy(t *testing.T) {
	n := start(t, 4, setup{})
	for i := range 4 {
		tx := n.pay(bob, 0, i)
		corrupt := append([]byte(nil), tx.Raw...)
		corrupt[len(corrupt)-1] ^= 1 // the last byte of the only signature
		_, err := n.nodes[i].submit(t, corrupt, waitFinal)
		wantReason(t, err, notaryv1.Reason_REASON_BAD_SIGNATURE)
		_, err = n.nodes[i].submit(t, corrupt, waitFinal)
		wantReason(t, err, notaryv1.Reason_REASON_BAD_SIGNATURE)
		n.nodes[i].mustSubmit(t, tx, waitFinal)
		n.allFinal(t, tx)
	}
	n.equalLedgers(t)
}

// TestCorruptCopies: corrupt copies and the genuine transaction race each other through one node.
func TestCorruptCopies(t *testing.T) {
	n := start(t, 4, setup{})
	tx := n.pay(bob, 0, 0)
	var wait sync.WaitGroup
	for i := range 20 {
		corrupt := append([]byte(nil), tx.Raw...)
		corrupt[len(corrupt)-1-i] ^= 1
		wait.Go(func() {
			// Whoever sends a corrupt copy of what is final is told that it is: the id is the same.
			if _, err := n.nodes[0].submit(t, corrupt, waitFinal); err != nil && reasonOf(err) != notaryv1.Reason_REASON_BAD_SIGNATURE {
				t.Errorf("corrupt copy: %v", err)
			}
		})
	}
	wait.Go(func() { n.nodes[0].mustSubmit(t, tx, waitFinal) })
	wait.Wait()
	n.allFinal(t, tx)
	n.equalLedgers(t)
	// What is kept and handed on is genuine.
	for _, v := range n.nodes {
		n.verify(t, v.proof(t, tx.ID), tx.ID)
		stored, _, err := v.running.store.Transaction(tx.ID)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := utxo.Decode(stored.Raw, utxo.Rules{Network: n.genesis.ID}); err != nil || got.FullHash != tx.FullHash {
			t.Errorf("node %d keeps a corrupt copy", v.index)
		}
	}
}

// TestRivalsTooMany: more rivals than a node keeps for one outpoint; one is final, the others are
// refused, and nothing is left over.
func TestRivalsTooMany(t *testing.T) {
	n := start(t, 4, setup{coins: 1, node: func(c *node.Config) { c.Contests.MaxRivals = 3 }})
	var rivals []*utxo.Tx
	for i := range 12 {
		rivals = append(rivals, n.pay(bob, i, 0))
	}
	reasons := make([]notaryv1.Reason, len(rivals))
	var wait sync.WaitGroup
	for i, tx := range rivals {
		wait.Go(func() {
			_, err := n.nodes[i%4].submit(t, tx.Raw, waitFinal)
			reasons[i] = reasonOf(err)
		})
	}
	wait.Wait()
	winner := n.winner(t, rivals...)
	for i, tx := range rivals {
		switch reasons[i] {
		case notaryv1.Reason_REASON_DOUBLE_SPEND, notaryv1.Reason_REASON_OUTPOINT_SPENT, notaryv1.Reason_REASON_TOO_MANY_RIVALS:
		case notaryv1.Reason_REASON_UNSPECIFIED:
			if tx != winner {
				t.Errorf("rival %d was answered as final", i)
			}
		default:
			t.Errorf("rival %d: %v", i, reasons[i])
		}
	}
	n.equalLedgers(t)
}

// TestFees: a node that asks for fees refuses what pays too little, relays what pays, and takes what the
// network has certified all the same.
func TestFees(t *testing.T) {
	n := start(t, 4, setup{down: []int{0}})
	dear := n.nodes[0]
	dear.tune = func(c *node.Config) { c.Fees.MinUnits = coin / 1000 }
	dear.start(t)
	n.meet(t)
	free := n.pay(bob, 0, 0)
	_, err := dear.submit(t, free.Raw, waitFinal)
	wantReason(t, err, notaryv1.Reason_REASON_FEE_TOO_LOW)
	n.nodes[1].mustSubmit(t, free, waitFinal)
	n.allFinal(t, free)
	paid := n.sign(n.spend(n.coin(1)).Pay(addressOf(bob), utxo.Product{}, coinValue-coin).Fee(utxo.Address{}, coin), alice)
	dear.mustSubmit(t, paid, waitFinal)
	n.allFinal(t, paid)
	n.equalLedgers(t)
}

// ids are those of transactions.
func ids(txs []*utxo.Tx) []domain.Hash {
	out := make([]domain.Hash, len(txs))
	for i, tx := range txs {
		out[i] = tx.ID
	}
	return out
}

// TestDeathIsProven: what a node refuses since a rival is final, submitted after it or while both are on their way, a client
// finds proven to be dead; and what is refused for another reason, it does not.
func TestDeathIsProven(t *testing.T) {
	n := start(t, 4, setup{api: func(c *api.Config) { c.Limits.CallsPerSecond, c.Limits.CallBurst = 1e5, 1e5 }})
	v := n.nodes[1]
	c, err := apiclient.Dial(t.Context(), v.running.conn.Target(), apiclient.WithGenesis(n.genesis))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	paid := n.pay(bob, 0, 0)
	n.nodes[0].mustSubmit(t, paid, waitFinal)
	n.allFinal(t, paid)
	late := n.pay(carol, 1, 0)
	_, err = c.SubmitFinal(t.Context(), &apiclient.Transaction{Tx: late})
	var dead *apiclient.DeadError
	if !errors.As(err, &dead) || dead.Rival != paid.ID || dead.Shared != n.coin(0) || dead.Proof == nil {
		t.Errorf("submitted after its rival was final: %v", err)
	}

	ann, ben := n.pay(bob, 2, 1), n.pay(carol, 3, 1)
	n.nodes[0].mustSubmit(t, ann, waitNone)
	_, err = c.SubmitFinal(t.Context(), &apiclient.Transaction{Tx: ben})
	switch winner := n.winner(t, ann, ben); {
	case winner.ID == ben.ID:
		if err != nil {
			t.Errorf("the winner: %v", err)
		}
	case !errors.As(err, &dead) || dead.Rival != ann.ID || dead.Shared != n.coin(1):
		t.Errorf("the loser of two that were on their way: %v", err)
	}

	closed := n.sign(n.spend(n.coin(2)).Pay(addressOf(bob), utxo.Product{}, coinValue).Window(0, nowMS()-1), alice)
	_, err = c.SubmitFinal(t.Context(), &apiclient.Transaction{Tx: closed})
	var unproven *apiclient.UnprovenError
	if !apiclient.Refused(err) || apiclient.Dead(err) || !errors.As(err, &unproven) {
		t.Errorf("its window is closed by the node's clock: %v", err)
	}
}
