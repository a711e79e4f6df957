package node

import (
	"slices"
	"sync"
)

// What may be in the way of serving, in the order in which it is told.
const (
	aboutStart = iota
	aboutStop
	aboutListening
	aboutSigning
	aboutDisk
	aboutBehind
	aboutKinds
)

// readiness says what is in the way of serving, at most one sentence about each matter.
type readiness struct {
	mu      sync.Mutex
	about   [aboutKinds]string
	changed chan struct{}
}

func newReadiness() *readiness {
	r := &readiness{changed: make(chan struct{})}
	r.about[aboutStart] = "starting"
	return r
}

// say tells what is in the way about a matter; nothing where the text is empty.
func (r *readiness) say(about int, problem string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.about[about] == problem {
		return
	}
	r.about[about] = problem
	close(r.changed)
	r.changed = make(chan struct{})
}

// inTheWay reports whether anything is about some matters.
func (r *readiness) inTheWay(matters ...int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.ContainsFunc(matters, func(about int) bool { return r.about[about] != "" })
}

// Ready returns what is in the way, and a channel that is closed when that may have changed.
func (n *Node) Ready() ([]string, <-chan struct{}) {
	r := n.ready
	r.mu.Lock()
	defer r.mu.Unlock()
	var problems []string
	for _, p := range r.about {
		if p != "" {
			problems = append(problems, p)
		}
	}
	return problems, r.changed
}
