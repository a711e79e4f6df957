package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/notarynet/notaryd/node/store"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/utxo"
)

// often is how many times a test does what it does: few as a test among others, more where the variable says so
// (make soak).
func often(t *testing.T, variable string, few int) int {
	t.Helper()
	s := os.Getenv(variable)
	if s == "" {
		return few
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 {
		t.Fatalf("%s=%q is no number of times", variable, s)
	}
	return n
}

// tell prints one line of JSON, for scripts/soak.sh.
func tell(t *testing.T, figures map[string]any) {
	t.Helper()
	b, err := json.Marshal(figures)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("soak %s\n", b)
}

// load is clients that pay without pause, and remember which node said FINAL of what.
type load struct {
	purse
	clients  []atomic.Pointer[client] // by node; nil while it is down
	ctx      context.Context
	end      context.CancelFunc
	workers  sync.WaitGroup
	history  *history
	patience time.Duration // before a client turns to another node

	mu      sync.Mutex
	said    []map[domain.Hash]bool // by node: what it said was final in its present life
	final   []*utxo.Tx             // all that was said to be final
	rivals  [][2]*utxo.Tx
	offered []*utxo.Tx // that have rivals
	failure error
}

// purse is the first genesis outputs of a network, all of one value and of one owner.
type purse struct {
	network domain.Hash
	owner   domain.PrivateKey
	coins   int
	value   uint64
}

// pay spends an output that is worth a coin of the purse. Salt tells rivals apart.
func (p *purse) pay(from utxo.Outpoint, to domain.PrivateKey, salt byte) *utxo.Tx {
	d, err := utxo.NewBuilder(p.network).Spend(from).Pay(addressOf(to), utxo.Product{}, p.value).Salt([]byte{salt}).Build()
	if err == nil {
		var tx *utxo.Tx
		if tx, err = d.Sign(p.owner).Finish(); err == nil {
			return tx
		}
	}
	panic(err) // a payment that is always the same
}

// client is how the load reaches one node.
type client struct{ notaryv1.NotaryServiceClient }

// newLoad starts workers, each of which pays one coin on and on, and one that spends further coins twice.
func newLoad(p purse, workers int, nodes []*client) *load {
	return newLoadOf(p, workers, nodes, patience)
}

func newLoadOf(p purse, workers int, nodes []*client, patience time.Duration) *load {
	l := &load{purse: p, clients: make([]atomic.Pointer[client], len(nodes)), said: make([]map[domain.Hash]bool, len(nodes)), history: newHistory(), patience: patience}
	l.ctx, l.end = context.WithCancel(context.Background())
	for i, c := range nodes {
		l.clients[i].Store(c)
		l.said[i] = make(map[domain.Hash]bool)
	}
	for w := range workers {
		l.workers.Go(func() { l.payOn(w, workers) })
	}
	l.workers.Go(func() { l.spendTwice(workers) })
	l.workers.Go(l.readOn)
	return l
}

// readOn asks one node after the other what has become of the newest rivals.
func (l *load) readOn() {
	for i := 0; l.ctx.Err() == nil; i++ {
		l.mu.Lock()
		n := len(l.offered)
		newest := slices.Clone(l.offered[max(0, n-8):])
		l.mu.Unlock()
		c := l.clients[i%len(l.clients)].Load()
		for _, tx := range newest {
			if c != nil {
				l.read(c, tx)
			}
		}
		select {
		case <-l.ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// read asks a node for the state of a transaction.
func (l *load) read(c *client, tx *utxo.Tx) {
	ctx, cancel := context.WithTimeout(l.ctx, time.Second)
	defer cancel()
	since := l.history.now()
	r, err := c.GetTransaction(ctx, &notaryv1.GetTransactionRequest{TransactionId: tx.ID[:]})
	if err == nil && r.GetStatus().GetState() == stateFinal {
		l.history.told(tx, true, since)
	}
}

// stop ends the workers.
func (l *load) stop(t *testing.T) {
	t.Helper()
	l.end()
	l.workers.Wait()
	if l.failure != nil {
		t.Error(l.failure)
	}
	if operations, ok := l.history.consistent(); !ok || operations < 2*len(l.final) {
		t.Errorf("what clients were told is the history of no register that is written once (%d lines)", operations)
	}
}

// newLoad is a load on all nodes of a network.
func (n *network) newLoad(workers int) *load {
	var clients []*client
	for _, v := range n.nodes {
		clients = append(clients, &client{v.running})
	}
	return newLoad(purse{n.genesis.ID, alice, n.setup.coins, coinValue}, workers, clients)
}

// payOn pays a coin from its owner to the same, over and over: each payment spends the one before.
func (l *load) payOn(worker, workers int) {
	from := utxo.Outpoint{Tx: l.network, Index: uint32(worker)}
	for i := 0; l.ctx.Err() == nil; i++ {
		tx := l.pay(from, l.owner, 0)
		for at := worker + i; !l.submit(at%len(l.clients), tx); at++ {
			if l.ctx.Err() != nil {
				return
			}
		}
		from = utxo.Outpoint{Tx: tx.ID}
	}
}

// spendTwice has two nodes hear of two rivals at once, coin by coin. A pair counts once a node has said how one of it
// ended: the last one may have reached nobody when the load stops.
func (l *load) spendTwice(first int) {
	for i := first; i < l.coins && l.ctx.Err() == nil; i++ {
		coin := utxo.Outpoint{Tx: l.network, Index: uint32(i)}
		pair := [2]*utxo.Tx{l.pay(coin, bob, 0), l.pay(coin, carol, 1)}
		l.mu.Lock()
		l.offered = append(l.offered, pair[:]...)
		l.mu.Unlock()
		var sides sync.WaitGroup
		var ended atomic.Bool
		for j, tx := range pair {
			sides.Go(func() {
				for at := i + j; ; at += 2 {
					if l.submit(at%len(l.clients), tx) {
						ended.Store(true)
						return
					}
					if l.ctx.Err() != nil {
						return
					}
				}
			})
		}
		sides.Wait()
		if ended.Load() {
			l.mu.Lock()
			l.rivals = append(l.rivals, pair)
			l.mu.Unlock()
		}
	}
}

// submit sends a transaction to a node and waits for the end; false where the node could not say.
func (l *load) submit(at int, tx *utxo.Tx) bool {
	r := l.clients[at].Load()
	if r == nil {
		select { // it is down: give it a moment
		case <-l.ctx.Done():
		case <-time.After(5 * time.Millisecond):
		}
		return false
	}
	ctx, cancel := context.WithTimeout(l.ctx, l.patience)
	defer cancel()
	l.history.offer(tx)
	since := l.history.now()
	reply, err := r.SubmitTransaction(ctx, &notaryv1.SubmitTransactionRequest{Transaction: tx.Raw, WaitFor: waitFinal})
	switch reason := reasonOf(err); {
	case err == nil && reply.GetStatus().GetState() == stateFinal:
		l.history.told(tx, true, since)
		l.mu.Lock()
		defer l.mu.Unlock()
		l.said[at][tx.ID] = true
		l.final = append(l.final, tx)
		return true
	case reason == notaryv1.Reason_REASON_DOUBLE_SPEND, reason == notaryv1.Reason_REASON_OUTPOINT_SPENT:
		l.history.told(tx, false, since)
		return true
	case err == nil && reply.GetStatus().GetState() == stateRejected:
		l.mu.Lock()
		defer l.mu.Unlock()
		l.failure = errors.Join(l.failure, fmt.Errorf("%s is rejected: %v", tx.ID, reply.GetStatus().GetRejection()))
		return true
	}
	return false
}

// lives tells the load that a node is up again, or down where there is none.
func (l *load) lives(node int, c *client) {
	if c != nil {
		l.mu.Lock()
		l.said[node] = make(map[domain.Hash]bool)
		l.mu.Unlock()
	}
	l.clients[node].Store(c)
}

// forgotten is how much of what a node said was final in its last life is not final in its store.
func (l *load) forgotten(t *testing.T, node int, st *store.Store) (count int) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for id := range l.said[node] {
		if final, err := st.IsFinal(id); err != nil {
			t.Fatal(err)
		} else if !final {
			count++
		}
	}
	return count
}

// lostPower takes a node away whose power was cut. Its store is made to fail before the disk goes on, so that nothing
// that it had under way is told to anybody.
func (v *notary) lostPower(t *testing.T) {
	t.Helper()
	r := v.running
	v.running = nil
	r.cancel()
	if err := r.store.Room(); !errors.Is(err, store.ErrStoreFailed) {
		t.Fatalf("node %d has power: %v", v.index, err)
	}
	v.disk.Release()
	<-r.done // with the error of its store
	if err := r.conn.Close(); err != nil {
		t.Error(err)
	}
	v.disk = v.disk.Back()
}

// losses is what a power cut took: transactions that the node had said were final, and observations of its own that
// others hold. A store that does not open any more has lost everything.
func (v *notary) losses(t *testing.T, l *load) (finals, votes int) {
	t.Helper()
	st, err := store.Open(v.dir, v.storeOptions(utxo.Delta{}))
	if err != nil {
		t.Logf("node %d does not open after a power cut: %v", v.index, err)
		l.mu.Lock()
		defer l.mu.Unlock()
		return len(l.said[v.index]), int(v.net.nodes[(v.index+1)%4].chain(v, 0).Height)
	}
	defer func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	}()
	finals = l.forgotten(t, v.index, st)
	id := observation.ChainID{Key: v.key.Public()}
	for _, other := range v.net.up() {
		head := other.running.store.Head(id)
		for h := st.Head(id).Height; h <= head.Height; h++ {
			theirs, found, err := other.running.store.Observation(id, h)
			if err != nil {
				t.Fatal(err)
			}
			ours, kept, err := st.Observation(id, h)
			if err != nil {
				t.Fatal(err)
			}
			if found && (!kept || ours.Hash != theirs.Hash) {
				votes++
			}
		}
	}
	return finals, votes
}

// comeBack runs a node again and waits until it votes.
func (v *notary) comeBack(t *testing.T, l *load) {
	t.Helper()
	v.start(t)
	l.lives(v.index, &client{v.running})
	eventually(t, fmt.Sprintf("node %d to be ready again", v.index), func() bool {
		problems, _ := v.running.node.Ready()
		return len(problems) == 0
	})
}

// TestPowerLoss: four nodes under load; one after the other loses its power between two changes to its disk, at any
// point of what it does, with any part of what was not synced gone. What it had said was final is on its disk, and so
// is every vote of its own that anybody holds; it comes back and never contradicts itself. Everything that
// anybody said was final is so everywhere in the end. Many cuts are spread over several networks: with everything that a
// network has ever said in memory, each cut takes longer than the one before.
func TestPowerLoss(t *testing.T) {
	cuts, began := often(t, "NOTARY_SOAK_POWER", 12), time.Now()
	var all survival
	for all.cuts < cuts {
		t.Run(fmt.Sprint("from ", all.cuts), func(t *testing.T) {
			powerLoss(t, min(cutsEach, cuts-all.cuts), uint64(all.cuts), &all)
		})
		if t.Failed() {
			return
		}
	}
	tell(t, map[string]any{
		"run": "power", "cuts": all.cuts, "accepted": all.accepted, "contests": all.contests, "lost_accepted": all.lostFinals,
		"lost_votes": all.lostVotes, "contradictory_votes": all.contradictions, "seconds": int(time.Since(began).Seconds()),
	})
}

// cutsEach is how many power cuts, or kills, one network lives through.
const cutsEach = 100

// survival is what became of networks whose nodes lost their power, or were killed.
type survival struct{ cuts, accepted, contests, lostFinals, lostVotes, contradictions int }

// powerLoss takes the power of the nodes of one network so many times, at moments that follow from a seed.
func powerLoss(t *testing.T, cuts int, seed uint64, all *survival) {
	n := start(t, 4, setup{coins: 8 + cuts, disks: true, node: snapshotsEvery(time.Second)})
	l := n.newLoad(8)
	rng := rand.New(rand.NewPCG(seed, 3))
	lostFinals, lostVotes := 0, 0
	for i := range cuts {
		v := n.nodes[i%4]
		v.disk.CutAfter(rng.IntN(40))
		select {
		case <-v.disk.Off():
		case <-time.After(patience):
			t.Fatalf("cut %d: node %d writes nothing", i, v.index)
		}
		l.lives(v.index, nil)
		v.lostPower(t)
		finals, votes := v.losses(t, l)
		lostFinals, lostVotes = lostFinals+finals, lostVotes+votes
		v.comeBack(t, l)
	}
	l.stop(t)
	n.meet(t)
	n.allFinal(t, l.final...)
	for _, pair := range l.rivals {
		n.winner(t, pair[:]...)
	}
	n.settled(t)
	n.equalLedgers(t)
	contradictions := n.contradictions(t)
	all.cuts += cuts
	all.accepted += len(l.final)
	all.contests += len(l.rivals)
	all.lostFinals += lostFinals
	all.lostVotes += lostVotes
	all.contradictions += contradictions
	if lostFinals > 0 || lostVotes > 0 || contradictions > 0 {
		t.Errorf("%d accepted transactions lost, %d votes lost, %d contradictory votes", lostFinals, lostVotes, contradictions)
	}
	if len(l.final) < 2*cuts {
		t.Errorf("%d transactions through %d power cuts: too little load to show anything", len(l.final), cuts)
	}
}

// TestPowerLossControl: the same on disks that lie about syncing. It must lose something, or the test above shows
// nothing.
func TestPowerLossControl(t *testing.T) {
	n := start(t, 4, setup{coins: 40, disks: true})
	l := n.newLoad(8)
	v := n.nodes[0]
	for _, w := range n.nodes {
		w.disk.Lie()
	}
	eventually(t, "the node to have said something", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return len(l.said[v.index]) >= 20
	})
	v.disk.CutAfter(0)
	<-v.disk.Off()
	l.lives(v.index, nil)
	v.lostPower(t)
	finals, votes := v.losses(t, l)
	l.stop(t)
	tell(t, map[string]any{"run": "power without sync, the control", "cuts": 1, "accepted": len(l.final), "lost_accepted": finals, "lost_votes": votes})
	if finals == 0 || votes == 0 {
		t.Errorf("lost %d accepted transactions and %d votes without syncing: the test cannot fail", finals, votes)
	}
}

// settled waits until nothing is on its way at any node and all have as much final: what clients sent and got no
// answer to before a cut may become final long after, and reach the last node later still.
func (n *network) settled(t *testing.T) {
	t.Helper()
	eventually(t, "nothing to be on its way", func() bool {
		finals := n.up()[0].running.store.Counts().Finals
		return !slices.ContainsFunc(n.up(), func(v *notary) bool {
			stats, err := v.running.node.Stats(t.Context(), unpaid)
			return err != nil || stats.InFlight != 0 || stats.FinalTransactions != finals
		})
	})
}
