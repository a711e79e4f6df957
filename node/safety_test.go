package node

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/notarynet/notaryd/conflict"
	"github.com/notarynet/notaryd/node/lifecycle"
	"github.com/notarynet/notaryd/node/store"
	"github.com/notarynet/notaryd/observation"
	kit "github.com/notarynet/notaryd/observation/observationtest"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/utxo"
)

// signerAt is the batcher of a voter, stepped by the test: nothing of it runs by itself.
type signerAt struct {
	*batcher
	v         *village
	published []*observation.Observation
	freed     []conflict.Freed
}

func newSigner(t *testing.T) *signerAt {
	t.Helper()
	v := newVillage(t, nil)
	st, log := v.store(0), slog.New(slog.DiscardHandler)
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	s := &signerAt{v: v}
	s.batcher = &batcher{
		casts: make(chan cast, 16), key: v.signers[0].Key, group: v.genesis.Group, head: v.signers[0].Head,
		guard: conflict.NewGuard(), store: st, config: DefaultConfig(), most: 20, space: &space{room: st.Room, log: log, tell: func(string) {}}, signs: true, log: log,
		publish: func([]*observation.Observation) {}, piece: observation.PieceLeaves(4),
		count:   func(_ context.Context, o *observation.Observation) { s.published = append(s.published, o) },
		freed:   func(in conflict.Freed) { s.freed = append(s.freed, in) },
		fail:    func(err error) { t.Error(err) },
		metrics: NewMetrics(prometheus.NewRegistry()),
		heads:   make(map[domain.PublicKey]observation.Head),
		unripe:  newRipening(DefaultConfig().MempoolDelay),
	}
	return s
}

// unsigned is how many leaves wait to be signed.
func (s *signerAt) unsigned() int { return s.row.Len() }

// ask has the batcher judge one vote; answers collects what it says.
func (s *signerAt) ask(t *testing.T, tx *utxo.Tx, state observation.State, round uint32, answers *[]error) {
	t.Helper()
	c := cast{tx: tx, state: state, round: round, answer: func(err error, _ []conflict.Record) { *answers = append(*answers, err) }}
	if state == observation.Accepted {
		c.certificate = conflict.CertAt(0, round)
	}
	if err := s.admit(c, nowMS()); err != nil {
		t.Fatal(err)
	}
}

// commit makes a transaction final in the store.
func (s *signerAt) commit(t *testing.T, tx *utxo.Tx) {
	t.Helper()
	f := store.Final{Tx: tx, FinalMS: nowMS(), Link: s.group.Link()}
	if err := s.store.CommitFinal([]store.Final{f}); err != nil {
		t.Fatal(err)
	}
}

// A flight and the contests may ask for one vote within one batch. The second must not be told that it is cast
// before it is on disk: it would tell the client (rule N5).
func TestAnswersWaitForTheDisk(t *testing.T) {
	s := newSigner(t)
	tx := s.v.pay(0, "a")
	var answers []error
	s.ask(t, tx, observation.Accepted, 0, &answers)
	s.ask(t, tx, observation.Accepted, 0, &answers)
	if len(answers) != 0 || len(s.published) != 0 {
		t.Fatalf("%d answers, %d observations before anything is on disk", len(answers), len(s.published))
	}
	if err := s.flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(answers) != 2 || errors.Join(answers...) != nil {
		t.Fatalf("answers: %v", answers)
	}
	if n := s.published[0].Header.LeafCount; n != 1 {
		t.Fatalf("%d leaves for one vote", n)
	}
	s.ask(t, tx, observation.Accepted, 0, &answers)
	if len(answers) != 3 || answers[2] != nil || s.unsigned() != 0 {
		t.Fatalf("a vote on disk: answers %v, %d leaves", answers, s.unsigned())
	}
}

