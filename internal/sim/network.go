package sim

import "math/rand"

// network carries messages between nodes: late, sometimes not at all, and not across a cut.
type network struct {
	*clock
	rng          *rand.Rand
	minHop, span uint64
	loss         float64
	side         []int      // by node; messages cross only within one side
	lag          [][]uint64 // by sender and receiver: what a hop may take longer
	sent, lost   int
}

// send delivers to a node after a hop, unless the message is lost or a cut is in the way when it is sent.
func (n *network) send(from, to int, deliver func()) {
	n.sent++
	switch {
	case from == to:
		n.after(0, deliver)
	case n.side[from] != n.side[to] || n.loss > 0 && n.rng.Float64() < n.loss:
		n.lost++
	default:
		n.after(n.hop()+n.lagging(from, to), deliver)
	}
}

func (n *network) lagging(from, to int) uint64 {
	if len(n.lag) == 0 || n.lag[from][to] == 0 {
		return 0
	}
	return uint64(n.rng.Int63n(int64(n.lag[from][to])))
}

// hinder makes each direction between two nodes anew: as it should be, slow, or nearly dead. Nothing is lost, but what
// is sent comes in any order.
func (n *network) hinder() {
	n.lag = make([][]uint64, len(n.side))
	for from := range n.lag {
		n.lag[from] = make([]uint64, len(n.side))
		for to := range n.lag[from] {
			n.lag[from][to] = []uint64{0, 0, 0, 0, 500 * ms, 1500 * ms, 5 * second}[n.rng.Intn(7)]
		}
	}
}

func (n *network) hop() uint64 { return n.minHop + uint64(n.rng.Int63n(int64(n.span)+1)) }

// cut splits the nodes in two sides at random.
func (n *network) cut() {
	for i := range n.side {
		n.side[i] = n.rng.Intn(2)
	}
}

func (n *network) heal() {
	clear(n.side)
	n.lag = nil
}
