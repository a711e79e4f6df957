package node

import (
	"cmp"
	"context"
	"log/slog"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/notarynet/notaryd/node/gossip"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// Limits of what is fetched at once.
const (
	rangeQueue  = 1024
	fetchAtOnce = 8
	// rangesAtOnce of them may be pulls of chains. These wait for the transactions that their votes name (paced), and would
	// wait in vain if they were all that is under way.
	rangesAtOnce  = fetchAtOnce - 2
	fetchPatience = 40 * time.Millisecond // how long gossip may bring a transaction by itself
	fetchAgain    = 2 * time.Second
	fetchTries    = 10
	// A pulled observation for which the observer has no room is offered again at once, observerTries
	// times observerAgain apart, before the rest of its chain is left for later.
	observerAgain = 5 * time.Millisecond
	observerTries = 200
	// owedMost is how many transactions the votes of one signer may have asked for before more of its chain is pulled,
	// owedPatience how long a pull waits for that before it makes place for others, and askedMost how many they may
	// have asked for at all: beside owedMost there is room for a full observation. Where askedInAll are asked for, no
	// signer may have more than its share of that.
	owedMost     = 2048
	owedPatience = 5 * time.Second
	askedMost    = 16384
	askedInAll   = 8 * askedMost
)

// wanted is a transaction that somebody voted for or spent, and that is not here.
type wanted struct {
	id    domain.Hash
	from  []domain.PublicKey
	tries int
}

// signer is whose votes named it; zero where no votes did.
func (w *wanted) signer() (key domain.PublicKey) {
	if len(w.from) > 0 {
		key = w.from[0]
	}
	return key
}

// rangeWanted is a stretch of a peer's chain that is missing.
type rangeWanted struct {
	chain    observation.ChainID
	from, to uint64
	// claimant, where set, says that it has them. It and the signer are asked, and nobody else: a false
	// claim is not worth the time of many.
	claimant domain.PublicKey
	// fork says that the claimant's observation at this one height contradicts the one that is here.
	fork bool
}

// fetcher pulls what is missing from those who must have it: a transaction from who voted for it, a
// chain from its signer, and both from any other peer when they do not answer.
type fetcher struct {
	bell   chan struct{} // rings when there is something to fetch that was not there before
	ranges chan rangeWanted
	net    *gossip.Net
	alarms *alarms
	log    *slog.Logger

	// known reports whether a transaction is here, check reads the id of one that came, and intake takes
	// it in; height reads that of an observation that came for a chain, and take takes it in. head is up
	// to where a chain is here; takeFork takes in a second observation at a height below it.
	known  func(id domain.Hash) bool
	check  func(raw, proof []byte) (domain.Hash, error)
	intake func(ctx context.Context, raw []byte)
	height func(raw []byte, chain observation.ChainID) (uint64, error)
	take   func(ctx context.Context, raw []byte) error
	head   func(chain observation.ChainID) uint64

	takeFork func(ctx context.Context, raw []byte) error

	// asked are the transactions that are asked for, with the signer whose votes named them, and owed how many each has.
	// due are those that are to be pulled now, by signer: one that invents transactions keeps nobody else's waiting.
	mu    sync.Mutex
	asked map[domain.Hash]domain.PublicKey
	owed  map[domain.PublicKey]int
	due   turns[domain.PublicKey, wanted]

	// pullBatch and pullChain are how the two are pulled.
	pullBatch func(ctx context.Context, batch []wanted)
	pullChain func(ctx context.Context, r rangeWanted)

	// pulling are the chains that are being pulled, with what was asked for meanwhile.
	pulling map[observation.ChainID]*rangeWanted
}

func newFetcher(a *alarms, log *slog.Logger) *fetcher {
	f := &fetcher{
		bell: make(chan struct{}, 1), ranges: make(chan rangeWanted, rangeQueue), alarms: a, log: log,
		pulling: make(map[observation.ChainID]*rangeWanted), asked: make(map[domain.Hash]domain.PublicKey), owed: make(map[domain.PublicKey]int),
	}
	f.pullBatch, f.pullChain = f.pullTransactions, f.pullRange
	return f
}

// want asks for a transaction a little later, unless it has come by then, or is asked for already. It never blocks:
// where a signer's votes have asked for too many, the next vote asks again.
func (f *fetcher) want(w wanted) {
	if f.owe(w) {
		f.later(w, fetchPatience)
	}
}

// later has a transaction pulled after a while.
func (f *fetcher) later(w wanted, delay time.Duration) {
	f.alarms.after(delay, func() {
		f.mu.Lock()
		f.due.put(w.signer(), w)
		f.mu.Unlock()
		f.ring()
	})
}

func (f *fetcher) ring() {
	select {
	case f.bell <- struct{}{}:
	default:
	}
}

// owe notes that a transaction is asked for; false where it is already, or may not be.
func (f *fetcher) owe(w wanted) bool {
	signer := w.signer()
	f.mu.Lock()
	defer f.mu.Unlock()
	most := askedMost
	if len(f.asked) >= askedInAll {
		most = askedInAll / (len(f.owed) + 1)
	}
	if _, there := f.asked[w.id]; there || f.owed[signer] >= most {
		return false
	}
	f.asked[w.id] = signer
	f.owed[signer]++
	return true
}

// settle ends that a transaction is asked for: it is here, or nobody has it.
func (f *fetcher) settle(id domain.Hash) {
	f.mu.Lock()
	defer f.mu.Unlock()
	signer, there := f.asked[id]
	if !there {
		return
	}
	delete(f.asked, id)
	if f.owed[signer]--; f.owed[signer] == 0 {
		delete(f.owed, signer)
	}
}

func (f *fetcher) owes(signer domain.PublicKey) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.owed[signer]
}