// What is signed at once becomes a row of observations, ACCEPTED in small ones, in one message and one write. PENDING of round 0
// goes first; but an ACCEPTED never comes to stand behind a PENDING for a rival in a higher round that was let through
// after it, for that is evidence.
func TestFlushIsARow(t *testing.T) {
	s := newSigner(t)
	s.most = 200
	var runs [][]*observation.Observation
	s.publish = func(signed []*observation.Observation) { runs = append(runs, slices.Clone(signed)) }
	tx, rival := s.v.pay(0, "a"), s.v.pay(0, "b")
	var answers []error
	other := s.v.pay(1, "c")
	s.ask(t, tx, observation.Accepted, 0, &answers)
	if err := s.admit(cast{
		tx: rival, state: observation.Pending, round: 2, certificate: conflict.CertAt(0, 1),
		answer: func(err error, _ []conflict.Record) { answers = append(answers, err) },
	}, nowMS()); err != nil {
		t.Fatal(err)
	}
	s.ask(t, other, observation.Pending, 0, &answers)
	s.ask(t, other, observation.Accepted, 0, &answers)
	s.piece = 2
	if err := s.flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(answers...); err != nil || len(answers) != 4 {
		t.Fatalf("%d answers: %v", len(answers), err)
	}
	if len(runs) != 1 || len(runs[0]) != 2 || len(s.published) != 2 {
		t.Fatalf("%d messages, %d observations", len(runs), len(s.published))
	}
	type vote struct {
		tx    domain.Hash
		state observation.State
		round uint32
	}
	var votes []vote
	head := s.v.signers[0].Head
	for _, o := range runs[0] {
		if o.Header.Previous != head.Hash || o.Header.Height != head.Height+1 {
			t.Errorf("height %d does not follow %d", o.Header.Height, head.Height)
		}
		head = o.Head()
		for i := range o.Len() {
			l := o.Leaf(i)
			votes = append(votes, vote{l.Subject, l.State, l.Round})
		}
	}
	want := []vote{
		{other.ID, observation.Pending, 0}, {tx.ID, observation.Accepted, 0}, {rival.ID, observation.Pending, 2}, {other.ID, observation.Accepted, 0},
	}
	if !slices.Equal(votes, want) {
		t.Errorf("%v, want %v", votes, want)
	}
	if stored := s.store.Head(observation.ChainID{Key: head.Key, SigningEpoch: head.SigningEpoch}); stored != head {
		t.Errorf("the store's head is %v, want %v", stored, head)
	}
}

// Once the winner is final and forgotten, nothing is signed for a rival, and the winner's ACCEPTED is never placed
// after a PENDING for a rival in a higher round.
func TestNothingConvictsAfterRelease(t *testing.T) {
	for name, votes := range map[string]struct{ rival bool }{"uncontested": {false}, "contested": {true}} {
		t.Run(name, func(t *testing.T) {
			s := newSigner(t)
			winner, rival := s.v.pay(0, "a"), s.v.pay(0, "b")
			var answers []error
			s.ask(t, winner, observation.Pending, 0, &answers)
			if votes.rival {
				s.ask(t, rival, observation.Pending, 1, &answers)
			}
			if err := s.flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			s.commit(t, winner)
			if err := s.settle(t.Context(), winner); err != nil {
				t.Fatal(err)
			}
			answers = nil
			s.ask(t, rival, observation.Pending, 2, &answers)
			s.ask(t, winner, observation.Accepted, 0, &answers)
			if err := s.flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			if answers[0] == nil {
				t.Error("PENDING for a rival of what is final")
			}
			if refused := answers[1] != nil; refused != votes.rival {
				t.Errorf("ACCEPTED for the winner: %v", answers[1])
			}
		})
	}
}

