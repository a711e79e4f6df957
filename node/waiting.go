package node

import (
	"slices"
	"sync"
	"time"
	"weak"

	"github.com/notarynet/notaryd/node/lifecycle"
	"github.com/notarynet/notaryd/proto/domain"
)

// certifiedRoom is how many times the room of others there is for what the network has certified. Beyond that it gives way
// too, and is asked for again (counting): on a node that is far behind, what waits for parents would leave these no room.
const certifiedRoom = 2

// waiting holds flights until a parent is final or a time comes, bounded in number and bytes, per origin and in
// time.
type waiting struct {
	mu       sync.Mutex
	byParent map[domain.Hash][]*flight
	byOrigin map[string]int // places
	held     map[*flight]bool
	places   int // of all

	most, mostPerOrigin int
	patience            time.Duration
	alarms              *alarms
	fetch               func(ids []domain.Hash, from Origin)
}

func newWaiting(c Config, a *alarms, fetch func([]domain.Hash, Origin)) *waiting {
	return &waiting{
		byParent: make(map[domain.Hash][]*flight), byOrigin: make(map[string]int), held: make(map[*flight]bool),
		most: c.MaxHeld, mostPerOrigin: c.MaxHeldPerOrigin, patience: c.HoldPatience, alarms: a, fetch: fetch,
	}
}

// hold registers a flight. A parent may have become final between the flight's look and now, so
// whenever a parent is registered anew the flight is woken to look once more; and the time it waits for may have
// come, so it is woken then too.
func (w *waiting) hold(f *flight, e lifecycle.Hold) {
	first, fresh, room := w.register(f, e)
	if !room {
		f.box.post(lifecycle.Crowded{})
		return
	}
	if first || e.Anew {
		w.alarms.after(w.patience, post(f, lifecycle.Expired{}))
		if len(e.Parents) > 0 {
			w.fetch(e.Parents, f.origin)
		}
	}
	if fresh {
		f.box.post(lifecycle.Woken{})
	}
	if e.UntilMS == 0 {
		return
	}
	left := e.UntilMS - min(e.UntilMS, nowMS())
	if left < uint64(w.patience.Milliseconds()) {
		w.alarms.after(time.Duration(left)*time.Millisecond, post(f, lifecycle.Woken{}))
	}
}

// post tells a flight something later. Most have ended by then, and are not kept for that.
func post(f *flight, in lifecycle.Input) func() {
	there := weak.Make(f)
	return func() {
		if f := there.Value(); f != nil {
			f.box.post(in)
		}
	}
}

// placesOf is how many places a flight takes, as on its way: never more than one origin has. So there are 64 MB of what
// others bring where there is room for 4,096.
func (w *waiting) placesOf(f *flight) int { return min(1+len(f.tx.Raw)/placeBytes, w.mostPerOrigin) }

func (w *waiting) register(f *flight, e lifecycle.Hold) (first, fresh, room bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	origin := f.origin.key()
	if !w.held[f] {
		most, own := w.most, w.mostPerOrigin
		if e.Certified {
			most, own = certifiedRoom*most, certifiedRoom*own
		}
		places := w.placesOf(f)
		if w.places+places > most || w.byOrigin[origin]+places > own {
			return false, false, false
		}
		w.places += places
		w.byOrigin[origin] += places
		w.held[f], first = true, true
	}
	for _, p := range e.Parents {
		if !slices.Contains(w.byParent[p], f) {
			w.byParent[p] = append(w.byParent[p], f)
			fresh = true
		}
	}
	return first, fresh, true
}

// wake looks again at everything that waits for a parent.
func (w *waiting) wake(parent domain.Hash) {
	w.mu.Lock()
	children := w.byParent[parent]
	delete(w.byParent, parent)
	w.mu.Unlock()
	for _, f := range children {
		f.box.post(lifecycle.Woken{})
	}
}

// drop forgets a flight that has ended.
func (w *waiting) drop(f *flight) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.held[f] {
		return
	}
	delete(w.held, f)
	w.places -= w.placesOf(f)
	if w.byOrigin[f.origin.key()] -= w.placesOf(f); w.byOrigin[f.origin.key()] <= 0 {
		delete(w.byOrigin, f.origin.key())
	}
	for _, in := range f.tx.Inputs {
		p := in.Outpoint.Tx
		left := slices.DeleteFunc(w.byParent[p], func(other *flight) bool { return other == f })
		if len(left) == 0 {
			delete(w.byParent, p)
		} else {
			w.byParent[p] = left
		}
	}
}
