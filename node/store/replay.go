package store

import (
	"errors"

	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/utxo"
)

// replay reads what the index lacks of the ledger: after a crash what the last two generations held at most, else nothing.
func (s *Store) replay() (err error) {
	value, ok, err := s.get(s.db, indexedKey)
	if err != nil {
		return err
	}
	from := uint64(0)
	if ok {
		if from, err = decodePlace(value); err != nil {
			return s.fail(err)
		}
	}
	if from > s.counts.Finals {
		return s.fail(corrupt("the index has %d transactions, the ledger %d", from, s.counts.Finals))
	}
	s.index.reset(from)
	for from < s.counts.Finals {
		to := min(s.counts.Finals, from+replayed)
		if err := s.replayPart(from+1, to); err != nil {
			return err
		}
		from = to
	}
	return nil
}

// replayed is how many transactions are read in one view. What one of them needs of the database must be in the view or in memory.
const replayed = 4096

// replayPart takes what the transactions from one place to another changed into memory, and writes the index where there is no room.
func (s *Store) replayPart(from, to uint64) error {
	if old, full := s.index.waits(); full {
		if err := s.writeIndex(old); err != nil {
			return err
		}
	}
	probe, err := s.newProbe()
	if err != nil {
		return err
	}
	for seq := from; seq <= to && err == nil; seq++ {
		err = s.replayOne(probe, seq)
	}
	return probe.close(err)
}

func (s *Store) replayOne(probe *probe, seq uint64) error {
	f, err := s.finalAt(s.db, seq)
	if err != nil {
		return err
	}
	tx, err := s.decodeTx(f)
	if err != nil {
		return err
	}
	p := plan{s: s, probe: probe, spent: map[utxo.Outpoint]domain.Hash{}}
	c, err := p.change(&Final{Tx: tx, FinalMS: f.FinalMS})
	if errors.Is(err, ErrNotLive) || errors.Is(err, ErrAlreadyFinal) || errors.Is(err, ErrInconsistent) {
		return s.fail(corrupt("the ledger at place %d: %v", seq, err))
	}
	if err != nil {
		return err
	}
	s.index.add([]change{c}, p.found)
	s.index.handed()
	return nil
}