// What a node inherited binds it to a transaction, until that has lost on another outpoint: then its other outpoints are
// free again, whether it was rejected before the node was bound, while it was, or in an earlier life, or lost without being
// on its way here; and the contests are told.
func TestInheritedLocksEnd(t *testing.T) {
	lost := func(s *signerAt, tx *utxo.Tx) error { return s.lose(t.Context(), rejected{tx, errSpentByRival}) }
	for name, bind := range map[string]func(s *signerAt, locks []conflict.Record, bonds []conflict.Bond, a *utxo.Tx, winner func() *utxo.Tx) error{
		"rejected before": func(s *signerAt, locks []conflict.Record, bonds []conflict.Bond, a *utxo.Tx, winner func() *utxo.Tx) error {
			winner()
			return s.enterEpoch(t.Context(), conflict.Enter{Group: s.group, Records: locks, Bonds: bonds})
		},
		"rejected while bound": func(s *signerAt, locks []conflict.Record, bonds []conflict.Bond, a *utxo.Tx, winner func() *utxo.Tx) error {
			err := s.enterEpoch(t.Context(), conflict.Enter{Group: s.group, Records: locks, Bonds: bonds})
			winner()
			return errors.Join(err, lost(s, a))
		},
		"in an earlier life": func(s *signerAt, locks []conflict.Record, _ []conflict.Bond, _ *utxo.Tx, winner func() *utxo.Tx) error {
			winner()
			s.guard.Restore(locks)
			entered, _, err := s.store.Entered()
			return errors.Join(err, s.bind(t.Context(), entered.Bonds))
		},
		"not on its way": func(s *signerAt, locks []conflict.Record, bonds []conflict.Bond, _ *utxo.Tx, winner func() *utxo.Tx) error {
			s.guard.Restore(locks)
			return errors.Join(s.bind(t.Context(), bonds), s.settle(t.Context(), winner()))
		},
	} {
		check := func(t *testing.T, hidden bool) {
			s := newSigner(t)
			s.say = func(string) {}
			d, err := utxo.NewBuilder(s.v.genesis.ID).Spend(utxo.Outpoint{Tx: s.v.genesis.ID}).Spend(utxo.Outpoint{Tx: s.v.genesis.ID, Index: 1}).
				Pay(utxo.KeyLock(kit.Key(101).Public()).Address(), utxo.Product{}, 2000).Build()
			if err != nil {
				t.Fatal(err)
			}
			a, err := d.Sign(kit.Key(100)).Finish()
			if err != nil {
				t.Fatal(err)
			}
			b, c := s.v.pay(0, "b"), s.v.pay(1, "c")
			var locks []conflict.Record
			for _, o := range a.Spends() {
				locks = append(locks, conflict.Record{Outpoint: o, State: observation.Inherited, Round: 3, Tx: a.ID, Epoch: 1, Certificate: conflict.CertAt(0, 3)})
			}
			if hidden { // by a lock on what the winner spends, of a higher certificate
				locks[0].Tx, locks[0].Round, locks[0].Certificate = b.ID, 4, conflict.CertAt(0, 4)
			}
			bonds := []conflict.Bond{{Tx: a.ID, Spends: a.Spends()}}
			if err := s.store.EnterEpoch(store.Entered{Epoch: 1, Link: s.group.Link(), Bonds: bonds}, locks); err != nil {
				t.Fatal(err)
			}
			if err := bind(s, locks, bonds, a, func() *utxo.Tx { s.commit(t, b); return b }); err != nil {
				t.Fatal(err)
			}
			var answers []error
			s.ask(t, c, observation.Pending, 0, &answers)
			if err := s.flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			if len(answers) != 1 || answers[0] != nil {
				t.Errorf("the vote for what spends the free outpoint: %v", answers)
			}
			if len(s.freed) != 1 || len(s.freed[0].Spends) != 2 {
				t.Errorf("the contests are told %+v", s.freed)
			}
			guard := conflict.NewGuard() // of the next life
			for r, err := range s.store.GuardRecords() {
				if err != nil {
					t.Fatal(err)
				}
				guard.Restore([]conflict.Record{r})
			}
			if id, _, locked := guard.Lock(c.Spends()[0]); locked {
				t.Errorf("the next life is locked on %v", id)
			}
		}
		t.Run(name, func(t *testing.T) { check(t, false) })
		t.Run(name+", one lock hidden", func(t *testing.T) { check(t, true) })
	}
}

