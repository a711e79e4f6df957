package sim

import (
	"fmt"
	"io"
	"math/rand"

	"github.com/notarynet/notaryd/conflict"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/utxo"
)

// Config is one run.
type Config struct {
	Seed  int64
	Nodes int
	// Faulty is the number of Byzantine nodes.
	Faulty int
	// Kind of the Byzantine nodes; empty for a mixture.
	Kind string
	// Chaos adds cuts, crashes, slow disks, wrong clocks and a mixture of all conflicts. Without it, one payment and one
	// double spend are timed on a network that loses Loss of its messages.
	Chaos bool
	Loss  float64
	// Crashes is how many nodes crash in chaos; 0 for a few.
	Crashes int
	// Log receives a transcript, where not nil.
	Log io.Writer
}

// world is all there is in one run.
type world struct {
	*network
	config Config
	ledger *ledger
	params conflict.Params
	nodes  []*node // nil where a liar is
	liars  []*liar // nil where a node is
	oracle

	stall, antiEntropy uint64
	signatures         map[domain.Hash]error // verdicts by full hash
	names              map[domain.Hash]string
	cases              []*workload
}

// workload is a set of transactions, connected by their conflicts.
type workload struct {
	txs       []*utxo.Tx
	contested bool
	submitted uint64
	heard     []uint64 // by voter: one more than the highest round voted in

	confidants []int                      // whom schemers trust, by round
	pending    map[ballotKey]map[int]bool // who was PENDING where
}

// ballotKey is a transaction and a round.
type ballotKey struct {
	tx    domain.Hash
	round uint32
}

func newWorld(config Config) *world {
	c := &clock{}
	rng := rand.New(rand.NewSource(config.Seed))
	w := &world{
		network: &network{clock: c, rng: rng, minHop: 20 * ms, span: 80 * ms, side: make([]int, config.Nodes), loss: config.Loss},
		config:  config, ledger: newLedger(config.Nodes), params: conflict.DefaultParams(),
		nodes: make([]*node, config.Nodes), liars: make([]*liar, config.Nodes),
		stall: 3 * second, antiEntropy: 500 * ms,
		signatures: make(map[domain.Hash]error), names: make(map[domain.Hash]string),
	}
	w.oracle = newOracle(w)
	return w
}

// populate starts the nodes: the liars at random places.
func (w *world) populate() {
	places := w.rng.Perm(w.config.Nodes)
	for i, id := range places {
		if i < w.config.Faulty {
			w.liars[id] = newLiar(w, id)
		}
	}
	for id := range w.nodes {
		if w.liars[id] == nil {
			w.nodes[id] = newNode(w, id)
		}
	}
}

// honest is a random node that is up and no liar.
func (w *world) honest() *node {
	for {
		if n := w.nodes[w.rng.Intn(len(w.nodes))]; n != nil && n.up {
			return n
		}
	}
}

// add names the transactions of a case and submits each to some node.
func (w *world) add(c *workload) {
	c.submitted = w.now
	c.heard = make([]uint64, len(w.nodes))
	c.pending = make(map[ballotKey]map[int]bool)
	for i, tx := range c.txs {
		w.names[tx.ID] = fmt.Sprintf("%d%c", len(w.cases), 'A'+i)
		w.caseOf[tx.ID] = c
	}
	w.cases = append(w.cases, c)
	for _, tx := range c.txs {
		w.logf("submit %s spending %v", w.name(tx.ID), spendNames(tx))
		w.after(uint64(w.rng.Intn(20*ms)), func() { w.honest().submit(tx) })
	}
}

func spendNames(tx *utxo.Tx) (out []uint32) {
	for _, o := range tx.Spends() {
		out = append(out, o.Index)
	}
	return out
}

// conflicts makes transactions that spend the coins named by number.
func (w *world) conflicts(spends ...[]int) *workload {
	coins := make(map[int]utxo.Outpoint)
	c := &workload{contested: len(spends) > 1}
	for _, ns := range spends {
		var os []utxo.Outpoint
		for _, n := range ns {
			if _, ok := coins[n]; !ok {
				coins[n] = w.ledger.coin()
			}
			os = append(os, coins[n])
		}
		c.txs = append(c.txs, w.ledger.spend(w.rng, os...))
	}
	return c
}

func (w *world) logf(format string, args ...any) {
	if w.config.Log != nil {
		fmt.Fprintf(w.config.Log, "%9.3f  "+format+"\n", append([]any{float64(w.now) / ms}, args...)...)
	}
}
