package e2e

import (
	"context"
	"slices"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"

	"github.com/notarynet/notaryd/node"
	"github.com/notarynet/notaryd/node/store"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/utxo"
)

// TestCatchUp: a node that was down learns everything that became final meanwhile: gaps in the chains
// show what is missing, and it is pulled.
func TestCatchUp(t *testing.T) {
	const count = 60
	n := start(t, 4, setup{coins: count + 1})
	late := n.nodes[3]
	first := n.pay(bob, 0, count)
	n.nodes[0].mustSubmit(t, first, waitFinal)
	n.allFinal(t, first)
	late.kill(t)
	txs := n.submitAll(t, count)
	late.start(t)
	n.meet(t)
	n.allFinal(t, txs...)
	n.equalLedgers(t)
	for _, tx := range txs {
		n.verify(t, late.proof(t, tx.ID), tx.ID)
	}
}

// submitAll makes count transfers final on the nodes that run, children among them.
func (n *network) submitAll(t *testing.T, count int) []*utxo.Tx {
	t.Helper()
	var txs []*utxo.Tx
	for i := range count {
		var tx *utxo.Tx
		if i%3 == 2 {
			tx = n.sign(n.spend(utxo.Outpoint{Tx: txs[i-1].ID}).Pay(addressOf(carol), utxo.Product{}, coinValue), bob)
		} else {
			tx = n.pay(bob, 0, i)
		}
		n.up()[i%len(n.up())].mustSubmit(t, tx, waitNone)
		txs = append(txs, tx)
	}
	n.allFinal(t, txs...)
	return txs
}

// TestNewcomer: a node that never ran before catches up from nothing.
func TestNewcomer(t *testing.T) {
	n := start(t, 4, setup{coins: 30, down: []int{2}})
	txs := n.submitAll(t, 30)
	n.nodes[2].start(t)
	n.meet(t)
	n.allFinal(t, txs...)
	n.equalLedgers(t)
}

// TestRestartUndecided: with half of the weight nothing is final; a node restarts with its votes
// undecided; when the others come up everything is final, and nobody has contradicted itself.
func TestRestartUndecided(t *testing.T) {
	const count = 12
	n := start(t, 4, setup{coins: count + 1, down: []int{2, 3}})
	var txs []*utxo.Tx
	for i := range count {
		tx := n.pay(bob, 0, i)
		txs = append(txs, tx)
		n.nodes[i%2].mustSubmit(t, tx, waitPending)
	}
	for _, v := range n.nodes[:2] {
		for _, tx := range txs {
			eventually(t, "both to vote", func() bool {
				s := v.status(t, tx.ID)
				return s != nil && s.PendingWeight >= 500_000_000
			})
			if v.final(t, tx.ID) {
				t.Fatalf("node %d: final with half of the weight", v.index)
			}
		}
	}
	// A rival of what the node voted for, to be found again after the restart.
	rival := n.pay(carol, 1, 0)
	n.nodes[0].restart(t)
	eventually(t, "the undecided to be taken up", func() bool {
		for _, tx := range txs {
			if n.nodes[0].status(t, tx.ID) == nil {
				return false
			}
		}
		return true
	})
	n.nodes[0].mustSubmit(t, rival, waitNone)
	// The rival may have been named in an ABSTAIN, which leaves it undecided as well.
	if got := n.nodes[0].running.store.Counts().Pending; got < count || got > count+1 {
		t.Errorf("%d undecided, want %d", got, count)
	}
	n.nodes[2].start(t)
	n.nodes[3].start(t)
	n.meet(t)
	n.winner(t, txs[0], rival)
	n.allFinal(t, txs[1:]...)
	n.equalLedgers(t)
	n.honest(t)
}

// TestRestartsUnderLoad: nodes are killed and come back one after another while double spends race
// through the others; in the end all agree, and nobody has contradicted itself.
func TestRestartsUnderLoad(t *testing.T) {
	const count = 40
	n := start(t, 4, setup{coins: count})
	var pairs [][2]*utxo.Tx
	for i := range count {
		if i%10 == 5 {
			n.nodes[(i/10)%4].restart(t)
		}
		pair := [2]*utxo.Tx{n.pay(bob, 0, i), n.pay(carol, 1, i)}
		pairs = append(pairs, pair)
		for j, tx := range pair {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			_, err := n.nodes[(i+j)%4].running.SubmitTransaction(ctx, &notaryv1.SubmitTransactionRequest{Transaction: tx.Raw})
			cancel()
			switch reasonOf(err) {
			case notaryv1.Reason_REASON_UNSPECIFIED, notaryv1.Reason_REASON_DOUBLE_SPEND, notaryv1.Reason_REASON_OUTPOINT_SPENT:
			default:
				t.Fatalf("pair %d: %v", i, err)
			}
		}
	}
	n.meet(t)
	for _, pair := range pairs {
		n.winner(t, pair[:]...)
	}
	n.equalLedgers(t)
	n.honest(t)
}

// honest fails where a node has contradicted itself.
func (n *network) honest(t *testing.T) {
	t.Helper()
	n.contradictions(t)
}

