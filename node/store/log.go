package store

import (
	"github.com/cockroachdb/pebble/v2"

	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/utxo"
)

// LogEntry is one place in the final log.
type LogEntry struct {
	Seq uint64
	Tx  domain.Hash
	// Read is how many bytes were read for it.
	Read int
}

// LastSeq is the newest place in the final log that is on disk; 0 where nothing is final yet.
func (s *Store) LastSeq() uint64 { return s.durable.Load() }

// FinalLog lists what became final here in that order, at most limit entries from place fromSeq on; the
// first place is 1. What is not yet on disk is left out: after a crash its place may be another's.
func (s *Store) FinalLog(fromSeq uint64, limit int) ([]LogEntry, error) {
	end := s.durable.Load() + 1
	if fromSeq >= end || limit <= 0 {
		return nil, nil
	}
	lower, upper := appendSequenceKey(nil, ClassLedger, fromSeq), appendSequenceKey(nil, ClassLedger, end)
	list := make([]LogEntry, 0, min(uint64(limit), end-fromSeq))
	for e, err := range scan(s, lower, upper, func(key, value []byte) (e LogEntry, err error) {
		if e.Seq, err = parseSequenceKey(ClassLedger, key); err != nil {
			return e, s.fail(err)
		}
		if e.Tx, err = ledgerID(value); err != nil {
			return e, s.fail(err)
		}
		e.Read = len(value)
		return e, nil
	}) {
		if err != nil {
			return nil, err
		}
		if list = append(list, e); len(list) == limit {
			break
		}
	}
	return list, nil
}

// AddressEvent is an output of an address that was created or spent.
type AddressEvent struct {
	// Cursor is the event's place; the next one is looked for from Cursor+1 on.
	Cursor uint64
	// Tx created or spent the output; the network id for an output of the genesis document.
	Tx       domain.Hash
	Spent    bool
	Outpoint utxo.Outpoint
	Output   utxo.Output
	// FinalMS is when the transaction that created the output became final here, Unix milliseconds.
	FinalMS uint64
	// Read is how many bytes were read for it.
	Read int
}

// cursorBits of a cursor count the events of one transaction, first what it spends and then what it
// creates, each in its order; the rest is its sequence number.
const cursorBits = 20

func cursor(seq uint64, event int) uint64 { return seq<<cursorBits | uint64(event) }

// CursorAfter is the cursor of whatever comes after the transaction at a place in the final log: a
// watch that starts at CursorAfter(LastSeq()) sees only what is new.
func CursorAfter(seq uint64) uint64 { return cursor(seq+1, 0) }

// maxLogPage ends a page of events whose outputs have so many bytes of data. Whoever follows the log keeps a page for as long
// as its reader is slow, so it is shorter than a page that is handed out at once.
const maxLogPage = 1 << 16

// AddressLog lists the outputs of an address that were created or spent, in final order, at most limit
// events, or 64 KiB of data, or 1 MiB of transactions read for them, and one more, from a cursor on; 0 is the beginning. more says that the page ended before the
// log did. What is not yet on disk is left out.
func (s *Store) AddressLog(a utxo.Address, from uint64, limit int) (list []AddressEvent, more bool, err error) {
	if err := s.enter(); err != nil {
		return nil, false, err
	}
	defer s.leave()
	end := CursorAfter(s.durable.Load())
	if from >= end || limit <= 0 {
		return nil, false, nil
	}
	if err := s.bringUpFor(a); err != nil {
		return nil, false, err
	}
	page := s.newPage()
	defer func() {
		if e := page.Close(); e != nil && err == nil {
			list, more, err = nil, false, s.fail(e)
		}
	}()
	it, err := page.NewIter(&pebble.IterOptions{
		LowerBound: appendAddressLogKey(nil, a, from), UpperBound: appendAddressLogKey(nil, a, end),
	})
	if err != nil {
		return nil, false, s.fail(err)
	}
	defer func() {
		if e := it.Close(); e != nil && err == nil {
			list, more, err = nil, false, s.fail(e)
		}
	}()
	size, mark := 0, 0
	for valid := it.First(); valid; valid = it.Next() {
		if len(list) >= limit || size >= maxLogPage || page.read >= maxPageRead {
			return list, true, nil
		}
		e, err := s.addressEvent(page, it)
		if err != nil {
			return nil, false, err
		}
		data := dataBytes(&e.Output)
		e.Read = max(data, page.took(&mark))
		list = append(list, e)
		size += data
	}
	return list, false, nil
}

func (s *Store) addressEvent(r *page, it *pebble.Iterator) (e AddressEvent, err error) {
	if _, e.Cursor, err = parseAddressLogKey(it.Key()); err != nil {
		return e, s.fail(err)
	}
	value, err := it.ValueAndErr()
	if err != nil {
		return e, s.fail(err)
	}
	v, err := decodeEvent(value)
	if err != nil {
		return e, s.fail(err)
	}
	if e.Tx, e.Spent = s.options.Network, v.Spent; e.Cursor>>cursorBits > 0 {
		f, err := s.finalAt(r, e.Cursor>>cursorBits)
		if err != nil {
			return e, err
		}
		if e.Tx = f.Tx; v.Spent {
			if e.Outpoint, err = s.spentAt(f, e.Cursor&(1<<cursorBits-1)); err != nil {
				return e, err
			}
		}
	}
	if !v.Spent {
		e.Outpoint = utxo.Outpoint{Tx: e.Tx, Index: v.Index}
	}
	entry, ok, err := s.lookup(r, e.Outpoint)
	if err != nil {
		return e, err
	}
	if !ok {
		return e, s.fail(corrupt("the address log names %s, which does not exist", e.Outpoint))
	}
	e.Output, e.FinalMS = entry.Output, entry.FinalMS
	return e, nil
}

// spentAt is what a final transaction spends at a place among its events.
func (s *Store) spentAt(f *ledgerValue, event uint64) (utxo.Outpoint, error) {
	tx, err := s.decodeTx(f)
	if err != nil {
		return utxo.Outpoint{}, err
	}
	spends := tx.Spends()
	if event >= uint64(len(spends)) {
		return utxo.Outpoint{}, s.fail(corrupt("%s spends %d outputs, not one at %d", f.Tx, len(spends), event))
	}
	return spends[event], nil
}
