package sim

import (
	"cmp"
	"fmt"
	"io"
	"math/rand"
	"slices"

	"github.com/notarynet/notaryd/conflict"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	"github.com/notarynet/notaryd/utxo"
)

// Config is one run.
type Config struct {
	Seed int64
	// Scenario is the name of one; empty for race.
	Scenario string
	// Nodes and, of these, Byzantine ones; with no Nodes as many as the scenario has.
	Nodes, Faulty int
	// Kind of the Byzantine nodes; empty for that of the scenario, which may be a mixture.
	Kind string
	// Loss is the share of messages lost from the start.
	Loss float64
	// Log receives a transcript, where not nil.
	Log io.Writer
}

// world is all there is in one run.
type world struct {
	*network
	config   Config
	scenario Scenario
	ledger   *ledger
	params   conflict.Params
	nodes    []*node // nil where a liar is
	liars    []*liar // nil where a node is
	oracle

	stall, antiEntropy uint64
	signatures         map[domain.Hash]error // verdicts by full hash
	judged             map[domain.Hash]error // evidence by hash
	signed             map[domain.Hash]*observation.Observation
	names              map[domain.Hash]string
	labels             labels
	proposed           map[domain.Hash]bool // links that somebody has proposed a successor of
	cases              []*workload
	style              style // of plotters
	// strike may crash a node whose observation is on disk and on its way, and reports whether it did.
	strike func(*node, *observation.Observation) bool
}

// workload is a set of transactions, connected by their conflicts.
type workload struct {
	txs       []*utxo.Tx
	contested bool
	submitted uint64
	heard     []uint64 // by voter: one more than the highest round voted in
	honestly  bool     // somebody honest has voted

	confidants []int                      // whom schemers trust, by round
	pending    map[ballotKey]map[int]bool // who was PENDING where
	planned    map[uint32]bool            // rounds that plotters have plans for
	plans      map[showing]uint64
	conducting *conducting
}

// ballotKey is a transaction and a round.
type ballotKey struct {
	tx    domain.Hash
	round uint32
}

func newWorld(config Config) *world {
	scenario, err := ScenarioNamed(cmp.Or(config.Scenario, "race"))
	if err != nil {
		panic(err)
	}
	if config.Nodes == 0 {
		size := scenario.Sizes[uint64(config.Seed)%uint64(len(scenario.Sizes))]
		config.Nodes, config.Faulty = size[0], size[1]
	}
	config.Kind = cmp.Or(config.Kind, scenario.Kind)
	c := &clock{}
	rng := rand.New(rand.NewSource(config.Seed))
	w := &world{
		network: &network{clock: c, rng: rng, minHop: 20 * ms, span: 80 * ms, side: make([]int, config.Nodes), loss: config.Loss},
		config:  config, scenario: scenario, ledger: newLedger(config.Nodes, &scenario, config.Seed), params: conflict.DefaultParams(),
		nodes: make([]*node, config.Nodes), liars: make([]*liar, config.Nodes),
		stall: 3 * second, antiEntropy: 500 * ms,
		judged: make(map[domain.Hash]error), signed: make(map[domain.Hash]*observation.Observation),
		signatures: make(map[domain.Hash]error), names: make(map[domain.Hash]string), proposed: make(map[domain.Hash]bool),
	}
	w.oracle = newOracle(w)
	w.style = w.drawStyle()
	return w
}

// populate starts the nodes: the liars at random places, below 1/3 of the weight unless more of them are asked for.
func (w *world) populate() {
	var faulty group.Weight
	bounded := w.scenario.Unequal || 3*w.config.Faulty <= w.config.Nodes
	left := w.config.Faulty
	for _, id := range w.rng.Perm(w.config.Nodes) {
		share := w.ledger.genesis.Group.Voters()[w.ledger.voters[id]].Share
		if left == 0 || bounded && 3*(faulty+share) >= group.Total {
			continue
		}
		left--
		faulty += share
		w.liars[id] = newLiar(w, id)
	}
	for id := range w.nodes {
		if w.liars[id] == nil {
			w.nodes[id] = newNode(w, id)
		}
	}
}

// honest is a random node that is up and no liar; nil where all are down.
func (w *world) honest() *node {
	up := slices.DeleteFunc(slices.Clone(w.nodes), func(n *node) bool { return n == nil || !n.up })
	if len(up) == 0 {
		return nil
	}
	return up[w.rng.Intn(len(up))]
}

// register names the transactions of a case.
func (w *world) register(c *workload) {
	c.submitted = w.now
	c.heard = make([]uint64, len(w.nodes))
	c.pending = make(map[ballotKey]map[int]bool)
	for i, tx := range c.txs {
		w.names[tx.ID] = fmt.Sprintf("%d%s", len(w.cases), letter(i))
		w.caseOf[tx.ID] = c
	}
	w.cases = append(w.cases, c)
}

// add registers a case and submits each of its transactions to some node.
func (w *world) add(c *workload) {
	w.register(c)
	for _, tx := range c.txs {
		w.logf("submit %s spending %v", w.name(tx.ID), spendNames(tx))
		w.after(uint64(w.rng.Intn(20*ms)), func() { w.submit(tx) })
	}
}

// letter is A, B .. Z, AA, AB and so on.
func letter(i int) string {
	if i >= 26 {
		return letter(i/26-1) + letter(i%26)
	}
	return string(rune('A' + i))
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
