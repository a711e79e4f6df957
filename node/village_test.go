package node

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/notarynet/notaryd/node/gossip"
	"github.com/notarynet/notaryd/node/store"
	"github.com/notarynet/notaryd/observation"
	kit "github.com/notarynet/notaryd/observation/observationtest"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/utxo"
)

// villagePatience bounds what tests wait for; it is not how long anything takes.
const villagePatience = 20 * time.Second

// topicsInAll is how many topics a node listens to.
const topicsInAll = 4

// village is a network of four equal voters, of which some are nodes that run and others mere keys that sign
// what the test tells them.
type village struct {
	t       testing.TB
	genesis *group.Genesis
	signers []*kit.Signer
	tune    func(*Config)
	// speak has nodes hold the master keys of their peers, which are their node keys.
	speak bool
	// dir is where stores are on disk; empty for in memory. cache is for their blocks.
	dir   string
	cache int64
	// still has them propose no links: groups stay. last is the last epoch to which they propose a link, where it is not 0: trust goes
	// on flowing for many epochs, and how many there have been by now is a question of time.
	still bool
	last  uint64
	// unproven has them fetch nothing with its proof: what is final elsewhere comes by votes and hints, or not at all.
	unproven bool
	// tick is how often they walk the chains, where it is not 0.
	tick time.Duration
	// patience is how long who joins asks for a snapshot.
	patience time.Duration
}

type villager struct {
	*Node
	metrics gossip.Metrics
	met     map[*villager]bool
}

func newVillage(t testing.TB, tune func(*Config)) *village {
	t.Helper()
	return newVillageOf(t, 2, tune)
}

// newVillageOf is a village with so many coins of 1000 units in its genesis document.
func newVillageOf(t testing.TB, coins int, tune func(*Config)) *village {
	t.Helper()
	return newVillageFor(t, 4, coins, tune)
}

// newVillageFor is one of so many equal voters.
func newVillageFor(t testing.TB, voters, coins int, tune func(*Config)) *village {
	t.Helper()
	v := &village{t: t, tune: tune, cache: 1 << 20, patience: villagePatience}
	doc := &notaryv1.Genesis{
		Name: "village", AddressPrefix: "test", TimeMs: uint64(time.Now().UnixMilli()),
		Rewards: &notaryv1.RewardSchedule{Epochs: 1, UnitsPerEpoch: 1},
		Limits:  &notaryv1.NetworkLimits{WorkBits: 4, EpochMs: 1000},
	}
	var seeds []group.Member
	for i, w := range group.Split(voters) {
		s := &kit.Signer{Key: kit.Key(i), Head: observation.Head{Key: kit.Key(i).Public()}}
		key := s.Head.Key
		seeds = append(seeds, group.Member{PeerID: domain.Sum(domain.TagPeer, key[:]), Weight: w, Keys: []group.NodeKey{{Key: key}}})
		v.signers = append(v.signers, s)
	}
	doc.Seeds = group.Seeds(seeds)
	owner := utxo.KeyLock(kit.Key(100).Public()).Address()
	for range coins {
		doc.Allocations = append(doc.Allocations, &notaryv1.Output{
			Address: owner[:], Amount: 1000, Kind: notaryv1.OutputKind_OUTPUT_KIND_PAYMENT,
		})
	}
	g, err := group.MakeGenesis(doc)
	if err != nil {
		t.Fatal(err)
	}
	v.genesis = g
	return v
}

// pay spends a genesis output; salt tells rivals apart.
func (v *village) pay(output uint32, salt string) *utxo.Tx {
	v.t.Helper()
	d, err := utxo.NewBuilder(v.genesis.ID).Spend(utxo.Outpoint{Tx: v.genesis.ID, Index: output}).
		Pay(utxo.KeyLock(kit.Key(101).Public()).Address(), utxo.Product{}, 1000).Salt([]byte(salt)).Build()
	if err != nil {
		v.t.Fatal(err)
	}
	tx, err := d.Sign(kit.Key(100)).Finish()
	if err != nil {
		v.t.Fatal(err)
	}
	return tx
}

