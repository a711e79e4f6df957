package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/notarynet/notaryd/node/gossip"
	setsync "github.com/notarynet/notaryd/node/sync"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
)

const (
	// reconcileBehind is how often a node that is behind looks, and one that knows nobody yet; others look every
	// Config.Reconcile.
	reconcileBehind = 2 * time.Second
	// reconcileFirst is how long after it starts a node looks for the first time: it knows some members by then.
	reconcileFirst = 300 * time.Millisecond
	// reconcileAsked is how many members each look asks how much is final with them.
	reconcileAsked = 4
	// comparePatience bounds one comparison. A session ends by its rounds and bytes too, but a member that takes the time
	// that a pull may take for each of its thousands of rounds would keep the node from asking another for hours.
	comparePatience = 30 * time.Second
	// reconcilePatience is how long what is missing may come by itself: most of it is on its way.
	reconcilePatience = 3 * time.Second
	// reconcileMost is how many missing finals one look fetches.
	reconcileMost = 4096
	// landing is how long what was fetched may take to become final here.
	landing = 5 * time.Second
)

// reconciler compares what is final here with what is final at members (node/sync): so the node knows how far it is
// behind, and fetches, with proofs, what no chain of observations brings it.
type reconciler struct {
	every time.Duration
	set   setsync.Set
	limit setsync.Limits
	log   *slog.Logger
	*progress

	members func() []domain.PublicKey // that are connected and have weight
	group   func() *group.Group
	count   func() uint64 // of what is final here
	final   func(id domain.Hash) (bool, error)
	pull    func(ctx context.Context, from domain.PublicKey, asked []setsync.Range) (setsync.Reply, error)
	blame   func(domain.PublicKey)
	// fetch gets transactions with their proofs and takes in those that hold; how many did.
	fetch func(ctx context.Context, from domain.PublicKey, ids []domain.Hash) (proven int, err error)
	// tell is told how far the node is behind after each look, and what /readyz says of it.
	tell func(c *notaryv1.CatchUp, problem string)
	// repairing says that the last look brought something: what is missing now does not come by itself either.
	repairing bool
	fail      func(error)
	// fetched counts what was taken in by proof.
	fetched func(n int)
}

func (r *reconciler) run(ctx context.Context) {
	again := time.NewTimer(reconcileFirst)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-again.C:
		}
		for r.look(ctx) && ctx.Err() == nil {
		}
		wait := r.every
		if c := r.report(r.group(), r.count(), time.Now()); c.FinalElsewhere == 0 || c.Missing > behindFew {
			wait = min(wait, reconcileBehind)
		}
		again.Reset(wait)
	}
}

// look asks some members how much is final with them, and fetches what is missing from the last of them that has more. It
// reports whether it is worth looking again at once.
func (r *reconciler) look(ctx context.Context) bool {
	members := r.members()
	rand.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
	r.here(r.count(), time.Now())
	if len(members) == 0 {
		r.failed("no member is connected")
	}
	var missing []domain.Hash
	var from domain.PublicKey
	for i, member := range members[:min(len(members), reconcileAsked)] {
		ids, err := r.compare(ctx, member, i == 0)
		switch {
		case ctx.Err() != nil:
			return false
		case err != nil:
			r.failed(err.Error())
		case len(ids) > 0:
			missing, from = ids, member
		}
	}
	c := r.report(r.group(), r.count(), time.Now())
	r.tell(c, r.problem(c))
	return len(missing) > 0 && r.repair(ctx, from, missing)
}

// compare asks a member how much is final with it, and with whole for what of that is missing here, as far as it says so in
// time.
func (r *reconciler) compare(ctx context.Context, member domain.PublicKey, whole bool) (missing []domain.Hash, err error) {
	s := setsync.NewSession(r.set, r.limit)
	limited, cancel := context.WithTimeout(ctx, comparePatience)
	defer cancel()
	for first := true; len(missing) < reconcileMost; first = false {
		asked, err := s.Next()
		if errors.Is(err, setsync.ErrSpent) || err == nil && len(asked) == 0 {
			return missing, nil
		}
		if err != nil {
			r.fail(err)
			return nil, err
		}
		reply, err := r.pull(limited, member, asked)
		switch {
		case err == nil:
		case len(missing) > 0 && limited.Err() != nil && ctx.Err() == nil:
			return missing, nil // as of a session that is spent
		default:
			return missing, err
		}
		more, err := s.Take(reply)
		if err != nil {
			r.blame(member)
			return missing, fmt.Errorf("%s compares wrongly: %w", member, err)
		}
		missing = append(missing, more...)
		if first {
			r.says(member, countOf(asked[0], reply), time.Now())
			if !whole {
				return nil, nil
			}
		}
	}
	return missing, nil
}

