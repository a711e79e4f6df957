package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/notarynet/notaryd/conflict"
	"github.com/notarynet/notaryd/node/gossip"
	"github.com/notarynet/notaryd/node/store"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	"github.com/notarynet/notaryd/utxo"
)

// Node is one notary. Make it with New, then Run it.
type Node struct {
	sh       *shell
	gossip   gossip.Config
	gossipM  gossip.Metrics
	ready    *readiness
	version  string
	stopping chan struct{}
	stopOnce sync.Once
	failed   chan error
	voice    *voice
}

// Parts is what a node is made of besides its configuration.
type Parts struct {
	Genesis *group.Genesis
	Key     domain.PrivateKey
	// Master is the master key of the node's peer; nil where it is kept elsewhere.
	Master *domain.PrivateKey
	Store  *store.Store
	Gossip gossip.Config
	// GossipMetrics and Metrics are registered by the caller.
	GossipMetrics gossip.Metrics
	Metrics       *Metrics
	Log           *slog.Logger
	Version       string
}

// New wires the owners. Nothing runs and nothing is sent before Run.
func New(c Config, p Parts) (*Node, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	n := &Node{
		gossip: p.Gossip, gossipM: p.GossipMetrics, version: p.Version,
		ready: newReadiness(), stopping: make(chan struct{}), failed: make(chan error, 1), voice: newVoice(p.Master),
	}
	sh := &shell{
		config: c, log: p.Log, genesis: p.Genesis, self: p.Key.Public(),
		rules: utxo.RulesOf(p.Genesis),
		up:    make(chan struct{}), stopping: n.stopping,
		obsRules: observation.Rules{Network: p.Genesis.ID, MaxLeaves: int(p.Genesis.Doc.GetLimits().GetMaxLeaves())},
		store:    p.Store, metrics: p.Metrics, lately: newLately(), flights: newDirectory(), graves: newGraveyard(1 << 16),
		possessions: newTurnstile(possessionBurst, possessionWindow), proving: make(chan struct{}, halfOfProcessors()), possessing: make(chan struct{}, halfOfProcessors()),
		admission: newAdmission(c.MaxInFlight, c.BusyAfter), alarms: newAlarms(), news: newNews(), hands: newHands(), early: newEarly(), recent: new(recent),
		contention: newContention(c.Shards), verifier: newVerifier(p.Metrics), ready: n.ready, fail: n.fail,
		lineage: newLineage(p.Genesis, p.Store), backers: newBackers(c.HeldPatience, p.Metrics, p.Log),
	}
	var err error
	if sh.epochs, err = newEpochs(sh.self, p.Store, sh.lineage, p.Metrics.epochs, p.Log); err != nil {
		return nil, err
	}
	if sh.obsRules.MaxLeaves == 0 {
		sh.obsRules.MaxLeaves = observation.MaxLeaves
	}
	sh.config.MaxLeaves = min(c.MaxLeaves, sh.obsRules.MaxLeaves) // others refuse more
	n.sh = sh
	sh.space = &space{room: p.Store.Room, log: p.Log, tell: func(problem string) { n.ready.say(aboutDisk, problem) }}
	sh.space.look()
	sh.fetcher = newFetcher(sh.alarms, p.Log)
	sh.fetcher.known, sh.fetcher.check, sh.fetcher.intake = sh.settled, sh.pulledID, sh.pulled
	sh.fetcher.height, sh.fetcher.take = sh.pulledHeight, sh.observed
	sh.waiting = newWaiting(c, sh.alarms, func(ids []domain.Hash, from Origin) {
		for _, id := range ids {
			sh.fetcher.want(wanted{id: id, from: from.peers()})
		}
	})
	contests, err := conflict.NewContests(c.Contests, sh.self, sh.group())
	if err != nil {
		return nil, err
	}
	sh.arena = newArena(sh.alarms, p.Log, p.Metrics, contests)
	if sh.before, err = newBefore(p.Store); err != nil {
		return nil, err
	}
	sh.counting = newCounting(c.Shards, sh.before, sh.lately, c.HeldPatience+tallyTick, sh.flights, p.Metrics, listeners{
		joined: sh.cleared, accept: sh.accept, finish: sh.finish, hear: sh.arena.hear,
		unknown: func(tx domain.Hash, key domain.PublicKey) {
			sh.fetcher.want(wanted{id: tx, from: []domain.PublicKey{key}})
		},
	})
	sh.committer = &committer{queue: make(chan commit, 4096), store: p.Store, space: sh.space, done: sh.finals, landed: sh.landed, fail: n.fail, metrics: p.Metrics}
	if err := n.wireBatcher(p); err != nil {
		return nil, err
	}
	n.wireObserver()
	sh.arena.votes = sh.batcher.casts
	sh.arena.tallies = func(tx domain.Hash) chan<- any { return sh.counting.shard(tx).queue }
	sh.wireVotes()
	sh.wireCatchup()
	sh.wireReconciler()
	sh.arena.need, sh.arena.hand = sh.votes.need, sh.votes.hand
	if err := n.wireKeeper(p); err != nil {
		return nil, err
	}
	if err := sh.wireEvidence(); err != nil {
		return nil, err
	}
	sh.wireOmissions()
	sh.wireFinals(p.Key)
	sh.wireEpochs()
	return n, n.wireSnapshots(p.Key)
}

