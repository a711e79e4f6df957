package node

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/notarynet/notaryd/node/gossip"
	"github.com/notarynet/notaryd/node/store"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	"github.com/notarynet/notaryd/utxo"
)

// shell is the set of owners that flights and handlers reach. Nobody in it holds a pointer back.
type shell struct {
	ctx context.Context // ends with the node; flights end with it
	// up is closed once the owners run, stopping when the node was asked to end. Nothing but begun reads
	// them.
	up, stopping chan struct{}

	config Config
	log    *slog.Logger

	genesis  *group.Genesis
	self     domain.PublicKey
	rules    utxo.Rules
	obsRules observation.Rules

	store      *store.Store
	lineage    *lineage
	backers    *backers
	omissions  *omissions
	space      *space
	net        *gossip.Net
	flights    *directory
	graves     *graveyard
	admission  *admission
	waiting    *waiting
	alarms     *alarms
	verifier   *verifier
	contention *contention
	counting   *counting
	arena      *arena
	batcher    *batcher
	committer  *committer
	observer   *observer
	witness    *witness
	archive    *archive
	keeper     *keeper
	epochs     *epochs
	early      *early
	turnstile  *turnstile
	// possessions bounds the proofs that are verified for each neighbour.
	possessions *turnstile
	// proving holds a place for each proof that is being made for others, possessing one for each flight whose proofs of
	// possession are being verified.
	proving, possessing chan struct{}

	finalSigner *finalSigner
	compactor   *compactor

	fetcher     *fetcher
	votes       *voteFetcher
	catchup     *catchup
	reconciler  *reconciler
	snapshotter *snapshotter
	// before is what was final before the store began; nil where it began with the genesis document.
	before *beforeSet
	// lately is what became final lately, and is on disk.
	lately  *lately
	news    *news
	metrics *Metrics
	recent  *recent
	relays  relays

	ready *readiness
	hands *hands
	fail  func(error)
}

// publishObservations passes what this node signed at once on. What the network's queue has no room for leaves a gap in the
// chain, which others pull.
func (sh *shell) publishObservations(signed []*observation.Observation) {
	for _, run := range observation.EncodeRuns(signed) {
		if err := sh.net.PublishObservation(run); err != nil {
			sh.log.Debug("observations not passed on", "err", err)
		}
	}
}

// finals is told of every group commit: winners wake their children and end their rivals, and whoever
// follows the log of finals has news.
func (sh *shell) finals(ctx context.Context, fs []*flight, finals []store.Final) {
	now, viewing := time.Now(), sh.viewing()
	released := make([]*utxo.Tx, len(fs))
	for i, f := range fs {
		released[i] = f.tx
		f.mu.Lock()
		f.info = &store.FinalInfo{
			FinalMS: finals[i].FinalMS, Round: finals[i].Round, GroupEpoch: finals[i].GroupEpoch, Link: finals[i].Link, Edges: finals[i].Edges,
		}
		f.mu.Unlock()
		sh.contention.won(f)
		sh.waiting.wake(f.tx.ID)
		sh.keeper.learn(f.tx)
		sh.lately.add(f.tx.ID)
		if f.tx.Link != nil {
			sh.epochs.ring()
		}
		if viewing {
			sh.backers.note(f.tx.ID, f.info, now)
		}
		took := finals[i].FinalMS - min(finals[i].FinalMS, f.receivedMS) // the clock may have been set back
		sh.metrics.finalSeconds.Observe(float64(took) / 1000)
		if !f.aside { // set before the flight asked for its commit
			sh.admission.finished(f.origin, time.Duration(took)*time.Millisecond)
		}
		sh.recent.final(finals[i].FinalMS, took)
	}
	put(ctx, sh.batcher.released, released)
	sh.news.announce()
}

// news tells followers of the log of finals that there is more.
type news struct {
	mu   sync.Mutex
	more chan struct{}
}

func newNews() *news { return &news{more: make(chan struct{})} }

// announce wakes all followers.
func (n *news) announce() {
	n.mu.Lock()
	close(n.more)
	n.more = make(chan struct{})
	n.mu.Unlock()
}

// next is closed at the next announcement.
func (n *news) next() <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.more
}
