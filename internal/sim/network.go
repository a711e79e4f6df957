package sim

import "math/rand"

// network carries messages between nodes: late, sometimes not at all, and not across a cut.
type network struct {
	*clock
	rng          *rand.Rand
	minHop, span uint64
	loss         float64
	side         []int // by node; messages cross only within one side
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
		n.after(n.hop(), deliver)
	}
}

func (n *network) hop() uint64 { return n.minHop + uint64(n.rng.Int63n(int64(n.span)+1)) }

// cut splits the nodes in two sides at random.
func (n *network) cut() {
	for i := range n.side {
		n.side[i] = n.rng.Intn(2)
	}
}

func (n *network) heal() { clear(n.side) }
