package node

import (
	"sync"
	"sync/atomic"
	"time"

	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// admission counts what is on its way, by who brought it, and says when to take no more. While there is room
// anybody may have half of it; once half is taken, nobody more than a share, so that one flooding client or
// neighbour leaves the others theirs. What the network has voted on and this node had to ask for may go an eighth
// beyond what others may fill.
//
// For clients there is less room while transactions take long (pace). What neighbours bring is not held back by that:
// they have it already, will vote on it, and this node would have to ask for it later at a higher price. The way to
// relieve a network is to take less in at its doors.
type admission struct {
	inFlight atomic.Int64
	draining atomic.Bool
	most     int64

	mu       sync.Mutex
	byOrigin map[string]int64
	clients  int64 // of inFlight, those that clients brought
	pace     *pace
}

// crowdShare is the part of the room that one origin may have when half of it is taken.
const crowdShare = 8

func newAdmission(most int, long time.Duration) *admission {
	return &admission{most: int64(most), byOrigin: make(map[string]int64), pace: newPace(int64(most), long)}
}

// admit takes a place, or says why there is none.
func (a *admission) admit(o Origin) error {
	if o.kind == fromStore { // it had its place in an earlier life
		a.inFlight.Add(1)
		return nil
	}
	if a.draining.Load() {
		return shuttingDown()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	all, own, most := a.inFlight.Load(), a.byOrigin[o.key()], a.most
	switch o.kind {
	case fromAPI: // what clients brought is held against their pace, and all against the room
		if a.clients >= a.pace.limit/2 && own >= max(a.pace.limit/crowdShare, 1) {
			return tooMany(own)
		}
		if a.clients >= a.pace.limit {
			return overloaded(a.clients)
		}
	case fromPull:
		most += a.most / 8
	}
	if o.kind != fromPull && all >= most/2 && own >= max(most/crowdShare, 1) {
		return tooMany(own)
	}
	if all >= most {
		return overloaded(all)
	}
	a.inFlight.Add(1)
	a.byOrigin[o.key()] = own + 1
	if o.kind == fromAPI {
		a.clients++
	}
	return nil
}

// finished tells the pace how long a client's transaction took to become final.
func (a *admission) finished(o Origin, took time.Duration) {
	if o.kind != fromAPI {
		return
	}
	a.mu.Lock()
	a.pace.finished(time.Now(), took, a.clients)
	a.mu.Unlock()
}

// aside says that a client's transaction waits for something that no load explains: it does not stand in the way of
// others, whose number the pace bounds. It keeps its place among all.
func (a *admission) aside(o Origin) {
	if o.kind != fromAPI {
		return
	}
	a.mu.Lock()
	a.clients--
	a.mu.Unlock()
}

// leave gives a place back; aside says that it stood aside.
func (a *admission) leave(o Origin, aside bool) {
	a.inFlight.Add(-1)
	if o.kind == fromStore {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.byOrigin[o.key()]--; a.byOrigin[o.key()] == 0 {
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
	return &retryError{refusal.New(notaryv1.Reason_REASON_OVERLOADED, "", "%d transactions from here are on their way, and others want room too", own), 250 * time.Millisecond}
}

func shuttingDown() error {
	return &retryError{refusal.New(notaryv1.Reason_REASON_SHUTTING_DOWN, "", "this node is draining"), 2 * time.Second}
}
