package node

import (
	"sync"

	"github.com/notarynet/notaryd/node/lifecycle"
)

// mailbox is the inbox of one lifecycle goroutine. Posting never blocks, so that no owner ever waits for
// a transaction, and no cycle of full queues can stop the node. Nothing is dropped, since a transaction that
// misses an answer never ends. Yet a box stays small: owners post answers to what the transaction asked,
// and a few milestones for each round in which more than a third of the weight votes; what others can repeat
// at will says no more than that something has happened, and lies in the box once.
type mailbox struct {
	mu     sync.Mutex
	inputs []lifecycle.Input
	taken  []lifecycle.Input // what was taken last, to be used again
	held   repeated          // what lies in the box of that which is repeated
	nudged bool              // its owner has been woken for what lies in it
	tired  bool              // its owner is asked to give its stack up, since the last time it took
	worn   bool              // it was, when it took last
	closed bool
	rests  bool                  // its owner waits
	seized bool                  // from its owner, who is to touch nothing of the flight any more
	wake   chan struct{}         // wakes its owner; nil while there is none
	room   [2][4]lifecycle.Input // of inputs and taken, mostly
}

func (b *mailbox) init() { b.inputs, b.taken = b.room[0][:0], b.room[1][:0] }

// attend says which channel, of room for one, wakes the owner from now on; nil where nobody is to be woken any more. An owner
// that begins takes first.
func (b *mailbox) attend(wake chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.wake = wake
}

// repeated are the kinds of input of which one is as good as many.
type repeated uint8

const (
	rivaled repeated = 1 << iota
	stalled
	woken
)

func repeats(in lifecycle.Input) repeated {
	switch in.(type) {
	case lifecycle.Rivaled:
		return rivaled
	case lifecycle.Stalled:
		return stalled
	case lifecycle.Woken:
		return woken
	}
	return 0
}

// post leaves an input; false says that the box is closed and the input lost.
func (b *mailbox) post(in lifecycle.Input) bool {
	b.mu.Lock()
	open, wake := b.put(in), b.wake
	if !open || b.nudged {
		wake = nil
	}
	b.nudged = b.nudged || open
	b.mu.Unlock()
	ring(wake)
	return open
}

// leave leaves an input that nobody needs to wake for.
func (b *mailbox) leave(in lifecycle.Input) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.put(in)
}

func (b *mailbox) put(in lifecycle.Input) bool {
	if b.closed {
		return false
	}
	if kind := repeats(in); kind == 0 || b.held&kind == 0 {
		b.inputs = append(b.inputs, in)
		b.held |= kind
	}
	return true
}

// prompt wakes the owner for what was left, if anything was.
func (b *mailbox) prompt() {
	b.mu.Lock()
	wake := b.wake
	if len(b.inputs) == 0 || b.nudged {
		wake = nil
	}
	b.nudged = b.nudged || len(b.inputs) > 0
	b.mu.Unlock()
	ring(wake)
}

// tire asks the owner to give its stack up.
func (b *mailbox) tire() {
	b.mu.Lock()
	b.tired = true
	wake := b.wake
	b.mu.Unlock()
	ring(wake)
}

// nudge wakes whoever waits, for nothing in the box.
func (b *mailbox) nudge() {
	b.mu.Lock()
	wake := b.wake
	b.mu.Unlock()
	ring(wake)
}

// ring wakes whoever waits at a channel, unless it is nil or has been rung already.
func ring(wake chan<- struct{}) {
	if wake == nil {
		return
	}
	select {
	case wake <- struct{}{}:
	default:
	}
}

// take empties the box. What it returns is the owner's until the next call.
func (b *mailbox) take() []lifecycle.Input {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.empty()
}

func (b *mailbox) empty() []lifecycle.Input {
	clear(b.taken)
	b.inputs, b.taken, b.held, b.nudged = b.taken[:0], b.inputs, 0, false
	b.worn, b.tired = b.tired, false
	return b.taken
}

// rest says that the owner has done all that there was and waits for its wake.
func (b *mailbox) rest() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rests = true
}

// resume is take after rest; false says that the box was seized.
func (b *mailbox) resume() (inputs []lifecycle.Input, mine bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.seized {
		return nil, false
	}
	b.rests = false
	return b.empty(), true
}

// seize makes the caller the owner, and returns what lies in the box, where the owner rests, has not been woken, and what lies there
// is plain. That is asked while the owner rests: what else is its own may be looked at.
func (b *mailbox) seize(plain func(inputs []lifecycle.Input) bool) (inputs []lifecycle.Input, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.rests || b.nudged || b.seized || b.closed || !plain(b.inputs) {
		return nil, false
	}
	b.seized, b.wake = true, nil
	return b.empty(), true
}

// close ends the box and returns what nobody took.
func (b *mailbox) close() []lifecycle.Input {
	b.mu.Lock()
	defer b.mu.Unlock()
	left := b.inputs
	b.inputs, b.closed = nil, true
	return left
}
