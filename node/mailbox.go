package node

import (
	"sync"

	"github.com/notarynet/notaryd/node/lifecycle"
)

// mailboxSize bounds what waits for one transaction. Owners post a fixed number of answers and
// milestones to a transaction; only news of rivals could be more, and those are dropped when the box is
// full, since the contest learns of every rival by itself.
const mailboxSize = 64

// mailbox is the inbox of one lifecycle goroutine. Posting never blocks, so that no owner ever waits for
// a transaction, and no cycle of full queues can stop the node.
type mailbox struct {
	mu     sync.Mutex
	inputs []lifecycle.Input
	closed bool
	wake   chan struct{}
}

func (b *mailbox) init() { b.wake = make(chan struct{}, 1) }

// post leaves an input; false says that the box is full or closed and the input lost.
func (b *mailbox) post(in lifecycle.Input) bool {
	b.mu.Lock()
	full := len(b.inputs) >= mailboxSize || b.closed
	if !full {
		b.inputs = append(b.inputs, in)
	}
	b.mu.Unlock()
	if full {
		return false
	}
	select {
	case b.wake <- struct{}{}:
	default:
	}
	return true
}

// take moves everything that waits into buf.
func (b *mailbox) take(buf []lifecycle.Input) []lifecycle.Input {
	b.mu.Lock()
	buf = append(buf[:0], b.inputs...)
	clear(b.inputs)
	b.inputs = b.inputs[:0]
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
