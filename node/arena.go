package node

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/notarynet/notaryd/conflict"
	"github.com/notarynet/notaryd/node/lifecycle"
	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
	"github.com/notarynet/notaryd/utxo"
)

// arena owns the contests: every transaction that has a rival, or whose round 0 has failed, is decided
// here in rounds. It waits for nobody: what it asks of others waits in outbox until they have room, while
// it goes on listening, so that no cycle of full queues can stop the node.
type arena struct {
	queue    chan any // conflict.Heard and entry, in the order in which the tallies send them
	contests *conflict.Contests
	entrants map[domain.Hash]entrant
	outbox   []cast
	gone     []retired // to be told to the tallies
	rung     bell

	alarms  *alarms
	log     *slog.Logger
	metrics *Metrics
	record  *record

	// watch reports what is contested to whoever looks for contradictions. It must not block.
	watch func(tx *utxo.Tx, decided bool)
	// votes is the batcher's queue, and tallies that of the tally which counts a transaction. need and hand
	// are told of what the contests ask for and must not block.
	votes   chan<- cast
	tallies func(domain.Hash) chan<- any
	need    func(conflict.NeedCertificate)
	hand    func(conflict.SendProof)
}

// entrant is a transaction in a contest, with its flight while it has one. Both are nil once it has lost:
// tens of thousands of losers are remembered, and nobody votes for them any more.
type entrant struct {
	tx     *utxo.Tx
	flight *flight
	// joins is how often the tally has handed the transaction over.
	joins int
}

// entry is a Join with what the shell needs beside it.
type entry struct {
	conflict.Join
	entrant
}

// bell collects the timers that rang, which is never refused.
type bell struct {
	mu   sync.Mutex
	rung []conflict.Input
	wake chan struct{}
}

func newArena(a *alarms, log *slog.Logger, m *Metrics, contests *conflict.Contests) *arena {
	return &arena{
		queue: make(chan any, 1024), contests: contests, entrants: make(map[domain.Hash]entrant),
		rung: bell{wake: make(chan struct{}, 1)}, alarms: a, log: log, metrics: m, record: newRecord(),
	}
}

// hear takes newly counted votes on contested transactions.
func (ar *arena) hear(ctx context.Context, votes []conflict.Vote) {
	select {
	case ar.queue <- conflict.Heard{Votes: votes}:
	case <-ctx.Done():
	}
}

// join takes a transaction in.
func (ar *arena) join(ctx context.Context, e entry) {
	select {
	case ar.queue <- e:
	case <-ctx.Done():
	}
}

