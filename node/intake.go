package node

import (
	"context"
	"slices"
	"sync"

	"github.com/notarynet/notaryd/conflict"
	"github.com/notarynet/notaryd/node/lifecycle"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
	"github.com/notarynet/notaryd/utxo"
)

// Origin is where a transaction came from, for fairness between those who bring them.
type Origin struct {
	kind originKind
	name string
	peer domain.PublicKey // who gossiped it
}

type originKind uint8

const (
	fromAPI originKind = iota
	fromGossip
	fromPull
	fromStore
)

// origins are the kinds as metrics name them.
var origins = [...]string{fromAPI: "api", fromGossip: "gossip", fromPull: "pull", fromStore: "store"}

func (o Origin) key() string    { return o.name }
func (o Origin) gossiped() bool { return o.kind == fromGossip }
func (o Origin) peers() []domain.PublicKey {
	if o.kind == fromGossip {
		return []domain.PublicKey{o.peer}
	}
	return nil
}

// graveyard remembers why transactions were refused, bounded in number, oldest out first. A verdict that
// depends on witnesses binds only copies with the same full bytes, never the id, so that a copy with a
// corrupt witness cannot poison the genuine one; one that time may change binds nobody and is kept to be
// told.
type graveyard struct {
	mu     sync.Mutex
	graves map[domain.Hash]grave
	order  []domain.Hash
	next   int
}

type grave struct {
	err        error
	binds      bool
	receivedMS uint64
	spends     []utxo.Outpoint // the first of them
}

// graveSpends is how many outpoints of a refused transaction are remembered: all that are worth a word where it is explained.
const graveSpends = 16

func newGraveyard(size int) *graveyard {
	return &graveyard{graves: make(map[domain.Hash]grave, size), order: make([]domain.Hash, size)}
}

// bury remembers a refused transaction.
func (g *graveyard) bury(tx *utxo.Tx, err error, receivedMS uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.put(tx.ID, grave{err, lasting(err), receivedMS, slices.Clone(tx.Spends()[:min(len(tx.Spends()), graveSpends)])})
	if witnessed(err) {
		g.put(tx.FullHash, grave{err, true, receivedMS, nil})
	}
}

func (g *graveyard) put(hash domain.Hash, gr grave) {
	if _, there := g.graves[hash]; !there {
		delete(g.graves, g.order[g.next])
		g.order[g.next] = hash
		g.next = (g.next + 1) % len(g.order)
	}
	g.graves[hash] = gr
}

// find is the last verdict on an id.
func (g *graveyard) find(id domain.Hash) (grave, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	gr, ok := g.graves[id]
	return gr, ok
}

// binding is the verdict that holds for this copy of a transaction, or nil.
func (g *graveyard) binding(tx *utxo.Tx) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, hash := range [...]domain.Hash{tx.ID, tx.FullHash} {
		if gr := g.graves[hash]; gr.binds {
			return gr.err
		}
	}
	return nil
}

// lasting reports whether a refusal holds for every copy of a transaction for ever: it depends on the
// body and on the outputs that the body names, and on nothing else.
func lasting(err error) bool {
	switch refusal.ReasonOf(err) {
	case notaryv1.Reason_REASON_OUTPOINT_SPENT, notaryv1.Reason_REASON_DOUBLE_SPEND,
		notaryv1.Reason_REASON_UNKNOWN_PRODUCT, notaryv1.Reason_REASON_UNBALANCED,
		notaryv1.Reason_REASON_AMOUNT_OVERFLOW, notaryv1.Reason_REASON_RESERVED_OUTPUT:
		return true
	}
	return false
}

// witnessed reports whether a refusal depends on the witnesses.
func witnessed(err error) bool {
	switch refusal.ReasonOf(err) {
	case notaryv1.Reason_REASON_BAD_SIGNATURE, notaryv1.Reason_REASON_MISSING_WITNESS,
		notaryv1.Reason_REASON_UNUSED_WITNESS, notaryv1.Reason_REASON_COUNTERPARTY_MISSING,
		notaryv1.Reason_REASON_WRONG_PREIMAGE:
		return true
	}
	return false
}

// intake starts the flight of a decoded transaction, or finds the one it has. signed says that the
// caller has verified the signatures.
func (sh *shell) intake(ctx context.Context, tx *utxo.Tx, origin Origin, signed bool) (*flight, error) {
	if f := sh.flights.get(tx.ID); f != nil {
		return f, nil
	}
	return sh.intakeNew(ctx, tx, origin, signed)
}

// intakeNew is intake of a transaction that most likely has no flight: where it has one, a place is taken and given back.
func (sh *shell) intakeNew(ctx context.Context, tx *utxo.Tx, origin Origin, signed bool) (*flight, error) {
	f, w, err := sh.arriveNew(tx, origin, signed)
	if w == nil {
		return f, err
	}
	if err := sh.admission.wait(ctx, w); err != nil {
		return nil, err
	}
	return sh.board(tx, origin, signed), nil
}

// arrive is intake that does not wait: where there is a guest, the transaction boards once its guest has a place.
func (sh *shell) arrive(tx *utxo.Tx, origin Origin, signed bool) (*flight, *guest, error) {
	if f := sh.flights.get(tx.ID); f != nil {
		return f, nil, nil
	}
	return sh.arriveNew(tx, origin, signed)
}

func (sh *shell) arriveNew(tx *utxo.Tx, origin Origin, signed bool) (*flight, *guest, error) {
	if err := sh.graves.binding(tx); err != nil {
		return nil, nil, err
	}
	if err := sh.space.admit(); err != nil {
		return nil, nil, err
	}
	if w, err := sh.admission.enter(origin, len(tx.Raw)); w != nil || err != nil {
		return nil, w, err
	}
	return sh.board(tx, origin, signed), nil, nil
}

