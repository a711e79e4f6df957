package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/notarynet/notaryd/internal/freeport"
	"github.com/notarynet/notaryd/node/gossip"
	"github.com/notarynet/notaryd/node/store"
	"github.com/notarynet/notaryd/observation"
	kit "github.com/notarynet/notaryd/observation/observationtest"
	"github.com/notarynet/notaryd/proto/bls"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/utxo"
)

// patience is how long a test waits for what must come.
const patience = 20 * time.Second

// live is a network of three honest nodes and a liar of the same weight, over loopback.
type live struct {
	t       *testing.T
	genesis *group.Genesis
	keys    []domain.PrivateKey // the last is the liar's
	ports   []int
	nodes   []*liveNode
	liar    *gossip.Net
	signer  kit.Signer
	said    []*observation.Observation // by the liar
}

type liveNode struct {
	*Node
	store *store.Store
	stop  func()
}

var owner = kit.Key(900)

func startLive(t *testing.T) *live {
	l := &live{t: t}
	doc := &notaryv1.Genesis{Name: "live", AddressPrefix: "test", TimeMs: uint64(time.Now().UnixMilli())}
	var seeds []group.Member
	proofs := map[domain.PublicKey]bls.Signature{}
	for i, w := range group.Split(4) {
		key := kit.Key(100 + i)
		public := key.Public()
		l.keys = append(l.keys, key)
		l.ports = append(l.ports, freeport.Port(t))
		folds := bls.Derive(key).Public()
		proofs[public] = bls.Prove(bls.Derive(key), public)
		seeds = append(seeds, group.Member{PeerID: domain.Sum(domain.TagPeer, public[:]), Weight: w, Keys: []group.NodeKey{{Key: public, BLS: folds[:]}}})
	}
	doc.Seeds = group.Seeds(seeds)
	doc.BlsPossessions = group.Possessions(doc.Seeds, func(node domain.PublicKey) bls.Signature { return proofs[node] })
	address := utxo.KeyLock(owner.Public()).Address()
	for range 4 {
		doc.Allocations = append(doc.Allocations, &notaryv1.Output{
			Address: address[:], Amount: 1000, Kind: notaryv1.OutputKind_OUTPUT_KIND_PAYMENT,
		})
	}
	var err error
	if l.genesis, err = group.MakeGenesis(doc); err != nil {
		t.Fatal(err)
	}
	l.signer = kit.Signer{Key: l.keys[3], Head: observation.Head{Key: l.keys[3].Public()}}
	for i := range 3 {
		l.nodes = append(l.nodes, l.startNode(i))
	}
	ctx, cancel := context.WithCancel(context.Background())
	if l.liar, err = gossip.New(ctx, l.gossip(3), deaf{}, gossip.NewMetrics(prometheus.NewRegistry()), slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.liar.Close(); err != nil {
			t.Error(err)
		}
		cancel()
	})
	l.eventually("everybody to see everybody", func() bool {
		for _, n := range l.nodes {
			if problems, _ := n.Ready(); len(problems) > 0 || len(n.sh.net.Peers()) < 3 {
				return false
			}
		}
		return len(l.liar.Peers()) >= 3
	})
	l.introduce()
	return l
}

// introduce has the liar say that it is there until everybody has heard it: what is published before the
// neighbours' subscriptions are known reaches nobody.
func (l *live) introduce() {
	l.t.Helper()
	var last time.Time
	l.eventually("the liar to be heard", func() bool {
		if time.Since(last) > 200*time.Millisecond {
			l.lie()
			last = time.Now()
		}
		for _, n := range l.nodes {
			_, found, err := n.store.Observation(observation.ChainID{Key: l.signer.Head.Key}, l.signer.Head.Height)
			if err != nil {
				l.t.Fatal(err)
			}
			if !found {
				return false
			}
		}
		return true
	})
}

