package node

import (
	"slices"
	"sync"
	"time"

	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
)

// What bounds the observations that wait for their link: the number of all and of one chain, the bytes of all, and the time. Who is behind for longer
// pulls what he lacks.
const (
	earlyMost     = 1024
	earlyOfOne    = 64
	earlyBytes    = 16 << 20
	earlyPatience = time.Minute
)

// early keeps observations under a link that is not final here yet, of keys that count now: when the link comes they are
// taken in at once, and need not be pulled. What finds no room leaves a gap, which is pulled.
type early struct {
	mu    sync.Mutex
	kept  map[observation.ChainID][]foreseen
	n     int
	bytes int
	seen  bool // one came since the last look
}

type foreseen struct {
	*observation.Observation
	at time.Time
}

func newEarly() *early {
	return &early{kept: make(map[observation.ChainID][]foreseen)}
}

// keep takes an observation whose key counts and whose signature is right. It reports whether it is the first of late.
func (e *early) keep(o *observation.Observation, now time.Time) (first bool) {
	chain := o.Header.Chain()
	e.mu.Lock()
	defer e.mu.Unlock()
	first, e.seen = !e.seen && e.n == 0, true
	if e.n < earlyMost && len(e.kept[chain]) < earlyOfOne && e.bytes+len(o.Raw) <= earlyBytes {
		e.kept[chain] = append(e.kept[chain], foreseen{o.Own(), now})
		e.n++
		e.bytes += len(o.Raw)
	}
	return first
}

// behind reports whether others sign under a link that is not final here: some wait, or one came since it was asked
// last. What has waited for too long it forgets.
func (e *early) behind(now time.Time) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.drop(func(o foreseen) bool { return now.Sub(o.at) > earlyPatience })
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
	e.drop(func(o foreseen) bool {
		if o.Header.Link == link {
			out = append(out, o.Observation)
		}
		return o.Header.Link == link
	})
	return out
}

// drop forgets some, in the order of each chain.
func (e *early) drop(which func(foreseen) bool) {
	for chain, list := range e.kept {
		left := slices.DeleteFunc(list, func(o foreseen) bool {
			gone := which(o)
			if gone {
				e.n--
				e.bytes -= len(o.Raw)
			}
			return gone
		})
		if len(left) == 0 {
			delete(e.kept, chain)
		} else {
			e.kept[chain] = left
		}
	}
}
