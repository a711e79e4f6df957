package store

import (
	"github.com/cockroachdb/pebble/v2"

	"github.com/notarynet/notaryd/utxo"
)

// openedAtOnce is how many transactions a page keeps open.
const openedAtOnce = 4

// maxPageRead ends a page for which so many bytes of transactions have been read: an output of 300 bytes may have to be read from
// a transaction of 262,144.
const maxPageRead = 1 << 20

// page is a snapshot that a page of a list is read from. It keeps the transactions that it looked into last, since the outputs of one, and
// what one spends, stand together: one by one they would take a transaction apart 256 times. Not for use by several goroutines.
type page struct {
	*pebble.Snapshot

	opened [openedAtOnce]*ledgerValue
	next   int // of opened, the one that is replaced next
	read   int // bytes of the transactions that were read
}

func (s *Store) newPage() *page { return &page{Snapshot: s.db.NewSnapshot()} }

// at is the transaction at a place, if it is open.
func (p *page) at(seq uint64) *ledgerValue {
	for _, f := range p.opened {
		if f != nil && f.Seq == seq {
			return f
		}
	}
	return nil
}

// open keeps a transaction that was read.
func (p *page) open(f *ledgerValue) {
	p.read += len(f.Raw)
	p.opened[p.next] = f
	p.next = (p.next + 1) % openedAtOnce
}

// took is how many bytes were read since a mark, which it moves.
func (p *page) took(mark *int) int {
	n := p.read - *mark
	*mark = p.read
	return n
}

// decodeTx takes a final transaction apart, once.
func (s *Store) decodeTx(f *ledgerValue) (*utxo.Tx, error) {
	if f.tx != nil {
		return f.tx, nil
	}
	tx, err := utxo.Decode(f.Raw, s.rules())
	if err != nil {
		return nil, s.fail(corrupt("transaction %s: %v", f.Tx, err))
	}
	f.tx = tx
	return tx, nil
}
