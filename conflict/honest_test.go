package conflict

import (
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/notarynet/notaryd/observation"
	kit "github.com/notarynet/notaryd/observation/observationtest"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	"github.com/notarynet/notaryd/utxo"
)

// durable is what an honest node has on disk.
type durable struct {
	records []Record
	head    observation.Head
	chain   []*observation.Observation // of its present signing epoch
	present *group.Group
	stated  []Lock
	dead    map[domain.Hash]bool // rejected since a rival is final
	final   map[domain.Hash]bool
}

func (d *durable) copy() durable {
	c := *d
	c.records, c.chain, c.stated = slices.Clone(d.records), slices.Clone(d.chain), slices.Clone(d.stated)
	c.dead, c.final = make(map[domain.Hash]bool), make(map[domain.Hash]bool)
	for id := range d.dead {
		c.dead[id] = true
	}
	for id := range d.final {
		c.final[id] = true
	}
	return c
}

// honestLife is a node that keeps its rules and its disk, and nothing else: it dies between any two effects.
type honestLife struct {
	t        *rapid.T
	key      domain.PrivateKey
	txs      []kit.Tx
	spends   [][]utxo.Outpoint
	epochs   map[domain.Hash]uint64 // of links
	signings uint32                 // signing epochs that were taken
	clock    uint64

	disk, backup durable
	// said is all that ever got to disk, and so may have left the node.
	said []*observation.Observation

	guard  *Guard
	leaves []observation.Leaf
	batch  []Record

	amnesia bool // plants a fault: records do not come back after a crash
}

func newHonestLife(t *rapid.T, amnesia bool) *honestLife {
	net := kit.New("test", kit.Equal(4)...)
	n := &honestLife{t: t, key: kit.Key(77), epochs: make(map[domain.Hash]uint64), amnesia: amnesia, guard: NewGuard()}
	for i := range 5 {
		at := rapid.SliceOfNDistinct(rapid.Uint32Range(0, 3), 1, 2, rapid.ID).Draw(t, "spends")
		n.txs = append(n.txs, net.Spend(string(rune('a'+i)), at...))
		var spends []utxo.Outpoint
		for _, index := range at {
			spends = append(spends, utxo.Outpoint{Tx: net.Genesis.ID, Index: index})
		}
		n.spends = append(n.spends, spends)
	}
	n.disk = durable{head: observation.Head{Key: n.key.Public()}, present: n.group(net.Genesis.ID, 0, domain.Hash{})}
	n.backup = n.disk.copy()
	n.disk = n.backup.copy()
	return n
}

// group is one of this node and three others of the same weight.
func (n *honestLife) group(network domain.Hash, epoch uint64, previous domain.Hash) *group.Group {
	var members []group.Member
	for i := range 4 {
		key := nodeKey(i)
		if i == 0 {
			key = n.key.Public()
		}
		members = append(members, group.Member{PeerID: hash('p', i), Weight: group.Total / 4, Keys: []group.NodeKey{{Key: key}}})
	}
	g, err := group.New(network, epoch, previous, members, nil)
	if err != nil {
		n.t.Fatal(err)
	}
	n.epochs[g.Link()] = epoch
	return g
}

func (n *honestLife) index(id domain.Hash) int {
	return slices.IndexFunc(n.txs, func(tx kit.Tx) bool { return tx.ID == id })
}

// dies says that the node crashed here, and is up again with what its disk holds.
func (n *honestLife) dies() bool {
	if rapid.IntRange(0, 19).Draw(n.t, "crash") < 19 {
		return false
	}
	n.restart()
	return true
}

func (n *honestLife) restart() {
	n.guard, n.leaves, n.batch = NewGuard(), nil, nil
	if !n.amnesia {
		n.guard.Restore(n.disk.records)
	}
}

// flush signs and saves what was let through; false where the node died over it.
func (n *honestLife) flush() bool {
	n.clock++
	if n.dies() {
		return false
	}
	o := observation.Seal(n.disk.head, n.disk.present, n.leaves, n.clock).Sign(n.key)
	if n.dies() { // signed, and not on disk: it has not left
		return false
	}
	n.disk.records = append(n.disk.records, n.batch...)
	n.disk.chain, n.disk.head = append(n.disk.chain, o), o.Head()
	n.said = append(n.said, o)
	n.leaves, n.batch = nil, nil
	return !n.dies()
}