func (l *live) startNode(i int) *liveNode {
	delta, err := utxo.GenesisDelta(l.genesis)
	if err != nil {
		l.t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(l.t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})).With("node", i)
	st, err := store.Open(fmt.Sprint("node", i), store.Options{
		Network: l.genesis.ID, Key: l.keys[i].Public(), Create: true, Genesis: delta, GenesisMS: l.genesis.Doc.TimeMs,
		MemBytes: 4 << 20, CacheBytes: 1 << 20, ReserveBytes: 1, InMemory: true, Logger: log,
	})
	if err != nil {
		l.t.Fatal(err)
	}
	c := DefaultConfig()
	c.Heartbeat, c.DrainPatience, c.Shards = time.Second, 0, 2
	c.Contests.BaseMS = 150
	registry := prometheus.NewRegistry()
	n, err := New(c, Parts{
		Genesis: l.genesis, Key: l.keys[i], Store: st, Gossip: l.gossip(i), GossipMetrics: gossip.NewMetrics(registry),
		Metrics: NewMetrics(registry), Log: log, Version: "test",
	})
	if err != nil {
		l.t.Fatal(err)
	}
	// A link made on the evidence would remove the liar at once.
	n.sh.keeper.propose = func(context.Context, *utxo.Tx) error { return nil }
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	stopped := false
	stop := func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := errors.Join(<-done, st.Close()); err != nil {
			l.t.Error(err)
		}
	}
	l.t.Cleanup(stop)
	return &liveNode{n, st, stop}
}

func (l *live) gossip(i int) gossip.Config {
	c := gossip.DefaultConfig(l.genesis.ID, l.keys[i])
	c.Listen = []string{fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", l.ports[i])}
	c.Memory = 64 << 20
	c.Heartbeat = 100 * time.Millisecond
	for j, key := range l.keys {
		c.Bootstrap = append(c.Bootstrap, fmt.Sprintf("/ip4/127.0.0.1/tcp/%d/p2p/%s", l.ports[j], gossip.PeerID(key.Public())))
	}
	return c
}

// deaf is a node that passes everything on and hears nothing.
type deaf struct{}

func (deaf) ValidateTransactions(context.Context, domain.PublicKey, [][]byte) gossip.Verdict {
	return gossip.Take
}
func (deaf) ValidateObservation(context.Context, domain.PublicKey, []byte) gossip.Verdict {
	return gossip.Take
}
func (deaf) ValidatePeer(context.Context, domain.PublicKey, []byte) gossip.Verdict {
	return gossip.Take
}
func (deaf) ValidateEvidence(context.Context, domain.PublicKey, []byte) gossip.Verdict {
	return gossip.Take
}

// lie signs the next observation of the liar's chain with votes, and gossips it.
func (l *live) lie(leaves ...observation.Leaf) {
	l.t.Helper()
	l.publish(l.signer.Observe(l.genesis.Group, uint64(time.Now().UnixMilli()), leaves...))
}

func (l *live) publish(o *observation.Observation) {
	l.t.Helper()
	l.said = append(l.said, o)
	if err := l.liar.PublishObservation(observation.EncodeRuns([]*observation.Observation{o})[0]); err != nil {
		l.t.Fatal(err)
	}
}

func (l *live) vote(tx *utxo.Tx, s observation.State, round uint32) observation.Leaf {
	return kit.Vote(tx.ID, s, round, uint64(time.Now().UnixMilli()))
}

// pay spends a genesis output; salt tells rivals apart.
func (l *live) pay(salt string, output uint32) *utxo.Tx {
	l.t.Helper()
	d, err := utxo.NewBuilder(l.genesis.ID).Spend(utxo.Outpoint{Tx: l.genesis.ID, Index: output}).
		Pay(utxo.KeyLock(owner.Public()).Address(), utxo.Product{}, 1000).Salt([]byte(salt)).Build()
	if err != nil {
		l.t.Fatal(err)
	}
	tx, err := d.Sign(owner).Finish()
	if err != nil {
		l.t.Fatal(err)
	}
	return tx
}

func (l *live) submit(node int, tx *utxo.Tx) {
	l.t.Helper()
	if _, err := l.nodes[node].Submit(l.t.Context(), "test", tx.Raw, notaryv1.WaitLevel_WAIT_LEVEL_NONE); err != nil {
		l.t.Fatalf("node %d: %v", node, err)
	}
}

// evidence is what a node keeps, all of it verified.
func (l *live) evidence(node int) (list []*observation.Evidence) {
	l.t.Helper()
	raws, _, err := l.nodes[node].Evidence(l.t.Context(), "", 0)
	if err != nil {
		l.t.Fatal(err)
	}
	for _, raw := range raws {
		e, err := observation.DecodeEvidence(raw)
		if err != nil {
			l.t.Fatal(err)
		}
		if err := e.Verify(l.genesis.ID); err != nil {
			l.t.Fatal(err)
		}
		list = append(list, e)
	}
	return list
}

// listings are how often a node's chain says that it has a piece of evidence.
func (l *live) listings(node int, hash domain.Hash) (n int) {
	l.t.Helper()
	for o, err := range l.nodes[node].store.Observations(observation.ChainID{Key: l.keys[node].Public()}, 1, 1<<62) {
		if err != nil {
			l.t.Fatal(err)
		}
		for i := range o.Len() {
			if leaf := o.Leaf(i); leaf.Type == observation.SubjectEvidence && leaf.Subject == hash {
				n++
			}
		}
	}
	return n
}

func (l *live) eventually(what string, holds func() bool) {
	l.t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline.C:
			l.t.Fatalf("waited %v for %s", patience, what)
		}
	}
}