// ask runs a question on the arena's goroutine and waits for it.
func (ar *arena) ask(ctx context.Context, question func()) error {
	done := make(chan struct{})
	select {
	case ar.queue <- func() { question(); close(done) }:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// ring leaves an input that must not be lost and whose sender must not wait.
func (b *bell) ring(in conflict.Input) {
	b.mu.Lock()
	b.rung = append(b.rung, in)
	b.mu.Unlock()
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

func (b *bell) take() []conflict.Input {
	b.mu.Lock()
	defer b.mu.Unlock()
	rung := b.rung
	b.rung = nil
	return rung
}

func (ar *arena) run(ctx context.Context) {
	for {
		var votes chan<- cast
		var first cast
		if len(ar.outbox) > 0 {
			votes, first = ar.votes, ar.outbox[0]
		}
		var tally chan<- any
		var gone retired
		if len(ar.gone) > 0 {
			gone = ar.gone[0]
			tally = ar.tallies(gone.tx)
		}
		select {
		case <-ctx.Done():
			return
		case votes <- first:
			ar.outbox[0] = cast{}
			ar.outbox = ar.outbox[1:]
		case tally <- gone:
			ar.gone = ar.gone[1:]
		case m := <-ar.queue:
			switch m := m.(type) {
			case entry:
				ar.enter(m)
			case conflict.Heard:
				ar.step(m)
			case func():
				m()
			}
		case <-ar.rung.wake:
			for _, in := range ar.rung.take() {
				ar.step(in)
			}
		}
	}
}

// enter takes a transaction into the contests.
func (ar *arena) enter(e entry) {
	old := ar.entrants[e.Tx]
	if e.flight == nil {
		e.entrant.flight = old.flight
	}
	e.entrant.joins = old.joins + 1
	ar.entrants[e.Tx] = e.entrant
	ar.metrics.contested.Inc()
	ar.record.joined(e.Tx, e.Spends)
	ar.watch(e.tx, e.Final != nil)
	ar.step(e.Join)
}

func (ar *arena) step(in conflict.Input) {
	for _, effect := range ar.contests.Step(in) {
		ar.perform(effect)
	}
}

func (ar *arena) perform(effect conflict.Effect) {
	switch e := effect.(type) {
	case conflict.CastVote:
		ar.record.reached(e.Vote.Tx, e.Vote.Round)
		ar.cast(e.Vote)
	case conflict.StartTimer:
		ar.record.timed(e)
		ar.alarms.after(time.Duration(e.AfterMS)*time.Millisecond, func() { ar.rung.ring(conflict.Fired{Timer: e.ID}) })
	case conflict.NeedCertificate:
		ar.need(e)
	case conflict.SendProof:
		ar.hand(e)
	case conflict.Decided:
		ar.record.decided(e)
		for _, id := range e.Rejected {
			ar.entrants[id] = entrant{joins: ar.entrants[id].joins}
		}
		ar.log.Info("contest decided", "final", e.Final, "round", e.Round, "rejected", len(e.Rejected))
	case conflict.TooManyRivals:
		ar.refuse(e.Tx)
	case conflict.Retired:
		ar.forget(e.Tx)
	case conflict.Broken:
		ar.metrics.broken.Inc()
		ar.log.Error("two rivals have final quorums: more than a third of the weight is faulty; nothing is changed here",
			"final", e.Final, "also", e.Also, "round", e.Round)
	}
}

// cast asks the batcher for a vote. What the guard refuses goes back to the contests.
func (ar *arena) cast(v conflict.OwnVote) {
	in := ar.entrants[v.Tx]
	if in.tx == nil {
		ar.log.Error("vote on a transaction that is not in a contest", "tx", v.Tx)
		return
	}
	ar.outbox = append(ar.outbox, cast{
		tx: in.tx, state: v.State, round: v.Round, certificate: v.Certificate, epoch: v.Epoch, bound: true,
		answer: func(err error, own []conflict.Record) {
			switch {
			case err != nil:
				ar.rung.ring(conflict.Refused{
					Tx: v.Tx, Spends: v.Spends, Own: own, State: v.State, Round: v.Round,
				})
			case in.flight != nil:
				in.flight.voted(v.State, v.Round)
			}
		},
	})
}

// refuse ends the flight of a rival too many.
func (ar *arena) refuse(id domain.Hash) {
	if f := ar.entrants[id].flight; f != nil {
		f.box.post(lifecycle.Displaced{Err: refusal.New(notaryv1.Reason_REASON_TOO_MANY_RIVALS, "inputs",
			"an outpoint has its fill of rivals with more weight")})
	}
	ar.forget(id)
}

// forget ends what is kept of a transaction that the contests have forgotten. The tally hears of it when it
// has room: it may be waiting for this goroutine.
func (ar *arena) forget(id domain.Hash) {
	ar.gone = append(ar.gone, retired{id, ar.entrants[id].joins})
	delete(ar.entrants, id)
	ar.record.forget(id)
}

// contest hands a flight's transaction over to the contests, with this node's own votes on its outpoints
// and all votes counted so far. On the way no vote is missed: own ones are on record before they are
// counted, and from the moment in which the tally hands out what it has it passes on what comes.
func (sh *shell) contest(ctx context.Context, f *flight, inWindow bool) bool {
	return sh.enterContest(ctx, entrant{tx: f.tx, flight: f}, inWindow, nil)
}

func (sh *shell) enterContest(ctx context.Context, in entrant, inWindow bool, final *conflict.Finality) bool {
	return sh.batcher.send(ctx, cast{tx: in.tx, join: func(ctx context.Context, own []conflict.Record) {
		sh.counting.contest(ctx, contesting{tx: in.tx.ID, join: func(ctx context.Context, votes []conflict.Vote) {
			sh.arena.join(ctx, entry{entrant: in, Join: conflict.Join{
				Tx: in.tx.ID, Spends: in.tx.Spends(), Facilitators: in.tx.Facilitators,
				InWindow: inWindow, Votes: votes, Own: own, Final: final,
			}})
		}})
	}})
}
