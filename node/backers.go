package node

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/notarynet/notaryd/conflict"
	"github.com/notarynet/notaryd/node/store"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
)

const (
	// backTick is how often votes that came after the quorum are looked for.
	backTick = 20 * time.Millisecond
	// maxBacking bounds the transactions that wait for them, and keptBackers those whose late votes are
	// remembered.
	maxBacking  = 4096
	keptBackers = 1 << 16
	// heldEvery is how often the operator is told.
	heldEvery = time.Minute
)

// backers owns the question whom this node trusts among those who accepted. The quorum that makes a transaction
// final is whoever was quickest; a peer that this node trusts may have voted a moment later. So a transaction whose
// quorum is not backed waits a little for more votes before it is called held. Nothing else waits for it.
type backers struct {
	patience time.Duration
	votes    func(ctx context.Context, tx domain.Hash) ([]conflict.Vote, error)
	backing  func(info *store.FinalInfo, late []domain.PublicKey) backing
	metrics  *Metrics
	log      *slog.Logger
	bell     chan struct{}

	mu   sync.Mutex
	open map[domain.Hash]*waiter
	late map[domain.Hash][]domain.PublicKey
	kept []domain.Hash // of late, oldest first

	// What follows is the owner's.
	told  time.Time
	count int
}

// waiter is a transaction that is not backed yet.
type waiter struct {
	info    *store.FinalInfo
	until   time.Time
	settled chan struct{}
}

func newBackers(patience time.Duration, metrics *Metrics, log *slog.Logger) *backers {
	return &backers{
		patience: patience, metrics: metrics, log: log, bell: make(chan struct{}, 1),
		open: make(map[domain.Hash]*waiter), late: make(map[domain.Hash][]domain.PublicKey),
	}
}

// note is told of every transaction that becomes final. It does not block.
func (b *backers) note(id domain.Hash, info *store.FinalInfo, now time.Time) {
	if !b.backing(info, nil).held() {
		return
	}
	b.mu.Lock()
	if len(b.open) < maxBacking && b.open[id] == nil {
		b.open[id] = &waiter{info, now.Add(b.patience), make(chan struct{})}
	}
	b.mu.Unlock()
	select {
	case b.bell <- struct{}{}:
	default:
	}
}

// lateFor are the node keys that accepted a transaction after its quorum was complete, as far as they are
// remembered.
func (b *backers) lateFor(id domain.Hash) []domain.PublicKey {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.late[id]
}

// waits is closed once it is settled whether a transaction is held; nil where it is.
func (b *backers) waits(id domain.Hash) <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if w := b.open[id]; w != nil {
		return w.settled
	}
	return nil
}

func (b *backers) run(ctx context.Context) {
	tick := time.NewTicker(backTick)
	defer tick.Stop()
	for {
		waiting := b.waiting()
		if len(waiting) == 0 {
			select {
			case <-b.bell:
				continue
			case <-ctx.Done():
				return
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		for _, id := range waiting {
			votes, err := b.votes(ctx, id)
			if err != nil {
				return // the node ends
			}
			b.look(id, votes, time.Now())
		}
	}
}

// waiting are the transactions that are not backed yet, in no order.
func (b *backers) waiting() []domain.Hash {
	b.mu.Lock()
	defer b.mu.Unlock()
	ids := make([]domain.Hash, 0, len(b.open))
	for id := range b.open {
		ids = append(ids, id)
	}
	return ids
}

// look settles a transaction that is backed by now, or whose time is over.
func (b *backers) look(id domain.Hash, votes []conflict.Vote, now time.Time) {
	b.mu.Lock()
	w := b.open[id]
	b.mu.Unlock()
	late := lateVotes(w.info, votes)
	back := b.backing(w.info, late)
	if back.held() && now.Before(w.until) {
		return
	}
	b.mu.Lock()
	delete(b.open, id)
	if len(late) > 0 && b.late[id] == nil {
		b.late[id], b.kept = late, append(b.kept, id)
		if len(b.kept) > keptBackers {
			delete(b.late, b.kept[0])
			b.kept = b.kept[1:]
		}
	}
	b.mu.Unlock()
	close(w.settled)
	if back.held() {
		b.tell(back, now)
	}
}

// lateVotes are the node keys that accepted in the round and under the link of a quorum without being in it.
func lateVotes(info *store.FinalInfo, votes []conflict.Vote) (late []domain.PublicKey) {
	for i := range votes {
		v := &votes[i]
		key := v.Key()
		if v.State == observation.Accepted && v.Round == info.Round && v.Group.Link() == info.Link &&
			!slices.Contains(late, key) && !slices.ContainsFunc(info.Edges, func(e store.EdgeRef) bool { return e.Key == key }) {
			late = append(late, key)
		}
	}
	return late
}

// tell counts a transaction that is held, and says so to the operator, not too often.
func (b *backers) tell(back backing, now time.Time) {
	b.metrics.held.Inc()
	b.count++
	if now.Sub(b.told) < heldEvery {
		return
	}
	b.log.Warn("HELD: the group accepts what too little of this node's own trust stands behind", "transactions", b.count,
		"own_weight", uint64(back.weight), "threshold", uint64(back.threshold))
	b.told, b.count = now, 0
}
