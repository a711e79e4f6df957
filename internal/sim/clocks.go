package sim

import (
	"github.com/notarynet/notaryd/conflict"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/utxo"
)

// wrong says whose clocks are off by up to a day.
type wrong int

const (
	nobody   wrong = iota
	minority       // honest nodes that have, with the Byzantine ones, less than 1/3 of the weight
	all            // honest nodes
)

// day in milliseconds.
const day = 24 * 60 * 60 * 1000

// resubmitEvery is how often clients ask again, once clocks are right, for what is not decided.
const resubmitEvery = 20 * second

// clocks is chaos, with transactions that time matters to, while clocks are off by up to a day and jump by one.
func (w *world) clocks() {
	w.misset()
	w.mishaps(w.timedCase)
	w.after(w.scenario.healAt, w.recover)
	w.after(w.scenario.healAt+resubmitEvery, w.resubmit)
}

// clockLinks is clocks while groups follow each other: a link's age is counted by the clock.
func (w *world) clockLinks() {
	w.labels = w.newLabels()
	w.clocks()
	w.during(200*ms, func() { w.labels.say(w, w.rng.Intn(len(w.nodes))) })
	w.during(500*ms, w.propose)
}

// resubmit gives every node what a client does not know to be final: what a node held for as long as it holds is gone there.
func (w *world) resubmit() {
	for _, c := range w.cases {
		for _, tx := range c.txs {
			for _, n := range w.nodes {
				if n != nil && n.up {
					n.receive(tx)
				}
			}
		}
	}
	w.after(resubmitEvery, w.resubmit)
}

// misset chooses whose clocks go wrong. Each is off from the start, or jumps by a day and back, or both; and may crash
// meanwhile, so that what it stored by one clock is read by another.
func (w *world) misset() {
	var sum group.Weight
	share := func(id int) group.Weight { return w.ledger.genesis.Group.Voters()[w.ledger.voters[id]].Share }
	for id, l := range w.liars {
		if l != nil {
			sum += share(id)
		}
	}
	for _, id := range w.rng.Perm(len(w.nodes)) {
		n := w.nodes[id]
		if n == nil || w.scenario.Wrong == minority && 3*(sum+share(id)) >= group.Total {
			continue
		}
		sum += share(id)
		n.misset = true
		how := w.rng.Intn(3)
		if how != 1 {
			n.skewMS = w.rng.Int63n(2*day+1) - day
			w.count("clock off by up to a day", 1)
			n.logf("n%d has a clock that is off by %d s", id, n.skewMS/1000)
		}
		if how != 0 {
			w.jumpAndBack(n)
		}
		for range w.rng.Intn(3) {
			w.after(uint64(w.rng.Intn(10*second)), func() { w.crashSoon(n) })
		}
	}
}

// jumpAndBack turns a clock by a day, and back before the faults end.
func (w *world) jumpAndBack(n *node) {
	by := int64(day)
	if w.rng.Intn(2) == 0 {
		by = -day
	}
	turn := func(by int64) func() {
		return func() {
			n.skewMS += by
			w.count("clock jump by a day", 1)
			n.logf("n%d's clock jumps to %d s off", n.id, n.skewMS/1000)
		}
	}
	at := uint64(w.rng.Intn(8 * second))
	w.after(at, turn(by))
	w.after(at+uint64(200+w.rng.Intn(3500))*ms, turn(-by))
}

// liedMS is what a Byzantine node says the time is.
func (w *world) liedMS() uint64 {
	if w.scenario.Wrong == nobody {
		return startMS + w.now/ms
	}
	return startMS + w.now/ms + uint64(w.rng.Int63n(2*day+1)-day)
}

// timedCase draws a set of transactions, most of which have windows or time locks.
func (w *world) timedCase() *workload {
	soon := func() uint64 { return startMS + w.now/ms + uint64(100+w.rng.Intn(3000)) }
	switch w.rng.Intn(8) {
	case 0:
		return w.closing()
	case 1: // opens soon
		return w.windowed(soon(), 0)
	case 2:
		from := soon()
		return w.windowed(from, from+uint64(100+w.rng.Intn(2000)))
	case 3:
		return w.locked(utxo.Output{NotBeforeMS: soon()})
	case 4:
		if w.scenario.Wrong == all { // ages that were counted by clocks a day ahead are reached a day later
			return w.locked(utxo.Output{NotBeforeMS: soon()})
		}
		return w.locked(utxo.Output{MinAgeMS: uint64(100 + w.rng.Intn(3000))})
	}
	return w.anyCase()
}

