package store

import (
	"github.com/notarynet/notaryd/conflict"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/utxo"
)

// Final is a transaction that became final, with what proves it.
type Final struct {
	Tx *utxo.Tx
	// FinalMS is when, Unix milliseconds at this node.
	FinalMS uint64
	// Round, GroupEpoch and Link are those of the votes that made it final, Edges their places.
	Round      uint32
	GroupEpoch uint64
	Link       domain.Hash
	Edges      []EdgeRef
	// Rivals are rejected in the same batch.
	Rivals []Rejected
	// Coins are where what it spends was found, in that order, as far as that is known.
	Coins []Coin
}

// CoinAt is that at a place, or the zero Coin where that is not known.
func CoinAt(coins []Coin, i int) (c Coin) {
	if i >= 0 && i < len(coins) {
		c = coins[i]
	}
	return c
}

// Rejected is a rejection with the vote records that it changes: the locks that no longer hold
// (conflict.Guard.Reject).
type Rejected struct {
	Rejection
	Released []conflict.Record
}

// CommitFinal makes transactions final, in their order: one synced batch, all or nothing. A later one
// may spend what an earlier one creates.
//
// Every outpoint that is spent must be live here; where one is not, the error is a NotLiveError, or
// ErrAlreadyFinal where the transaction itself is what spent it, and nothing is written: two rivals can
// never both become final in one store.
//
// The vote records of the outpoints that are spent go in the same batch: whoever wants to spend them
// from now on is stopped by the outpoint being spent.
func (s *Store) CommitFinal(finals []Final) error {
	if len(finals) == 0 {
		return nil
	}
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	if err := s.room(s.options.ReserveBytes / 2); err != nil {
		return err
	}
	if err := s.keepUp(); err != nil {
		return err
	}
	wait, seq, err := s.startFinals(finals)
	if err != nil {
		return err
	}
	if err := wait(); err != nil {
		return err
	}
	s.nowDurable(seq)
	return nil
}

// nowDurable moves the end of the final log that readers may see.
func (s *Store) nowDurable(seq uint64) {
	for {
		old := s.durable.Load()
		if old >= seq || s.durable.CompareAndSwap(old, seq) {
			return
		}
	}
}

// Durable reports whether what has this place in the final log is synced. Reading shows a final transaction a
// moment earlier.
func (s *Store) Durable(seq uint64) bool { return seq <= s.durable.Load() }

// startFinals plans the batch and hands it to pebble.
func (s *Store) startFinals(finals []Final) (wait func() error, seq uint64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := s.newPlan(finals)
	if err != nil {
		return nil, 0, err
	}
	for i := range finals {
		if err = p.final(&finals[i]); err != nil {
			break
		}
	}
	if err = p.end(err); err != nil {
		return nil, 0, err
	}
	if wait, err = p.commit(true); err == nil {
		s.noteFinals(finals)
	}
	return wait, s.counts.Finals, err
}
