package sim

import (
	"bytes"
	"slices"

	"github.com/notarynet/notaryd/conflict"
	"github.com/notarynet/notaryd/node/lifecycle"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	"github.com/notarynet/notaryd/utxo"
)

// node is an honest node: the shell around the cores that node/ is in earnest, in one thread.
type node struct {
	*world
	id    int
	key   domain.PublicKey
	voter int

	// What survives a crash.
	disk     *disk
	slow     bool   // its disk
	skewMS   int64  // of its clock
	newestMS uint64 // that anybody has said the time is
	misset   bool   // its clock goes wrong by up to a day in this run

	// What does not.
	life     int // counts restarts: events of an earlier life do nothing
	up       bool
	set      utxo.Set
	flights  map[domain.Hash]*flight
	known    map[domain.Hash]*utxo.Tx // all transactions seen: the mempool, and what is on disk
	finals   map[domain.Hash]conflict.Finality
	rejected map[domain.Hash]bool
	late     map[domain.Hash]bool // came after their window, and nobody had voted for them
	wanted   map[domain.Hash]bool // transactions asked for
	tally    *conflict.Tally
	claims   *conflict.Claims[domain.Hash]
	contests *conflict.Contests
	joined   map[domain.Hash]bool // handed over to contests
	settled  map[domain.Hash]bool // final by the contests' word
	guard    *conflict.Guard
	chains   *observation.Chains
	archive  map[domain.PublicKey]map[uint64][]*observation.Observation
	verdicts map[domain.Hash]error // on signatures, by hash of the full bytes
	witness  *conflict.Witness
	// overheardOn are all votes on a transaction that are in the archive, copies and contradictions too.
	overheardOn map[domain.Hash][]conflict.Vote

	epochs

	head    observation.Head
	waiting []observation.Leaf
	batch   write
	voted   []func() // run when the batch is on disk
	sealing bool

	crashing bool // about to crash, or just did
}

// flight is the life of one transaction, and what its machine has queued.
type flight struct {
	tx      *utxo.Tx
	machine *lifecycle.Machine
	inbox   []lifecycle.Input
	busy    bool
	held    bool // its patience runs

	supports bool // PENDING(0) may be cast once the mempool delay is over, and ACCEPTED at once by a certificate
	parents  []domain.Hash
}

func newNode(w *world, id int) *node {
	n := &node{world: w, id: id, key: w.ledger.keys[id].Public(), voter: w.ledger.voters[id]}
	n.disk = newDisk(observation.Head{Key: n.key})
	n.start()
	return n
}

// later runs do in a while, unless the node crashes before.
func (n *node) later(wait uint64, do func()) {
	life := n.life
	n.after(wait, func() {
		if n.life == life && n.up {
			do()
		}
	})
}

// tell runs do at another node, if it is up when the message comes.
func (n *node) tell(to int, do func(*node)) {
	n.send(n.id, to, func() {
		if p := n.nodes[to]; p != nil && p.up {
			do(p)
		}
	})
}

// nowMS is the node's own clock.
func (n *node) nowMS() uint64 { return startMS + n.now/ms + uint64(n.skewMS) }

func (n *node) group() *group.Group { return n.present }

// start brings a node up from what is on its disk.
func (n *node) start() {
	n.up = true
	n.set = utxo.Set{}
	n.flights = make(map[domain.Hash]*flight)
	n.known = make(map[domain.Hash]*utxo.Tx)
	n.finals = make(map[domain.Hash]conflict.Finality)
	n.rejected = make(map[domain.Hash]bool)
	n.wanted = make(map[domain.Hash]bool)
	n.late = make(map[domain.Hash]bool)
	n.joined = make(map[domain.Hash]bool)
	n.settled = make(map[domain.Hash]bool)
	n.verdicts = make(map[domain.Hash]error)
	n.tally = conflict.NewTally(conflict.DefaultTallyLimits)
	n.claims = conflict.NewClaims[domain.Hash]()
	n.guard = conflict.NewGuard()
	n.chains = observation.NewChains(1<<12, 1<<10)
	n.archive = make(map[domain.PublicKey]map[uint64][]*observation.Observation)
	n.witness = conflict.NewWitness(conflict.MaxWitnessed)
	n.overheardOn = make(map[domain.Hash][]conflict.Vote)
	n.head, n.waiting, n.batch, n.voted, n.sealing = n.disk.head, nil, write{}, nil, false
	n.takeUp()
	contests, err := conflict.NewContests(n.params, n.key, n.group())
	if err != nil {
		panic(err)
	}
	n.contests = contests
	n.must(n.set.Apply(n.ledger.delta, startMS))
	n.restore()
	n.watchEpoch()
	n.later(n.hop(), n.reconcile)
	if n.scenario.Compares {
		n.later(compareEvery, n.compare)
	}
}

