package node

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/notarynet/notaryd/node/lifecycle"
	"github.com/notarynet/notaryd/node/store"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/utxo"
)

// flight is one transaction on its way: its machine, which its goroutine owns or whoever has seized it from that (finish.go), its inbox, and a
// snapshot for those who watch.
type flight struct {
	tx         *utxo.Tx
	origin     Origin
	receivedMS uint64
	box        mailbox
	machine    lifecycle.Machine
	edges      []store.EdgeRef   // the quorum that made it final
	coins      []store.Coin      // where what it spends was found; what others have of it does not change
	coin       [1]store.Coin     // room of coins, once
	unread     []lifecycle.Input // what had come when it ended
	contested  bool              // it was handed over to the contests
	aside      bool              // it waited for what no load explains, parents, a time lock, rivals, and is not held against the pace
	supports   atomic.Bool       // lifecycle.Support stands, unless overtaken
	awaits     atomic.Int32      // how much it waits for before it begins: that its votes are counted, and perhaps a verdict on its signatures
	genuine    atomic.Bool       // its signatures have been verified, and hold
	launched   atomic.Bool       // it has been given a goroutine
	cleared    atomic.Bool       // it was cleared up after
	bench      *workbench        // of its goroutine
	overtaken  atomic.Bool       // what lifecycle.Support asks for is not wanted any more, or was asked for

	mu      sync.Mutex
	state   lifecycle.State
	landed  bool // nothing changes any more
	err     error
	since   time.Time        // of the state
	info    *store.FinalInfo // once it is final by this flight
	changed chan struct{}    // closed at the next change; nil while nobody watches
	vigils  []vigil
	watch   [1]vigil // room of vigils, mostly
	slim    bool     // its goroutine has done nothing yet and has a stack as small as they come
}

// vigil is somebody who waits until a flight is at a level or beyond.
type vigil struct {
	level notaryv1.WaitLevel
	who   arriver
}

// arriver is told once that a flight is where it was waited for, was refused, or has landed without either, as they do
// when the node ends. It must not block.
type arriver interface{ arrived(lifecycle.State) }

// finality is a milestone with what the committer keeps of it.
type finality struct {
	lifecycle.Counted
	edges []store.EdgeRef
}

func newFlight(tx *utxo.Tx, origin Origin, fees *utxo.FeePolicy) *flight {
	f := &flight{tx: tx, origin: origin, receivedMS: nowMS(), machine: *lifecycle.NewMachine(tx, fees)}
	f.vigils = f.watch[:0]
	f.awaits.Store(1)
	f.box.init()
	return f
}

// snapshot is where the transaction stands, and a channel that is closed when that changes.
func (f *flight) snapshot() (lifecycle.State, <-chan struct{}, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.changed == nil {
		f.changed = make(chan struct{})
	}
	f.box.prompt()
	return f.state, f.changed, f.err
}

// standing is where the transaction stands.
func (f *flight) standing() (lifecycle.State, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.state, f.err
}

// await has somebody told; false says that there is nothing to wait for.
func (f *flight) await(w vigil) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.landed || w.over(f.state) {
		return false
	}
	f.vigils = append(f.vigils, w)
	f.box.prompt()
	return true
}

// voted says that a vote of this node is on disk. That leads to nothing but word for those who watch: where nobody does,
// the flight hears of it together with what comes next.
func (f *flight) voted(s observation.State, round uint32) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.changed != nil || slices.ContainsFunc(f.vigils, func(w vigil) bool { return w.level != notaryv1.WaitLevel_WAIT_LEVEL_FINAL }) {
		f.box.post(voted(s, round))
	} else {
		f.box.leave(voted(s, round))
	}
}

// leave says that somebody waits no more; false says that he has been told.
func (f *flight) leave(who arriver) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	before := len(f.vigils)
	f.vigils = slices.DeleteFunc(f.vigils, func(w vigil) bool { return w.who == who })
	return len(f.vigils) < before
}

// over reports whether a state ends the wait.
func (w *vigil) over(s lifecycle.State) bool { return s == lifecycle.Rejected || reached(s, w.level) }

func (f *flight) report(state lifecycle.State, err error, at time.Time) {
	f.mu.Lock()
	f.state, f.err, f.since = state, err, at
	if f.changed != nil {
		close(f.changed)
		f.changed = nil
	}
	f.tell()
	f.mu.Unlock()
}

// land says that nothing changes any more.
func (f *flight) land() {
	f.mu.Lock()
	f.landed = true
	f.tell()
	f.mu.Unlock()
}

// tell tells those whose wait is over.
func (f *flight) tell() {
	if len(f.vigils) == 0 {
		return
	}
	f.vigils = slices.DeleteFunc(f.vigils, func(w vigil) bool {
		over := f.landed || w.over(f.state)
		if over {
			w.who.arrived(f.state)
		}
		return over
	})
}