// contradictions reads every chain of every node and looks for votes that contradict each other: two
// observations at one height, or votes for rivals of one state in one round (N1).
func (n *network) contradictions(t *testing.T) (count int) {
	t.Helper()
	var stores []*store.Store
	for _, v := range n.up() {
		stores = append(stores, v.running.store)
	}
	return contradictions(t, n.genesis.ID, stores)
}

func contradictions(t *testing.T, network domain.Hash, stores []*store.Store) (count int) {
	t.Helper()
	type ballot struct {
		key   domain.PublicKey
		state observation.State
		round uint32
		point utxo.Outpoint
	}
	spends := spendsOf(t, network, stores)
	for i, st := range stores {
		cast := make(map[ballot]domain.Hash)
		votes := 0
		for _, head := range st.Heads() {
			id := observation.ChainID{Key: head.Key, SigningEpoch: head.SigningEpoch}
			for o, err := range st.Observations(id, 1, head.Height) {
				if err != nil {
					t.Fatal(err)
				}
				for range st.Forks(id, o.Header.Height) {
					count++
					t.Errorf("%s signed two observations at height %d", head.Key, o.Header.Height)
				}
				for i := range o.Len() {
					leaf := o.Leaf(i)
					if leaf.Type != observation.SubjectTx || leaf.State != observation.Pending && leaf.State != observation.Accepted {
						continue
					}
					for _, p := range spends[leaf.Subject] {
						votes++
						b := ballot{head.Key, leaf.State, leaf.Round, p}
						if old, there := cast[b]; there && old != leaf.Subject {
							count++
							t.Errorf("%s voted %v in round %d for %s and for %s", head.Key, leaf.State, leaf.Round, old, leaf.Subject)
						}
						cast[b] = leaf.Subject
					}
				}
			}
		}
		if votes == 0 {
			t.Errorf("store %d holds no votes", i)
		}
	}
	return count
}

// spendsOf are what the transactions spend that any store holds.
func spendsOf(t *testing.T, network domain.Hash, stores []*store.Store) map[domain.Hash][]utxo.Outpoint {
	t.Helper()
	out := make(map[domain.Hash][]utxo.Outpoint)
	add := func(raw []byte) {
		tx, err := utxo.Decode(raw, utxo.Rules{Network: network})
		if err != nil {
			t.Fatal(err)
		}
		out[tx.ID] = tx.Spends()
	}
	for _, st := range stores {
		for p, err := range st.PendingTransactions() {
			if err != nil {
				t.Fatal(err)
			}
			add(p.Raw)
		}
		log, err := st.FinalLog(1, 1<<30)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range log {
			stored, _, err := st.Transaction(e.Tx)
			if err != nil {
				t.Fatal(err)
			}
			if stored.Raw != nil { // else it was final before that store began
				add(stored.Raw)
			}
		}
	}
	return out
}

// TestDrain: a draining node refuses new transactions and says when to come back, finishes what it has,
// and answers what is final.
func TestDrain(t *testing.T) {
	n := start(t, 4, setup{})
	v := n.nodes[0]
	done := n.pay(bob, 0, 0)
	v.mustSubmit(t, done, waitFinal)
	var under []*utxo.Tx
	for i := range 5 {
		tx := n.pay(bob, 0, 1+i)
		under = append(under, tx)
		v.mustSubmit(t, tx, waitNone)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if left, err := v.running.node.Drain(ctx); left != 0 || err != nil {
		t.Fatalf("%d left, %v", left, err)
	}
	_, err := v.submit(t, n.pay(bob, 0, 8).Raw, waitFinal)
	wantReason(t, err, notaryv1.Reason_REASON_SHUTTING_DOWN)
	if retry := detail[*errdetails.RetryInfo](err); retry.GetRetryDelay().AsDuration() <= 0 {
		t.Errorf("no RetryInfo: %v", err)
	}
	if s := v.mustSubmit(t, done, waitFinal); s.State != stateFinal {
		t.Errorf("what is final is answered %v", s)
	}
	for _, tx := range under {
		if !v.final(t, tx.ID) {
			t.Errorf("%s was left behind", tx.ID)
		}
	}
	v.stop(t)
	n.allFinal(t, under...)
	n.equalLedgers(t)
}

// TestStop: a node that is asked to stop gives what is on its way a moment before it ends.
func TestStop(t *testing.T) {
	n := start(t, 4, setup{node: func(c *node.Config) { c.DrainPatience = 10 * time.Second }})
	var txs []*utxo.Tx
	for i := range 8 {
		tx := n.pay(bob, 0, i)
		txs = append(txs, tx)
		n.nodes[0].mustSubmit(t, tx, waitNone)
	}
	n.nodes[0].kill(t)
	n.allFinal(t, txs...)
	n.nodes[0].start(t)
	if got := n.nodes[0].finals(t); !slices.Equal(sortedIDs(got), sortedIDs(ids(txs))) {
		t.Errorf("%d of %d were final when the node ended", len(got), len(txs))
	}
}