// wireBatcher takes up this node's own chain and votes where the store has them.
func (n *Node) wireBatcher(p Parts) error {
	sh := n.sh
	head := observation.Head{Key: sh.self}
	present := sh.group()
	if voter, ok := present.Voter(sh.self); ok {
		head.SigningEpoch = present.Voters()[voter].SigningEpoch
	}
	head = p.Store.Head(observation.ChainID{Key: head.Key, SigningEpoch: head.SigningEpoch})
	guard := conflict.NewGuard()
	entered, _, err := p.Store.Entered()
	if err != nil {
		return err
	}
	taken := entered.Bonds
	for r, err := range p.Store.GuardRecords() {
		if err != nil {
			return err
		}
		guard.Restore([]conflict.Record{r})
		if r.State == observation.Inherited && !r.Released {
			taken = append(taken, conflict.Bond{Tx: r.Tx, Spends: []utxo.Outpoint{r.Outpoint}}) // all of it that builds before bonds kept
		}
	}
	signs, why := maySign(present, sh.self, p.Store.Signing())
	if why != "" {
		p.Log.Warn("this node follows and " + why)
		n.ready.say(aboutSigning, why)
	}
	closed, err := endsClosed(p.Store, head, present)
	if err != nil {
		return err
	}
	sh.batcher = &batcher{
		closed: closed, taken: taken, say: func(why string) { n.ready.say(aboutSigning, why) },
		signs: signs, log: p.Log,
		casts: make(chan cast, 4096), seen: make(chan observation.Head, 256),
		released: make(chan []*utxo.Tx, 64), lost: make(chan rejected, 1024), convicting: make(chan domain.Hash, 1024),
		key: p.Key, group: present, rhythm: newRhythm(len(present.Voters())), unripe: newRipening(sh.config.MempoolDelay), piece: observation.PieceLeaves(len(present.Voters())),
		head: head, guard: guard, store: p.Store, space: sh.space, config: sh.config, most: sh.obsRules.MaxLeaves,
		publish: sh.publishObservations,
		count: func(ctx context.Context, o *observation.Observation) {
			sh.epochs.heard(o)
			if g, voter := sh.groupOf(&o.Header); g != nil {
				sh.counting.count(ctx, ballots{o, g, voter})
			}
		},
		freed: func(in conflict.Freed) { sh.arena.rung.ring(in) },
		fail:  n.fail, metrics: p.Metrics, heads: make(map[domain.PublicKey]observation.Head),
	}
	return nil
}

// wireKeeper takes up the links and the metadata that are final here.
func (n *Node) wireKeeper(p Parts) error {
	sh := n.sh
	sh.keeper = newKeeper(p.Genesis, p.Key, p.Store, sh.rules, p.Log)
	sh.keeper.up, sh.keeper.fail = sh.up, n.fail
	sh.backers.votes, sh.backers.backing = sh.counting.votes, sh.backing
	sh.keeper.floor = marginFloor{floor: sh.config.MarginFloor, metrics: sh.metrics.trust, log: p.Log}
	if p.Master != nil {
		sh.keeper.peer = group.PeerID(p.Master.Public())
	}
	sh.keeper.voting = sh.group
	sh.keeper.propose = func(ctx context.Context, tx *utxo.Tx) error {
		_, err := sh.intake(ctx, tx, Origin{kind: fromAPI, name: "keeper"}, true)
		return err
	}
	return sh.keeper.catchUp()
}

