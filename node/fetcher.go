package node

import (
	"context"
	"log/slog"
	"time"

	"github.com/notarynet/notaryd/node/gossip"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
)

// Limits of what is fetched at once.
const (
	fetchQueue    = 4096
	fetchAtOnce   = 8
	fetchPatience = 40 * time.Millisecond // how long gossip may bring a transaction by itself
	fetchAgain    = 2 * time.Second
	fetchTries    = 10
)

// wanted is a transaction that somebody voted for or spent, and that is not here.
type wanted struct {
	id    domain.Hash
	from  []domain.PublicKey
	tries int
}

// rangeWanted is a stretch of a peer's chain that is missing.
type rangeWanted struct {
	chain    observation.ChainID
	from, to uint64
}

// fetcher pulls what is missing from those who must have it: a transaction from who voted for it, a
// chain from its signer, and both from any other peer when they do not answer.
type fetcher struct {
	txs    chan wanted
	ranges chan rangeWanted
	net    *gossip.Net
	alarms *alarms
	log    *slog.Logger

	// known reports whether a transaction is here, check reads the id of one that came, and intake takes
	// it in; height reads that of an observation that came for a chain, and take takes it in.
	known  func(id domain.Hash) bool
	check  func(raw, proof []byte) (domain.Hash, error)
	intake func(ctx context.Context, raw []byte)
	height func(raw []byte, chain observation.ChainID) (uint64, error)
	take   func(ctx context.Context, raw []byte) error
}

func newFetcher(a *alarms, log *slog.Logger) *fetcher {
	return &fetcher{txs: make(chan wanted, fetchQueue), ranges: make(chan rangeWanted, 64), alarms: a, log: log}
}

// want asks for a transaction a little later, unless it has come by then. It never blocks: when the
// queue is full the next vote asks again.
func (f *fetcher) want(w wanted) {
	delay := fetchPatience
	if w.tries > 0 {
		delay = fetchAgain
	}
	f.alarms.after(delay, func() {
		select {
		case f.txs <- w:
		default:
		}
	})
}

// wantRange asks for a stretch of a chain; dropped when the queue is full, since every later
// observation of the chain asks again.
func (f *fetcher) wantRange(chain observation.ChainID, from, to uint64) {
	select {
	case f.ranges <- rangeWanted{chain, from, to}:
	default:
	}
}

func (f *fetcher) run(ctx context.Context) {
	done := make(chan struct{})
	running := 0
	defer func() {
		for ; running > 0; running-- {
			<-done
		}
	}()
	spawn := func(pull func()) {
		running++
		go func() {
			defer func() { done <- struct{}{} }()
			pull()
		}()
	}
	for {
		txs, ranges := f.txs, f.ranges
		if running >= fetchAtOnce {
			txs, ranges = nil, nil
		}
		select {
		case <-ctx.Done():
			return
		case <-done:
			running--
		case w := <-txs:
			if batch := f.gather(w); len(batch) > 0 {
				spawn(func() { f.pullTransactions(ctx, batch) })
			}
		case r := <-ranges:
			spawn(func() { f.pullRange(ctx, r) })
		}
	}
}

// gather takes what else is queued for the same source and still missing.
func (f *fetcher) gather(first wanted) []wanted {
	batch := make([]wanted, 0, 8)
	for w, more := first, true; more; {
		if !f.known(w.id) {
			batch = append(batch, w)
		}
		if len(batch) >= gossip.MaxPullItems {
			break
		}
		select {
		case w = <-f.txs:
		default:
			more = false
		}
	}
	return batch
}

// candidates are whom to ask: the sources named first, then every connected peer.
func (f *fetcher) candidates(named []domain.PublicKey) []domain.PublicKey {
	for _, p := range f.net.Peers() {
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
	ids := make([]domain.Hash, 0, len(batch))
	var named []domain.PublicKey
	asked := make(map[domain.Hash]bool, len(batch))
	for _, w := range batch {
		if !asked[w.id] {
			asked[w.id] = true
			ids = append(ids, w.id)
		}
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
			f.want(w)
		}
	}
}

func (f *fetcher) pullRange(ctx context.Context, r rangeWanted) {
	for from := r.from; from <= r.to && ctx.Err() == nil; from += gossip.MaxPullItems {
		want := gossip.Range{Key: r.chain.Key, SigningEpoch: r.chain.SigningEpoch, From: from, To: min(r.to, from+gossip.MaxPullItems-1)}
		found, err := f.net.PullObservations(ctx, f.candidates([]domain.PublicKey{r.chain.Key}), want, func(raw []byte) (uint64, error) {
			return f.height(raw, r.chain)
		})
		if err != nil && ctx.Err() == nil {
			f.log.Debug("not all observations could be pulled", "key", r.chain.Key, "from", want.From, "to", want.To, "found", len(found), "err", err)
		}
		for _, o := range found {
			if err := f.take(ctx, o.Raw); err != nil {
				f.log.Debug("pulled observation refused", "key", r.chain.Key, "height", o.Height, "err", err)
				return
			}
		}
		if err != nil {
			return
		}
	}
}