// A vote that contradicts an earlier one is refused, counted, and told in the log, there a line a second at most; one
// that was cast before is not refused.
func TestContradictionsAreCounted(t *testing.T) {
	s := newSigner(t)
	var log bytes.Buffer
	s.log = slog.New(slog.NewTextHandler(&log, nil))
	first, rival := s.v.pay(0, "a"), s.v.pay(0, "b")
	var answers []error
	s.ask(t, first, observation.Pending, 0, &answers)
	if err := s.flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.ask(t, first, observation.Pending, 0, &answers)
	for range 3 {
		s.ask(t, rival, observation.Pending, 0, &answers)
	}
	if len(answers) != 5 || errors.Join(answers[:2]...) != nil {
		t.Fatalf("answers %v", answers)
	}
	for _, err := range answers[2:] {
		if !errors.Is(err, conflict.ErrRoundTaken) {
			t.Errorf("a rival in the round: %v", err)
		}
	}
	var m dto.Metric
	if err := s.metrics.refusedVotes.Write(&m); err != nil || m.GetCounter().GetValue() != 3 {
		t.Errorf("counted %v, %v", m.GetCounter().GetValue(), err)
	}
	if !strings.Contains(log.String(), "vote refused by the guard") || !strings.Contains(log.String(), rival.ID.String()) {
		t.Errorf("log:\n%s", &log)
	}
}

// What cannot be voted on is refused; it must not end the node, since contests hold transactions for the votes that
// they have and a liar can vote for anything.
func TestUnknownOutpointIsRefused(t *testing.T) {
	s := newSigner(t)
	parent := s.v.pay(0, "a")
	d, err := utxo.NewBuilder(s.v.genesis.ID).Spend(utxo.Outpoint{Tx: parent.ID}).
		Pay(utxo.Address{1}, utxo.Product{}, 1000).Build()
	if err != nil {
		t.Fatal(err)
	}
	child, err := utxo.Decode(d.Raw(), utxo.Rules{Network: s.v.genesis.ID})
	if err != nil {
		t.Fatal(err)
	}
	var answers []error
	s.ask(t, child, observation.Pending, 0, &answers)
	if len(answers) != 1 || answers[0] == nil || s.unsigned() != 0 {
		t.Fatalf("answers %v, %d leaves", answers, s.unsigned())
	}
}

// A transaction is rejected while the vote that locks on it is still on its way. The lock must not outlive it, in
// memory or on disk, and the contests must hear that it is gone.
func TestLockEndsWithRejection(t *testing.T) {
	s := newSigner(t)
	lost := s.v.pay(0, "a")
	var answers []error
	s.ask(t, lost, observation.Accepted, 0, &answers)
	if err := s.lose(t.Context(), rejected{lost, errors.New("a rival is final")}); err != nil {
		t.Fatal(err)
	}
	if _, _, locked := s.guard.Lock(lost.Spends()[0]); locked {
		t.Error("still locked")
	}
	if len(s.freed) != 1 || len(s.freed[0].Records) != 1 || !s.freed[0].Records[0].Released {
		t.Errorf("the contests hear %v", s.freed)
	}
	for r, err := range s.store.GuardRecords() {
		if err != nil || !r.Released {
			t.Errorf("on disk: %+v, %v", r, err)
		}
	}
	if stored, _, err := s.store.Transaction(lost.ID); err != nil || stored.Pending {
		t.Errorf("still pending: %v", err)
	}
}

// The arena forgets transactions while the tally waits for it, its queue full: neither may wait for the other.
func TestArenaDoesNotWaitForTallies(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	v := newVillage(t, nil)
	contests, err := conflict.NewContests(conflict.DefaultParams(), v.signers[0].Head.Key, v.genesis.Group)
	if err != nil {
		t.Fatal(err)
	}
	ar := newArena(newAlarms(), slog.New(slog.DiscardHandler), NewMetrics(prometheus.NewRegistry()), contests)
	full := make(chan any, 1)
	full <- nil
	ar.tallies = func(domain.Hash) chan<- any { return full }
	done := make(chan struct{})
	go func() { defer close(done); ar.run(ctx) }()
	defer func() { cancel(); <-done }()

	tx := v.pay(0, "a")
	if err := ar.ask(ctx, func() { ar.forget(tx.ID) }); err != nil {
		t.Fatal(err)
	}
	for range cap(ar.queue) + 1 { // more than its queue holds: it must be listening
		ar.hear(ctx, nil)
	}
	<-full
	if m := (<-full).(retired); m.tx != tx.ID {
		t.Fatalf("the tally hears of %v", m.tx)
	}
}

