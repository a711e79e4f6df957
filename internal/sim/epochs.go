package sim

import (
	"slices"

	"github.com/notarynet/notaryd/conflict"
	"github.com/notarynet/notaryd/node/lifecycle"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	"github.com/notarynet/notaryd/utxo"
)

// Rhythm of hand-overs in a node, in microseconds.
const (
	tendEvery = 25 * ms
	askAgain  = 200 * ms
	// clearEvery is how often a node writes down how far chains need not be walked again.
	clearEvery = 500 * ms
)

// epochs are where a node is in the chain of groups. What is on disk survives a crash: disk.entered, the chain, the
// finals.
type epochs struct {
	present  *group.Group
	byLink   map[domain.Hash]*group.Group // those whose links are final here
	next     map[domain.Hash]*group.Group // by the link before
	at       map[domain.Hash]utxo.Outpoint
	stated   []conflict.Lock
	handover *conflict.Handover
	early    map[domain.Hash][]*observation.Observation // under links that are not final here

	statement [][]observation.Leaf // what is left to be signed of the closing statement
	closed    bool                 // votes are held back
	entering  bool
	held      []func()
	asked     uint64
	clears    uint64 // when the disk is told next how far chains are clear
}

// entered is what a node writes when it enters an epoch.
type entered struct {
	group  *group.Group
	stated []conflict.Lock
}

// takeUp puts a node where its disk says it was.
func (n *node) takeUp() {
	g := n.ledger.genesis.Group
	n.epochs = epochs{
		present: g, byLink: map[domain.Hash]*group.Group{g.Link(): g}, next: make(map[domain.Hash]*group.Group),
		at:    map[domain.Hash]utxo.Outpoint{g.Link(): utxo.FirstLink(n.ledger.genesis)},
		early: make(map[domain.Hash][]*observation.Observation),
	}
	for _, f := range n.disk.finals {
		n.linked(n.disk.txs[f.delta.Tx])
	}
	if e := n.disk.entered; e != nil {
		n.present, n.stated = e.group, e.stated
	}
}

// linked takes in a final link.
func (n *node) linked(tx *utxo.Tx) {
	if tx == nil || tx.Link == nil {
		return
	}
	n.byLink[tx.Link.Link()] = tx.Link
	n.next[tx.Link.Previous()] = tx.Link
	n.at[tx.Link.Link()] = utxo.Outpoint{Tx: tx.ID}
}

func (n *node) newHandover() *conflict.Handover {
	return conflict.NewHandover(n.key, true, n.present, n.stated, func(link domain.Hash) uint64 { return n.byLink[link].Epoch() })
}

// watchEpoch begins the hand-over of the present epoch, after all that is on disk was taken in.
func (n *node) watchEpoch() {
	n.handover = n.newHandover()
	for _, o := range n.archive[n.key][n.head.Height] {
		if o.Hash == n.head.Hash && o.Header.Link == n.present.Link() && o.Leaf(o.Len()-1).State == observation.Closed {
			n.closed = true
		}
	}
	if n.scenario.Epochs {
		n.later(tendEvery, n.tend)
	}
}

// tend drives the hand-over, for ever.
func (n *node) tend() {
	n.lookEpoch()
	n.later(tendEvery, n.tend)
}

func (n *node) lookEpoch() {
	h := n.handover
	n.keepClear(h)
	for voter := range n.present.Voters() {
		n.walkChain(h, voter)
		if n.handover != h || n.entering {
			return
		}
	}
	for _, l := range h.Open(h.Closing()) {
		n.resolve(h, l)
		if n.entering {
			return
		}
	}
	if next := n.next[n.present.Link()]; next != nil && !h.Closing() {
		n.logf("n%d ends epoch %d", n.id, n.present.Epoch())
		n.stepEpoch(h, conflict.Linked{Next: next})
	}
	if h.Closing() && !n.entering && n.now-n.asked > askAgain {
		n.asked = n.now
		n.stepEpoch(h, conflict.Again{})
	}
}

// walkChain walks a chain as far as it is held.
func (n *node) walkChain(h *conflict.Handover, voter int) {
	key := n.present.Voters()[voter].Key
	for !n.entering {
		height, ok := h.Next(voter)
		if !ok {
			return
		}
		if height == 0 {
			height = n.firstUnder(key)
		}
		at := slices.IndexFunc(n.archive[key][height], func(o *observation.Observation) bool { return o.Header.Link == n.present.Link() })
		if at < 0 {
			return
		}
		n.stepEpoch(h, conflict.WalkOf(n.archive[key][height][at], voter, nil))
	}
}

// keepClear has the disk remember how far chains need not be walked again, once in a while.
func (n *node) keepClear(h *conflict.Handover) {
	if h.Closing() || n.now < n.clears {
		return
	}
	n.clears = n.now + clearEvery
	now := &clearance{n.present.Link(), make(map[domain.PublicKey]uint64)}
	for i, v := range n.present.Voters() {
		now.heights[v.Key] = max(n.disk.clear.to(now.link, v.Key), h.Clear(i))
	}
	n.disk.put(write{clear: now})
}

// clearance is how far the chains under a link bind nobody any more.
type clearance struct {
	link    domain.Hash
	heights map[domain.PublicKey]uint64
}

// to is how far a chain is clear under a link.
func (c *clearance) to(link domain.Hash, key domain.PublicKey) uint64 {
	if c == nil || c.link != link {
		return 0
	}
	return c.heights[key]
}

// firstUnder is where a chain goes on under the present link, or above what is clear of it; 0 while that is not known.
func (n *node) firstUnder(key domain.PublicKey) uint64 {
	if height := n.disk.clear.to(n.present.Link(), key); height > 0 {
		return height + 1
	}
	for height := uint64(1); len(n.archive[key][height]) > 0; height++ {
		if n.archive[key][height][0].Header.Link == n.present.Link() {
			return height
		}
	}
	return 0
}