// paced waits until most of what a signer's votes have asked for has come: votes that run far ahead of their
// transactions are forgotten before these are here. It returns false where that takes too long, as it does with the
// votes of a liar on transactions that do not exist.
func (f *fetcher) paced(ctx context.Context, signer domain.PublicKey) bool {
	over := time.Now().Add(owedPatience)
	for f.owes(signer) > owedMost {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(observerAgain):
		}
		if time.Now().After(over) {
			return false
		}
	}
	return true
}

// wantRange asks for a stretch of a chain; dropped when the queue is full, since every later
// observation of the chain asks again.
func (f *fetcher) wantRange(chain observation.ChainID, from, to uint64) {
	f.wantClaimed(rangeWanted{chain: chain, from: from, to: to})
}

// wantClaimed asks for a stretch of a chain that somebody says to have.
func (f *fetcher) wantClaimed(r rangeWanted) {
	select {
	case f.ranges <- r:
	default:
	}
}

func (f *fetcher) run(ctx context.Context) {
	done := make(chan func())
	running := 0
	defer func() {
		for ; running > 0; running-- {
			<-done
		}
	}()
	spawn := func(pull, after func()) {
		running++
		go func() {
			defer func() { done <- after }()
			pull()
		}()
	}
	for {
		bell, ranges := f.bell, f.ranges
		if running >= fetchAtOnce {
			bell = nil
		}
		if running >= fetchAtOnce || len(f.pulling) >= rangesAtOnce {
			ranges = nil
		}
		select {
		case <-ctx.Done():
			return
		case after := <-done:
			running--
			after()
		case <-bell:
			if batch := f.gather(); len(batch) > 0 {
				spawn(func() { f.pullBatch(ctx, batch) }, func() {})
				f.ring() // there may be more
			}
		case r := <-ranges:
			if f.begin(r) {
				spawn(func() { f.pullChain(ctx, r) }, func() { f.end(r.chain) })
			}
		}
	}
}

// begin reports whether a chain may be pulled now. One pull of a chain at a time: when a node comes up all
// its peers know the same that it lacks. What is asked for meanwhile is remembered, the longest of it.
func (f *fetcher) begin(r rangeWanted) bool {
	next, busy := f.pulling[r.chain]
	switch {
	case !busy:
		f.pulling[r.chain] = nil
	case next == nil || next.to < r.to:
		f.pulling[r.chain] = &r
	}
	return !busy
}

// end asks for what was asked for meanwhile, and is still missing.
func (f *fetcher) end(chain observation.ChainID) {
	next := f.pulling[chain]
	delete(f.pulling, chain)
	if next != nil && next.to > f.head(chain) {
		f.wantClaimed(*next)
	}
}

// gather takes what is to be pulled now and still missing, as much as one pull may ask for.
func (f *fetcher) gather() (batch []wanted) {
	for len(batch) < gossip.MaxPullItems {
		f.mu.Lock()
		w, more := f.due.take()
		f.mu.Unlock()
		switch {
		case !more:
			return batch
		case f.known(w.id):
			f.settle(w.id)
		default:
			batch = append(batch, w)
		}
	}
	return batch
}

