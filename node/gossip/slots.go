package gossip

import (
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/notarynet/notaryd/proto/domain"
)

// slots bounds what is in flight with each peer.
type slots struct {
	most int

	mu    sync.Mutex
	peers map[domain.PublicKey]*slot
}

// slot exists while somebody holds or awaits a place.
type slot struct {
	places chan struct{}
	users  int
}

func newSlots(most int) *slots { return &slots{most: most, peers: map[domain.PublicKey]*slot{}} }

func (s *slots) use(key domain.PublicKey) *slot {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.peers[key]
	if p == nil {
		p = &slot{places: make(chan struct{}, s.most)}
		s.peers[key] = p
	}
	p.users++
	return p
}

func (s *slots) leave(key domain.PublicKey, p *slot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.users--; p.users == 0 {
		delete(s.peers, key)
	}
}

// try takes a place if one is free; release gives it back.
func (s *slots) try(key domain.PublicKey) (release func(), ok bool) {
	p := s.use(key)
	if !offer(p.places, struct{}{}) {
		s.leave(key, p)
		return nil, false
	}
	return func() { <-p.places; s.leave(key, p) }, true
}

// wait takes a place as soon as one is free.
func (s *slots) wait(ctx context.Context, key domain.PublicKey) (release func(), err error) {
	p := s.use(key)
	select {
	case p.places <- struct{}{}:
		return func() { <-p.places; s.leave(key, p) }, nil
	case <-ctx.Done():
		s.leave(key, p)
		return nil, ctx.Err()
	}
}

const (
	// burstSeconds is how many seconds' worth a peer may have at once.
	burstSeconds = 4
	// maxBudgets bounds the peers whose budgets are remembered.
	maxBudgets = 1024
)

// budgets bounds something by the second for each peer: the bytes that it is served, since small questions
// have large answers, those that this node asks it for, which stay below that, or the hints that it sends. Four seconds' worth may come at once.
type budgets struct {
	perSecond int

	mu    sync.Mutex
	peers map[domain.PublicKey]*rate.Limiter
}

func newBudgets(perSecond int) *budgets {
	return &budgets{perSecond: perSecond, peers: map[domain.PublicKey]*rate.Limiter{}}
}

// of returns the budget of a peer. Those that are full again say nothing that a new one would not, and
// are forgotten when there are many.
func (b *budgets) of(key domain.PublicKey, now time.Time) *rate.Limiter {
	b.mu.Lock()
	defer b.mu.Unlock()
	l := b.peers[key]
	if l == nil {
		if len(b.peers) >= maxBudgets {
			for k, old := range b.peers {
				if old.TokensAt(now) >= float64(old.Burst()) {
					delete(b.peers, k)
				}
			}
		}
		l = rate.NewLimiter(rate.Limit(b.perSecond), burstSeconds*b.perSecond)
		if len(b.peers) < maxBudgets {
			b.peers[key] = l
		}
	}
	return l
}

// spend takes from a budget, which may go into debt, and then waits it off.
func spend(l *rate.Limiter, n int) { l.ReserveN(time.Now(), min(n, l.Burst())) }
