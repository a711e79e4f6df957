package store

import (
	"sync"

	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/utxo"
)

// recent keeps decoded outputs that the database was asked for lately: a transaction's inputs are looked at several times on its way. What
// was made lately is in index. Under the store's lock it is certain of what it holds (recent.live): whether
// an output may be spent, a vote needs a record of its own, and a transaction a look-up, is decided here where it can be.
//
// It forgets by halves: what was not entered since the last two turns is gone. A reader that found an output in the
// database offers it with the turn of its own look-up; where an output that is not kept was spent since, or a turn
// has passed, the offer is stale and comes to nothing.
type recent struct {
	mu         sync.RWMutex
	turn       uint64
	young, old map[utxo.Outpoint]utxo.Entry
	half       int
}

// recentBytes is about what one output takes, its place in the map included.
const recentBytes = 384

func newRecent(bytes int64) *recent {
	half := max(int(bytes/recentBytes/2), 16)
	return &recent{half: half, young: make(map[utxo.Outpoint]utxo.Entry)}
}

// find returns what is kept of an output, and else the turn with which to offer it.
func (r *recent) find(o utxo.Outpoint) (e utxo.Entry, turn uint64, ok bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if e, ok = r.young[o]; !ok {
		e, ok = r.old[o]
	}
	return e, r.turn, ok
}

// live reports whether an output is kept and not spent. Under the store's lock that is certain; false says nothing.
func (r *recent) live(o utxo.Outpoint) bool {
	e, _, ok := r.find(o)
	return ok && e.SpentBy.IsZero()
}

// forget drops everything.
func (r *recent) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.turn++
	r.young, r.old = make(map[utxo.Outpoint]utxo.Entry), nil
}

// offer enters what the database said, unless it may be out of date.
func (r *recent) offer(o utxo.Outpoint, e utxo.Entry, turn uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.turn != turn {
		return
	}
	if _, there := r.young[o]; there {
		return // whoever entered it knew no less
	}
	if _, there := r.old[o]; !there {
		r.enter(o, e)
	}
}

func (r *recent) enter(o utxo.Outpoint, e utxo.Entry) {
	if len(r.young) >= r.half {
		r.turn++
		r.young, r.old = make(map[utxo.Outpoint]utxo.Entry, r.half), r.young
	}
	r.young[o] = e
}

// spend takes in what final transactions have spent. The store's lock is held, so that they come in order.
func (r *recent) spend(spent map[utxo.Outpoint]domain.Hash) {
	r.mu.Lock()
	defer r.mu.Unlock()
next:
	for o, by := range spent {
		for _, half := range [...]map[utxo.Outpoint]utxo.Entry{r.young, r.old} {
			if e, ok := half[o]; ok {
				e.SpentBy = by
				half[o] = e
				continue next
			}
		}
		r.turn++ // somebody may just have found it live
	}
}
