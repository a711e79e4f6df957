package sim

import (
	"fmt"
	"slices"

	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/utxo"
)

// Scenario is a way to set up runs: how many nodes there are, what they disagree about, and what goes wrong. A seed
// decides the rest.
type Scenario struct {
	Name, About string
	// Sizes are the numbers of nodes and of Byzantine nodes among them, one or another by seed.
	Sizes [][2]int
	// Kind of the Byzantine nodes; empty for a mixture.
	Kind string
	// Unequal weights, as different as seeds make them.
	Unequal bool
	// Epochs says that groups follow each other: links are made, a second after each other at the earliest.
	Epochs bool
	// Compares says that nodes compare what is final.
	Compares bool
	// Wrong says whose clocks are off by up to a day until healAt.
	Wrong wrong
	// healAt is when all faults but the Byzantine ones end, in microseconds.
	healAt uint64
	play   func(w *world)
}

// Scenarios are all there are. Under each of them honest nodes must keep every rule that an oracle knows.
var Scenarios = []Scenario{
	{Name: "race", About: "one payment and one double spend, timed", Sizes: [][2]int{{20, 0}}, play: (*world).race},
	{
		Name: "chaos", About: "all conflicts, all faults", Sizes: [][2]int{{20, 4}, {20, 6}}, healAt: 12 * second, play: (*world).chaos,
	},
	{
		Name: "weights", About: "chaos among nodes of unequal weight", Sizes: [][2]int{{7, 3}, {10, 5}}, Unequal: true, healAt: 12 * second,
		play: (*world).chaos,
	},
	{
		Name: "plots", About: "private and belated certificates over links that lag", Sizes: [][2]int{{4, 1}, {4, 1}, {7, 2}}, Kind: Plotter,
		healAt: 8 * second, play: (*world).plots,
	},
	{
		Name: "amnesia", About: "plots, and crashes as soon as an ACCEPTED is on disk", Sizes: [][2]int{{4, 1}, {7, 2}}, Kind: Plotter,
		healAt: 8 * second, play: (*world).amnesia,
	},
	{
		Name: "conducted", About: "colluding facilitators and one victim", Sizes: [][2]int{{4, 1}, {7, 2}}, Kind: Conductor,
		healAt: 6 * second, play: (*world).conducted,
	},
	{
		Name: "schemes", About: "private certificates of rivals in turn", Sizes: [][2]int{{4, 1}, {7, 2}}, Kind: Schemer, healAt: 6 * second,
		play: (*world).schemes,
	},
	{
		Name: "windows", About: "plots while windows close", Sizes: [][2]int{{4, 1}, {7, 2}}, Kind: Plotter, healAt: 8 * second,
		play: (*world).windows,
	},
	{
		Name: "thirds", About: "double spends sent to halves, all liars of one mind; their weight may be exactly 1/3", Sizes: [][2]int{{6, 2}, {9, 3}},
		Kind: Everything, healAt: 4 * second, play: (*world).thirds,
	},
	{
		Name: "cut", About: "parts without a quorum", Sizes: [][2]int{{4, 0}, {5, 1}, {7, 2}}, Kind: Silent, healAt: 10 * second, play: (*world).cuts,
	},
	{
		Name: "links", About: "chaos while weights move from group to group", Sizes: [][2]int{{7, 2}, {10, 3}}, Epochs: true, healAt: 12 * second,
		play: (*world).links,
	},
	{
		Name: "heirs", About: "a link moves to the loser's side what it lacked", Sizes: [][2]int{{3, 1}}, Kind: Heir, Epochs: true, healAt: 4 * second,
		play: (*world).heirs,
	},
	{
		Name: "clocks", About: "chaos and time locks while a minority's clocks are off by up to a day", Sizes: [][2]int{{4, 0}, {7, 1}, {10, 2}, {13, 2}},
		Wrong: minority, healAt: 12 * second, play: (*world).clocks,
	},
	{
		Name: "clocklinks", About: "links while a minority's clocks are off by up to a day", Sizes: [][2]int{{7, 1}, {10, 2}}, Epochs: true,
		Wrong: minority, Compares: true, healAt: 12 * second, play: (*world).clockLinks,
	},
	{
		Name: "allclocks", About: "all clocks are off by up to a day", Sizes: [][2]int{{4, 1}, {7, 2}, {10, 3}}, Wrong: all, healAt: 12 * second,
		play: (*world).clocks,
	},
	{Name: "poison", About: "corrupt copies arrive first", Sizes: [][2]int{{4, 1}}, Kind: Poisoner, healAt: 4 * second, play: (*world).poison},
	{
		Name: "chains", About: "A={1,2}, B={2,3}, C={3,4}, again and again", Sizes: [][2]int{{4, 1}, {7, 2}}, healAt: 8 * second, play: (*world).chains,
	},
	{
		Name: "graph", About: "a random conflict graph of 50 transactions", Sizes: [][2]int{{4, 1}, {7, 2}, {10, 3}}, healAt: 8 * second, play: (*world).graph,
	},
}

