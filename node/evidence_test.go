package node

import (
	"context"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/notarynet/notaryd/conflict"
	"github.com/notarynet/notaryd/node/epoch"
	"github.com/notarynet/notaryd/node/store"
	"github.com/notarynet/notaryd/observation"
	kit "github.com/notarynet/notaryd/observation/observationtest"
	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/utxo"
)

// court is a witness and an archive over a store in memory, without goroutines; what they would publish, list and
// pull is written down.
type court struct {
	t         *testing.T
	net       *kit.Network
	sh        *shell
	registry  *prometheus.Registry
	published [][]byte
	listed    []domain.Hash
	pulled    []forked
	overheard []overhearing
	alarms    []func()
	failed    error
}

func newCourt(t *testing.T, adjust ...func(*store.Options)) *court {
	c := &court{t: t, net: kit.New("court", kit.Equal(4)...), registry: prometheus.NewRegistry()}
	options := store.Options{
		Network: c.net.Genesis.ID, Key: c.net.Signers[0].Head.Key, SigningEpoch: 1, Create: true, InMemory: true, MemBytes: 4 << 20, CacheBytes: 1 << 20,
		Genesis: utxo.Delta{Tx: c.net.Genesis.ID, Created: []utxo.Created{{
			Outpoint: utxo.Outpoint{Tx: c.net.Genesis.ID}, Output: utxo.Output{Amount: 1, Kind: notaryv1.OutputKind_OUTPUT_KIND_PAYMENT},
		}}}, GenesisMS: kit.StartMS,
	}
	for _, do := range adjust {
		do(&options)
	}
	st, err := store.Open("court", options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	c.sh = &shell{
		genesis: c.net.Genesis, epochs: new(epochs), lineage: newLineage(c.net.Genesis, st), self: c.net.Signers[0].Head.Key, store: st,
		log: slog.New(slog.DiscardHandler), metrics: NewMetrics(c.registry),
		fail: func(err error) { c.failed = err },
	}
	c.sh.epochs.present.Store(c.net.Group)
	c.sh.keeper = &keeper{}
	c.sh.keeper.seen.Store(&trusted{state: epoch.Start(c.net.Group)})
	c.open()
	return c
}

// open makes witness and archive anew, as after a restart.
func (c *court) open() {
	sh := c.sh
	sh.archive = newArchive(sh.genesis.ID, sh.self, sh.store, sh.log, sh.metrics.evidence)
	sh.archive.publish = func(raw []byte) { c.published = append(c.published, raw) }
	sh.archive.list = func(h domain.Hash) { c.listed = append(c.listed, h) }
	sh.archive.peer = sh.peerOf
	sh.witness = newWitness(sh.lineage, sh.store, sh.archive, sh.log, sh.metrics.evidence)
	sh.witness.overhear, sh.witness.rules = func(_ context.Context, m overhearing) { c.overheard = append(c.overheard, m) }, utxo.Rules{Network: sh.genesis.ID}
	sh.witness.after = func(_ time.Duration, do func()) { c.alarms = append(c.alarms, do) }
	sh.witness.pull = func(id observation.ChainID, from, _ uint64) { c.pulled = append(c.pulled, forked{id, from}) }
	sh.turnstile = newTurnstile(evidenceBurst, time.Hour)
	if err := sh.archive.restore(); err != nil {
		c.t.Fatal(err)
	}
}

// say hands the witness what it is told.
func (c *court) say(reports ...any) {
	c.t.Helper()
	for _, m := range reports {
		if err := c.sh.witness.handle(c.t.Context(), m); err != nil {
			c.t.Fatal(err)
		}
	}
}

// save stores observations and returns their votes.
func (c *court) save(voter int, list ...*observation.Observation) (votes []conflict.Vote) {
	c.t.Helper()
	if err := c.sh.store.SaveObservations(list); err != nil {
		c.t.Fatal(err)
	}
	return c.votes(voter, list...)
}

func (c *court) votes(voter int, list ...*observation.Observation) (votes []conflict.Vote) {
	for _, o := range list {
		for i := range o.Len() {
			l := o.Leaf(i)
			votes = append(votes, conflict.Vote{
				Tx: l.Subject, State: l.State, Round: l.Round, Group: c.net.Group, Voter: voter,
				SigningEpoch: o.Header.SigningEpoch, Height: o.Header.Height, Leaf: uint32(i), TimeMS: l.TimeMS,
			})
		}
	}
	return votes
}

// rivals are transactions that spend one outpoint.
func (c *court) rivals(n int) []*utxo.Tx {
	c.t.Helper()
	var list []*utxo.Tx
	for i := range n {
		tx, err := utxo.Decode(c.net.Spend(string(rune('a'+i)), 0).Raw, utxo.Rules{Network: c.net.Genesis.ID})
		if err != nil {
			c.t.Fatal(err)
		}
		list = append(list, tx)
	}
	return list
}

// kept is what is in the store, verified.
func (c *court) kept() (list []*observation.Evidence) {
	c.t.Helper()
	for e, err := range c.sh.store.EvidenceAfter(domain.Hash{}) {
		if err != nil {
			c.t.Fatal(err)
		}
		if err := e.Verify(c.net.Genesis.ID); err != nil {
			c.t.Fatal(err)
		}
		list = append(list, e)
	}
	return list
}

func (c *court) wantKept(kinds ...notaryv1.EvidenceKind) {
	c.t.Helper()
	var got []notaryv1.EvidenceKind
	for _, e := range c.kept() {
		got = append(got, e.Kind)
	}
	slices.Sort(got)
	if !slices.Equal(got, kinds) {
		c.t.Fatalf("kept %v, want %v", got, kinds)
	}
}

// counted is the sum of a counter over its labels.
func (c *court) counted(name string) (sum float64) {
	c.t.Helper()
	families, err := c.registry.Gather()
	if err != nil {
		c.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "notary_"+name {
			for _, m := range f.GetMetric() {
				sum += m.GetCounter().GetValue()
			}
		}
	}
	return sum
}

func (c *court) sign(voter int, leaves ...observation.Leaf) *observation.Observation {
	return c.net.Signers[voter].Observe(c.net.Group, kit.StartMS, leaves...)
}

const (
	twoPending   = notaryv1.EvidenceKind_EVIDENCE_KIND_CONFLICTING_PENDING
	twoAccepted  = notaryv1.EvidenceKind_EVIDENCE_KIND_CONFLICTING_ACCEPTED
	afterPending = notaryv1.EvidenceKind_EVIDENCE_KIND_ACCEPTED_AFTER_PENDING
)

// TestWitnessBuilds: each contradiction that is heard becomes evidence once, whichever report completes it.
func TestWitnessBuilds(t *testing.T) {
	type cast struct {
		state observation.State
		round uint32
	}
	for want, casts := range map[notaryv1.EvidenceKind][2]cast{
		twoPending:   {{observation.Pending, 1}, {observation.Pending, 1}},
		twoAccepted:  {{observation.Accepted, 2}, {observation.Accepted, 2}},
		afterPending: {{observation.Pending, 3}, {observation.Accepted, 2}},
	} {
		for _, late := range []bool{false, true} {
			c := newCourt(t)
			tx := c.rivals(2)
			first := c.save(1, c.sign(1, kit.Vote(tx[0].ID, casts[0].state, casts[0].round, 1)))
			second := c.save(1, c.sign(1, kit.Vote(tx[1].ID, casts[1].state, casts[1].round, 2)))
			if late {
				c.say(watching{tx[0], false}, first, second, watching{tx[1], false}, second)
			} else {
				c.say(watching{tx[0], false}, watching{tx[1], false}, second, first)
			}
			c.say(first, second, watching{tx[1], false}, second)
			c.wantKept(want)
			e := c.kept()[0]
			if len(c.published) != 1 || len(c.listed) != 1 || c.listed[0] != e.Hash || string(c.published[0]) != string(e.Raw) {
				t.Fatalf("%v: published %d times, listed %v", want, len(c.published), c.listed)
			}
			if n := c.counted("evidence_kept_total"); n != 1 {
				t.Fatalf("%v: counted %v times", want, n)
			}
			node := &Node{sh: c.sh}
			for _, m := range c.net.Group.Members() {
				if guilty := m.Keys[0].Key == e.Key().Key; node.Convicted(m.PeerID) != guilty {
					t.Fatalf("%v: convicted %v, want %v", want, !guilty, guilty)
				}
			}
			c.open() // a restart
			c.say(watching{tx[0], false}, first, watching{tx[1], false}, second)
			c.wantKept(want)
			if len(c.published) != 1 {
				t.Fatalf("%v: published again after a restart", want)
			}
		}
	}
}

// TestWitnessAtAFork: votes on two branches make evidence, of the fork and of the votes.
func TestWitnessAtAFork(t *testing.T) {
	c := newCourt(t)
	tx := c.rivals(2)
	twin := *c.net.Signers[2]
	a := c.sign(2, kit.Vote(tx[0].ID, observation.Pending, 0, 1))
	b := twin.Observe(c.net.Group, kit.StartMS, kit.Vote(tx[1].ID, observation.Pending, 0, 1))
	chain := a.Header.Chain()
	c.save(2, a)
	c.say(forked{chain, 1})
	if len(c.pulled) != 1 || c.pulled[0] != (forked{chain, 1}) || len(c.kept()) != 0 {
		t.Fatalf("of one branch: pulled %v", c.pulled)
	}
	c.save(2, b)
	c.say(forked{chain, 1}, forked{chain, 1}, watching{tx[0], false}, watching{tx[1], false}, c.votes(2, b, a))
	c.wantKept(forkedChain, twoPending)
	if len(c.published) != 2 || len(c.pulled) != 1 {
		t.Fatalf("published %d times, pulled %v", len(c.published), c.pulled)
	}
}

// TestWitnessWithoutProof: what is not stored makes no evidence, and convicts nobody.
func TestWitnessWithoutProof(t *testing.T) {
	c := newCourt(t)
	tx := c.rivals(2)
	a, b := c.sign(1, kit.Vote(tx[0].ID, observation.Pending, 0, 1)), c.sign(1, kit.Vote(tx[1].ID, observation.Pending, 0, 1))
	c.save(1, a)
	c.say(watching{tx[0], false}, watching{tx[1], false}, c.votes(1, a, b))
	c.wantKept()
	if n := c.counted("evidence_unbuilt_total"); n != 1 {
		t.Fatalf("counted %v times", n)
	}
	c.save(1, b)
	c.say(c.votes(1, b))
	c.wantKept(twoPending)
}

// TestWitnessRemembersFinals: the votes that made a transaction final are compared with one for its rival that comes
// long after, when nobody contends any more.
func TestWitnessRemembersFinals(t *testing.T) {
	c := newCourt(t)
	tx := c.rivals(2)
	o := c.sign(3, kit.Vote(domain.Hash{1}, observation.Pending, 0, 1), kit.Vote(tx[0].ID, observation.Accepted, 0, 1))
	c.save(3, o)
	err := c.sh.store.CommitFinal([]store.Final{{
		Tx: tx[0], FinalMS: kit.StartMS, Link: c.net.Group.Link(),
		Edges: []store.EdgeRef{
			{Key: o.Header.Key, SigningEpoch: 1, Height: 1, Leaf: 1},
			{Key: kit.Key(66).Public(), SigningEpoch: 1, Height: 1}, // of a key that has left
		},
	}})
	if err != nil {
		t.Fatal(err)
	}
	c.say(lost{tx[1]})
	if want := []overhearing{{tx[0].ID, true}, {tx[1].ID, true}}; !slices.Equal(c.overheard, want) {
		t.Fatalf("overhears %v", c.overheard)
	}
	c.say(lost{tx[1]}, c.save(3, c.sign(3, kit.Vote(tx[1].ID, observation.Accepted, 0, 1))))
	c.wantKept(twoAccepted)
	if len(c.overheard) != 2 {
		t.Fatal("asked for what comes anyway")
	}
	if v := c.sh.witness.edgeVotes(tx[0].ID, &store.FinalInfo{Edges: []store.EdgeRef{{Key: o.Header.Key}}}); v != nil {
		t.Fatalf("of another link: %v", v)
	}
}

// TestOverhearing: from the moment in which a transaction is watched its votes come to the witness, those counted
// before first, each observation's in one piece; and none once that ends.
func TestOverhearing(t *testing.T) {
	c := newCourt(t)
	tx := c.rivals(2)
	counting := newCounting(2, nil, newLately(), 0, newDirectory(), c.sh.metrics, listeners{unknown: func(domain.Hash, domain.PublicKey) {}})
	var heard []conflict.Vote
	counting.tell(func(votes []conflict.Vote) { heard = append(heard, votes...) })
	shard := counting.shard(tx[0].ID)
	count := func(voter int) []conflict.Vote {
		o := c.sign(voter, kit.Vote(tx[0].ID, observation.Pending, 0, 1), kit.Vote(tx[1].ID, observation.Pending, 0, 1))
		for _, s := range counting.shards {
			s.count(t.Context(), ballots{o, c.net.Group, voter}, domain.Hash{})
		}
		return c.votes(voter, o)[:1]
	}
	want := count(1)
	if heard != nil {
		t.Fatalf("overheard %v of what nobody watches", heard)
	}
	shard.watch(overhearing{tx[0].ID, true})
	want = append(want, count(2)...)
	if len(heard) != 2 || heard[0].Voter != want[0].Voter || heard[1] != want[1] {
		t.Fatalf("overheard %v, want %v", heard, want)
	}
	shard.watch(overhearing{tx[0].ID, false})
	count(3)
	if len(heard) != 2 || len(shard.watched) != 0 {
		t.Fatalf("overheard %v after the end", heard[2:])
	}
}

// TestEvidenceAgain: when members return, all evidence is gossiped once more, once for all of them.
func TestEvidenceAgain(t *testing.T) {
	c := newCourt(t)
	c.say(returned{})
	if len(c.alarms) != 0 {
		t.Fatal("there is nothing to tell")
	}
	tx := c.rivals(2)
	c.say(watching{tx[0], false}, watching{tx[1], false},
		c.save(1, c.sign(1, kit.Vote(tx[0].ID, observation.Pending, 0, 1), kit.Vote(tx[1].ID, observation.Pending, 0, 1))))
	c.say(returned{}, returned{})
	if len(c.alarms) != 1 || len(c.published) != 1 {
		t.Fatalf("%d alarms, published %d times", len(c.alarms), len(c.published))
	}
	c.alarms[0]()
	c.say(<-c.sh.witness.queue)
	if len(c.published) != 2 || string(c.published[0]) != string(c.published[1]) || len(c.listed) != 1 {
		t.Fatalf("published %d times, listed %d times", len(c.published), len(c.listed))
	}
	c.sh.witness.armed = c.sh.witness.armed.Add(-evidenceAgain)
	c.say(returned{})
	if len(c.alarms) != 2 {
		t.Fatal("the next to return is forgotten")
	}
}