// board starts the flight of a transaction that has a place, or finds the one it has. Signatures that nobody has verified are
// verified before the flight begins, so that it is not woken for that alone.
func (sh *shell) board(tx *utxo.Tx, origin Origin, signed bool) *flight {
	f := newFlight(tx, origin, &sh.config.Fees)
	if signed {
		f.genuine.Store(true)
		f.box.post(verified)
	} else {
		f.awaits.Add(1)
	}
	there, added := sh.flights.add(f)
	if !added {
		sh.admission.leave(origin, len(tx.Raw), false)
		return there
	}
	sh.metrics.received[origin.kind].Inc()
	sh.join(f)
	if !signed {
		_ = sh.verifier.submit(sh.ctx, request{tx: f.tx, asker: &verification{f, sh, true}}) // else the node ends, and ground finds it
	}
	return f
}

// verification asks for the verdict on the signatures of a flight, with which it may begin.
type verification struct {
	f      *flight
	sh     *shell
	begins bool
}

// verdict implements asker. Proofs of possession take a millisecond or more each, and everybody's signatures would wait for
// them: they are verified apart, a few at a time.
func (v *verification) verdict(bad int) {
	if bad < 0 && v.f.tx.Peer != nil {
		go v.possess()
		return
	}
	v.end(bad, nil)
}

// possess verifies the proofs of possession of metadata when its turn has come.
func (v *verification) possess() {
	if !put(v.sh.ctx, v.sh.possessing, struct{}{}) {
		return // the node ends, and ground finds the flight
	}
	err := v.f.tx.CheckPossessions()
	<-v.sh.possessing
	v.end(-1, err)
}

func (v *verification) end(bad int, possessions error) {
	v.f.judged(bad, possessions)
	if v.begins {
		v.sh.cleared(v.f)
	}
}

// cleared says that something is done that a flight waits for. With the last it begins.
func (sh *shell) cleared(f *flight) {
	if f.awaits.Add(-1) == 0 {
		f.box.post(lifecycle.Begin{})
		sh.launch(f)
	}
}

// accept asks for ACCEPTED by a certificate at once, where the flight has left that to whoever counts (lifecycle.Support): it need not wake
// for that. Where the batcher has no room the flight is woken after all, since the batcher waits for who counts.
func (sh *shell) accept(f *flight, m conflict.Milestone) bool {
	if !f.supports.Load() || !f.overtaken.CompareAndSwap(false, true) {
		return false
	}
	select {
	case sh.batcher.casts <- cast{
		tx: f.tx, flight: f, coins: f.coins, state: observation.Accepted, round: m.Round,
		certificate: conflict.CertAt(m.Group.Epoch(), m.Round),
	}:
		return true
	default:
		return false
	}
}

// join has a flight told of what was counted before it came, which is one of the things that it waits for. That is not left to the patience of who
// brought it: a flight that is in the directory and has not joined would never end, nor would what spends from it.
func (sh *shell) join(f *flight) {
	sh.metrics.inFlight.Inc()
	sh.counting.join(sh.ctx, f)
	if sh.ctx.Err() != nil { // nobody counts any more, and ground may not have found it
		sh.launch(f)
		f.box.nudge()
	}
}

// launch gives a flight its goroutine, once.
func (sh *shell) launch(f *flight) {
	if f.launched.CompareAndSwap(false, true) {
		sh.hands.take(sh.ctx, f, sh)
	}
}

// ground ends all flights, once ctx has ended: those that have a goroutine, and then those that the committer did not get to.
func (sh *shell) ground() {
	for _, f := range sh.flights.all() {
		sh.launch(f)
		f.box.nudge()
	}
	sh.hands.wait()
	for _, f := range sh.flights.all() {
		sh.landed(f)
	}
}

// landed clears up after a flight that has ended, once: one that boards while the node ends is met by ground, too.
func (sh *shell) landed(f *flight) {
	if !f.cleared.CompareAndSwap(false, true) {
		return
	}
	state, err := f.standing()
	if state == lifecycle.Rejected {
		sh.metrics.refused.WithLabelValues(refusal.Name(refusal.ReasonOf(err))).Inc()
		sh.graves.bury(f.tx, err, f.receivedMS)
	}
	if state.Ended() && f.info == nil { // what became final by this flight has no claims left
		sh.contention.drop(f)
	}
	if state == lifecycle.Rejected && lasting(err) {
		sh.batcher.reject(sh.ctx, f.tx, err)
	}
	if state == lifecycle.Rejected && outlived(err) {
		sh.witness.lose(f.tx)
		if err := sh.support(sh.ctx, f); err != nil && sh.ctx.Err() == nil {
			sh.fail(err)
		}
	}
	sh.waiting.drop(f)
	sh.flights.remove(f)
	if state == lifecycle.Rejected {
		sh.reconsider(f)
	}
	sh.admission.leave(f.origin, len(f.tx.Raw), f.aside)
	sh.metrics.inFlight.Dec()
	f.land()
}

// reconsider asks again for a transaction that was refused while the network took it up: no milestone is
// lost between a flight that ends and the next one.
func (sh *shell) reconsider(f *flight) {
	for _, in := range append(f.unread, f.box.close()...) {
		if end, ok := in.(finality); ok {
			in = end.Counted
		}
		if m, ok := in.(lifecycle.Counted); ok {
			sh.fetcher.want(wanted{id: f.tx.ID, from: []domain.PublicKey{m.Group.Voters()[m.Voter].Key}})
			return
		}
	}
}
