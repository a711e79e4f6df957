package sim

import (
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
)

// Plotters make one plan for each round of a case: which of them sees which vote of theirs, and when. They hear at once
// what anybody votes, and their own votes travel by ways of their own. So certificates are known to some and not to
// others, and come after certificates of later rounds.

// plottedRounds is how many rounds of a case are plotted; then plotters are silent.
const plottedRounds = 10

// never is the delay of a vote that is not shown.
const never = ^uint64(0)

// showing is one vote and who is to see it.
type showing struct {
	ballotKey
	state observation.State
	to    int
}

// caseRound names a plot.
type caseRound struct {
	c     *workload
	round uint32
}

// style is how a run's plotters go about it, out of 100.
type style struct {
	now, late int // how many PENDING are shown at once, and how many up to 4 s later
	accepted  int // how many of the same are followed by an ACCEPTED
	hoard     bool
}

func (w *world) drawStyle() style {
	styles := []style{{30, 30, 25, true}, {15, 15, 25, true}, {50, 0, 10, true}, {20, 40, 50, false}, {10, 10, 100, true}}
	return styles[w.rng.Intn(len(styles))]
}

// plan draws, once for each case and round, when who is shown what.
func (w *world) plan(c *workload, round uint32) {
	if c.planned == nil {
		c.planned, c.plans = make(map[uint32]bool), make(map[showing]uint64)
	}
	if c.planned[round] {
		return
	}
	c.planned[round] = true
	delay := func() uint64 {
		switch x := w.rng.Intn(100); {
		case x < w.style.now:
			return uint64(w.rng.Intn(20 * ms))
		case x < w.style.now+w.style.late:
			return uint64(100+w.rng.Intn(4000)) * ms
		}
		return never
	}
	for _, tx := range c.txs {
		for to := range w.nodes {
			key := showing{ballotKey{tx.ID, round}, observation.Pending, to}
			c.plans[key] = delay()
			key.state = observation.Accepted
			c.plans[key] = never
			if w.rng.Intn(100) < w.style.accepted {
				c.plans[key] = delay()
			}
		}
	}
}

// plot carries out the plan of a round.
func (l *liar) plot(c *workload, round uint32) {
	key := caseRound{c, round}
	if round >= plottedRounds || l.plots[key] {
		return
	}
	l.plots[key] = true
	l.plan(c, round)
	for _, tx := range c.txs {
		for _, s := range []observation.State{observation.Pending, observation.Accepted} {
			for to := range l.nodes {
				if wait := c.plans[showing{ballotKey{tx.ID, round}, s, to}]; wait != never {
					l.after(wait, func() { l.reveal(tx.ID, s, round, to) })
				}
			}
		}
	}
}

// hoard answers an ACCEPTED of an honest node by what that node has not been shown: PENDING of lower rounds for rivals.
// Where these complete a certificate, it comes after one of a higher round.
func (l *liar) hoard(c *workload, n *node, v publicVote) {
	if !l.style.hoard || v.state != observation.Accepted || v.round > plottedRounds {
		return
	}
	for round := range v.round {
		for _, tx := range c.txs {
			if tx.ID != v.tx && l.rng.Intn(2) == 0 {
				l.after(uint64(l.rng.Intn(200*ms)), func() { l.reveal(tx.ID, observation.Pending, round, n.id) })
			}
		}
	}
}

// reveal shows a vote to one node, each vote on a branch of its own.
func (l *liar) reveal(id domain.Hash, s observation.State, round uint32, to int) {
	key := saying{id, s, round, 0}
	o := l.sealed[key]
	if o == nil {
		if o = l.sign(id, s, round, len(l.sealed)); o == nil {
			return
		}
		l.sealed[key] = o
	}
	l.arrive(l.id, to, o)
}

// overheard tells plotters and conductors of what an honest node publishes, before anybody else hears it.
func (w *world) overheard(n *node, o *observation.Observation) {
	for i := range int(o.Header.LeafCount) {
		leaf := o.Leaf(i)
		c := w.caseOf[leaf.Subject]
		if c == nil {
			continue
		}
		v := publicVote{leaf.Subject, leaf.State, leaf.Round}
		conducted := false
		for _, l := range w.liars {
			switch {
			case l == nil:
			case l.kind == Plotter:
				l.plot(c, v.round)
				l.hoard(c, n, v)
			case l.kind == Conductor && !conducted:
				conducted = true
				w.conduct(c, v)
			}
		}
	}
}
