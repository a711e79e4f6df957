package node

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// admission counts what is on its way, by who brought it, and says when to take no more. While there is room
// anybody may have half of it; once half is taken, nobody more than a share, so that one flooding client or
// neighbour leaves the others theirs. What the network has voted on and this node had to ask for may go an eighth
// beyond what others may fill. A large transaction takes several places, so that their bytes are bounded with their number.
//
// Of clients' transactions no more are on their way than the pace says. The next ones wait for a place in turns, each
// client's after one of every other's, and not for long: where too many wait, one of the longest line is refused, and where
// they want too many places, one of the line that wants the most. What
// neighbours bring is not held back by that: they have it already, will vote on it, and this node would have to ask for
// it later at a higher price. The way to relieve a network is to take less in at its doors.
type admission struct {
	inFlight atomic.Int64
	most     int64         // places
	patience time.Duration // the longest that a client waits for a place

	mu       sync.Mutex
	draining bool             // no place is given any more
	places   int64            // taken
	byOrigin map[string]int64 // of places
	clients  int64            // of inFlight, those that clients brought
	pace     *pace
	lobby    *lobby
}

// placeBytes is how many bytes a transaction may have for its place, and for each further one: 328 MB where 20,000 may be
// on their way.
const placeBytes = 16 << 10

// crowdShare is the part of the room that one origin may have when half of it is taken.
const crowdShare = 8

// busyShare is the part of the time that a busy node should take which a transaction may spend on its way; it may spend
// as much waiting for a place, and what is left is for the unsteadiness of both.
const busyShare = 2

func newAdmission(most int, busy time.Duration) *admission {
	return &admission{
		most: int64(most), byOrigin: make(map[string]int64), lobby: newLobby(), patience: busy,
		pace: newPace(int64(most), busy/busyShare, busy),
	}
}

// placesOf is how many places a transaction of so many bytes takes: never more than one origin has in a crowd.
func (a *admission) placesOf(bytes int) int64 {
	return min(1+int64(bytes/placeBytes), max(a.most/crowdShare, 1))
}

// admit takes places for so many bytes, or says why there are none. It waits for them where a client brings what is to be
// taken in, until ctx ends at the latest.
func (a *admission) admit(ctx context.Context, o Origin, bytes int) error {
	w, err := a.enter(o, bytes)
	if w == nil {
		return err
	}
	return a.wait(ctx, w)
}

// enter takes places, or joins the line for them (then there is a guest, who must wait), or says why it can do neither.
func (a *admission) enter(o Origin, bytes int) (*guest, error) {
	places := a.placesOf(bytes)
	a.mu.Lock()
	defer a.mu.Unlock()
	if o.kind == fromStore { // it had its place in an earlier life
		a.take(o, places)
		return nil, nil
	}
	if a.draining {
		return nil, shuttingDown()
	}
	if err := a.room(o, places); err != nil {
		return nil, err
	}
	if o.kind != fromAPI || a.clients < a.pace.limit && a.lobby.n == 0 {
		a.take(o, places)
		return nil, nil
	}
	w := a.lobby.join(o, places)
	defer a.pass() // the first may have given way
	for {
		var last *guest
		switch {
		case a.lobby.places > a.most:
			last = a.lobby.last((*line).width)
		case int64(a.lobby.n) > a.pace.room():
			last = a.lobby.last((*line).length)
		default:
			return w, nil
		}
		a.lobby.drop(last)
		if last == w {
			return nil, overloaded(a.clients)
		}
		close(last.told)
	}
}

// full says why nothing that an origin brings would be let in now; nil where there is room.
func (a *admission) full(o Origin) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.draining {
		return shuttingDown()
	}
	return a.room(o, 1)
}

