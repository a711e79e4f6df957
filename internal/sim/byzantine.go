package sim

import (
	"slices"

	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/utxo"
)

// Kinds of Byzantine nodes. All of them know what every liar knows, and answer no requests but for transactions.
const (
	Silent     = "silent"                // says nothing
	Halves     = "halves"                // tells each half of the nodes another story, in all rounds
	Everything = "everything"            // votes for everything in every round, to all
	Late       = "late revealer"         // votes for everything, shows each vote to one node, and to the rest seconds later
	Whisper    = "whisperer"             // shows PENDING and ACCEPTED for one rival to one node only
	Usurper    = "facilitator"           // is early in the next round, with another choice for each half
	Schemer    = "schemer"               // gives one rival's certificate to one node alone, its weight to another rival, and so on in turn
	Turncoat   = "turncoat"              // in every round one rival's certificate for one node, its weight for another rival for the rest
	Conductor  = "colluding facilitator" // leads the others away from one victim (conductor.go)
	Plotter    = "plotter"               // plans with the others which node sees which of their votes, and when (plotter.go)
	Spammer    = "evidence spam"         // forges evidence against honest nodes, and is silent else (evidence.go)
	Omitter    = "shadow omission"       // votes honestly, and pretends never to have seen half of the transactions
	Heir       = "heir"                  // makes a transaction final at one node, and its rival in the next epoch (heirs.go)
	Poisoner   = "poisoner"              // corrupts the witnesses of what it passes on, and is silent else
)

// Kinds are all kinds of Byzantine nodes.
var Kinds = []string{Silent, Halves, Everything, Late, Whisper, Usurper, Schemer, Turncoat, Plotter, Conductor, Spammer, Omitter, Poisoner}

// liar is a Byzantine node. It signs with its own key alone; everything else it may do as it likes.
type liar struct {
	*world
	id    int
	kind  string
	heads map[int]observation.Head // its chain forks by branch
	said  map[saying]bool
	txs   map[domain.Hash]*utxo.Tx

	sealed map[saying]*observation.Observation // what a plotter has signed
	plots  map[caseRound]bool                  // that it takes part in
}

type saying struct {
	tx     domain.Hash
	state  observation.State
	round  uint32
	branch int
}

func newLiar(w *world, id int) *liar {
	l := &liar{
		world: w, id: id, kind: w.config.Kind, heads: make(map[int]observation.Head), said: make(map[saying]bool), txs: make(map[domain.Hash]*utxo.Tx),
		sealed: make(map[saying]*observation.Observation), plots: make(map[caseRound]bool),
	}
	if l.kind == "" {
		l.kind = Kinds[w.rng.Intn(len(Kinds))]
	}
	return l
}

// meet takes a transaction.
func (l *liar) meet(tx *utxo.Tx) {
	if l.txs[tx.ID] != nil {
		return
	}
	l.txs[tx.ID] = tx
	if l.kind == Silent {
		l.count(Silent, 1)
	}
	if l.kind == Poisoner {
		l.poison(tx)
		return
	}
	l.act(tx.ID, 0)
}

// see takes an observation of somebody.
func (l *liar) see(o *observation.Observation) {
	if l.liars[l.ledger.nodes[o.Header.Key]] != nil {
		return // or they would drive each other on
	}
	if l.kind == Spammer {
		l.spam(o)
	}
	for i := range int(o.Header.LeafCount) {
		if leaf := o.Leaf(i); leaf.Type == observation.SubjectTx {
			l.act(leaf.Subject, leaf.Round)
		}
	}
}

// serve sends a transaction that it was asked for.
func (l *liar) serve(id domain.Hash, to int) {
	if tx := l.txs[id]; tx != nil && l.kind != Silent && l.kind != Poisoner && !l.omits(id) {
		l.send(l.id, to, func() { l.arriveTx(to, tx) })
	}
}

// omits reports whether this liar pretends never to have seen a transaction.
func (l *liar) omits(id domain.Hash) bool { return l.kind == Omitter && id[4]&1 == 0 }