// closed reports whether the chain ended under the present link.
func (n *honestLife) closed() bool {
	return slices.ContainsFunc(n.disk.chain, func(o *observation.Observation) bool {
		return o.Header.Link == n.disk.present.Link() && !WalkOf(o, 0, nil).Closing.IsZero()
	})
}

// vote asks for some vote, sensible or not, cast before or not.
func (n *honestLife) vote() {
	v := drawOwnVote(n.t, n.spends, n.disk.present.Epoch())
	for i := range n.txs {
		if v.Tx == tx(i) {
			v.Tx = n.txs[i].ID
			break
		}
	}
	if n.closed() || n.disk.dead[v.Tx] || n.guard.Check(v) != nil {
		return
	}
	n.batch = append(n.batch, n.guard.Record(v)...)
	n.leaves = append(n.leaves, observation.Leaf{Subject: v.Tx, Type: observation.SubjectTx, State: v.State, Round: v.Round, TimeMS: n.clock})
}

// decide makes a transaction final: its rivals are rejected, and what it spends is forgotten where they have no vote.
func (n *honestLife) decide() {
	i := rapid.IntRange(0, len(n.txs)-1).Draw(n.t, "final")
	if id := n.txs[i].ID; n.disk.dead[id] || n.disk.final[id] || n.closed() || !n.flush() {
		return
	}
	n.disk.final[n.txs[i].ID] = true
	for j, rival := range n.txs {
		if j == i || !slices.ContainsFunc(n.spends[j], func(o utxo.Outpoint) bool { return slices.Contains(n.spends[i], o) }) {
			continue
		}
		n.disk.dead[rival.ID] = true
		n.disk.records = append(n.disk.records, n.guard.Reject(rival.ID, n.spends[j])...)
	}
	for _, o := range n.spends[i] {
		if !slices.ContainsFunc(n.guard.Records(o), func(r Record) bool { return r.Tx != n.txs[i].ID }) {
			n.guard.Release(o)
			n.disk.records = slices.DeleteFunc(n.disk.records, func(r Record) bool { return r.Outpoint == o })
		}
	}
	n.dies()
}

// restore is a machine lost, and an older disk that goes on in a new signing epoch.
func (n *honestLife) restore() {
	n.disk = n.backup.copy()
	n.signings++
	n.disk.chain, n.disk.head = nil, observation.Head{Key: n.key.Public(), SigningEpoch: n.signings}
	n.backup = n.disk.copy()
	n.restart()
}

// handOver goes from the present epoch to the next, as far as the node lives.
func (n *honestLife) handOver() {
	if len(n.leaves) > 0 && !n.flush() {
		return
	}
	g := n.disk.present
	next := n.group(g.Network(), g.Epoch()+1, g.Link())
	h := NewHandover(n.key.Public(), true, g, n.disk.stated, func(link domain.Hash) uint64 { return n.epochs[link] })
	me, _ := g.Voter(n.key.Public())
	var todo []HandoverEffect
	step := func(in HandoverInput) { todo = append(todo, h.Step(in)...) }
	for _, tx := range n.txs {
		if n.disk.dead[tx.ID] || n.disk.final[tx.ID] {
			step(Settled{tx.ID})
		}
	}
	for _, o := range n.disk.chain {
		if o.Header.Link == g.Link() {
			step(WalkOf(o, me, nil))
		}
	}
	for voter := range g.Voters() {
		if voter == me {
			continue
		}
		var locks []Lock
		for range rapid.IntRange(0, 2).Draw(n.t, "locks") {
			tx := n.txs[rapid.IntRange(0, len(n.txs)-1).Draw(n.t, "locked")]
			locks = append(locks, Lock{tx.ID, g.Link(), uint32(rapid.IntRange(0, 5).Draw(n.t, "at"))})
		}
		step(Walked{Voter: voter, Height: 1, Locks: locks, Closing: next.Link()})
	}
	step(Linked{next})
	for len(todo) > 0 && !n.dies() {
		effect := todo[0]
		todo = todo[1:]
		switch e := effect.(type) {
		case Close:
			for _, n.leaves = range ClosingLeaves(e.Stated, e.Next.Link(), n.clock, 4) {
				if !n.flush() {
					return
				}
				step(WalkOf(n.disk.chain[len(n.disk.chain)-1], me, nil))
			}
		case NeedLock:
			step(Certified{Lock: e.Lock, Epoch: n.epochs[e.Lock.Link], Spends: n.spends[n.index(e.Lock.Tx)]})
		case Enter:
			n.disk.records = append(n.disk.records, e.Records...)
			n.disk.present, n.disk.stated = e.Group, e.Stated
			if !n.dies() {
				n.guard.Restore(e.Records)
			}
			return
		}
	}
}

