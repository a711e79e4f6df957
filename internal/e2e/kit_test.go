package e2e

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/notarynet/notaryd/api"
	"github.com/notarynet/notaryd/internal/crashdisk"
	"github.com/notarynet/notaryd/internal/freeport"
	"github.com/notarynet/notaryd/node"
	"github.com/notarynet/notaryd/node/gossip"
	"github.com/notarynet/notaryd/node/store"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/utxo"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	coin = utxo.UnitsPerCoin
	// coinValue is what each of alice's genesis outputs is worth.
	coinValue = 1000 * coin
	// patience is how long a call may take.
	patience = 20 * time.Second
	// longest is how long a test waits for what must come: ten times what it takes on a busy machine under the race detector.
	longest = time.Minute
)

// alice owns the coins of every test network; bob and carol are those she deals with.
var alice, bob, carol = keyOf(1), keyOf(2), keyOf(3)

func keyOf(b byte) domain.PrivateKey {
	var seed [32]byte
	for i := range seed {
		seed[i] = b
	}
	return domain.NewPrivateKey(seed)
}

func addressOf(k domain.PrivateKey) utxo.Address { return utxo.KeyLock(k.Public()).Address() }

// setup is what a test may choose about its network.
type setup struct {
	coins int            // genesis outputs of alice
	extra []*utxo.Output // further genesis outputs, after alice's
	node  func(*node.Config)
	api   func(*api.Config)
	down  []int // nodes not started at first
	disks bool  // the stores lie on disks whose power can be cut
	// speak gives nodes the master keys of their peers, which are their node keys. Links follow each other
	// after a second.
	speak bool
}

// network is a network of nodes that all have the same weight.
type network struct {
	t       testing.TB
	setup   setup
	genesis *group.Genesis
	nodes   []*notary
	cache   *store.Cache
}

// notary is one node: what outlives a restart, and what runs at present.
type notary struct {
	net   *network
	index int
	key   domain.PrivateKey
	peer  *domain.PrivateKey // the master key, where the node holds it
	dir   string
	p2p   int  // TCP port, kept across restarts
	made  bool // its store exists
	// node and api change what the next start runs with.
	tune    func(*node.Config)
	tuneAPI func(*api.Config)
	reserve uint64          // bytes of disk that its store wants free; 0 for next to nothing
	breaks  bool            // the test broke it: how it ends does not matter
	disk    *crashdisk.Disk // what its store lies on; nil for the machine's own

	running *running
}

type running struct {
	node  *node.Node
	store *store.Store
	conn  *grpc.ClientConn
	rest  string // base URL
	notaryv1.NotaryServiceClient
	cancel context.CancelFunc
	done   chan error
}

// start makes a network and waits until its nodes see each other.
func start(t testing.TB, count int, s setup) *network {
	t.Helper()
	if s.coins == 0 {
		s.coins = 16
	}
	n := &network{t: t, setup: s, cache: store.NewCache(8 << 20)}
	t.Cleanup(n.cache.Close)
	for i := range count {
		n.nodes = append(n.nodes, &notary{
			net: n, index: i, key: keyOf(byte(100 + i)), dir: filepath.Join(t.TempDir(), "store"), p2p: freeport.Port(t),
		})
	}
	if s.speak {
		for _, v := range n.nodes {
			v.peer = &v.key
		}
	}
	if s.disks {
		for i, v := range n.nodes {
			v.disk = crashdisk.New(uint64(i))
		}
	}
	n.genesis = makeGenesis(t, n)
	t.Cleanup(func() {
		if t.Failed() {
			n.account(t)
		}
		for _, v := range n.nodes {
			v.kill(t)
		}
	})
	for i, v := range n.nodes {
		if !slices.Contains(s.down, i) {
			v.start(t)
		}
	}
	n.meet(t)
	return n
}

