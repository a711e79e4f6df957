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
	held   repeated // what lies in the box of that which is repeated
	closed bool
	wake   chan struct{}
}

func (b *mailbox) init() { b.wake = make(chan struct{}, 1) }

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
	kind := repeats(in)
	b.mu.Lock()
	closed := b.closed
	if !closed && (kind == 0 || b.held&kind == 0) {
		b.inputs = append(b.inputs, in)
		b.held |= kind
	}
	b.mu.Unlock()
	if closed {
		return false
	}
	b.nudge()
	return true
}

// nudge wakes whoever waits, for nothing in the box.
func (b *mailbox) nudge() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// take moves everything that waits into buf.
func (b *mailbox) take(buf []lifecycle.Input) []lifecycle.Input {
	b.mu.Lock()
	buf = append(buf[:0], b.inputs...)
	clear(b.inputs)
	b.inputs, b.held = b.inputs[:0], 0
	b.mu.Unlock()
	return buf
}

// close ends the box and returns what nobody took.
func (b *mailbox) close() []lifecycle.Input {
	b.mu.Lock()
	defer b.mu.Unlock()
	left := b.inputs
	b.inputs, b.closed = nil, true
	return left
}