func (n *Node) wireObserver() {
	sh := n.sh
	sh.observer = &observer{
		queue: make(chan []*observation.Observation, 1024), group: sh.group, groupOf: sh.groupOf, counts: sh.follows, self: sh.self, space: sh.space,
		chains: observation.NewChains(chainWindow, chainsMost),
		ahead:  make(map[observation.ChainID]map[uint64]*observation.Observation),
		asked:  make(map[observation.ChainID]time.Time), heard: make(map[domain.PublicKey]time.Time),
		hearing: make(chan chan hearing),
		store:   sh.store, alarms: sh.alarms, log: sh.log, metrics: sh.metrics,
		count: func(ctx context.Context, b ballots) {
			sh.epochs.heard(b.observation)
			sh.counting.count(ctx, b)
		},
		saw: sh.batcher.saw, pull: sh.fetcher.wantRange, fail: n.fail,
	}
	sh.observer.resume()
}

// fail ends the node: the first error of an owner is what Run returns.
func (n *Node) fail(err error) {
	select {
	case n.failed <- err:
	default:
	}
	n.Stop()
}

// Stop asks the node to drain and end, and returns at once.
func (n *Node) Stop() { n.stopOnce.Do(func() { close(n.stopping) }) }

// Run works until ctx ends, Stop is called or an owner fails: it joins the network, takes up what an
// earlier life left undecided, and then serves. On the way out it first refuses new transactions, gives
// those on their way a moment, and then stops the owners.
func (n *Node) Run(ctx context.Context) error {
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer n.Stop() // whoever waits for the node to be up waits no more
	sh := n.sh
	sh.ctx = work
	net, err := gossip.New(work, n.gossip, handlers{sh}, n.gossipM, sh.log)
	if err != nil {
		return fmt.Errorf("joining the network: %w", err)
	}
	sh.net, sh.fetcher.net, sh.catchup.net = net, net, net
	net.SetMembers(members(sh.group()))
	net.Serve(work, pulls{sh}, sh.hinted)

	left, err := n.undecided()
	if err != nil {
		return errors.Join(err, net.Close())
	}
	var owners sync.WaitGroup
	for _, run := range n.running() {
		owners.Go(func() { run(work) })
	}
	err = n.restore(work, left)
	if err == nil {
		close(sh.up)
		n.ready.say(aboutStart, "")
		sh.log.Info("node is up", "network", sh.genesis.ID, "key", sh.self, "weight", sh.group().Share(sh.self))
		err = n.wait(ctx)
	}
	n.ready.say(aboutStop, "shutting down")
	if err == nil {
		drain, done := context.WithTimeout(work, sh.config.DrainPatience)
		left, _ := n.Drain(drain)
		done()
		sh.log.Info("drained", "left", left)
	}
	sh.admission.drain() // no place is given from here on
	cancel()
	owners.Wait()
	sh.ground()
	return errors.Join(err, net.Close())
}

// members are the node keys of a group.
func members(g *group.Group) []domain.PublicKey {
	keys := make([]domain.PublicKey, len(g.Voters()))
	for i, v := range g.Voters() {
		keys[i] = v.Key
	}
	return keys
}

// wait is until something ends the node.
func (n *Node) wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-n.stopping:
	}
	select {
	case err := <-n.failed:
		return err
	default:
		return nil
	}
}

// running are the owners' goroutines.
func (n *Node) running() []func(context.Context) {
	sh := n.sh
	owners := []func(context.Context){
		sh.alarms.run, sh.verifier.run, sh.verifier.run, n.vote,
		sh.committer.run, sh.observer.run, sh.fetcher.run, sh.votes.run, sh.catchup.run, sh.arena.run, sh.witness.run, sh.sweep, sh.epochs.run,
		sh.keeper.run, n.announce, sh.backers.run, sh.omissions.run, sh.reconciler.run, sh.snapshotter.run,
	}
	for _, s := range sh.counting.shards {
		owners = append(owners, s.run)
	}
	return owners
}

// Drain refuses new transactions and waits until none is on its way or ctx ends; it returns how many
// are.
func (n *Node) Drain(ctx context.Context) (uint64, error) {
	sh := n.sh
	sh.admission.drain()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		left := sh.admission.inFlight.Load()
		if left == 0 {
			return 0, nil
		}
		select {
		case <-ctx.Done():
			return uint64(max(left, 0)), nil
		case <-tick.C:
		}
	}
}
