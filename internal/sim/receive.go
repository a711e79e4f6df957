package sim

import (
	"cmp"
	"slices"

	"github.com/notarynet/notaryd/conflict"
	"github.com/notarynet/notaryd/node/lifecycle"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/utxo"
)

// deliver sends an observation to a node, honest or not.
func (w *world) deliver(from, to int, o *observation.Observation) {
	w.send(from, to, func() { w.arrive(from, to, o) })
}

// hand sends a node what it asked for, or must know of: votes on a transaction.
func (w *world) hand(from, to int, o *observation.Observation, id domain.Hash) {
	w.deliver(from, to, o)
	if planted == "recount-by-clock" {
		w.send(from, to, func() {
			if p := w.nodes[to]; p != nil && p.up {
				p.recall(o, id)
			}
		})
	}
}

func (w *world) arrive(from, to int, o *observation.Observation) {
	if l := w.liars[to]; l != nil {
		l.see(o)
	} else if p := w.nodes[to]; p != nil && p.up {
		p.observe(o, from)
	}
}

func (n *node) tellTx(to int, tx *utxo.Tx) {
	n.send(n.id, to, func() { n.arriveTx(to, tx) })
}

func (w *world) arriveTx(to int, tx *utxo.Tx) {
	if l := w.liars[to]; l != nil {
		l.meet(tx)
	} else if p := w.nodes[to]; p != nil && p.up {
		p.receive(tx)
	}
}

// archived keeps an observation and reports whether it is new: several at one height are all kept.
func (n *node) archived(o *observation.Observation) bool {
	chain := n.archive[o.Header.Key]
	if chain == nil {
		chain = make(map[uint64][]*observation.Observation)
		n.archive[o.Header.Key] = chain
	}
	at := chain[o.Header.Height]
	if slices.ContainsFunc(at, func(p *observation.Observation) bool { return p.Hash == o.Hash }) {
		return false
	}
	chain[o.Header.Height] = append(at, o)
	if len(at) > 0 {
		n.forked(at[0], o)
	}
	return true
}

// observe takes in an observation: its chain is followed, gaps are asked for, and its votes count, forked or not.
func (n *node) observe(o *observation.Observation, from int) {
	if planted == "clock-gates-observations" && n.mistimed(o) {
		return
	}
	n.newestMS = max(n.newestMS, o.Header.TimeMS)
	if n.byLink[o.Header.Link] == nil {
		if len(n.early[o.Header.Link]) < 1000 {
			n.early[o.Header.Link] = append(n.early[o.Header.Link], o)
		}
		return
	}
	fresh := n.archived(o)
	if !fresh {
		from = -1
	}
	forked := n.follow(o, from)
	if fresh {
		n.eachVote(o, func(v conflict.Vote) {
			n.overheardOn[v.Tx] = append(n.overheardOn[v.Tx], v)
			n.witnessed(v)
		})
	}
	if !fresh || planted == "drop-forked" && (forked || n.disk.convicts(o.Header.Chain(), kinds...)) {
		return
	}
	if n.ledger.nodes[o.Header.Key] != n.id {
		n.disk.put(write{observations: []*observation.Observation{o}})
	}
	var contested []conflict.Vote
	n.eachVote(o, func(v conflict.Vote) {
		if n.countVote(v, from) {
			contested = append(contested, v)
		}
	})
	if len(contested) > 0 {
		n.contest(conflict.Heard{Votes: contested})
	}
}

// follow extends the chain of an observation by it, and by what came before its turn, and reports a fork. What is
// missing is asked from a node; from -1 it is not.
func (n *node) follow(o *observation.Observation, from int) (forked bool) {
	for next := []*observation.Observation{o}; len(next) > 0; {
		o := next[0]
		next = next[1:]
		switch out := n.chains.Follow(&o.Header, o.Hash); out.Standing {
		case observation.Gap:
			if from >= 0 {
				n.askChain(from, o.Header.Key, out.From, out.To)
			}
		case observation.Extends:
			next = append(next, n.archive[o.Header.Key][o.Header.Height+1]...)
		case observation.Fork:
			n.count("forks seen", 1)
			forked = true
		}
	}
	return forked
}

// eachVote calls do for every vote of an observation.
func (n *node) eachVote(o *observation.Observation, do func(conflict.Vote)) {
	g := n.byLink[o.Header.Link]
	if g == nil {
		return
	}
	voter, ok := g.Voter(o.Header.Key)
	if !ok {
		return
	}
	for i := range int(o.Header.LeafCount) {
		leaf := o.Leaf(i)
		if leaf.Type == observation.SubjectTx {
			do(conflict.Vote{
				Tx: leaf.Subject, State: leaf.State, Round: leaf.Round, Group: g, Voter: voter,
				SigningEpoch: o.Header.SigningEpoch, Height: o.Header.Height, Leaf: uint32(i), TimeMS: leaf.TimeMS,
			})
		}
	}
}