// A transaction that is handed over again while word of its retirement is on the way stays marked.
func TestRetiredAndBack(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	c := newCounting(1, nil, newLately(), 0, newDirectory(), NewMetrics(prometheus.NewRegistry()), listeners{
		unknown: func(domain.Hash, domain.PublicKey) {}, hear: func(context.Context, []conflict.Vote) {},
	})
	done := make(chan struct{})
	s := c.shards[0]
	go func() { defer close(done); s.run(ctx) }()
	id := domain.Hash{1}
	join := contesting{tx: id, join: func(context.Context, []conflict.Vote) {}}
	s.queue <- join
	s.queue <- join
	s.queue <- retired{id, 1}
	if _, err := c.votes(ctx, id); err != nil { // all of it is done
		t.Fatal(err)
	}
	cancel()
	<-done
	if s.contested[id] != 1 {
		t.Fatalf("marked %d times", s.contested[id])
	}
}

// Whatever others repeat, a flight gets what it waits for: one that misses an answer never ends.
func TestMailboxKeepsAnswers(t *testing.T) {
	var b mailbox
	b.init()
	for range 1000 {
		b.post(lifecycle.Rivaled{})
		b.post(lifecycle.Woken{})
		b.post(lifecycle.Stalled{})
	}
	if !b.post(lifecycle.Committed{}) {
		t.Fatal("an answer is lost")
	}
	if got := b.take(); len(got) != 4 {
		t.Fatalf("%d inputs", len(got))
	}
	b.post(lifecycle.Rivaled{}) // taken, it counts anew
	if got := b.take(); len(got) != 1 {
		t.Fatalf("%d inputs after that", len(got))
	}
	b.close()
	if b.post(lifecycle.Committed{}) {
		t.Fatal("a closed box takes something")
	}
}

// The proof needs the edges of the quorum that counts, whatever is counted before they are written.
func TestEdgesOutliveLaterMilestones(t *testing.T) {
	f := newFlight(newVillage(t, nil).pay(0, "a"), Origin{}, new(utxo.FeePolicy))
	quorum := []store.EdgeRef{{Height: 7}}
	f.strip(lifecycle.Counted{Kind: conflict.Certificate})
	f.strip(finality{lifecycle.Counted{Kind: conflict.Final}, quorum})
	f.strip(lifecycle.Counted{Kind: conflict.Certificate, Round: 1})
	f.strip(finality{lifecycle.Counted{Kind: conflict.Final, Round: 1}, []store.EdgeRef{{Height: 9}}})
	if len(f.edges) != 1 || f.edges[0].Height != 7 {
		t.Fatalf("edges %v", f.edges)
	}
}

// However many rounds a node voted in, its flight learns of them in one piece.
func TestRestoredVotes(t *testing.T) {
	tx, rival := domain.Hash{1}, domain.Hash{2}
	records := []conflict.Record{
		{Tx: tx, State: observation.Pending}, {Tx: rival, Round: 9, State: observation.Accepted},
		{Tx: tx, Round: 3, State: observation.Accepted}, {Tx: tx, Round: 2, State: observation.Accepted},
	}
	if got, want := restored(tx, records), (lifecycle.Restored{Pending: true, Accepted: true, Round: 3}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := restored(tx, []conflict.Record{{Tx: tx, Round: 4, State: observation.Pending}}); got != (lifecycle.Restored{}) {
		t.Errorf("PENDING above round 0: %+v", got)
	}
}

// Others refuse an observation with more leaves than the network allows, and with it the chain behind it.
func TestLeavesStayWithinTheLimit(t *testing.T) {
	s := newSigner(t)
	for i := range 3 * s.most {
		s.heads[domain.PublicKey{byte(i)}] = observation.Head{Hash: domain.Hash{byte(i)}}
		s.proven = append(s.proven, domain.Hash{byte(i)})
	}
	var answers []error
	s.ask(t, s.v.pay(0, "a"), observation.Pending, 0, &answers)
	for len(s.heads)+len(s.proven) > 0 {
		if err := s.flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	sum := 0
	for _, o := range s.published {
		n := int(o.Header.LeafCount)
		if sum += n; n > s.most {
			t.Fatalf("%d leaves, at most %d", n, s.most)
		}
	}
	if want := 6*s.most + 1; sum != want {
		t.Fatalf("%d leaves in all, want %d", sum, want)
	}
}
