package gossip

import (
	"context"
	"encoding/binary"
	"time"
)

// tagBatch is the tag of TransactionBatch.transactions: field 1, length-delimited.
const tagBatch = 1<<3 | 2

// coalescer gathers own transactions into batches, which cost the network 7 to 9 times less a byte than
// single ones. A batch leaves when it holds enough bytes or items, or when the last one left long enough
// ago: so at once when nothing was sent lately.
type coalescer struct {
	in    chan [][]byte
	wait  time.Duration
	bytes int
	// neighbours is how many hear each batch.
	neighbours func() int
	// send publishes the canonical encoding of a TransactionBatch of that many items, which becomes its own.
	send func(ctx context.Context, batch []byte, items int)
}

// Every neighbour pays for a batch by the message more than by the byte, and hears those of all others too. So in the long
// run one leaves every gatherEach for each neighbour, at most every gatherMost; atOnce may follow each other at Config.CoalesceWait.
const (
	gatherEach = 2500 * time.Microsecond
	gatherMost = 50 * time.Millisecond
	atOnce     = 24
)

// pause is how long batches gather after one has left (a bucket of tokens: ITU-T I.371). due is when the next would leave
// at the rate of the long run; it is moved on.
func (c *coalescer) pause(now time.Time, due *time.Time) time.Duration {
	every := min(time.Duration(c.neighbours())*gatherEach, gatherMost)
	if due.Before(now) {
		*due = now
	}
	*due = due.Add(every)
	return max(due.Sub(now)-atOnce*every, c.wait)
}

// run is the only goroutine that builds batches; it returns when ctx ends. What it
// holds then is dropped: the network is gone, and whoever needs it pulls it from the store.
func (c *coalescer) run(ctx context.Context) {
	var b batch
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	var next, due time.Time // when the next batch may leave
	flush := func() {
		if b.items > 0 {
			data, items := b.take()
			c.send(ctx, data, items)
			now := time.Now()
			next = now.Add(c.pause(now, &due))
		}
	}
	for {
		select {
		case <-ctx.Done():
			return
		case raws := <-c.in:
			c.add(&b, raws, flush)
		case <-timer.C:
			flush()
			continue
		}
		for more := true; more; { // whatever waits already goes along for nothing
			select {
			case raws := <-c.in:
				c.add(&b, raws, flush)
			default:
				more = false
			}
		}
		if b.items == 0 {
			continue
		}
		if rest := time.Until(next); rest > 0 {
			timer.Reset(rest)
		} else {
			flush()
		}
	}
}

// add appends transactions and flushes as often as a batch is full.
func (c *coalescer) add(b *batch, raws [][]byte, flush func()) {
	for _, raw := range raws {
		if b.items > 0 && len(b.data)+itemSize(len(raw)) > MaxBatch {
			flush()
		}
		b.add(raw)
		if len(b.data) >= c.bytes || b.items == MaxBatchItems {
			flush()
		}
	}
}

// batch is a TransactionBatch in the making, in its canonical encoding.
type batch struct {
	data  []byte
	items int
}

func (b *batch) add(raw []byte) {
	b.data = appendBytes(b.data, tagBatch, raw)
	b.items++
}

// take hands the encoding over and starts anew.
func (b *batch) take() ([]byte, int) {
	data, items := b.data, b.items
	*b = batch{}
	return data, items
}

// itemSize bounds the encoded length of one item of n bytes: tag, length, content.
func itemSize(n int) int { return 1 + binary.MaxVarintLen32 + n }

// appendBytes appends a length-delimited field with a tag below 128.
func appendBytes(dst []byte, tag byte, content []byte) []byte {
	dst = append(dst, tag)
	dst = binary.AppendUvarint(dst, uint64(len(content)))
	return append(dst, content...)
}

// appendUint appends a varint field with a tag below 128, unless it is zero, which canonical encodings
// leave out.
func appendUint(dst []byte, tag byte, v uint64) []byte {
	if v == 0 {
		return dst
	}
	return binary.AppendUvarint(append(dst, tag), v)
}
