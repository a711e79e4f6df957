package group

// Weight is a share of Total. Sums of weights never exceed Total within one group.
type Weight uint64

// Total is the weight of a whole group.
const Total Weight = 1_000_000_000

// Quorum reports whether w is more than two thirds of the whole: what certificates, finality and
// closing statements need. It is decided here and nowhere else.
func Quorum(w Weight) bool { return 3*w > 2*Total }

// Third reports whether w is more than one third of the whole: enough to hold an honest peer.
func Third(w Weight) bool { return 3*w > Total }

// QuorumWeight is the weight that a quorum must exceed, rounded down, for display.
const QuorumWeight = 2 * Total / 3
