package node

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/notarynet/notaryd/node/epoch"
	"github.com/notarynet/notaryd/node/lifecycle"
	"github.com/notarynet/notaryd/node/store"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
	"github.com/notarynet/notaryd/utxo"
)

// keeper owns what trust has come to: the chain of links with its cut, what is said by those who could
// change the group, and the evidence. It judges links for flights, proposes the next one, and publishes what it knows for whoever
// reads. Those who tell it ring a bell and leave a note; what happened it reads from the store, so that
// nothing is lost and nobody waits for it.
type keeper struct {
	bell chan struct{}

	mu    sync.Mutex
	peers map[domain.Hash]struct{} // whose metadata has changed
	asked docket                   // links to be judged
	more  bool                     // there is more evidence
	moved bool                     // this node votes under another group

	// What follows is the owner's.
	state    *epoch.State
	last     utxo.Outpoint // the LINK output of the present group
	opensMS  uint64        // when it may be spent, but for evidence
	circle   *circle
	evidence []epoch.Conviction
	unjudged []*flight // links that wait for evidence
	right    []*flight // links of the present group's successor that were found right
	need     need
	seen     atomic.Pointer[trusted]

	simulating chan struct{} // who simulates sends

	store   *store.Store
	rules   utxo.Rules
	self    domain.PrivateKey
	peer    domain.Hash // that this node speaks for; zero where it does not hold the master key
	floor   marginFloor
	propose func(ctx context.Context, tx *utxo.Tx) error
	up      <-chan struct{} // closed once the node is up: nothing is proposed before
	// voting is the group under which this node votes. A link is for the group before it to certify, and no
	// other: else no proof leads over it. So one is neither voted for nor proposed before this node has entered
	// the epoch that it ends.
	voting func() *group.Group
	log    *slog.Logger
	fail   func(error)
}

func newKeeper(genesis *group.Genesis, key domain.PrivateKey, s *store.Store, rules utxo.Rules, log *slog.Logger) *keeper {
	return &keeper{
		bell: make(chan struct{}, 1), simulating: make(chan struct{}, 1), peers: make(map[domain.Hash]struct{}), more: true,
		state: epoch.Start(genesis.Group), last: utxo.FirstLink(genesis),
		circle: newCircle(s.PeerMetadata, circleBytes), store: s, rules: rules, self: key, log: log,
	}
}

// learn is told of every final transaction. It does not block.
func (k *keeper) learn(tx *utxo.Tx) {
	if tx.Peer == nil && tx.Link == nil {
		return
	}
	k.mu.Lock()
	if tx.Peer != nil {
		k.peers[tx.Peer.ID] = struct{}{}
	}
	k.mu.Unlock()
	k.ring()
}

// accused is told that there is new evidence. It does not block.
func (k *keeper) accused() {
	k.mu.Lock()
	k.more = true
	k.mu.Unlock()
	k.ring()
}

// entered is told that this node votes under another group. It does not block.
func (k *keeper) entered() {
	k.mu.Lock()
	k.moved = true
	k.mu.Unlock()
	k.ring()
}

// judge asks for a verdict on a link, which comes to the flight's mailbox. It does not block.
func (k *keeper) judge(f *flight) {
	k.mu.Lock()
	k.asked.enter(f)
	k.mu.Unlock()
	k.ring()
}

func (k *keeper) ring() {
	select {
	case k.bell <- struct{}{}:
	default:
	}
}

func (k *keeper) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-k.bell:
		case <-timer.C:
		}
		if err := k.catchUp(); err != nil {
			k.fail(err)
			return
		}
		if k.answer() {
			k.ring()
		}
		again, err := k.consider(ctx, time.Now())
		if err != nil && ctx.Err() == nil {
			k.fail(err)
			return
		}
		if k.circle.stale {
			again = min(again, k.circle.waits())
		}
		timer.Reset(again)
	}
}

// catchUp reads what has become final: links first, so that metadata is held against the newest cut.
func (k *keeper) catchUp() error {
	for {
		moved, err := k.follow()
		if err != nil {
			return err
		}
		if !moved {
			break
		}
		k.right = nil
		k.mu.Lock()
		k.asked.forget()
		k.mu.Unlock()
		k.wake() // their last link is spent, if not by themselves
		k.log.Info("a link is final", "epoch", k.state.Group().Epoch(), "link", k.state.Group().Link(),
			"members", len(k.state.Group().Members()), "evidence", len(k.state.Group().Evidence()))
	}
	k.mu.Lock()
	peers, more, entered := k.peers, k.more, k.moved
	k.peers, k.more, k.moved = make(map[domain.Hash]struct{}), false, false
	k.mu.Unlock()
	if entered {
		k.wake()
	}
	for id := range peers {
		k.circle.spoke(id)
	}
	if more {
		if err := k.readEvidence(); err != nil {
			return err
		}
	}
	me := k.me()
	fresh, err := k.unread(me)
	if err != nil {
		return err
	}
	t := newTrusted(k.state, peersOf(fresh), me, k.log)
	k.seen.Store(t)
	k.floor.watch(t)
	return nil
}