// room says why there is none for what an origin brings, whatever the pace.
func (a *admission) room(o Origin, places int64) error {
	own, most := a.byOrigin[o.key()], a.most
	if o.kind == fromPull {
		most += a.most / 8
	} else if a.places >= most/2 && own+places > max(most/crowdShare, 1) {
		return tooMany(own)
	}
	if a.places+places > most {
		return overloaded(a.inFlight.Load())
	}
	return nil
}

// take gives places. What is from the store has none of the share of an origin.
func (a *admission) take(o Origin, places int64) {
	a.inFlight.Add(1)
	a.places += places
	if o.kind == fromStore {
		return
	}
	a.byOrigin[o.key()] += places
	if o.kind == fromAPI {
		a.clients++
	}
}

// wait is until a guest has its place or none.
func (a *admission) wait(ctx context.Context, w *guest) error {
	patience := time.NewTimer(a.patience)
	defer patience.Stop()
	select {
	case <-w.told:
	case <-patience.C:
	case <-ctx.Done():
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case !w.placed:
		a.lobby.drop(w)
		a.pass() // it may have stood before others for whom there is room
		return overloaded(a.clients)
	case a.draining:
		a.give(w.origin, w.places, false)
		return shuttingDown()
	}
	return nil
}

// quit has a guest wait no more.
func (a *admission) quit(w *guest) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if w.line != nil {
		a.lobby.drop(w)
		close(w.told)
		a.pass()
	}
}

// pass gives the places that are free to those who wait. A large one waits until there are enough for it, and those behind
// it with it, or small ones would keep it out for ever.
func (a *admission) pass() {
	for a.clients < a.pace.limit {
		w := a.lobby.first()
		if w == nil || a.places+w.places > a.most {
			return
		}
		a.lobby.turn()
		a.take(w.origin, w.places)
		w.placed = true
		close(w.told)
	}
}

// finished tells the pace how long a client's transaction took to become final.
func (a *admission) finished(o Origin, took time.Duration) {
	if o.kind != fromAPI {
		return
	}
	a.mu.Lock()
	a.pace.finished(time.Now(), took, a.clients)
	a.pass()
	a.mu.Unlock()
}

// aside says that a client's transaction waits for something that no load explains: it does not stand in the way of
// others, whose number the pace bounds. It keeps its place among all.
func (a *admission) aside(o Origin) {
	if o.kind != fromAPI {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.clients--
	a.pass()
}

// leave gives the places for so many bytes back; aside says that their transaction stood aside.
func (a *admission) leave(o Origin, bytes int, aside bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.give(o, a.placesOf(bytes), aside)
	a.pass()
}

// drain gives no more places: whoever has one when it returns is counted.
func (a *admission) drain() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.draining = true
}

// give takes places back.
func (a *admission) give(o Origin, places int64, aside bool) {
	a.inFlight.Add(-1)
	a.places -= places
	if o.kind == fromStore {
		return
	}
	if a.byOrigin[o.key()] -= places; a.byOrigin[o.key()] == 0 {
		delete(a.byOrigin, o.key())
	}
	if o.kind == fromAPI && !aside {
		a.clients--
	}
}

// retryError is a refusal that may pass soon.
type retryError struct {
	error
	after time.Duration
}

// RetryAfter is when trying again makes sense.
func (e *retryError) RetryAfter() time.Duration { return e.after }

// Unwrap gives the refusal.
func (e *retryError) Unwrap() error { return e.error }

func overloaded(inFlight int64) error {
	return &retryError{refusal.New(notaryv1.Reason_REASON_OVERLOADED, "", "%d transactions are on their way", inFlight), 100 * time.Millisecond}
}

func tooMany(own int64) error {
	return &retryError{refusal.New(notaryv1.Reason_REASON_OVERLOADED, "", "transactions from here have %d places, and others want room too", own), 250 * time.Millisecond}
}

func shuttingDown() error {
	return &retryError{refusal.New(notaryv1.Reason_REASON_SHUTTING_DOWN, "", "this node is draining"), 2 * time.Second}
}