// countOf is how many ids a peer has in the one range that it was asked for.
func countOf(asked setsync.Range, reply setsync.Reply) (n uint64) {
	if len(reply.Ranges) == 0 {
		return asked.Count
	}
	for _, part := range reply.Ranges {
		n += part.Count + uint64(len(part.IDs))
	}
	return n
}

// repair fetches what does not come by itself. It reports whether that brought anything: then there may be more.
func (r *reconciler) repair(ctx context.Context, from domain.PublicKey, missing []domain.Hash) bool {
	before := r.count()
	if !r.repairing && !pause(ctx, reconcilePatience) {
		return false
	}
	r.repairing = false
	left, err := r.left(missing)
	if err != nil || len(left) == 0 {
		return false
	}
	if came := r.count() - before; came > uint64(len(missing)) {
		return false // the chains are at work, and bring it faster
	}
	proven := 0
	for len(left) > 0 && ctx.Err() == nil {
		batch := left[:min(len(left), gossip.MaxPullItems)]
		left = left[len(batch):]
		n, err := r.fetch(ctx, from, batch)
		if proven += n; err != nil {
			r.failed(err.Error())
		}
		if n == 0 {
			break
		}
	}
	if proven == 0 {
		r.failed(fmt.Sprintf("%s proves none of %d final transactions that are missing here", from, len(missing)))
		return false
	}
	r.fetched(proven)
	r.log.Info("final transactions taken in by their proofs", "from", from, "proven", proven, "missing", len(missing))
	r.repairing = true
	for deadline := time.Now().Add(landing); time.Now().Before(deadline); {
		if left, err = r.left(missing); err != nil || len(left) <= len(missing)-proven {
			break
		}
		if !pause(ctx, 20*time.Millisecond) {
			return false
		}
	}
	return err == nil
}

// left are those that are not final here.
func (r *reconciler) left(ids []domain.Hash) (left []domain.Hash, err error) {
	for _, id := range ids {
		final, err := r.final(id)
		if err != nil {
			r.fail(err)
			return nil, err
		}
		if !final {
			left = append(left, id)
		}
	}
	return left, nil
}

// wireReconciler connects the reconciler to the store and the network.
func (sh *shell) wireReconciler() {
	sh.reconciler = &reconciler{
		every: sh.config.Reconcile, set: sh.store.FinalSet(), limit: gossip.SetLimits, log: sh.log, progress: newProgress(),
		group: sh.group, count: func() uint64 { return sh.store.Counts().Finals }, final: sh.store.IsFinal,
		members: func() (members []domain.PublicKey) {
			for _, p := range sh.net.Peers() {
				if sh.group().Share(p.Key) > 0 && p.Key != sh.self {
					members = append(members, p.Key)
				}
			}
			return members
		},
		pull: func(ctx context.Context, from domain.PublicKey, asked []setsync.Range) (setsync.Reply, error) {
			return sh.net.PullSet(ctx, from, asked)
		},
		blame: func(key domain.PublicKey) { sh.net.Blame(key) },
		fetch: sh.fetchProven, fail: sh.fail,
		tell: func(c *notaryv1.CatchUp, problem string) {
			sh.metrics.missing.Set(float64(c.Missing))
			sh.ready.say(aboutBehind, problem)
		},
		fetched: func(n int) { sh.metrics.proven.Add(float64(n)) },
	}
}

// fetchProven pulls transactions with their proofs from one peer and takes in those that hold.
func (sh *shell) fetchProven(ctx context.Context, from domain.PublicKey, ids []domain.Hash) (taken int, err error) {
	var held []*proven
	found, err := sh.net.PullTransactions(ctx, []domain.PublicKey{from}, ids, true, func(raw, proof []byte) (domain.Hash, error) {
		id, p, err := sh.proves(raw, proof)
		if err == nil && p != nil {
			held = append(held, p)
		}
		return id, err
	})
	if errors.Is(err, gossip.ErrMissing) && len(found) > 0 {
		err = nil // it has pruned the others
	}
	for _, p := range held {
		if e := sh.takeProven(ctx, p); e != nil {
			return taken, errors.Join(err, e)
		}
		taken++
	}
	return taken, err
}

// catchUp is how far this node is behind.
func (sh *shell) catchUp() *notaryv1.CatchUp {
	c := sh.reconciler.report(sh.group(), sh.store.Counts().Finals, time.Now())
	c.CanVerify = !sh.early.waiting()
	may, _ := maySign(sh.group(), sh.self, sh.store.Signing())
	c.CanVote = may && c.CanVerify && !sh.ready.inTheWay(aboutListening, aboutSigning, aboutDisk, aboutStart, aboutStop)
	return c
}
