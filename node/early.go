package node

import (
	"sync"

	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
)

// earlyMost and earlyOfOne bound the observations that wait for their link, of all and of one chain.
const (
	earlyMost  = 1024
	earlyOfOne = 64
)

// early keeps observations under a link that is not final here yet, of keys that count now: when the link comes they are
// taken in at once, and need not be pulled. What finds no room leaves a gap, which is pulled.
type early struct {
	mu   sync.Mutex
	kept map[observation.ChainID][]*observation.Observation
	n    int
	seen bool // one came since the last look
}

func newEarly() *early {
	return &early{kept: make(map[observation.ChainID][]*observation.Observation)}
}

// keep takes an observation whose signature nobody has checked yet. It reports whether it is the first of late.
func (e *early) keep(o *observation.Observation, counts func(observation.ChainID) bool) (first bool) {
	chain := o.Header.Chain()
	if !counts(chain) {
		return false
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	first, e.seen = !e.seen && e.n == 0, true
	if e.n < earlyMost && len(e.kept[chain]) < earlyOfOne {
		e.kept[chain] = append(e.kept[chain], o)
		e.n++
	}
	return first
}

// behind reports whether others sign under a link that is not final here: some wait, or one came since it was asked
// last.
func (e *early) behind() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	seen := e.seen
	e.seen = false
	return seen || e.n > 0
}

// waiting reports whether any wait.
func (e *early) waiting() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.n > 0
}

// take gives up those under a link.
func (e *early) take(link domain.Hash) (out []*observation.Observation) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for chain, list := range e.kept {
		left := list[:0]
		for _, o := range list {
			if o.Header.Link == link {
				out = append(out, o)
			} else {
				left = append(left, o)
			}
		}
		if len(left) == 0 {
			delete(e.kept, chain)
		} else {
			e.kept[chain] = left
		}
	}
	e.n -= len(out)
	return out
}