// me is this node's peer: that of its master key, or the one that its node key belongs to; zero for none. Anybody may ask, once the owner has caught
// up for the first time: what it is about to change is not looked at then.
func (k *keeper) me() domain.Hash {
	if !k.peer.IsZero() {
		return k.peer
	}
	t := k.seen.Load()
	if t == nil {
		t = &trusted{state: k.state}
	}
	id, _ := t.state.PeerOf(k.self.Public())
	return id
}

// follow goes one link further, if there is one.
func (k *keeper) follow() (moved bool, err error) {
	entry, found, err := k.store.Lookup(k.last)
	if err != nil || !found {
		return false, err
	}
	if k.opensMS = entry.FinalMS + entry.Output.MinAgeMS; entry.Output.MinAgeMS == 0 {
		k.opensMS = 0
	}
	if entry.SpentBy.IsZero() {
		return false, nil
	}
	t, found, err := k.store.Transaction(entry.SpentBy)
	if err != nil {
		return false, err
	}
	if !found {
		return false, fmt.Errorf("link %s is final and not in the store", entry.SpentBy)
	}
	tx, err := utxo.Decode(t.Raw, k.rules)
	if err != nil {
		return false, fmt.Errorf("a final link cannot be read back: %w", err)
	}
	read, err := k.readBy(tx)
	if err != nil {
		return false, err
	}
	k.state, k.last = k.state.After(tx.Link, read), utxo.Outpoint{Tx: tx.ID}
	return true, nil
}

// readBy is the metadata that a link reads.
func (k *keeper) readBy(tx *utxo.Tx) ([]*group.Peer, error) {
	var read []*group.Peer
	for _, o := range tx.Reads() {
		entry, found, err := k.store.Lookup(o)
		if err != nil {
			return nil, err
		}
		if !found || entry.Output.Data == nil {
			return nil, fmt.Errorf("link %s reads %s, which holds no metadata", tx.ID, o)
		}
		p, err := group.DecodePeer(entry.Output.Data.Payload)
		if err != nil {
			return nil, fmt.Errorf("final metadata cannot be read back: %w", err)
		}
		read = append(read, p)
	}
	return read, nil
}

// readEvidence reads all evidence, which is a piece for each kind of fault of each chain.
func (k *keeper) readEvidence() error {
	known := make([]epoch.Conviction, 0, len(k.evidence)+1)
	for e, err := range k.store.EvidenceAfter(domain.Hash{}) {
		if err != nil {
			return err
		}
		known = append(known, epoch.Conviction{Evidence: e.Hash, Key: e.Key().Key})
	}
	if len(known) > len(k.evidence) {
		k.wake()
	}
	k.evidence = known
	return nil
}

// verdict is what this node makes of a link now. One that has become final since the keeper caught up may have been
// followed by the link already, which then waits for the next time: by the state before that it would be wrong.
func (k *keeper) verdict(tx *utxo.Tx) error {
	if now := min(k.voting().Epoch(), k.state.Group().Epoch()); tx.Link.Epoch() > now+1 {
		return refusal.New(notaryv1.Reason_REASON_LOCK_NOT_OPEN, "inputs[0]", "it ends epoch %d, and this node votes in epoch %d", tx.Link.Epoch()-1, now)
	}
	read, err := k.readBy(tx)
	if err != nil {
		return err
	}
	return k.state.Judge(tx.Link, read, k.evidence)
}

// wake has the links that wait ask again.
func (k *keeper) wake() {
	for _, f := range k.unjudged {
		f.box.post(lifecycle.Woken{})
	}
	k.unjudged = nil
}

// answer judges the links that were asked about, and reports whether some are left since it has taken long.
func (k *keeper) answer() (left bool) {
	for until := time.Now().Add(judgeFor); ; {
		k.mu.Lock()
		f := k.asked.next()
		k.mu.Unlock()
		if f == nil {
			return false
		}
		k.rule(f)
		if time.Now().After(until) {
			return true
		}
	}
}

// rule judges one link.
func (k *keeper) rule(f *flight) {
	err := k.verdict(f.tx)
	switch {
	case err == nil:
		k.right = append(k.right, f)
		k.log.Info("a link is right", "tx", f.tx.ID, "epoch", f.tx.Link.Epoch(), "removes", len(f.tx.Link.Evidence()))
	case utxo.NotYet(err):
		k.unjudged = append(slices.DeleteFunc(k.unjudged, over), f) // some have waited for as long as they may
		k.log.Info("a link waits", "tx", f.tx.ID, "epoch", f.tx.Link.Epoch(), "err", err)
	default:
		k.log.Warn("a link is not what is computed here", "tx", f.tx.ID, "epoch", f.tx.Link.Epoch(), "err", err)
	}
	f.box.post(lifecycle.Judged{Err: err})
}

// over reports whether a flight has ended.
func over(f *flight) bool {
	state, _ := f.standing()
	return state.Ended()
}