func makeGenesis(t testing.TB, n *network) *group.Genesis {
	t.Helper()
	doc := &notaryv1.Genesis{
		Name: "e2e", AddressPrefix: "etest", TimeMs: uint64(time.Now().UnixMilli()),
		Rewards: &notaryv1.RewardSchedule{Epochs: 2, UnitsPerEpoch: 1_000_000 * coin},
	}
	if n.setup.speak {
		doc.Limits = &notaryv1.NetworkLimits{WorkBits: 4, EpochMs: 1000}
	}
	var seeds []group.Member
	for i, w := range group.Split(len(n.nodes)) {
		key := n.nodes[i].key.Public()
		seeds = append(seeds, group.Member{PeerID: domain.Sum(domain.TagPeer, key[:]), Weight: w, Keys: []group.NodeKey{{Key: key}}})
	}
	doc.Seeds = group.Seeds(seeds)
	mine := addressOf(alice)
	for range n.setup.coins {
		doc.Allocations = append(doc.Allocations, &notaryv1.Output{
			Address: mine[:], Amount: coinValue, Kind: notaryv1.OutputKind_OUTPUT_KIND_PAYMENT,
		})
	}
	for _, o := range n.setup.extra {
		doc.Allocations = append(doc.Allocations, protoOutput(t, o))
	}
	g, err := group.MakeGenesis(doc)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// coin is the i-th genesis output; alice's come first, then those of setup.extra.
func (n *network) coin(i int) utxo.Outpoint {
	return utxo.Outpoint{Tx: n.genesis.ID, Index: uint32(i)}
}

// up are the nodes that run.
func (n *network) up() []*notary {
	var out []*notary
	for _, v := range n.nodes {
		if v.running != nil {
			out = append(out, v)
		}
	}
	return out
}

// meet waits until every running node is ready and sees all others.
func (n *network) meet(t testing.TB) {
	t.Helper()
	up := n.up()
	for _, v := range up {
		eventually(t, fmt.Sprintf("node %d to see %d others", v.index, len(up)-1), func() bool {
			if problems, _ := v.running.node.Ready(); len(problems) > 0 && v.reserve == 0 {
				return false
			}
			info, err := v.running.GetNetwork(t.Context(), &notaryv1.GetNetworkRequest{})
			return err == nil && int(info.ConnectedPeers) >= len(up)-1
		})
	}
}

// start runs a node, with what its store holds.
func (v *notary) start(t testing.TB) {
	t.Helper()
	if err := v.launch(); err != nil {
		t.Fatalf("node %d: %v", v.index, err)
	}
}

func (v *notary) launch() error {
	n := v.net
	delta, err := utxo.GenesisDelta(n.genesis)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(n.t.Output(), &slog.HandlerOptions{Level: logLevel()})).With("node", v.index)
	o := v.storeOptions(delta)
	o.Logger = log
	st, err := store.Open(v.dir, o)
	if err != nil {
		return err
	}
	v.made = true
	registry := prometheus.NewRegistry()
	parts := node.Parts{
		Genesis: n.genesis, Key: v.key, Master: v.peer, Store: st, Gossip: v.gossipConfig(), GossipMetrics: gossip.NewMetrics(registry),
		Metrics: node.NewMetrics(registry), Log: log, Version: "e2e",
	}
	if _, err := node.Join(context.Background(), v.nodeConfig(), parts); err != nil {
		return errors.Join(err, st.Close())
	}
	nd, err := node.New(v.nodeConfig(), parts)
	if err != nil {
		return errors.Join(err, st.Close())
	}
	metrics, err := api.NewMetrics(registry)
	if err != nil {
		return errors.Join(err, st.Close())
	}
	server, err := api.NewServer(v.apiConfig(), api.Backends{
		Submitter: nd, Reader: nd, Accounts: nd, Watcher: nd, Describer: nd, Readiness: nd,
		Explainer: nd, Contests: nd, Archive: nd, Peers: nd, Evidence: nd,
	}, metrics, log)
	if err != nil {
		return errors.Join(err, st.Close())
	}
	public, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return errors.Join(err, st.Close())
	}
	conn, err := grpc.NewClient(public.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return errors.Join(err, st.Close(), public.Close())
	}
	ctx, cancel := context.WithCancel(context.Background())
	v.running = &running{
		node: nd, store: st, conn: conn, rest: "http://" + public.Addr().String(),
		NotaryServiceClient: notaryv1.NewNotaryServiceClient(conn), cancel: cancel, done: make(chan error, 1),
	}
	go v.running.run(ctx, server, public)
	return nil
}

