package store

import (
	"errors"
	"sync"
	"sync/atomic"

	"github.com/notarynet/notaryd/utxo"
)

// indexer is how far the index is written, and how far it is to be. One goroutine of the store writes it; who needs it waits.
type indexer struct {
	upTo atomic.Uint64
	done chan struct{} // closed when the goroutine has ended

	waiting sync.Mutex
	news    sync.Cond
	wanted  uint64
	stopped bool
	// Where there is no room to write, noRoom says so, refused counts how often, and asked that somebody wants another try.
	noRoom  error
	refused uint64
	asked   bool
}

func (x *indexer) start(seq uint64) {
	x.waiting.Lock()
	defer x.waiting.Unlock()
	x.wanted = seq
	x.upTo.Store(seq)
}

// written is the place up to which the database has everything.
func (x *indexer) written() uint64 { return x.upTo.Load() }

// want asks for everything up to a place.
func (x *indexer) want(seq uint64) {
	x.waiting.Lock()
	defer x.waiting.Unlock()
	x.wanted = max(x.wanted, seq)
	x.news.Broadcast()
}

// stop ends the goroutine once all is written that is wanted, if there is room.
func (x *indexer) stop() {
	x.waiting.Lock()
	x.stopped = true
	x.news.Broadcast()
	x.waiting.Unlock()
	<-x.done
}

// wake makes those who wait look again.
func (x *indexer) wake() {
	x.waiting.Lock()
	defer x.waiting.Unlock()
	x.news.Broadcast()
}

// tried notes how writing went.
func (x *indexer) tried(err error) {
	x.waiting.Lock()
	defer x.waiting.Unlock()
	if x.noRoom = err; err != nil {
		x.refused++
	}
	x.news.Broadcast()
}

// next waits for something to do; false is the end.
func (x *indexer) next(failed func() error) (to uint64, more bool) {
	x.waiting.Lock()
	defer x.waiting.Unlock()
	for (x.wanted <= x.written() || x.noRoom != nil && !x.asked) && !x.stopped && failed() == nil {
		x.news.Wait()
	}
	x.asked = false
	return x.wanted, x.wanted > x.written() && failed() == nil
}

// runIndexer writes what is wanted until it is stopped or the store fails. Where the disk is full it tries again when somebody asks.
func (s *Store) runIndexer() {
	x := &s.index
	defer close(x.done)
	for {
		to, more := x.next(s.failed)
		if !more {
			return
		}
		err := s.writeIndex(to)
		if err != nil && !errors.Is(err, ErrFull) {
			return
		}
		if x.tried(err); err != nil && x.ends() {
			return
		}
	}
}

// ends reports whether the goroutine is to end.
func (x *indexer) ends() bool {
	x.waiting.Lock()
	defer x.waiting.Unlock()
	return x.stopped
}

// writeIndex writes everything up to a place that is in memory, and moves the mark with each part.
func (s *Store) writeIndex(to uint64) error {
	x := &s.index
	for x.written() < to {
		p := part{x: x, first: x.written() + 1}
		p.last = min(to, p.first+indexPart-1)
		write := s.writeBatch
		if p.last-p.first+1 >= s.options.tablesFrom {
			write = s.writeTable
		}
		if err := write(&p); err != nil {
			return err
		}
		x.upTo.Store(p.last)
		x.wake()
	}
	return nil
}

// waitIndexed waits until the index is written up to a place. ErrFull means that there is no room for it.
func (s *Store) waitIndexed(seq uint64) error {
	x := &s.index
	x.waiting.Lock()
	defer x.waiting.Unlock()
	if x.written() >= seq {
		return nil
	}
	x.wanted, x.asked = max(x.wanted, seq), true
	x.news.Broadcast()
	for refused := x.refused; x.written() < seq; x.news.Wait() {
		if err := s.failed(); err != nil {
			return err
		}
		if x.refused > refused && x.noRoom != nil {
			return x.noRoom
		}
	}
	return nil
}

// WriteIndex writes what the index lacks of all that is final now. Whoever needs that does it by itself; this is for those who measure.
func (s *Store) WriteIndex() error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	return s.bringUp()
}

// bringUp brings the index up to date with all that is final now.
func (s *Store) bringUp() error { return s.waitIndexed(s.index.last()) }

// bringUpFor brings the index up to date for one address.
func (s *Store) bringUpFor(a utxo.Address) error {
	if !s.index.touches(a) {
		return nil
	}
	return s.bringUp()
}

// still calls f while nothing becomes final and the index has all that is, and returns how many transactions these are.
func (s *Store) still(f func()) (finals uint64, err error) {
	if err := s.bringUp(); err != nil { // most of it before others have to wait
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.bringUp(); err != nil {
		return 0, err
	}
	f()
	return s.counts.Finals, nil
}

// keepUp waits while both generations are full.
func (s *Store) keepUp() error {
	if old, full := s.index.waits(); full {
		return s.waitIndexed(old)
	}
	return nil
}