// restore takes up the life that is on disk: final outputs, the guard, chains and votes, and then the transactions
// that were voted on and are not final.
func (n *node) restore() {
	for _, f := range n.disk.finals {
		n.must(n.set.Apply(f.delta, f.finalMS))
		n.finals[f.delta.Tx] = f.at
	}
	var records []conflict.Record
	for _, r := range n.disk.records {
		if !(planted == "lock-lost" && r.State == observation.Accepted) {
			records = append(records, r)
		}
	}
	slices.SortFunc(records, func(a, b conflict.Record) int {
		keyA, keyB := a.Key(), b.Key()
		return bytes.Compare(keyA[:], keyB[:])
	})
	n.guard.Restore(records)
	for id, tx := range n.disk.txs {
		n.known[id] = tx
	}
	var from map[domain.PublicKey]uint64
	if planted == "recount-by-clock" {
		from = n.disk.recountFrom()
	}
	for _, o := range n.disk.observations {
		n.archived(o)
		n.follow(o, -1)
		n.eachVote(o, func(v conflict.Vote) {
			n.overheardOn[v.Tx] = append(n.overheardOn[v.Tx], v)
			if _, final := n.finals[v.Tx]; v.Height < from[o.Header.Key] && !final {
				return
			}
			n.tally.Count(v, nil)
			n.want(v.Tx, n.ledger.nodes[v.Key()])
		})
	}
	var ids, open []domain.Hash
	for id := range n.disk.txs {
		ids = append(ids, id)
	}
	sortHashes(ids)
	for _, id := range ids {
		n.watch(n.known[id])
	}
	for id := range n.disk.txs {
		if _, ok := n.finals[id]; !ok {
			open = append(open, id)
		}
	}
	sortHashes(open)
	for _, id := range open {
		n.begin(n.known[id], true)
	}
}

// crash loses all that was not synced, and comes back after a while.
func (n *node) crash(down uint64) {
	n.up = false
	n.life++
	n.disk.crash()
	life := n.life
	n.after(down, func() {
		if n.life == life {
			n.start()
		}
	})
}

// must panics on what can only be a bug of this package or of a core.
func (n *node) must(err error) {
	if err != nil {
		panic(err)
	}
}

// receive takes a transaction from a client or a peer. A copy with a corrupt witness leaves no trace but its own verdict.
func (n *node) receive(tx *utxo.Tx) {
	if n.flights[tx.ID] != nil || n.ended(tx.ID) || n.verdict(tx) != nil {
		return
	}
	n.begin(tx, false)
}

func (n *node) ended(id domain.Hash) bool {
	_, final := n.finals[id]
	return final || n.rejected[id]
}

func (n *node) begin(tx *utxo.Tx, again bool) {
	f := &flight{tx: tx, machine: lifecycle.NewMachine(tx, new(utxo.FeePolicy))}
	n.flights[tx.ID] = f
	n.known[tx.ID] = tx
	n.watch(tx)
	n.tally.Know(tx.ID, nil)
	delete(n.late, tx.ID)
	if again {
		f.inbox = append(f.inbox, n.restored(tx))
	}
	if len(n.tally.Votes(tx.ID)) > 0 {
		f.inbox = append(f.inbox, lifecycle.Supported{})
	}
	f.inbox = append(f.inbox, lifecycle.Begin{})
	f.inbox = append(f.inbox, n.milestones(tx.ID)...)
	n.run(f)
}

// restored is what this node voted on a transaction in an earlier life.
func (n *node) restored(tx *utxo.Tx) lifecycle.Restored {
	var in lifecycle.Restored
	for _, r := range n.guard.Records(tx.Spends()[0]) {
		if r.Tx == tx.ID {
			in.Pending = in.Pending || r.State == observation.Pending && r.Round == 0
			if r.State == observation.Accepted {
				in.Accepted, in.Round = true, r.Round
			}
		}
	}
	return in
}

// milestones are those that were reached before a transaction was known.
func (n *node) milestones(id domain.Hash) (out []lifecycle.Input) {
	type ballot struct {
		link  domain.Hash
		round uint32
	}
	asked := make(map[ballot]bool)
	for _, v := range n.tally.Votes(id) {
		b := ballot{v.Group.Link(), v.Round}
		if asked[b] {
			continue
		}
		asked[b] = true
		pending, accepted := n.tally.Weights(id, v.Group.Link(), v.Round)
		m := conflict.Milestone{Tx: id, Round: v.Round, Group: v.Group}
		if group.Quorum(pending) {
			m.Kind = conflict.Certificate
			out = append(out, lifecycle.Reached(m))
		}
		if group.Quorum(accepted) {
			m.Kind = conflict.Final
			out = append(out, lifecycle.Reached(m))
		}
	}
	return out
}