// resolve says what has become of a lock.
func (n *node) resolve(h *conflict.Handover, l conflict.Lock) {
	tx := n.known[l.Tx]
	_, settled := n.finals[l.Tx]
	if tx != nil && !settled {
		for _, o := range tx.Spends() {
			if e, ok := n.set.Lookup(o); ok && !e.SpentBy.IsZero() {
				settled = true
			}
		}
	}
	switch g := n.byLink[l.Link]; {
	case settled:
		n.stepEpoch(h, conflict.Settled{Tx: l.Tx})
	case tx != nil && g != nil:
		if pending, _ := n.tally.Weights(l.Tx, l.Link, l.Round); group.Quorum(pending) {
			n.stepEpoch(h, conflict.Certified{Lock: l, Epoch: g.Epoch(), Spends: tx.Spends()})
		}
	}
}

func (n *node) stepEpoch(h *conflict.Handover, in conflict.HandoverInput) {
	for _, e := range h.Step(in) {
		switch e := e.(type) {
		case conflict.Close:
			n.closed = true
			n.statement = conflict.ClosingLeaves(e.Stated, e.Next.Link(), n.nowMS(), observation.MaxLeaves)
			n.seal()
		case conflict.NeedChain:
			from := uint64(1)
			for len(n.archive[e.Key][from]) > 0 {
				from++
			}
			n.askChain(n.ledger.nodes[e.Key], e.Key, from, from+20)
			n.askChain(n.rng.Intn(len(n.nodes)), e.Key, from, from+20)
		case conflict.HandLink:
			id := n.at[n.next[n.present.Link()].Link()].Tx
			if at, ok := n.finals[id]; ok {
				for _, o := range n.holding(id, at.Group.Link(), at.Round, observation.Accepted) {
					n.hand(n.id, n.ledger.nodes[e.To], o, id)
				}
			}
		case conflict.NeedLock:
			from := n.ledger.nodes[e.From]
			n.want(e.Lock.Tx, from)
			if g := n.byLink[e.Lock.Link]; g != nil {
				n.pullCertificate(conflict.NeedCertificate{Tx: e.Lock.Tx, Round: e.Lock.Round, Group: g, From: e.From})
			}
		case conflict.Enter:
			n.enterEpoch(e)
		}
	}
}

// enterEpoch goes over to the next group once that is on disk.
func (n *node) enterEpoch(e conflict.Enter) {
	n.entering = true
	n.save(write{records: e.Records, entered: &entered{e.Group, e.Stated}}, func() {
		n.logf("n%d enters epoch %d", n.id, e.Group.Epoch())
		n.count("hand-over", 1)
		n.guard.Restore(e.Records)
		n.present, n.stated, n.closed, n.entering = e.Group, e.Stated, false, false
		for _, r := range e.Records {
			if n.rejected[r.Tx] {
				n.free(n.known[r.Tx])
			}
		}
		n.handover = n.newHandover()
		n.contest(conflict.NewGroup{Group: e.Group, Locks: e.Records})
		for _, id := range n.flightIDs() {
			if f := n.flights[id]; f != nil {
				n.post(f, lifecycle.Stalled{})
			}
		}
		for _, l := range n.liars {
			if l != nil && l.kind == Heir {
				l.claim(n)
			}
		}
		held := n.held
		n.held = nil
		for _, do := range held {
			do()
		}
		n.reobserve(e.Group.Link())
	})
}

// reobserve takes in what came under a link before that was final here.
func (n *node) reobserve(link domain.Hash) {
	early := n.early[link]
	delete(n.early, link)
	for _, o := range early {
		n.observe(o, n.ledger.nodes[o.Header.Key])
	}
}

// propose has an honest node propose a link, and sometimes another one a rival of it.
func (w *world) propose() {
	n := w.honest()
	if n == nil || n.next[n.present.Link()] != nil || w.proposed[n.present.Link()] {
		return
	}
	c := new(workload)
	rivals := w.rng.Intn(4) / 3
	if w.config.Kind == Heir {
		rivals = 0
	}
	for range 1 + rivals {
		next := n.nextGroup
		if w.config.Kind == Heir {
			next = func() *group.Group { return w.inherited(n.present) }
		}
		if next := next(); next != nil {
			draft, err := utxo.NewLink(n.at[n.present.Link()], nil, next, w.ledger.epochMS()).Build()
			n.must(err)
			proposer := w.ledger.keys[n.id]
			tx, err := draft.Sign(proposer).Finish()
			n.must(err)
			c.txs = append(c.txs, tx)
		}
	}
	c.contested = len(c.txs) > 1
	if len(c.txs) > 0 {
		w.proposed[n.present.Link()] = true
		w.count("link", 1)
		w.add(c)
	}
}

// unsoundWeight is that of the Byzantine nodes and of those whose clocks go wrong.
func (w *world) unsoundWeight(g *group.Group) (sum group.Weight) {
	for i, l := range w.liars {
		if l != nil || w.nodes[i].misset {
			sum += g.Share(w.ledger.keys[i].Public())
		}
	}
	return sum
}

// links is chaos while groups follow each other.
func (w *world) links() {
	w.labels = w.newLabels()
	w.chaos()
	w.during(200*ms, func() { w.labels.say(w, w.rng.Intn(len(w.nodes))) })
	w.during(500*ms, w.propose)
}

// group is the newest that some honest node has entered: liars know everything.
func (l *liar) group() *group.Group {
	newest := l.ledger.genesis.Group
	for _, n := range l.nodes {
		if n != nil && n.present.Epoch() > newest.Epoch() {
			newest = n.present
		}
	}
	return newest
}
