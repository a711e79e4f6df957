package store

import "sync"

// users counts the calls in progress, so that closing waits for them. It is not a RWMutex because a
// call may be made from within an iterator, and a second read lock behind a waiting writer never
// comes.
type users struct {
	mu     sync.Mutex
	n      int
	closed bool
	idle   chan struct{}
}

// enter reports false once closed.
func (u *users) enter() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed {
		return false
	}
	u.n++
	return true
}

func (u *users) leave() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.n--
	if u.closed && u.n == 0 {
		close(u.idle)
	}
}

// close refuses new calls and waits for those in progress. Only the first caller gets true.
func (u *users) close() bool {
	u.mu.Lock()
	if u.closed {
		u.mu.Unlock()
		return false
	}
	u.closed, u.idle = true, make(chan struct{})
	if u.n == 0 {
		close(u.idle)
	}
	u.mu.Unlock()
	<-u.idle
	return true
}