func (v *notary) storeOptions(genesis utxo.Delta) store.Options {
	n := v.net
	o := store.Options{
		Network: n.genesis.ID, Key: v.key.Public(), Create: !v.made, Genesis: genesis, GenesisMS: n.genesis.Doc.TimeMs,
		MemBytes: 4 << 20, Cache: n.cache, ReserveBytes: max(v.reserve, 1), Logger: slog.New(slog.DiscardHandler),
	}
	if v.disk != nil {
		o.FS, o.Exit = v.disk, func(int) {} // the node ends, the test goes on
	}
	return o
}

// run is what the program does: the node ends first, then the API, then the store is closed.
func (r *running) run(ctx context.Context, server *api.Server, public net.Listener) {
	serving, end := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() {
		err := server.Serve(serving, api.Listeners{Public: []net.Listener{public}})
		r.node.Stop()
		served <- err
	}()
	err := r.node.Run(ctx)
	end()
	r.done <- errors.Join(err, <-served, r.store.Close())
}

func (v *notary) nodeConfig() node.Config {
	c := node.DefaultConfig()
	c.Heartbeat = time.Second // so that gaps show soon
	c.DrainPatience = 0       // an end is a crash, unless the test drains
	c.Listen = 300 * time.Millisecond
	c.Shards = 2
	c.Contests.BaseMS = 150
	for _, tune := range []func(*node.Config){v.net.setup.node, v.tune} {
		if tune != nil {
			tune(&c)
		}
	}
	return c
}

func (v *notary) apiConfig() api.Config {
	c := api.DefaultConfig()
	c.Grace = 2 * time.Second
	c.Limits.CallsPerSecond, c.Limits.CallBurst = 1e6, 1e6
	c.Limits.OpenStreamsPerClient = 512
	for _, tune := range []func(*api.Config){v.net.setup.api, v.tuneAPI} {
		if tune != nil {
			tune(&c)
		}
	}
	return c
}

func (v *notary) gossipConfig() gossip.Config {
	c := gossip.DefaultConfig(v.net.genesis.ID, v.key)
	c.Listen = []string{fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", v.p2p)}
	c.Memory = 64 << 20
	c.Heartbeat = 100 * time.Millisecond
	for _, other := range v.net.nodes {
		c.Bootstrap = append(c.Bootstrap, fmt.Sprintf("/ip4/127.0.0.1/tcp/%d/p2p/%s", other.p2p, gossip.PeerID(other.key.Public())))
	}
	return c
}

// kill ends a node at once: what is on its way is left as it is.
func (v *notary) kill(t testing.TB) {
	t.Helper()
	r := v.running
	if r == nil {
		return
	}
	v.running = nil
	r.cancel()
	if err := errors.Join(<-r.done, r.conn.Close()); err != nil && !v.breaks {
		t.Errorf("node %d ended with: %v", v.index, err)
	}
}

// stop drains a node and ends it.
func (v *notary) stop(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if left, err := v.running.node.Drain(ctx); left != 0 || err != nil {
		t.Errorf("node %d: %d transactions left after draining, %v", v.index, left, err)
	}
	v.kill(t)
}

// restart ends a node at once and runs it again on the same store.
func (v *notary) restart(t testing.TB) {
	t.Helper()
	v.kill(t)
	v.start(t)
}

// logLevel is what nodes tell: warnings, or more where NOTARY_E2E_LOG asks for it.
func logLevel() slog.Level {
	level := slog.LevelWarn
	if s := os.Getenv("NOTARY_E2E_LOG"); s != "" {
		if err := level.UnmarshalText([]byte(s)); err != nil {
			panic(err)
		}
	}
	return level
}

// eventually waits until a condition holds.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	deadline := time.NewTimer(longest)
	defer deadline.Stop()
	tick := time.NewTicker(3 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("waited %v for %s", longest, what)
		}
	}
}