// windowed is a double spend within a window.
func (w *world) windowed(fromMS, untilMS uint64) *workload {
	coin := w.ledger.coin()
	c := &workload{contested: true}
	for range 2 {
		c.txs = append(c.txs, w.ledger.build(w.rng, utxo.Output{}, fromMS, untilMS, coin))
	}
	return c
}

// locked is a payment to a time lock, and a double spend of what is locked.
func (w *world) locked(lock utxo.Output) *workload {
	parent := w.ledger.build(w.rng, lock, 0, 0, w.ledger.coin())
	c := &workload{contested: true, txs: []*utxo.Tx{parent}}
	for range 2 {
		c.txs = append(c.txs, w.ledger.spend(w.rng, utxo.Outpoint{Tx: parent.ID}))
	}
	return c
}

// onTime reports what became final before its time locks opened, by a clock that is right: a certificate needs somebody
// whose clock is.
func (o *oracle) onTime(n *node, tx *utxo.Tx) {
	if _, known := o.finalMS[tx.ID]; !known {
		o.finalMS[tx.ID] = startMS + o.w.now/ms
	}
	if n.skewMS != 0 && o.w.scenario.Wrong != nobody {
		o.count("final where the clock is off", 1)
	}
	if o.w.scenario.Wrong != minority || tx.Link != nil && len(tx.Link.Evidence()) > 0 { // such a link waits for nothing
		return
	}
	if now := startMS + o.w.now/ms; now < tx.ValidFromMS {
		o.count("final before its window", 1) // one vote opens a window to everybody
	}
	for _, in := range tx.Inputs {
		c := o.caseOf[in.Outpoint.Tx]
		if c == nil || in.Kind != notaryv1.InputKind_INPUT_KIND_SPEND {
			continue
		}
		for _, parent := range c.txs {
			if parent.ID != in.Outpoint.Tx {
				continue
			}
			lock := parent.Outputs[in.Outpoint.Index]
			opens := max(lock.NotBeforeMS, o.finalMS[parent.ID]+lock.MinAgeMS)
			if now := startMS + o.w.now/ms; now < opens {
				o.violate("n%d makes %s final %d ms before its time lock opens", n.id, o.w.name(tx.ID), opens-now)
			}
		}
	}
}

// recountMargins are those of node/restore.go, in milliseconds.
const (
	recountMargin = 10 * 60 * 1000
	recentMargin  = 30 * 1000
)

// recountFrom is, by chain, the height from which the planted bug recount-by-clock counts stored votes again after a
// restart: after the newest observation that was sealed, by its signer's clock, a while before this node's first vote on
// what is undecided, by its own.
func (d *disk) recountFrom() map[domain.PublicKey]uint64 {
	final := make(map[domain.Hash]bool)
	for _, f := range d.finals {
		final[f.delta.Tx] = true
	}
	since, margin := uint64(0), uint64(recountMargin)
	for id, at := range d.votedMS {
		if !final[id] && (since == 0 || at < since) {
			since = at
		}
	}
	if since == 0 {
		margin = recentMargin
		for _, o := range d.observations {
			if o.Hash == d.head.Hash {
				since = o.Header.TimeMS
			}
		}
	}
	from := make(map[domain.PublicKey]uint64)
	for _, o := range d.observations {
		if since == 0 || o.Header.TimeMS < since-margin {
			from[o.Header.Key] = max(from[o.Header.Key], o.Header.Height+1)
		}
	}
	return from
}

// recall counts the votes of a known observation on one transaction, as node does with all that it pulled: under
// recount-by-clock they may have been forgotten.
func (n *node) recall(o *observation.Observation, id domain.Hash) {
	var contested []conflict.Vote
	n.eachVote(o, func(v conflict.Vote) {
		if v.Tx == id && n.countVote(v, n.ledger.nodes[o.Header.Key]) {
			contested = append(contested, v)
		}
	})
	if len(contested) > 0 {
		n.contest(conflict.Heard{Votes: contested})
	}
}

// mistimed reports whether the planted bug clock-gates-observations refuses an observation: sealed an hour or more from
// this node's time.
func (n *node) mistimed(o *observation.Observation) bool {
	const hour = 60 * 60 * 1000
	now := n.nowMS()
	return max(now, o.Header.TimeMS)-min(now, o.Header.TimeMS) > hour
}