// workbench is what a goroutine works with for one flight after the other.
type workbench struct {
	answers []lifecycle.Input // to what the machine has asked and was known at once
	commit  lifecycle.Effect  // asked for: all that is left to do is the committer's
	looked  lifecycle.Looked  // whose lists are free to be used
	wake    chan struct{}     // wakes the goroutine
	now     time.Time         // of the step

	lent     bool    // its goroutine is one of hands, under whose lock the others are
	idle     bool    // it waits for the next flight
	released bool    // from the flight before, without being woken (hands.release)
	next     *flight // to be run, once it is idle no more
}

func newWorkbench() *workbench { return &workbench{wake: make(chan struct{}, 1)} }

// give gives the lists of an answer back.
func (d *workbench) give(in lifecycle.Input) {
	if looked, ok := in.(lifecycle.Looked); ok {
		clear(looked.Entries)
		d.looked = lifecycle.Looked{Entries: looked.Entries[:0], Found: looked.Found[:0]}
	}
}

// run is the life of the goroutine: take what waits, step, perform. When ctx has ended, somebody nudges the mailbox. Where it is seized
// (shell.finish), which run reports, the flight is somebody else's.
// A transaction that only has to be written down is the committer's from then on: nothing else can happen to it, and its goroutine is free.
// Looking and judging take a stack that has grown; one that has waited for long is asked to go on in a
// goroutine whose stack has not, as slim says of this one.
func (f *flight) run(ctx context.Context, sh *shell, d *workbench, slim bool) (seized bool) {
	f.bench = d
	f.box.attend(d.wake)
	inputs := f.box.take()
	for {
		if ctx.Err() != nil || !f.step(ctx, sh, d, inputs) {
			break
		}
		if slim && len(inputs) > 0 {
			slim = false
			f.grows()
		}
		if f.box.worn && f.slims() {
			sh.hands.fresh(ctx, f, sh, &workbench{wake: d.wake})
			d.wake = make(chan struct{}, 1)
			return false
		}
		f.box.rest()
		<-d.wake
		var mine bool
		if inputs, mine = f.box.resume(); !mine {
			return true
		}
	}
	f.box.attend(nil)
	if !f.handOver(ctx, sh, d) {
		sh.landed(f)
	}
	return false
}

// handOver gives the flight to the committer, where that is all that is left to do. It is kept out of run, whose frame lies on
// the stack of every transaction that waits.
//
//go:noinline
func (f *flight) handOver(ctx context.Context, sh *shell, d *workbench) bool {
	e, asked := d.commit.(lifecycle.Commit)
	d.commit = nil
	return asked && sh.committer.commit(ctx, f, final(f, e, d.now))
}

// committed takes the machine to its end, for whom run has left it to.
func (f *flight) committed(at time.Time) {
	for _, effect := range f.machine.Step(committed) {
		if e, ok := effect.(lifecycle.Report); ok {
			f.report(e.State, e.Err, at)
		}
	}
}

// grows says that the goroutine has worked, and that its stack may have grown.
func (f *flight) grows() {
	f.mu.Lock()
	f.slim = false
	f.mu.Unlock()
}

// slims says that the goroutine is one that has done nothing from now on; false says that it is already.
func (f *flight) slims() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	was := f.slim
	f.slim = true
	return !was
}

// step takes inputs in, with the answers to what they led to, and performs what follows; false ends the goroutine.
func (f *flight) step(ctx context.Context, sh *shell, d *workbench, inputs []lifecycle.Input) bool {
	defer func() { clear(d.answers); d.answers = d.answers[:0] }()
	if len(inputs) > 0 {
		d.now = time.Now()
	}
	for i, in := range inputs {
		next := f.strip(in)
		for at := 0; ; at++ {
			for _, effect := range f.machine.Step(next) {
				if !f.perform(ctx, sh, d, effect) {
					f.unread = inputs[i+1:]
					return false
				}
			}
			d.give(next)
			if at == len(d.answers) {
				break
			}
			next = d.answers[at]
		}
		d.answers = d.answers[:0]
	}
	return true
}

// strip takes out of an input what is not the machine's.
func (f *flight) strip(in lifecycle.Input) lifecycle.Input {
	if in, ok := in.(finality); ok {
		if f.edges == nil { // those of the first quorum, which is the one that counts
			f.edges = in.edges
		}
		return in.Counted
	}
	return in
}