// lagFor is how long links keep their lags, on average.
const lagFor = 700 * ms

// ScenarioNamed finds one by its name.
func ScenarioNamed(name string) (Scenario, error) {
	i := slices.IndexFunc(Scenarios, func(s Scenario) bool { return s.Name == name })
	if i < 0 {
		return Scenario{}, fmt.Errorf("no scenario %q", name)
	}
	return Scenarios[i], nil
}

// during runs do at random times until the heal, some interval apart on average.
func (w *world) during(interval uint64, do func()) {
	wait := uint64(w.rng.Int63n(int64(2 * interval)))
	w.after(wait, func() {
		if w.now < w.scenario.healAt {
			do()
			w.during(interval, do)
		}
	})
}

// plots has few conflicts, links that lag and change, and liars that plan.
func (w *world) plots() {
	for range 1 + w.rng.Intn(2) {
		w.after(uint64(w.rng.Intn(2*second)), func() { w.add(w.tangle()) })
	}
	w.hinder()
	w.count("lagging links", 1)
	w.during(lagFor, w.hinder)
	if w.rng.Intn(2) == 0 {
		w.after(uint64(w.rng.Intn(6*second)), w.crashOne)
	}
	w.after(w.scenario.healAt, w.recover)
}

// conducted has hubs, which all leaves are rivals of, and other tangles; victims may crash with what they alone know.
func (w *world) conducted() {
	for range 4 {
		w.after(uint64(w.rng.Intn(3*second)), func() {
			if w.rng.Intn(3) == 0 {
				w.add(w.tangle())
			} else {
				w.add(w.conflicts([]int{0, 1, 2}, []int{0}, []int{1}, []int{2}))
			}
		})
	}
	if w.rng.Intn(2) == 0 {
		w.forgetful(3)
	}
	w.after(w.scenario.healAt, w.recover)
}

func (w *world) schemes() {
	for range 4 {
		w.after(uint64(w.rng.Intn(3*second)), func() { w.add(w.tangle()) })
	}
	w.trouble()
}

// amnesia is plots, and nodes crash between the disk and the network: what they ACCEPTED is known to them alone.
func (w *world) amnesia() {
	w.plots()
	w.forgetful(2 + w.rng.Intn(4))
}

// forgetful crashes nodes, so many times, between the disk and the network.
func (w *world) forgetful(left int) {
	w.strike = func(n *node, o *observation.Observation) bool {
		if left == 0 || w.now > w.scenario.healAt || w.rng.Intn(2) == 0 {
			return false
		}
		for i := range int(o.Header.LeafCount) {
			if o.Leaf(i).State == observation.Accepted {
				left--
				w.count("crash between disk and network", 1)
				n.logf("n%d crashes with an ACCEPTED that nobody saw", n.id)
				n.crash(uint64(100+w.rng.Intn(3000)) * ms)
				return true
			}
		}
		return false
	}
}