// act says what a liar of its kind says about a transaction that somebody voted on in a round.
func (l *liar) act(id domain.Hash, round uint32) {
	half := func(branch int) []int { return l.every(2, branch) }
	side := int(id[0]) & 1
	switch l.kind {
	case Heir:
		l.plead(id, round)
	case Halves:
		l.say(id, observation.Pending, round, side, half(side))
		l.say(id, observation.Accepted, round, side, half(side))
	case Everything:
		l.say(id, observation.Pending, round, 0, l.every(1, 0))
		l.say(id, observation.Accepted, round, 0, l.every(1, 0))
	case Late:
		for _, s := range []observation.State{observation.Pending, observation.Accepted} {
			if o := l.sign(id, s, round, 0); o != nil {
				first := int(id[1]) % len(l.nodes)
				l.deliver(l.id, first, o)
				l.after(uint64(500+l.rng.Intn(4000))*ms, func() { l.show(o, l.every(1, 0)) })
			}
		}
	case Whisper:
		one := int(id[2]) % len(l.nodes)
		l.say(id, observation.Pending, round, one, []int{one})
		l.say(id, observation.Accepted, round, one, []int{one})
	case Omitter:
		if l.omits(id) {
			l.count(Omitter, 1)
			return
		}
		l.say(id, observation.Pending, round, 0, l.every(1, 0))
	case Schemer:
		l.scheme(id, round)
	case Turncoat:
		l.turn(id, round)
	case Usurper:
		l.say(id, observation.Pending, round, 0, l.every(1, 0))
		l.say(id, observation.Pending, round+1, side, half(side))
	}
}

// scheme tries to leave honest nodes locked on different rivals, each by a certificate that nobody else has seen: in
// round 0 it completes one rival's for one node, and gives its weight to another rival before everybody else, so that
// round 1 goes there; in round 1 it completes that one's for another node. After that it is silent, since its votes could
// only help.
func (l *liar) scheme(id domain.Hash, round uint32) {
	c := l.caseOf[id]
	if c == nil || len(c.txs) < 2 || round > 1 {
		return
	}
	if c.confidants == nil {
		for _, i := range l.rng.Perm(len(l.nodes)) {
			if l.nodes[i] != nil {
				c.confidants = append(c.confidants, i)
			}
		}
	}
	favoured, other := c.txs[round].ID, c.txs[1-round].ID
	one := c.confidants[round]
	l.say(favoured, observation.Pending, round, 1, []int{one})
	if round == 0 {
		rest := slices.DeleteFunc(l.every(1, 0), func(i int) bool { return i == one })
		l.say(other, observation.Pending, round, 2, rest)
	}
}

// turn does what scheme does in every round anew, so that locks and certificates of many rounds come late and apart.
func (l *liar) turn(id domain.Hash, round uint32) {
	c := l.caseOf[id]
	if c == nil {
		return
	}
	n := uint32(len(l.nodes))
	favoured, other := c.txs[int(round)%len(c.txs)].ID, c.txs[int(round+1)%len(c.txs)].ID
	one := int((uint32(c.txs[0].ID[3]) + 3*round) % n)
	rest := slices.DeleteFunc(l.every(1, 0), func(i int) bool { return i == one })
	l.say(favoured, observation.Pending, round, 1, []int{one})
	l.say(favoured, observation.Accepted, round, 1, []int{one})
	l.say(other, observation.Pending, round, 2, rest)
}

// every is one node of each n, from the branch on.
func (l *liar) every(n, branch int) (to []int) {
	for i := range l.nodes {
		if i%n == branch {
			to = append(to, i)
		}
	}
	return to
}

func (l *liar) say(id domain.Hash, s observation.State, round uint32, branch int, to []int) {
	if o := l.sign(id, s, round, branch); o != nil {
		l.show(o, to)
	}
}

// sign makes an observation with one vote, on a branch of the chain; once.
func (l *liar) sign(id domain.Hash, s observation.State, round uint32, branch int) *observation.Observation {
	key := saying{id, s, round, branch}
	if l.said[key] || round > 64 {
		return nil
	}
	l.said[key] = true
	l.count(l.kind, 1)
	if c := l.caseOf[id]; c != nil {
		l.heard(l.ledger.voters[l.id], c, publicVote{id, s, round})
	}
	head, ok := l.heads[branch]
	if !ok {
		head = observation.Head{Key: l.ledger.keys[l.id].Public()}
	}
	leaf := observation.Leaf{Subject: id, Type: observation.SubjectTx, State: s, Round: round, TimeMS: l.liedMS()}
	o := observation.Seal(head, l.group(), []observation.Leaf{leaf}, leaf.TimeMS).Signed(domain.Signature{})
	l.heads[branch] = o.Head()
	return o
}

func (l *liar) show(o *observation.Observation, to []int) {
	for _, i := range to {
		l.deliver(l.id, i, o)
	}
}

// poison sends everybody a copy with a corrupt signature, ahead of the genuine one where it can.
func (l *liar) poison(tx *utxo.Tx) {
	raw := slices.Clone(tx.Raw)
	raw[len(raw)-1] ^= 1 // the last byte of the last signature
	bad, err := utxo.Decode(raw, utxo.Rules{Network: l.ledger.genesis.ID})
	if err != nil {
		return
	}
	l.count(l.kind, 1)
	for to := range l.nodes {
		l.send(l.id, to, func() { l.arriveTx(to, bad) })
	}
}
