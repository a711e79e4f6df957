package sim

import (
	"fmt"
	"slices"

	"github.com/notarynet/notaryd/conflict"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	"github.com/notarynet/notaryd/utxo"
)

// oracle sees everything and knows what must never happen. It shares no code with what it judges.
type oracle struct {
	w          *world
	violations []string

	ConflictingFinals int
	Reversed          int
	Undecided         int
	Faults            map[string]int

	spentBy      map[utxo.Outpoint]domain.Hash          // final anywhere
	finalAt      map[int]map[domain.Hash]bool           // by node, crashes or not
	rejectedBy   map[int]map[domain.Hash]bool           //
	headers      map[headerKey]domain.Hash              // published by honest nodes
	votes        map[int]map[utxo.Outpoint][]publicVote // published by honest nodes, in their order
	caseOf       map[domain.Hash]*workload
	contradicted int
	finalMS      map[domain.Hash]uint64 // when a transaction became final anywhere, by a clock that is right
	highest      uint32                 // round that anybody honest voted in

	uncontestedMS, contestedMS []float64
}

type headerKey struct {
	node   int
	height uint64
}

type publicVote struct {
	tx    domain.Hash
	state observation.State
	round uint32
}

func newOracle(w *world) oracle {
	return oracle{
		w: w, Faults: make(map[string]int),
		spentBy: make(map[utxo.Outpoint]domain.Hash), finalAt: make(map[int]map[domain.Hash]bool), rejectedBy: make(map[int]map[domain.Hash]bool),
		headers: make(map[headerKey]domain.Hash), votes: make(map[int]map[utxo.Outpoint][]publicVote), caseOf: make(map[domain.Hash]*workload),
		finalMS: make(map[domain.Hash]uint64),
	}
}

func (o *oracle) count(fault string, n int) { o.Faults[fault] += n }

func (o *oracle) violate(format string, args ...any) {
	s := fmt.Sprintf("%.3f ms: ", float64(o.w.now)/ms) + fmt.Sprintf(format, args...)
	o.violations = append(o.violations, s)
	o.w.logf("VIOLATION %s", s)
}

// runaway reports a run that does not come to an end.
func (o *oracle) runaway(format string, args ...any) {
	o.Undecided++
	o.violate("runaway: "+format, args...)
}

// published looks at what an honest node shows to others: one header for each height, and no votes that convict it.
func (o *oracle) published(n *node, ob *observation.Observation) {
	key := headerKey{n.id, ob.Header.Height}
	if known, ok := o.headers[key]; ok && known != ob.Hash {
		o.violate("n%d shows two headers at height %d", n.id, key.height)
	}
	o.headers[key] = ob.Hash
	for i := range int(ob.Header.LeafCount) {
		l := ob.Leaf(i)
		if l.Type == observation.SubjectTx {
			o.w.logf("n%d votes %v %s round %d", n.id, l.State, o.w.name(l.Subject), l.Round)
			o.voted(n, publicVote{l.Subject, l.State, l.Round})
		}
	}
}

func (o *oracle) voted(n *node, v publicVote) {
	c := o.caseOf[v.tx]
	if c == nil {
		return
	}
	o.highest = max(o.highest, v.round)
	o.runsAhead(n, c, v)
	o.heard(n.voter, c, v)
	c.honestly = true
	tx := n.known[v.tx]
	if v.state != observation.Pending && v.state != observation.Accepted {
		return
	}
	mine := o.votes[n.id]
	if mine == nil {
		mine = make(map[utxo.Outpoint][]publicVote)
		o.votes[n.id] = mine
	}
	for _, p := range tx.Spends() {
		if v.state == observation.Pending && !n.settled[v.tx] {
			o.locked(n, c, v, p)
		}
		for _, w := range mine[p] {
			if w.tx == v.tx {
				continue
			}
			if w.state == v.state && w.round == v.round ||
				v.state == observation.Accepted && w.state == observation.Pending && w.round > v.round {
				o.violate("n%d can be convicted: %v %s round %d after %v %s round %d", n.id,
					v.state, o.w.name(v.tx), v.round, w.state, o.w.name(w.tx), w.round)
			}
		}
		mine[p] = append(mine[p], v)
	}
}

// heard takes note of a vote that somebody was shown.
func (o *oracle) heard(voter int, c *workload, v publicVote) {
	c.heard[voter] = max(c.heard[voter], uint64(v.round)+1)
	if v.state == observation.Pending {
		key := ballotKey{v.tx, v.round}
		if c.pending[key] == nil {
			c.pending[key] = make(map[int]bool)
		}
		c.pending[key][voter] = true
	}
}

