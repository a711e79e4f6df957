package sim

import (
	"fmt"
	"slices"

	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/utxo"
)

// ChaosFaults are the kinds of faults that runs in chaos, or with clocks that are off, inject beside Byzantine nodes.
var ChaosFaults = []string{
	"lossy network", "partition", "crash", "unsynced writes lost", "slow disk", "clock jump", "peers' observations lost",
	"clock off by up to a day", "clock jump by a day",
}

// Result is what one run came to.
type Result struct {
	Seed              int64
	SimMS             float64
	Violations        []string
	ConflictingFinals int
	Reversed          int
	Undecided         int
	// Faults counts what was injected, by kind.
	Faults map[string]int
	// UncontestedMS and ContestedMS are the times from a submission to finality at each node.
	UncontestedMS, ContestedMS []float64
}

// Limits of a run. One that exceeds them is undecided, and that is a violation.
const (
	deadline  = 240 * second // of simulated time
	maxEvents = 4_000_000
	maxRound  = 300 // that anybody honest votes in
)

// Run simulates one network.
func Run(config Config) (r Result) {
	w := newWorld(config)
	config = w.config
	defer func() {
		if p := recover(); p != nil {
			r.Violations = append(w.violations, fmt.Sprint("panic: ", p))
		}
	}()
	w.populate()
	w.scenario.play(w)
	w.finish()
	w.verdict()
	return Result{
		Seed: config.Seed, SimMS: float64(w.now) / ms, Violations: w.violations,
		ConflictingFinals: w.ConflictingFinals, Reversed: w.Reversed, Undecided: w.Undecided, Faults: w.Faults,
		UncontestedMS: w.uncontestedMS, ContestedMS: w.contestedMS,
	}
}

// finish runs until everything is decided after the heal, or until a limit.
func (w *world) finish() {
	for i := 1; w.step(deadline); i++ {
		switch {
		case i%64 == 0 && w.now > w.scenario.healAt && w.allDecided():
			return
		case i > maxEvents:
			w.runaway("%d events", i)
			return
		case w.highest > maxRound:
			w.runaway("round %d", w.highest)
			return
		}
	}
	w.now = deadline
}

// race submits one payment and one double spend: what latencies are measured with.
func (w *world) race() {
	w.add(w.conflicts([]int{0}))
	w.after(10*ms, func() { w.add(w.conflicts([]int{0}, []int{0})) })
}

// chaos submits all kinds of conflicts while all kinds of things go wrong, until everything heals.
func (w *world) chaos() {
	w.mishaps(w.anyCase)
	for range 2 {
		w.after(uint64(w.rng.Intn(10*second)), func() {
			if n := w.honest(); n != nil {
				n.skewMS = int64(w.rng.Intn(20_000) - 10_000)
				w.count("clock jump", 1)
			}
		})
	}
	w.after(w.scenario.healAt, w.recover)
}

// mishaps are cases and what goes wrong in chaos, but for clocks.
func (w *world) mishaps(draw func() *workload) {
	for range 12 {
		w.after(uint64(w.rng.Intn(8*second)), func() { w.add(draw()) })
	}
	if w.rng.Intn(2) == 0 {
		w.loss = 0.03
		w.count("lossy network", 1)
	}
	for range 1 + w.rng.Intn(3) {
		at, lasts := uint64(w.rng.Intn(8*second)), uint64(500+w.rng.Intn(3000))*ms
		w.after(at, func() { w.cut(); w.count("partition", 1) })
		w.after(at+lasts, w.heal)
	}
	for range 1 + w.rng.Intn(4) {
		w.after(uint64(w.rng.Intn(10*second)), w.crashOne)
	}
	for _, n := range w.nodes {
		if n != nil && w.rng.Intn(6) == 0 {
			n.slow = true
		}
	}
}

// crashOne stops a node as soon as it has unsynced writes, so that something is lost.
func (w *world) crashOne() {
	if n := w.honest(); n != nil {
		w.crashSoon(n)
	}
}

func (w *world) crashSoon(n *node) {
	for try := range 200 {
		w.after(uint64(try)*ms, func() {
			if n.up && (len(n.disk.unsynced) > 0 || try == 199) && n.now < n.scenario.healAt && !n.crashing {
				n.crashing = true
				w.count("crash", 1)
				if len(n.disk.unsynced) > 0 {
					w.count("unsynced writes lost", 1)
				}
				n.logf("n%d crashes", n.id)
				if w.rng.Intn(2) == 0 {
					n.disk.prune(func(key domain.PublicKey) bool { return w.nodes[w.ledger.nodes[key]] != nil })
					w.count("peers' observations lost", 1)
				}
				n.crash(uint64(20+w.rng.Intn(2000)) * ms)
			}
		})
	}
	w.after(201*ms, func() { n.crashing = false })
}

// recover ends all faults but the Byzantine ones; clients ask again for what is not final.
func (w *world) recover() {
	w.heal()
	w.loss = 0
	for _, n := range w.nodes {
		if n != nil {
			n.slow, n.skewMS = false, 0
		}
	}
	for _, c := range w.cases {
		for _, tx := range c.txs {
			w.submit(tx)
		}
	}
}

// submit sends a transaction to some node that is up, as soon as there is one.
func (w *world) submit(tx *utxo.Tx) {
	if n := w.honest(); n != nil {
		n.receive(tx)
	} else {
		w.after(50*ms, func() { w.submit(tx) })
	}
}

// anyCase draws a set of transactions.
func (w *world) anyCase() *workload {
	switch w.rng.Intn(9) {
	case 0, 1:
		return w.conflicts([]int{0})
	case 2:
		return w.conflicts([]int{0}, []int{0})
	case 3:
		return w.conflicts([]int{0}, []int{0}, []int{0})
	case 4:
		return w.conflicts([]int{0, 1}, []int{1, 2}, []int{2, 3})
	case 5:
		return w.family()
	case 6:
		return w.closing()
	case 7:
		return w.conflicts([]int{0}, []int{0, 1}, []int{1, 2})
	}
	return w.randomGraph(4 + w.rng.Intn(5))
}

// Percentile is the value below which p percent of the sample lie, 0 of an empty one. The sample is sorted.
func Percentile(sample []float64, p float64) float64 {
	if len(sample) == 0 {
		return 0
	}
	slices.Sort(sample)
	return sample[min(len(sample)-1, int(float64(len(sample))*p/100))]
}