// countVote counts one vote, tells the machine of its milestones, and reports whether contests must hear of it.
func (n *node) countVote(v conflict.Vote, from int) bool {
	joined := n.joined[v.Tx]
	for _, m := range n.tally.Count(v, nil) {
		f := n.flights[v.Tx]
		switch {
		case m.Kind == conflict.FirstVote && n.known[v.Tx] == nil:
			n.want(v.Tx, from)
		case m.Kind == conflict.FirstVote && f != nil:
			n.post(f, lifecycle.Supported{})
		case m.Kind == conflict.Third && m.Round > 0 && !joined:
			n.handOver(v.Tx) // somebody honest sees a contest; Join brings the vote along
		case f != nil && m.Kind == conflict.Certificate && f.supports:
			f.supports = false
			in := lifecycle.Reached(m)
			in.Cast = true
			f.inbox = append(f.inbox, in) // until the machine is woken for something else
			n.cast(f.tx, observation.Accepted, m.Round, conflict.CertAt(m.Group.Epoch(), m.Round), f)
		case f != nil && m.Kind >= conflict.Certificate:
			n.post(f, lifecycle.Reached(m))
		}
	}
	switch {
	case n.joined[v.Tx]:
	case n.flights[v.Tx] == nil && (v.Round > 0 || v.State == observation.Abstain):
		n.handOver(v.Tx) // whoever votes lacks what is settled here; Join brings the vote along
	case n.late[v.Tx]:
		n.begin(n.known[v.Tx], false)
	}
	return joined
}

// want asks for a transaction, first from whoever named it, then from anybody.
func (n *node) want(id domain.Hash, from int) {
	if n.wanted[id] || n.known[id] != nil {
		return
	}
	n.wanted[id] = true
	n.ask(id, from)
}

func (n *node) ask(id domain.Hash, from int) {
	if n.known[id] != nil {
		return
	}
	n.tell(from, func(p *node) {
		if tx := p.known[id]; tx != nil {
			p.tellTx(n.id, tx)
		}
	})
	if l := n.liars[from]; l != nil {
		n.send(n.id, from, func() { l.serve(id, n.id) })
	}
	n.later(retryDelay, func() { n.ask(id, n.rng.Intn(len(n.nodes))) })
}

// askChain asks for the observations of a key between two heights, both included.
func (n *node) askChain(from int, key domain.PublicKey, low, high uint64) {
	n.tell(from, func(p *node) {
		for h := low; h <= high; h++ {
			for _, o := range p.archive[key][h] {
				p.deliver(p.id, n.id, o)
			}
		}
	})
}

// reconcile compares chain heads with a random peer, for ever: whatever was lost comes in the end.
func (n *node) reconcile() {
	heads := n.chains.Heads()
	to := n.rng.Intn(len(n.nodes))
	n.tell(to, func(p *node) { p.answer(n.id, heads) })
	n.later(n.antiEntropy+uint64(n.rng.Int63n(int64(n.antiEntropy))), n.reconcile)
}

// compareEvery is how often nodes compare what is final, where the scenario has them do it (node/sync).
const compareEvery = 30 * second

// compare asks a random peer for the proofs of what is final there and not here, for ever. The simulator has it in few
// scenarios: it mends what other parts must bring about by themselves.
func (n *node) compare() {
	n.tell(n.rng.Intn(len(n.nodes)), func(p *node) {
		ids := make([]domain.Hash, 0, len(p.finals))
		for id := range p.finals {
			if _, here := n.finals[id]; !here {
				ids = append(ids, id)
			}
		}
		sortHashes(ids)
		for _, id := range ids {
			at := p.finals[id]
			for _, o := range p.holding(id, at.Group.Link(), at.Round, observation.Accepted) {
				p.hand(p.id, n.id, o, id)
			}
		}
	})
	n.later(compareEvery, n.compare)
}

// answer sends what a peer lacks above its heads, a few at a time.
func (n *node) answer(to int, heads []observation.Head) {
	at := make(map[domain.PublicKey]uint64)
	for _, h := range heads {
		at[h.Key] = h.Height
	}
	var keys []domain.PublicKey
	for key := range n.archive {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, domain.PublicKey.Compare)
	n.remind(to)
	for _, key := range keys {
		for h := at[key] + 1; len(n.archive[key][h]) > 0 && h <= at[key]+20; h++ {
			for _, o := range n.archive[key][h] {
				n.deliver(n.id, to, o)
			}
		}
	}
}

// holding are the observations that hold the votes of one state on a transaction in one round.
func (n *node) holding(id, link domain.Hash, round uint32, s observation.State) (out []*observation.Observation) {
	for _, v := range n.tally.Edges(nil, id, link, round, s) {
		for _, o := range n.archive[v.Key()][v.Height] {
			if int(v.Leaf) < int(o.Header.LeafCount) {
				if l := o.Leaf(int(v.Leaf)); l.Subject == id && l.State == s && l.Round == round {
					out = append(out, o)
					break
				}
			}
		}
	}
	return out
}

func (n *node) flightIDs() []domain.Hash {
	ids := make([]domain.Hash, 0, len(n.flights))
	for id := range n.flights {
		ids = append(ids, id)
	}
	sortHashes(ids)
	return ids
}

func sortHashes(ids []domain.Hash) {
	slices.SortFunc(ids, func(a, b domain.Hash) int { return cmp.Compare(a.Compare(b), 0) })
}