// certifiedBetween reports whether anybody could know a certificate of a transaction in a round above one and below
// another.
func (o *oracle) certifiedBetween(c *workload, tx domain.Hash, above, below uint32) bool {
	for round := above + 1; round < below; round++ {
		var sum group.Weight
		for voter := range c.pending[ballotKey{tx, round}] {
			sum += o.w.ledger.genesis.Group.Voters()[voter].Share
		}
		if 3*sum > 2*group.Total {
			return true
		}
	}
	return false
}

// locked reports a PENDING against the lock of this node on one outpoint, which nothing has freed: neither a certificate
// nor the rejection of what is locked, anywhere.
func (o *oracle) locked(n *node, c *workload, v publicVote, p utxo.Outpoint) {
	var lock *publicVote
	for i, w := range o.votes[n.id][p] {
		if w.state == observation.Accepted && !o.rejectedBy[n.id][w.tx] && (lock == nil || w.round > lock.round) {
			lock = &o.votes[n.id][p][i]
		}
	}
	if o.w.scenario.Epochs { // locks of several epochs are told apart by finals alone
		return
	}
	if lock == nil || lock.tx == v.tx || o.outlived(lock.tx) || o.certifiedBetween(c, v.tx, lock.round, v.round) {
		return
	}
	o.violate("n%d votes against its lock: PENDING %s round %d after ACCEPTED %s round %d", n.id,
		o.w.name(v.tx), v.round, o.w.name(lock.tx), lock.round)
}

// outlived reports whether a rival of a transaction is final anywhere.
func (o *oracle) outlived(id domain.Hash) bool {
	for _, tx := range o.caseOf[id].txs {
		if tx.ID == id {
			for _, p := range tx.Spends() {
				if by, ok := o.spentBy[p]; ok && by != id {
					return true
				}
			}
		}
	}
	return false
}

// runsAhead holds a vote above round 0 against all that was ever said: nobody honest is in a round unless more than 2/3
// voted in the one before or above, or more than 1/3 in the round itself or above.
func (o *oracle) runsAhead(n *node, c *workload, v publicVote) {
	if o.w.scenario.Epochs || v.round == 0 || c.heard[n.voter] > uint64(v.round) || o.finalAt[n.id][v.tx] || n.settled[v.tx] {
		return // support of what is final follows whoever lacks it
	}
	var before, at group.Weight
	for i, voter := range n.group().Voters() {
		if c.heard[i] >= uint64(v.round) {
			before += voter.Share
		}
		if c.heard[i] > uint64(v.round) {
			at += voter.Share
		}
	}
	if !(3*before > 2*group.Total || 3*at > group.Total) {
		o.violate("n%d runs ahead: %v %s round %d", n.id, v.state, o.w.name(v.tx), v.round)
	}
}

// finalized looks at what a node made final.
func (o *oracle) finalized(n *node, tx *utxo.Tx, _ conflict.Finality) {
	if o.finalAt[n.id] == nil {
		o.finalAt[n.id] = make(map[domain.Hash]bool)
	}
	if o.rejectedBy[n.id][tx.ID] {
		o.Reversed++
		o.violate("n%d makes final what it rejected: %s", n.id, o.w.name(tx.ID))
	}
	o.onTime(n, tx)
	first := !o.finalAt[n.id][tx.ID]
	o.finalAt[n.id][tx.ID] = true
	for _, p := range tx.Spends() {
		if other, ok := o.spentBy[p]; ok && other != tx.ID {
			o.ConflictingFinals++
			o.violate("n%d makes %s final, and %s is final and spends the same", n.id, o.w.name(tx.ID), o.w.name(other))
		}
		o.spentBy[p] = tx.ID
	}
	if c := o.caseOf[tx.ID]; c != nil && first {
		took := float64(o.w.now-c.submitted) / ms
		if c.contested {
			o.contestedMS = append(o.contestedMS, took)
		} else {
			o.uncontestedMS = append(o.uncontestedMS, took)
		}
	}
}

func (o *oracle) rejectedAt(n *node, id domain.Hash) {
	if o.rejectedBy[n.id] == nil {
		o.rejectedBy[n.id] = make(map[domain.Hash]bool)
	}
	o.rejectedBy[n.id][id] = true
	if o.finalAt[n.id][id] {
		o.Reversed++
		o.violate("n%d rejects what it made final: %s", n.id, o.w.name(id))
	}
}