// store is a new store of a voter's node. Whoever asks for it closes it.
func (v *village) store(i int) *store.Store {
	v.t.Helper()
	delta, err := utxo.GenesisDelta(v.genesis)
	if err != nil {
		v.t.Fatal(err)
	}
	st, err := store.Open(filepath.Join(v.dir, "village"), store.Options{
		Network: v.genesis.ID, Key: v.signers[i].Head.Key, Create: true, Genesis: delta, GenesisMS: v.genesis.Doc.TimeMs,
		InMemory: v.dir == "", MemBytes: 4 << 20, CacheBytes: v.cache, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		v.t.Fatal(err)
	}
	return st
}

// start runs the node of a voter. It knows nobody, and says nothing unless it has something to say.
func (v *village) start(i int) *villager {
	t := v.t
	t.Helper()
	st, log := v.store(i), slog.New(slog.DiscardHandler)
	config := DefaultConfig()
	config.Heartbeat, config.StallAfter, config.DrainPatience, config.Listen = time.Hour, time.Hour, 0, 0
	config.Contests.BaseMS, config.Contests.MaxMS = 3_600_000, 3_600_000 // rounds end by votes alone
	if v.tune != nil {
		v.tune(&config)
	}
	g := gossip.DefaultConfig(v.genesis.ID, v.signers[i].Key)
	g.Listen = []string{"/ip4/127.0.0.1/tcp/0"}
	g.Heartbeat = 100 * time.Millisecond
	g.Memory = 64 << 20
	registry := prometheus.NewRegistry()
	metrics := gossip.NewMetrics(registry)
	var master *domain.PrivateKey
	if v.speak {
		master = &v.signers[i].Key
	}
	n, err := New(config, Parts{
		Master: master, Genesis: v.genesis, Key: v.signers[i].Key, Store: st, Gossip: g, GossipMetrics: metrics, Metrics: NewMetrics(registry), Log: log,
	})
	if err != nil {
		t.Fatal(errors.Join(err, st.Close()))
	}
	propose := n.sh.keeper.propose
	n.sh.keeper.propose = func(ctx context.Context, tx *utxo.Tx) error {
		if v.still || v.last > 0 && tx.Link.Epoch() > v.last {
			return nil
		}
		return propose(ctx, tx)
	}
	if v.tick > 0 {
		n.sh.epochs.tick = v.tick
	}
	if v.unproven {
		n.sh.reconciler.fetch = func(context.Context, domain.PublicKey, []domain.Hash) (int, error) { return 0, nil }
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-done, st.Close()); err != nil {
			t.Errorf("node %d ended with: %v", i, err)
		}
	})
	for {
		problems, changed := n.Ready()
		if len(problems) == 0 {
			return &villager{n, metrics, make(map[*villager]bool)}
		}
		select {
		case <-changed:
		case <-time.After(villagePatience):
			t.Fatalf("node %d is not ready: %v", i, problems)
		}
	}
}

// meet connects nodes, each with every other, and waits for the comparisons of heads that come with connections, and until each knows
// what the others listen to: what a node hears afterwards comes of what the test does, and what it says is heard.
func (v *village) meet(nodes ...*villager) {
	v.t.Helper()
	for i, a := range nodes {
		for _, b := range nodes[:i] {
			if err := a.sh.net.Connect(v.t.Context(), b.sh.net.Addrs()[0]); err != nil {
				v.t.Fatal(err)
			}
			a.met[b], b.met[a] = true, true
		}
	}
	for _, n := range nodes {
		eventually(v.t, "heads of all whom it met", func() bool { return n.heads(v.t) >= len(n.met) })
		eventually(v.t, "all whom it met to listen", func() bool {
			listen := 0
			for _, p := range n.sh.net.Peers() {
				if p.Topics == topicsInAll {
					listen++
				}
			}
			return listen >= len(n.met)
		})
	}
}

// heads is how many times a node was told how far chains are elsewhere.
func (n *villager) heads(t testing.TB) int {
	t.Helper()
	asked := n.metrics.Asked
	return int(counterOf(t, asked.WithLabelValues("heads", "ok")) + counterOf(t, asked.WithLabelValues("heads", "empty")))
}

// submit hands a transaction to a node and waits until it has voted on it.
func (n *villager) submit(t *testing.T, tx *utxo.Tx) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), villagePatience)
	defer cancel()
	if _, err := n.Submit(ctx, "test", tx.Raw, notaryv1.WaitLevel_WAIT_LEVEL_PENDING); err != nil {
		t.Fatal(err)
	}
}

// hear gives a node observations that nobody else gets.
func (n *villager) hear(t *testing.T, list ...*observation.Observation) {
	t.Helper()
	for _, o := range list {
		if err := n.sh.observe(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
}

// first is the first observation that a node signed.
func (n *villager) first(t *testing.T) *observation.Observation {
	t.Helper()
	o, found, err := n.sh.store.Observation(observation.ChainID{Key: n.sh.self}, 1)
	if err != nil || !found {
		t.Fatalf("no observation: %v", err)
	}
	return o
}

// bring has transactions reach a node.
func (n *villager) bring(t *testing.T, txs ...*utxo.Tx) {
	t.Helper()
	for _, tx := range txs {
		if _, err := n.sh.intake(t.Context(), tx, Origin{kind: fromGossip, name: "test"}, true); err != nil {
			t.Fatal(err)
		}
	}
}

// voted is how many votes of a state on a transaction, in round 0, a node has counted.
func (n *villager) voted(t *testing.T, tx *utxo.Tx, state observation.State) (count int) {
	t.Helper()
	votes, err := n.sh.counting.votes(t.Context(), tx.ID)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range votes {
		if v.State == state && v.Round == 0 {
			count++
		}
	}
	return count
}

func (n *villager) final(t *testing.T, tx *utxo.Tx) bool {
	t.Helper()
	at, found, err := n.sh.store.Transaction(tx.ID)
	if err != nil {
		t.Fatal(err)
	}
	return found && at.Final != nil && n.sh.store.Durable(at.Final.Seq) // before that nobody says that it is
}

// contested is how many of the transactions a node has in its contests.
func (n *villager) contested(t *testing.T, txs ...*utxo.Tx) (count int) {
	t.Helper()
	if err := n.sh.arena.ask(t.Context(), func() {
		for _, tx := range txs {
			if _, there := n.sh.arena.entrants[tx.ID]; there {
				count++
			}
		}
	}); err != nil {
		t.Fatal(err)
	}
	return count
}

// eventually waits for what no channel announces.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(3 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(villagePatience)
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("never: %s", what)
		}
	}
}