// candidates are whom to ask: the sources named first, then every connected peer.
func (f *fetcher) candidates(named []domain.PublicKey) []domain.PublicKey {
	peers := f.net.Peers()
	rand.Shuffle(len(peers), func(i, j int) { peers[i], peers[j] = peers[j], peers[i] })
	return inTurn(named, peers)
}

// inTurn puts those named first and then the peers, members before others: in either part whoever kept this node waiting or
// lied to it of late comes after who did not, so that silent ones stand in the way once, and else in the given order. That
// must not be the one of keys, which strangers choose.
func inTurn(named []domain.PublicKey, peers []gossip.Peer) []domain.PublicKey {
	points := make(map[domain.PublicKey]int, len(peers)) // rounded: what is nearly forgotten is
	for _, p := range peers {
		points[p.Key] = int(math.Round(p.Points))
	}
	named = slices.Clone(named)
	slices.SortStableFunc(named, func(a, b domain.PublicKey) int { return cmp.Compare(points[a], points[b]) })
	slices.SortStableFunc(peers, func(a, b gossip.Peer) int {
		switch {
		case a.Member == b.Member:
			return cmp.Compare(points[a.Key], points[b.Key])
		case a.Member:
			return -1
		}
		return 1
	})
	for _, p := range peers {
		named = append(named, p.Key)
	}
	var out []domain.PublicKey
	seen := make(map[domain.PublicKey]bool, len(named))
	for _, k := range named {
		if !seen[k] {
			seen[k] = true
			out = append(out, k)
		}
	}
	return out
}

func (f *fetcher) pullTransactions(ctx context.Context, batch []wanted) {
	ids := make([]domain.Hash, len(batch))
	var named []domain.PublicKey
	for i, w := range batch {
		ids[i] = w.id
		named = append(named, w.from...)
	}
	found, err := f.net.PullTransactions(ctx, f.candidates(named), ids, false, f.check)
	if err != nil && ctx.Err() == nil {
		f.log.Debug("not all transactions could be pulled", "asked", len(ids), "found", len(found), "err", err)
	}
	for _, t := range found {
		f.intake(ctx, t.Raw)
	}
	for _, w := range batch {
		if w.tries++; !f.known(w.id) && w.tries < fetchTries {
			f.later(w, fetchAgain)
		} else {
			f.settle(w.id)
		}
	}
}

// pullRange pulls a stretch of a chain, less what has come by itself, in pieces.
func (f *fetcher) pullRange(ctx context.Context, r rangeWanted) {
	candidates, take, from := []domain.PublicKey{r.claimant, r.chain.Key}, f.takeObservation, max(r.from, f.head(r.chain)+1)
	switch {
	case r.fork:
		candidates, take, from = candidates[:1], f.takeFork, r.from
	case r.claimant == (domain.PublicKey{}):
		candidates = f.candidates(candidates[1:])
	}
	for ; from <= r.to && ctx.Err() == nil; from += gossip.MaxPullItems {
		want := gossip.Range{Key: r.chain.Key, SigningEpoch: r.chain.SigningEpoch, From: from, To: min(r.to, from+gossip.MaxPullItems-1)}
		found, err := f.net.PullObservations(ctx, candidates, want, func(raw []byte) (uint64, error) {
			return f.height(raw, r.chain)
		})
		if err != nil && ctx.Err() == nil {
			f.log.Debug("not all observations could be pulled", "key", r.chain.Key, "from", want.From, "to", want.To, "found", len(found), "err", err)
		}
		for _, o := range found {
			if !r.fork && !f.paced(ctx, r.chain.Key) {
				f.wantClaimed(r) // what is still missing of it, in its turn
				return
			}
			if err := take(ctx, o.Raw); err != nil {
				f.log.Debug("pulled observation refused", "key", r.chain.Key, "height", o.Height, "err", err)
				return
			}
		}
		if err != nil || want.To == r.to {
			return
		}
	}
}

// takeObservation hands an observation in, and waits for a while where there is no room.
func (f *fetcher) takeObservation(ctx context.Context, raw []byte) (err error) {
	for range observerTries {
		if err = f.take(ctx, raw); refusal.ReasonOf(err) != notaryv1.Reason_REASON_OVERLOADED {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(observerAgain):
		}
	}
	return err
}