// perform carries out one effect; false ends the goroutine.
func (f *flight) perform(ctx context.Context, sh *shell, d *workbench, effect lifecycle.Effect) bool {
	switch e := effect.(type) {
	case lifecycle.Look:
		return f.look(sh, d)
	case lifecycle.Judge:
		sh.keeper.judge(f)
	case lifecycle.Verify:
		return sh.verifier.submit(ctx, request{tx: f.tx, asker: &verification{f: f, sh: sh}}) == nil
	case lifecycle.Relay:
		if !f.origin.gossiped() {
			sh.relay(f)
		}
	case lifecycle.Claim:
		d.answers = append(d.answers, claimed(sh.contention.claim(f)))
	case lifecycle.Support:
		f.supports.Store(true)
		return sh.batcher.send(ctx, cast{tx: f.tx, flight: f, coins: f.coins, state: observation.Pending, support: true})
	case lifecycle.Cast:
		f.overtaken.Store(true)
		return sh.batcher.send(ctx, cast{tx: f.tx, flight: f, coins: f.coins, state: e.State, round: e.Round, certificate: e.Certificate})
	case lifecycle.Hold:
		f.stepAside(sh)
		sh.waiting.hold(f, e)
	case lifecycle.Contest:
		f.overtaken.Store(true)
		f.contested = true
		f.stepAside(sh)
		return sh.contest(ctx, f, e.InWindow)
	case lifecycle.Commit:
		f.overtaken.Store(true)
		d.commit = effect
		return false
	case lifecycle.Report:
		f.report(e.State, e.Err, d.now)
	case lifecycle.End:
		f.overtaken.Store(true)
		return false
	}
	return true
}

// stepAside says that the transaction waits for something that no load explains.
func (f *flight) stepAside(sh *shell) {
	if !f.aside {
		f.aside = true
		sh.admission.aside(f.origin)
	}
}

// look reads the entries of all inputs.
func (f *flight) look(sh *shell, d *workbench) bool {
	in := d.looked
	in.NowMS, d.looked = uint64(d.now.UnixMilli()), lifecycle.Looked{}
	coins := f.coin[:0]
	if f.coins != nil {
		coins = make([]store.Coin, 0, len(f.coins))
	}
	for i := range f.tx.Inputs {
		entry, coin, found, err := sh.store.Find(f.tx.Inputs[i].Outpoint)
		if err != nil {
			sh.fail(err)
			return false
		}
		if f.tx.Inputs[i].Kind == notaryv1.InputKind_INPUT_KIND_SPEND {
			coins = append(coins, coin)
		}
		if entry.SpentBy == f.tx.ID { // became final while this copy was on its way
			d.answers = append(d.answers, committed)
			return true
		}
		in.Entries, in.Found = append(in.Entries, entry), append(in.Found, found)
	}
	if !f.supports.Load() { // else somebody may read them, and what was found stays where it was
		f.coins = coins
	}
	d.answers = append(d.answers, in)
	return true
}

// judged is told of the signatures, of which none is bad, the one at a position, or the proofs of possession beside them.
func (f *flight) judged(bad int, possessions error) {
	switch {
	case bad >= 0:
		f.box.post(lifecycle.Verified{Err: utxo.BadSignature(f.tx, bad)})
	case possessions != nil:
		f.box.post(lifecycle.Verified{Err: possessions})
	default:
		f.genuine.Store(true)
		f.box.post(verified)
	}
}

// final is what the committer writes.
func final(f *flight, e lifecycle.Commit, now time.Time) store.Final {
	return store.Final{
		Tx: f.tx, FinalMS: uint64(now.UnixMilli()), Round: e.Round,
		GroupEpoch: e.Group.Epoch(), Link: e.Group.Link(), Edges: f.edges, Coins: f.coins,
	}
}

// nowMS is the wall clock in Unix milliseconds. Clocks decide windows and timestamps, never safety.
func nowMS() uint64 { return uint64(time.Now().UnixMilli()) }

// directory finds the flight of a transaction.
type directory struct {
	shards [64]struct {
		mu      sync.Mutex
		flights map[domain.Hash]*flight
	}
}

func newDirectory() *directory {
	d := &directory{}
	for i := range d.shards {
		d.shards[i].flights = make(map[domain.Hash]*flight)
	}
	return d
}

// get is the flight of a transaction, or nil.
func (d *directory) get(id domain.Hash) *flight {
	s := &d.shards[id[0]&63]
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.flights[id]
}

// add enters a flight, or returns the one that is there already.
func (d *directory) add(f *flight) (there *flight, added bool) {
	s := &d.shards[f.tx.ID[0]&63]
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.flights[f.tx.ID]; old != nil {
		return old, false
	}
	s.flights[f.tx.ID] = f
	return f, true
}

// remove takes a flight out.
func (d *directory) remove(f *flight) {
	s := &d.shards[f.tx.ID[0]&63]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.flights[f.tx.ID] == f {
		delete(s.flights, f.tx.ID)
	}
}

// all are the flights at this moment, in no order.
func (d *directory) all() []*flight {
	var out []*flight
	for i := range d.shards {
		s := &d.shards[i]
		s.mu.Lock()
		for _, f := range s.flights {
			out = append(out, f)
		}
		s.mu.Unlock()
	}
	return out
}
