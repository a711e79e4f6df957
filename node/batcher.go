package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/notarynet/notaryd/conflict"
	"github.com/notarynet/notaryd/node/lifecycle"
	"github.com/notarynet/notaryd/node/store"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
	"github.com/notarynet/notaryd/utxo"
)

// batcher is the only signer of votes. It owns this node's observation chain and the vote guard, and
// keeps the order of rule N5: guard, sign, one synced write, and only then gossip, tally and answers.
type batcher struct {
	casts    chan cast
	seen     chan observation.Head
	released chan []*utxo.Tx // transactions that are final
	lost     chan rejected
	// convicting are the hashes of evidence that is new here.
	convicting chan domain.Hash

	// closed says that this node has ended its chain under the present link; held are the votes asked for since.
	closed    bool
	held      []cast
	taken     []conflict.Bond  // what an earlier life took over, until it runs
	bonds     bonds            // what this node is bound to by others' locks
	convicted bool             // this node's own key is convicted; known before anything runs
	say       func(why string) // why this node does not vote

	// signs says whether this node votes at all. One that does not says nothing: it is no member, or its
	// store may not sign in the epoch that counts (maySign).
	signs  bool
	key    domain.PrivateKey
	group  *group.Group
	head   observation.Head
	guard  *conflict.Guard
	store  *store.Store
	config Config
	most   int // leaves in one observation, by the rules of the network

	publish func(signed []*observation.Observation)
	count   func(ctx context.Context, o *observation.Observation)
	freed   func(conflict.Freed) // tells the contests of locks that were released; must not block
	fail    func(error)
	space   *space
	metrics *Metrics
	log     *slog.Logger
	refused quota // of lines of the log about refused votes

	rhythm  rhythm
	unripe  *ripening
	heads   map[domain.PublicKey]observation.Head // newest checked of each peer since the last flush
	proven  []domain.Hash                         // evidence to be listed
	row     observation.Row                       // the leaves of the next observations
	piece   int                                   // how many leaves one of these holds, as observation.Row has it
	batch   store.VoteBatch
	signed  []*observation.Observation
	answers []cast // those of the batch, to be answered
}

// cast is a vote that is asked for, by a flight or by the contests.
type cast struct {
	tx    *utxo.Tx
	state observation.State
	round uint32
	coins []store.Coin // where what tx spends was found, as far as that is known
	// certificate justifies the vote where rules N2 and N3 ask for one.
	certificate conflict.CertRound
	// flight, or whoever waits for answer where there is none, is told once, on the batcher's goroutine, when the vote is
	// on disk or the guard has refused it; never where this node does not sign. It must not block.
	flight *flight
	answer func(err error, own []conflict.Record)
	// support says that it is the vote of round 0, which waits for the mempool delay and is not wanted any more where
	// the flight has been overtaken by then.
	support bool
	// epoch, where bound is set, is the only one in which the vote is wanted.
	epoch uint64
	bound bool
	// do, in place of a vote, is run by the batcher in its turn.
	do func(ctx context.Context) error
	// join, in place of a vote, asks for the guard's records of the outpoints that tx spends, those of
	// votes on their way to disk included.
	join func(ctx context.Context, own []conflict.Record)
}

// done answers that the vote is on disk.
func (c *cast) done() {
	if c.flight != nil {
		c.flight.voted(c.state, c.round)
	} else {
		c.answer(nil, nil)
	}
}

// refused answers that the guard has refused the vote, with this node's votes that stand against it.
func (c *cast) refused(err error, own []conflict.Record) {
	if c.flight != nil {
		c.flight.box.post(lifecycle.Refused{State: c.state, Round: c.round, Err: err})
	} else {
		c.answer(err, own)
	}
}

// send queues a vote or a question.
func (b *batcher) send(ctx context.Context, c cast) bool {
	return put(ctx, b.casts, c)
}

// saw notes the newest observation of a peer that was checked, for the next batch's OBSERVATION leaves.
// When the batcher is busy the note is dropped: a newer one follows.
func (b *batcher) saw(h observation.Head) {
	select {
	case b.seen <- h:
	default:
	}
}