// decided reports whether a node has settled a case: each transaction is final, or has a final rival.
func (o *oracle) decided(n *node, c *workload) bool {
	if !n.up {
		return false
	}
	for _, tx := range c.txs {
		if _, final := n.finals[tx.ID]; final {
			continue
		}
		lost := tx.ValidUntilMS != 0 && o.unvoted(c) // its window closed before anybody voted
		for _, p := range tx.Spends() {
			if e, ok := n.set.Lookup(p); ok && !e.SpentBy.IsZero() {
				lost = true
			}
		}
		if !lost {
			return false
		}
	}
	return true
}

// unvoted reports whether nobody honest has voted on a case, nor holds a vote of a member on it: what liars sign without
// showing it, or once they are no members, counts nowhere.
func (o *oracle) unvoted(c *workload) bool {
	if c.honestly {
		return false
	}
	return slices.Max(c.heard) == 0 || !slices.ContainsFunc(o.w.nodes, func(n *node) bool {
		return n != nil && slices.ContainsFunc(c.txs, func(tx *utxo.Tx) bool { return len(n.tally.Votes(tx.ID)) > 0 })
	})
}

// arrived reports whether a node is in the newest epoch that it knows of.
func arrived(n *node) bool {
	return n.up && !n.closed && !n.entering && n.next[n.present.Link()] == nil
}

// allDecided reports whether everything is settled everywhere.
func (o *oracle) allDecided() bool {
	for _, n := range o.w.nodes {
		if n != nil && !arrived(n) {
			return false
		}
		for _, c := range o.w.cases {
			if n != nil && !o.decided(n, c) {
				return false
			}
		}
	}
	return true
}

// verdict looks at the end state: all decided, no final lost, no value made or destroyed, and proofs that verify.
func (o *oracle) verdict() {
	for _, n := range o.w.nodes {
		if n == nil {
			continue
		}
		if n.up && !arrived(n) {
			o.Undecided++
			o.violate("n%d has not ended epoch %d", n.id, n.present.Epoch())
		}
		for i, c := range o.w.cases {
			if !o.decided(n, c) {
				o.Undecided++
				o.violate("n%d has not decided case %d", n.id, i)
			}
		}
		for _, c := range o.w.cases {
			for _, tx := range c.txs {
				if _, final := n.finals[tx.ID]; o.finalAt[n.id][tx.ID] && !final {
					o.Reversed++
					o.violate("n%d has lost final %s", n.id, o.w.name(tx.ID))
				}
			}
		}
		o.conserved(n)
		if n.up {
			o.impunity(n)
		}
	}
	o.proven()
}

func (o *oracle) conserved(n *node) {
	var sum uint64
	for _, p := range n.set.Live() {
		if e, ok := n.set.Lookup(p); ok {
			sum += e.Output.Amount
		}
	}
	if sum != coins*units {
		o.violate("n%d holds %d units, want %d", n.id, sum, uint64(coins*units))
	}
}

// proven builds and verifies, with real signatures, the proof of every final transaction, each at another node that holds
// it final.
func (o *oracle) proven() {
	turn := 0
	for _, c := range o.w.cases {
		for _, tx := range c.txs {
			for range o.w.nodes {
				turn++
				n := o.w.nodes[turn%len(o.w.nodes)]
				if n == nil || !n.up {
					continue
				}
				if at, final := n.finals[tx.ID]; final {
					if err := o.prove(n, tx, at); err != nil {
						o.violate("n%d cannot prove %s: %v", n.id, o.w.name(tx.ID), err)
					}
					break
				}
			}
		}
	}
}

func (o *oracle) prove(n *node, tx *utxo.Tx, at conflict.Finality) error {
	item := observation.Item{ID: tx.ID, Raw: tx.Raw, Round: at.Round}
	for _, ob := range n.holding(tx.ID, at.Group.Link(), at.Round, observation.Accepted) {
		signed := o.w.withSignature(ob)
		for i := range int(ob.Header.LeafCount) {
			if l := ob.Leaf(i); l.Subject == tx.ID && l.State == observation.Accepted && l.Round == at.Round {
				item.Edges = append(item.Edges, signed.Edge(i))
				break
			}
		}
	}
	proof, err := observation.BuildProof(at.Group, nil, []observation.Item{item})
	if err != nil {
		return err
	}
	_, err = proof.Verify(observation.NewRoot(at.Group))
	return err
}
