package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/notarynet/notaryd/conflict"
	"github.com/notarynet/notaryd/node/store"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/utxo"
)

// witnessQueue is how many reports may wait for the witness, which is faster than whoever reports. What
// finds no room is lost to it, and counted.
const witnessQueue = 4096

// witness owns the search for contradictions: it watches contested transactions, overhears the votes on them
// once these are stored, is told of forks, and builds evidence from what the store holds. It waits for the
// disk and the tallies' queues, and nobody waits for it.
//
// A liar's votes go on counting here as everywhere, until a link removes it.
type witness struct {
	queue   chan any
	votes   *conflict.Witness
	bodies  *bodies // of what is watched
	lineage *lineage
	store   *store.Store
	archive *archive
	log     *slog.Logger
	metrics *evidenceMetrics

	// overhear has the votes on a transaction come here, those counted so far and all further ones, or
	// ends that.
	overhear func(ctx context.Context, m overhearing)
	rules    utxo.Rules
	armed    time.Time // when evidence was last put down to be gossiped again
	after    func(time.Duration, func())

	pull func(id observation.ChainID, from, to uint64)
	fail func(error)

	// ask collects the final signatures of a transaction; probing bounds how many are asked for at once.
	ask     func(ctx context.Context, tx domain.Hash) []observation.FinalSignature
	probing chan struct{}
	asking  sync.WaitGroup
}

// watching is a contested transaction.
type watching struct {
	tx *utxo.Tx
	// decided asks for the votes that made it final too: they may be older than any tally.
	decided bool
}

// lost is a transaction that is refused since a rival is final, contested or not: votes on it may still
// come.
type lost struct{ tx *utxo.Tx }

// forked is a height at which a chain has two observations, as far as is known.
type forked struct {
	chain  observation.ChainID
	height uint64
}

func newWitness(l *lineage, s *store.Store, a *archive, log *slog.Logger, m *evidenceMetrics) *witness {
	return &witness{
		queue: make(chan any, witnessQueue), votes: conflict.NewWitness(conflict.MaxWitnessed),
		bodies: newBodies(), lineage: l, store: s, archive: a, log: log, metrics: m,
		probing: make(chan struct{}, probesAtOnce),
	}
}

// watch reports a contested transaction.
func (w *witness) watch(tx *utxo.Tx, decided bool) { w.tell(watching{tx, decided}) }

// lose reports a transaction that a final rival has ended.
func (w *witness) lose(tx *utxo.Tx) { w.tell(lost{tx}) }

// hear reports votes on what is watched. They are kept and must not change.
func (w *witness) hear(votes []conflict.Vote) { w.tell(votes) }

// suspect reports a fork. Its observations have been stored, as far as they are known.
func (w *witness) suspect(chain observation.ChainID, height uint64) { w.tell(forked{chain, height}) }

func (w *witness) tell(m any) {
	select {
	case w.queue <- m:
	default:
		w.metrics.unheard.Inc()
	}
}

func (w *witness) run(ctx context.Context) {
	defer w.asking.Wait()
	for {
		select {
		case <-ctx.Done():
			return
		case m := <-w.queue:
			if err := w.handle(ctx, m); err != nil {
				w.fail(err)
				return
			}
		}
	}
}

// handle takes one report. An error is one of the store, and final.
func (w *witness) handle(ctx context.Context, m any) error {
	switch m := m.(type) {
	case watching:
		return w.enter(ctx, m)
	case lost:
		return w.mourn(ctx, m.tx)
	case []conflict.Vote:
		return w.listen(m)
	case forked:
		return w.fork(m)
	case returned:
		w.rearm()
		return nil
	case republish:
		return w.republish()
	case finalsHeard:
		w.probe(ctx, m)
		return nil
	case rivalFinals:
		return w.confront(m)
	}
	panic(fmt.Sprintf("node: the witness was told %T", m))
}

func (w *witness) enter(ctx context.Context, m watching) error {
	gone, added := w.votes.Watch(m.tx.ID, slices.Clone(m.tx.Spends())) // else it would keep the transaction
	if !gone.IsZero() {
		w.bodies.drop(gone)
		w.overhear(ctx, overhearing{gone, false})
	}
	if added {
		w.bodies.keep(m.tx.ID, m.tx.Body)
		w.overhear(ctx, overhearing{m.tx.ID, true})
	}
	if !m.decided {
		return nil
	}
	votes, err := w.decisive(m.tx.ID)
	if err != nil {
		return err
	}
	return w.listen(votes)
}