// TestLiarIsConvicted: a key signs two observations at one height, with votes that contradict each other. Every
// honest node ends up with the same evidence, once, says so in its chain, and convicts nobody else. The
// liar's votes count all the same: with one honest node gone, nothing would be final without them.
func TestLiarIsConvicted(t *testing.T) {
	l := startLive(t)
	a, b := l.pay("a", 0), l.pay("b", 0)
	l.submit(0, a)
	l.submit(1, b)
	twin := l.signer
	one := l.signer.Observe(l.genesis.Group, uint64(time.Now().UnixMilli()), l.vote(a, observation.Pending, 0))
	other := twin.Observe(l.genesis.Group, uint64(time.Now().UnixMilli()), l.vote(b, observation.Pending, 0))
	l.publish(one)
	l.publish(other)
	want := []notaryv1.EvidenceKind{forkedChain, twoPending}
	l.eventually("the same evidence everywhere", func() bool {
		for i := range l.nodes {
			var kinds []notaryv1.EvidenceKind
			for _, e := range l.evidence(i) {
				kinds = append(kinds, e.Kind)
			}
			slices.Sort(kinds)
			if !slices.Equal(kinds, want) {
				return false
			}
		}
		return true
	})
	first := l.evidence(0)
	for i, n := range l.nodes {
		for j, e := range l.evidence(i) {
			if e.Hash != first[j].Hash || e.Key().Key != l.keys[3].Public() {
				t.Fatalf("node %d has %v against %s", i, e.Kind, e.Key().Key)
			}
			l.eventually(fmt.Sprintf("node %d to list %v", i, e.Kind), func() bool { return l.listings(i, e.Hash) > 0 })
		}
		for _, m := range l.genesis.Group.Members() {
			if guilty := m.Keys[0].Key == l.keys[3].Public(); n.Convicted(m.PeerID) != guilty {
				t.Fatalf("node %d: convicted %v, want %v", i, !guilty, guilty)
			}
		}
	}
	l.eventually("the double spend to end", func() bool { return l.finals(0, a, b) == 1 && l.finals(1, a, b) == 1 && l.finals(2, a, b) == 1 })

	l.nodes[2].stop()
	c := l.pay("c", 1)
	l.submit(0, c)
	l.lie(l.vote(c, observation.Pending, 0))
	l.lie(l.vote(c, observation.Accepted, 0))
	l.eventually("the liar's votes to make a transaction final", func() bool { return l.finals(0, c) == 1 && l.finals(1, c) == 1 })
	stored, _, err := l.nodes[0].store.Transaction(c.ID)
	if err != nil || stored.Final == nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(stored.Final.Edges, func(e store.EdgeRef) bool { return e.Key == l.keys[3].Public() }) {
		t.Fatal("final without the liar: nothing was tested")
	}
	for i := range 2 {
		if n := len(l.evidence(i)); n != len(want) {
			t.Errorf("node %d keeps %d pieces by now", i, n)
		}
		for _, e := range first {
			if n := l.listings(i, e.Hash); n != 1 {
				t.Errorf("node %d lists %v %d times", i, e.Kind, n)
			}
		}
	}
}

// finals is how many of some transactions are final on a node.
func (l *live) finals(node int, txs ...*utxo.Tx) (n int) {
	l.t.Helper()
	for _, tx := range txs {
		st := l.nodes[node].store
		at, found, err := st.Transaction(tx.ID)
		if err != nil {
			l.t.Fatal(err)
		}
		if found && at.Final != nil && st.Durable(at.Final.Seq) { // before that nobody says that it is
			n++
		}
	}
	return n
}
