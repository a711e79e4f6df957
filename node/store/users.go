package store

import (
	"sync"
	"sync/atomic"
)

// users counts the calls in progress, so that closing waits for them. It is not a RWMutex because a
// call may be made from within an iterator, and a second read lock behind a waiting writer never
// comes.
type users struct {
	n    atomic.Int64 // calls in progress, and usersClosed once closed
	last sync.Once
	idle chan struct{} // closed when, once closed, the last call has ended
}

// usersClosed is more than there will ever be calls in progress.
const usersClosed = 1 << 40

func newUsers() *users { return &users{idle: make(chan struct{})} }

// enter reports false once closed.
func (u *users) enter() bool {
	if u.n.Add(1) > usersClosed {
		u.leave()
		return false
	}
	return true
}

func (u *users) leave() {
	if u.n.Add(-1) == usersClosed {
		u.last.Do(func() { close(u.idle) })
	}
}

// close refuses new calls and waits for those in progress. Only the first caller gets true.
func (u *users) close() bool {
	for {
		n := u.n.Load()
		if n >= usersClosed {
			return false
		}
		if u.n.CompareAndSwap(n, n+usersClosed) {
			if n == 0 {
				u.last.Do(func() { close(u.idle) })
			}
			<-u.idle
			return true
		}
	}
}