// run flushes at once when the node was idle. Under load it waits so long that signing, syncing and
// publishing take at most a quarter of the time, up to the flush interval or a full batch, and that those who
// receive its observations are not kept busy by their number (rhythm).
func (b *batcher) run(ctx context.Context) {
	if err := b.bind(ctx, b.taken); err != nil {
		b.fail(err)
		return
	}
	b.taken = nil
	heartbeat := time.NewTimer(b.config.Heartbeat)
	defer heartbeat.Stop()
	pause := time.NewTimer(0)
	defer pause.Stop()
	ready := false // the pause after the last flush is over
	for {
		beat := false
		select {
		case <-ctx.Done():
			return
		case c := <-b.casts:
			if err := b.gather(ctx, c); err != nil {
				b.fail(err)
				return
			}
		case h := <-b.seen:
			b.heads[h.Key] = h
		case hash := <-b.convicting:
			b.proven = append(b.proven, hash)
		case finals := <-b.released:
			for _, tx := range finals {
				if err := b.settle(ctx, tx); err != nil {
					b.fail(err)
					return
				}
			}
		case r := <-b.lost:
			if err := b.lose(ctx, r); err != nil {
				b.fail(err)
				return
			}
		case <-b.unripe.timer.C:
			b.unripe.set = false
		case <-pause.C:
			ready = true
		case <-heartbeat.C:
			beat = true
		}
		if err := b.ripen(ctx); err != nil {
			b.fail(err)
			return
		}
		full := len(b.answers) >= b.config.MaxLeaves
		if beat && (!b.signs || b.closed) {
			heartbeat.Reset(b.config.Heartbeat)
			clear(b.heads)
			b.proven = b.proven[:0]
			continue
		}
		if !beat && !full && !(ready && len(b.answers) > 0) {
			continue
		}
		start := time.Now()
		if err := b.flush(ctx); err != nil {
			b.fail(err)
			return
		}
		cost := time.Since(start)
		ready = false
		pause.Reset(max(min(3*cost, b.config.FlushInterval), b.rhythm.signed(start)))
		heartbeat.Reset(b.config.Heartbeat)
	}
}

// gather takes a request and what else is queued, up to a full batch.
func (b *batcher) gather(ctx context.Context, c cast) error {
	now := time.Now()
	for {
		if c.support {
			b.unripe.add(c, now)
		} else if err := b.take(ctx, c, now); err != nil {
			return err
		}
		if len(b.answers) >= b.config.MaxLeaves {
			return nil
		}
		select {
		case c = <-b.casts:
		default:
			return nil
		}
	}
}

// ripen takes the votes whose mempool delay is over, up to a full batch.
func (b *batcher) ripen(ctx context.Context) error {
	now, took := time.Now(), false
	for len(b.answers) < b.config.MaxLeaves {
		c, due := b.unripe.take(now)
		if !due {
			break
		}
		took = true
		if err := b.take(ctx, c, now); err != nil {
			return err
		}
	}
	b.unripe.arm(now, took)
	return nil
}

// take answers one request, which is now, or holds a vote back while an epoch ends.
func (b *batcher) take(ctx context.Context, c cast, now time.Time) error {
	switch {
	case c.support && c.flight.overtaken.Load(): // its rivals, its certificate or its end came first
	case c.do != nil:
		return c.do(ctx)
	case c.join != nil:
		c.join(ctx, b.records(c.tx.Spends()))
	case !b.signs:
		b.metrics.withheld.Inc()
	case b.closed:
		b.held = append(b.held, c)
	case c.bound && c.epoch != b.group.Epoch():
		b.refuse(c, errOtherEpoch)
	default:
		return b.admit(c, uint64(now.UnixMilli()))
	}
	return nil
}

// records are this node's votes on outpoints.
func (b *batcher) records(spends []utxo.Outpoint) []conflict.Record {
	var own []conflict.Record
	for _, o := range spends {
		own = append(own, b.guard.Records(o)...)
	}
	return own
}

// flush signs and saves the votes that the guard has let through since the last time, and what was seen of peers.
func (b *batcher) flush(ctx context.Context) error {
	now := nowMS()
	for key, h := range b.heads {
		if b.row.First() >= b.most {
			break // the next one lists it
		}
		b.row.Add(observation.Leaf{Subject: h.Hash, Type: observation.SubjectObservation, State: observation.Seen, TimeMS: now})
		delete(b.heads, key)
	}
	b.listEvidence(now)
	return b.write(ctx, b.row.Pieces(b.piece, b.most), now)
}

// write seals an observation of each piece, saves them, and only then tells anybody.
func (b *batcher) write(ctx context.Context, pieces [][]observation.Leaf, now uint64) error {
	signed, head, leaves := b.signed[:0], b.head, 0
	for _, piece := range pieces {
		o := b.seal(head, piece, now)
		signed, head, leaves = append(signed, o), o.Head(), leaves+len(piece)
	}
	b.batch.Observations = signed
	if err := b.space.write(ctx, func() error { return b.store.SaveVotes(b.batch) }); err != nil {
		return err
	}
	b.head = head
	b.publish(signed)
	for _, o := range signed {
		b.count(ctx, o)
	}
	for i := range b.answers {
		b.answers[i].done()
	}
	b.metrics.flushed(len(signed), leaves)
	clear(signed)
	clear(b.answers)
	clear(b.batch.Transactions)
	clear(b.batch.Coins)
	b.row.Reset()
	b.signed, b.answers = signed[:0], b.answers[:0]
	b.batch = store.VoteBatch{Records: b.batch.Records[:0], Transactions: b.batch.Transactions[:0], Coins: b.batch.Coins[:0]}
	return nil
}