// live leads a life of some steps.
func (n *honestLife) live() {
	for range rapid.IntRange(20, 120).Draw(n.t, "steps") {
		switch rapid.IntRange(0, 29).Draw(n.t, "what") { // small numbers are drawn more often
		case 25:
			n.restart()
		case 26:
			n.restore()
		case 27:
			n.backup = n.disk.copy()
		case 28:
			n.handOver()
		case 29:
			n.decide()
		case 1, 3, 5, 7, 20, 21, 22, 23:
			n.flush()
		default:
			n.vote()
		}
	}
}

// convicted is evidence in what the node said, if there is any, whatever is selected of it.
func (n *honestLife) convicted() *observation.Evidence {
	var votes []observation.Edge
	for i, o := range n.said {
		for _, p := range n.said[:i] {
			if e, err := observation.ForkedChain(o.Signed(), p.Signed()); err == nil {
				return e
			}
		}
		for j := range o.Len() {
			if l := o.Leaf(j); l.Type == observation.SubjectTx && guarded(l.State) {
				votes = append(votes, o.Edge(j))
			}
		}
	}
	for i := range votes {
		for j := range i {
			a, b := &votes[i].Leaf, &votes[j].Leaf
			e, err := observation.ContradictingVotes(votes[i], votes[j], n.txs[n.index(a.Subject)].Body, n.txs[n.index(b.Subject)].Body)
			if err == nil {
				return e
			}
			if !errors.Is(err, observation.ErrNoContradiction) {
				n.t.Fatal(err)
			}
		}
	}
	return nil
}

// TestHonestLivesConvictNobody: crashes between any two effects, duplicate requests, backups that go on in a new
// signing epoch, rejections and hand-overs: nothing that gets to disk is evidence.
func TestHonestLivesConvictNobody(t *testing.T) {
	var votes, entered, restored int
	rapid.Check(t, func(rt *rapid.T) {
		n := newHonestLife(rt, false)
		n.live()
		if e := n.convicted(); e != nil {
			rt.Fatalf("convicted of %v: %+v", e.Kind, e.Edges)
		}
		for _, o := range n.said {
			votes += o.Len()
		}
		entered, restored = entered+int(n.disk.present.Epoch()), restored+int(n.signings)
	})
	t.Logf("%d leaves, %d epochs entered, %d restores", votes, entered, restored)
	if votes == 0 || entered == 0 || restored == 0 {
		t.Errorf("%d leaves, %d epochs entered, %d restores: not tested", votes, entered, restored)
	}
}

// TestForgetfulLivesAreConvicted: the same lives, but records do not come back after a crash. The check sees it.
func TestForgetfulLivesAreConvicted(t *testing.T) {
	convicted := 0
	rapid.Check(t, func(rt *rapid.T) {
		n := newHonestLife(rt, true)
		n.live()
		e := n.convicted()
		if e == nil {
			return
		}
		if err := e.Verify(n.disk.present.Network()); err != nil {
			rt.Fatal(err)
		}
		convicted++
	})
	t.Logf("%d convicted", convicted)
	if convicted == 0 {
		t.Error("nobody was convicted")
	}
}