// windows is plots about transactions whose windows close.
func (w *world) windows() {
	w.plots()
	for range 2 {
		w.after(uint64(w.rng.Intn(4*second)), func() { w.add(w.closing()) })
	}
}

// thirds races double spends.
func (w *world) thirds() {
	for range 3 {
		w.after(uint64(w.rng.Intn(2*second)), func() { w.add(w.conflicts([]int{0}, []int{0})) })
	}
	w.after(w.scenario.healAt, w.recover)
}

// cuts has parts of the network that nobody else can hear, for long.
func (w *world) cuts() {
	for range 3 {
		w.after(uint64(w.rng.Intn(4*second)), func() { w.add(w.tangle()) })
	}
	w.after(uint64(w.rng.Intn(second)), func() { w.cut(); w.count("partition", 1) })
	w.after(5*second, w.heal)
	w.after(uint64(5*second+w.rng.Intn(second)), func() { w.cut(); w.count("partition", 1) })
	w.after(w.scenario.healAt, w.recover)
}

func (w *world) poison() {
	for range 2 {
		w.after(uint64(w.rng.Intn(2*second)), func() { w.add(w.tangle()) })
	}
	w.after(w.scenario.healAt, w.recover)
}

func (w *world) chains() {
	for range 4 {
		w.after(uint64(w.rng.Intn(4*second)), func() { w.add(w.conflicts([]int{0, 1}, []int{1, 2}, []int{2, 3})) })
	}
	w.trouble()
}

func (w *world) graph() {
	w.after(0, func() { w.add(w.randomGraph(50)) })
	w.trouble()
}

// trouble is a bit of everything for the scenarios that are about their conflicts.
func (w *world) trouble() {
	if w.rng.Intn(2) == 0 {
		w.loss = 0.03
		w.count("lossy network", 1)
	}
	if w.rng.Intn(2) == 0 {
		w.during(lagFor, w.hinder)
		w.count("lagging links", 1)
	}
	if w.rng.Intn(2) == 0 {
		w.after(uint64(w.rng.Intn(6*second)), w.crashOne)
	}
	w.after(w.scenario.healAt, w.recover)
}

// tangle draws conflicts in which locks and their release matter.
func (w *world) tangle() *workload {
	switch w.rng.Intn(7) {
	case 0:
		return w.conflicts([]int{0}, []int{0})
	case 1:
		return w.conflicts([]int{0}, []int{0}, []int{0})
	case 2, 3:
		return w.conflicts([]int{0}, []int{0, 1}, []int{1}) // a certificate of the last leaves the first to its own locks
	case 4:
		return w.conflicts([]int{0, 1}, []int{1, 2}, []int{2, 3})
	case 5:
		return w.conflicts([]int{0}, []int{0, 1}, []int{1, 2}, []int{2, 3}, []int{3})
	}
	return w.randomGraph(3 + w.rng.Intn(4))
}

// randomGraph makes n transactions that each spend one to three of about as many outpoints.
func (w *world) randomGraph(n int) *workload {
	var spends [][]int
	points := max(2, n*2/3)
	for range n {
		spends = append(spends, w.rng.Perm(points)[:1+w.rng.Intn(min(3, points))])
	}
	return w.conflicts(spends...)
}

// closing is a double spend whose windows close while it is voted on.
func (w *world) closing() *workload {
	coin := w.ledger.coin()
	c := &workload{contested: true}
	for range 2 {
		c.txs = append(c.txs, w.ledger.spendUntil(w.rng, startMS+w.now/ms+uint64(60+w.rng.Intn(40)), coin))
	}
	return c
}

// family is a payment and its child, which spends what the parent pays.
func (w *world) family() *workload {
	parent := w.ledger.spend(w.rng, w.ledger.coin())
	child := w.ledger.spend(w.rng, utxo.Outpoint{Tx: parent.ID})
	return &workload{txs: []*utxo.Tx{parent, child}}
}
