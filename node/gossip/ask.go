package gossip

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"github.com/notarynet/notaryd/proto/domain"
)

const (
	// maxParallel is how many candidates are asked at once for one pull, each after Config.PullHedge of silence. Where all of
	// them are silent the next is asked after twice as long each time: so liars that are asked first hold nobody up until
	// their time is over, and a slow line is not asked to carry one answer many times.
	maxParallel = 3
	// maxCandidates bounds the peers tried where the caller names none.
	maxCandidates = 8
)

// candidates returns the caller's choice less this node itself, or connected peers: members first, then
// by what stands against them.
func (n *Net) candidates(named []domain.PublicKey) []domain.PublicKey {
	if len(named) > 0 {
		others := make([]domain.PublicKey, 0, len(named))
		for _, k := range named {
			if k != n.key && !slices.Contains(others, k) {
				others = append(others, k)
			}
		}
		return others
	}
	type ranked struct {
		key    domain.PublicKey
		points float64
	}
	now := time.Now()
	var all []ranked
	for _, id := range n.host.Network().Peers() {
		if key, ok := NodeKey(id); ok {
			all = append(all, ranked{key, -n.ledger.standing(key, now)})
		}
	}
	slices.SortFunc(all, func(a, b ranked) int {
		return cmp.Or(cmp.Compare(a.points, b.points), a.key.Compare(b.key))
	})
	var best []domain.PublicKey
	for _, r := range all[:min(len(all), maxCandidates)] {
		best = append(best, r.key)
	}
	return best
}

// ask tries candidates until an attempt returns true: one at a time while each answers, side by side when
// one is silent for PullHedge, and beyond maxParallel when all are for longer. It returns when all attempts have ended or one was enough; the others are
// then cancelled, without blame.
func (n *Net) ask(ctx context.Context, candidates []domain.PublicKey, attempt func(context.Context, domain.PublicKey) bool) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan bool, len(candidates))
	hedge := time.NewTimer(n.config.PullHedge)
	defer hedge.Stop()
	next, running := 0, 0
	start := func() {
		if next == len(candidates) || !n.enter() {
			return
		}
		key := candidates[next]
		next++
		running++
		go func() {
			defer n.running.Done()
			done <- attempt(ctx, key)
		}()
		hedge.Reset(n.config.PullHedge << max(0, running-maxParallel+1))
	}
	start()
	for running > 0 {
		select {
		case <-ctx.Done():
			return
		case <-n.quit:
			return
		case enough := <-done:
			if running--; enough {
				return
			}
			start()
		case <-hedge.C:
			start()
		}
	}
}

// until repeats requests to one peer for what is missing while its answers are cut short by their size and bring
// something new. It reports whether nothing is missing any more. Others may be asked side by side, and answer first:
// once is told what was missing when it was found that anything is, so that no request is empty.
func until[K any](missing func() []K, once func(asked []K) (size int, ok bool)) bool {
	for asked := missing(); len(asked) > 0; {
		size, ok := once(asked)
		left := missing()
		if !ok || len(left) == 0 {
			return len(left) == 0
		}
		// An answer that leaves room for the largest item was not cut short.
		if len(left) == len(asked) || size <= MaxPullResponse-itemSize(MaxObservation) {
			return false
		}
		asked = left
	}
	return true
}

// credit books a wrong answer.
func (n *Net) credit(key domain.PublicKey, err error) bool {
	if err == nil {
		return true
	}
	n.log.Debug("wrong answer to a pull", "peer", key.String(), "err", err)
	n.Penalise(key, OffenceWrong)
	return false
}

// exchange sends one request to one peer and returns its canonical response. The time of an attempt begins when it does: what
// it waited for here is not held against the peer.
func (n *Net) exchange(ctx context.Context, p pull, key domain.PublicKey, request []byte) ([]byte, bool) {
	release, err := n.turn(ctx, key)
	attempt, cancel := context.WithTimeout(ctx, n.config.PullTimeout)
	defer cancel()
	start := time.Now()
	var response []byte
	if err == nil {
		response, err = n.roundTrip(attempt, p, key, request)
		release()
	}
	n.metrics.AskedSeconds.WithLabelValues(p.String()).Observe(time.Since(start).Seconds())
	outcome := classify(ctx, attempt, response, err)
	n.metrics.Asked.WithLabelValues(p.String(), outcome).Inc()
	switch outcome {
	case "wrong":
		n.credit(key, err)
	case "timeout":
		n.Penalise(key, OffenceSlow)
	}
	return response, err == nil
}

// errUnreachable says that no stream could be opened.
var errUnreachable = errors.New("peer cannot be reached")

// turn waits, no longer than an attempt may take, until a peer may be asked: until fewer than PullsPerPeer pulls are in
// flight with it, and until it may be expected to serve, for a server takes who asks for more than its share for a flood.
func (n *Net) turn(ctx context.Context, key domain.PublicKey) (release func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, n.config.PullTimeout)
	defer cancel()
	release, err = n.asking.wait(ctx, key)
	if err != nil {
		return nil, errUnreachable // our own queue, not the peer's fault
	}
	if err := n.answers.of(key, time.Now()).WaitN(ctx, 1); err != nil {
		release()
		return nil, errUnreachable
	}
	return release, nil
}

func (n *Net) roundTrip(ctx context.Context, p pull, key domain.PublicKey, request []byte) ([]byte, error) {
	s, err := n.host.NewStream(ctx, PeerID(key), pullProtocol(n.config.Network, p))
	if err != nil {
		return nil, errors.Join(errUnreachable, err)
	}
	// The one clock of an attempt is its context: a stream deadline beside it might ring first, and
	// the peer be blamed for the caller's impatience.
	stop := context.AfterFunc(ctx, func() { s.Reset() })
	defer stop()
	response, err := exchangeOn(s, p, request)
	if err != nil {
		s.Reset()
		if ctx.Err() != nil { // it may serve what is not waited for, and counts that
			spend(n.answers.of(key, time.Now()), int(n.sizes[p].Load()))
		}
		return nil, err
	}
	s.Close()
	n.sizes[p].Store(int64(len(response)))
	spend(n.answers.of(key, time.Now()), len(response))
	return response, nil
}

func exchangeOn(s network.Stream, p pull, request []byte) ([]byte, error) {
	if err := writeFrame(s, request); err != nil {
		return nil, err
	}
	if err := s.CloseWrite(); err != nil {
		return nil, err
	}
	schema := responseSchemas[p]
	response, err := readFrame(s, schema.MaxBytes())
	if err != nil {
		return nil, err
	}
	if err := schema.Check(response); err != nil {
		return nil, errors.Join(errFrame, err)
	}
	return response, nil
}

// classify names the outcome of an attempt. Only "wrong" and "timeout" are the peer's fault.
func classify(parent, attempt context.Context, response []byte, err error) string {
	var reset *network.StreamError
	switch {
	case err == nil && len(response) == 0:
		return "empty"
	case err == nil:
		return "ok"
	case errors.Is(err, errOversize), errors.Is(err, errFrame):
		return "wrong"
	case parent.Err() != nil:
		return "cancelled"
	case errors.Is(err, errUnreachable):
		return "unreachable"
	case attempt.Err() != nil:
		return "timeout"
	case errors.As(err, &reset) && reset.Remote && reset.ErrorCode == network.StreamRateLimited:
		return "busy"
	default:
		return "unreachable"
	}
}