// mourn watches a transaction together with the final ones that ended it.
func (w *witness) mourn(ctx context.Context, tx *utxo.Tx) error {
	for _, o := range tx.Spends() {
		entry, found, err := w.store.Lookup(o)
		if err != nil {
			return err
		}
		if !found || entry.SpentBy.IsZero() || entry.SpentBy == tx.ID {
			continue
		}
		t, found, err := w.store.Transaction(entry.SpentBy)
		if err != nil {
			return err
		}
		if !found || t.Raw == nil {
			continue
		}
		winner, err := utxo.Decode(t.Raw, w.rules)
		if err != nil {
			return fmt.Errorf("a final transaction cannot be read back: %w", err)
		}
		if err := w.enter(ctx, watching{winner, true}); err != nil {
			return err
		}
	}
	return w.enter(ctx, watching{tx, false})
}

// decisive are the stored votes that made a transaction final.
func (w *witness) decisive(id domain.Hash) ([]conflict.Vote, error) {
	t, found, err := w.store.Transaction(id)
	if err != nil || !found || t.Final == nil {
		return nil, err
	}
	return w.edgeVotes(id, t.Final), nil
}

// edgeVotes are the votes that made a transaction final under the present link.
func (w *witness) edgeVotes(id domain.Hash, f *store.FinalInfo) (votes []conflict.Vote) {
	g := w.lineage.known(f.Link)
	if g == nil {
		return nil
	}
	for _, e := range f.Edges {
		if voter, ok := g.Voter(e.Key); ok {
			votes = append(votes, conflict.Vote{
				Tx: id, State: observation.Accepted, Round: f.Round, Group: g, Voter: voter,
				SigningEpoch: e.SigningEpoch, Height: e.Height, Leaf: e.Leaf,
			})
		}
	}
	return votes
}

func (w *witness) listen(votes []conflict.Vote) error {
	for i := range votes {
		for _, b := range w.votes.Hear(&votes[i]) {
			if w.archive.holds(b.Chain, b.Kind) {
				continue
			}
			e, err := w.build(&b)
			if err := w.conclude(e, err, "key", b.Chain.Key, "rule", kindName(b.Kind)); err != nil {
				return err
			}
		}
	}
	return nil
}

// errNotHere says that what evidence would be made of is not stored here.
var errNotHere = errors.New("not all of it is stored here")

// conclude archives evidence that was built, or says why there is none.
func (w *witness) conclude(e *observation.Evidence, err error, what ...any) error {
	switch {
	case err == nil:
		_, err = w.archive.keep(e, ownEvidence)
		return err
	case errors.Is(err, errNotHere) || errors.Is(err, observation.ErrNoContradiction):
		w.metrics.unbuilt.Inc()
		w.log.Warn("a contradiction that makes no evidence", append(what, "err", err)...)
		return nil
	}
	return err
}

// build makes evidence of two votes from the observations they stand in.
func (w *witness) build(b *conflict.Breach) (*observation.Evidence, error) {
	var edges [2]observation.Edge
	var bodies [2][]byte
	for i := range b.Deeds {
		d := &b.Deeds[i]
		bodies[i] = w.bodies.of[d.Tx]
		o, err := w.find(b.Chain, d)
		if err != nil {
			return nil, err
		}
		edges[i] = o.Edge(int(d.Leaf))
	}
	e, err := observation.ContradictingVotes(edges[0], edges[1], bodies[0], bodies[1])
	if err != nil {
		return nil, fmt.Errorf("evidence against %s: %w", b.Chain.Key, err)
	}
	return e, nil
}

// find is the stored observation that holds a vote: at a fork, whichever of its branches does.
func (w *witness) find(chain observation.ChainID, d *conflict.Deed) (*observation.Observation, error) {
	o, found, err := w.store.Observation(chain, d.Height)
	if err != nil || found && holdsDeed(o, d) {
		return o, err
	}
	for o, err := range w.store.Forks(chain, d.Height) {
		if err != nil || holdsDeed(o, d) {
			return o, err
		}
	}
	return nil, errNotHere
}

func holdsDeed(o *observation.Observation, d *conflict.Deed) bool {
	if uint64(d.Leaf) >= uint64(o.Len()) {
		return false
	}
	l := o.Leaf(int(d.Leaf))
	return l.Type == observation.SubjectTx && l.Subject == d.Tx && l.State == d.State && l.Round == d.Round
}

// fork makes evidence of two observations at one height. Where one of them is known by its hash alone, as
// what a successor names, it is pulled, and comes back here when it was stored.
func (w *witness) fork(f forked) error {
	if w.archive.holds(f.chain, forkedChain) {
		return nil
	}
	first, found, err := w.store.Observation(f.chain, f.height)
	if err != nil {
		return err
	}
	if found {
		for second, err := range w.store.Forks(f.chain, f.height) {
			if err != nil {
				return err
			}
			e, err := observation.ForkedChain(first.Signed(), second.Signed())
			return w.conclude(e, err, "key", f.chain.Key, "height", f.height)
		}
	}
	w.pull(f.chain, f.height, f.height)
	return nil
}