// maxProven bounds the EVIDENCE leaves of one observation; the rest stands in the next.
const maxProven = 64

// listEvidence says which evidence is new here, so that anyone can prove that this node knew.
func (b *batcher) listEvidence(now uint64) {
	n := max(0, min(len(b.proven), maxProven, b.most-b.row.First()))
	for _, hash := range b.proven[:n] {
		b.row.Add(observation.Leaf{Subject: hash, Type: observation.SubjectEvidence, State: observation.Seen, TimeMS: now})
	}
	b.proven = append(b.proven[:0], b.proven[n:]...)
}

// prove has evidence listed in the next observation. It never waits; what finds no room is not listed,
// which takes nothing from the evidence.
func (b *batcher) prove(hash domain.Hash) {
	select {
	case b.convicting <- hash:
	default:
	}
}

// admit passes one vote through the guard into the batch, or answers that it is refused.
func (b *batcher) admit(c cast, nowMS uint64) error {
	vote := conflict.OwnVote{
		Tx: c.tx.ID, Spends: c.tx.Spends(), State: c.state, Round: c.round, Epoch: b.group.Epoch(), Certificate: c.certificate,
	}
	switch err := b.guard.Check(vote); {
	case errors.Is(err, conflict.ErrAlreadyCast):
		// It may be in this very batch, and then it is not on disk yet.
		if len(b.answers) > 0 {
			b.answers = append(b.answers, c)
		} else {
			c.done()
		}
		return nil
	case err != nil:
		b.refuse(c, err)
		return nil
	}
	// The guard forgets outpoints that are spent for good; what it does not know must be live, or spent
	// by this very transaction, which needs no guarding any more.
	spent, err := b.spent(c.tx, c.coins)
	switch {
	case errors.Is(err, errSpentByRival):
		b.refuse(c, refusal.New(notaryv1.Reason_REASON_OUTPOINT_SPENT, "inputs", "%v", err))
		return nil
	case errors.Is(err, errUnknownOutpoint):
		b.refuse(c, err)
		return nil
	case err != nil:
		return err
	case !spent:
		b.batch.Records = b.guard.AppendRecord(b.batch.Records, vote)
		b.batch.Transactions, b.batch.Coins = append(b.batch.Transactions, c.tx), append(b.batch.Coins, c.coins)
	}
	b.row.Add(observation.Leaf{Subject: c.tx.ID, Type: observation.SubjectTx, State: c.state, Round: c.round, TimeMS: nowMS})
	b.answers = append(b.answers, c)
	return nil
}

// refuse answers that a vote is not cast. Where rivals contend that is nothing unusual, and any number of them
// may be made at will: the log has a line a second at most.
func (b *batcher) refuse(c cast, err error) {
	b.metrics.refusedVotes.Inc()
	if !errors.Is(err, conflict.ErrContradiction) {
		c.refused(err, b.records(c.tx.Spends()))
		return
	}
	if n, ok := b.refused.take(time.Now()); ok {
		b.log.Info("vote refused by the guard", "tx", c.tx.ID, "state", c.state, "round", c.round, "err", err, "more", n)
	}
	c.refused(err, b.records(c.tx.Spends()))
}

// Why outpoints cannot be voted on.
var (
	errSpentByRival    = errors.New("spent for good by a rival")
	errUnknownOutpoint = errors.New("not known here")
)

// spent reports whether the outpoints are spent for good by the transaction itself. One that a rival spent
// outweighs others that are not known: contests may hold such a transaction for the votes that it has. The
// origin of a peer is live until the store has it spent.
func (b *batcher) spent(tx *utxo.Tx, coins []store.Coin) (bool, error) {
	all := true
	origin, starts := tx.Origin()
	var unknown error
	for i, o := range tx.Spends() {
		by, found, err := b.store.SpentBy(o, store.CoinAt(coins, i))
		switch {
		case err != nil:
			return false, err
		case !found && starts && o == origin:
			all = false
		case !found:
			unknown = fmt.Errorf("outpoint %v: %w", o, errUnknownOutpoint)
		case by.IsZero():
			all = false
		case by != tx.ID:
			return false, fmt.Errorf("outpoint %v: %w %s", o, errSpentByRival, by)
		}
	}
	return all && unknown == nil, unknown
}

// seal signs the next header of this node's chain.
func (b *batcher) seal(head observation.Head, leaves []observation.Leaf, now uint64) *observation.Observation {
	draft := observation.Seal(head, b.group, leaves, now)
	return draft.Signed(domain.Sign(b.key, domain.TagObservation, b.group.Network(), draft.HeaderHash()))
}
