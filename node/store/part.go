package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/utxo"
)

// part is what the transactions from one place to another changed in the index, as it is after the last: what one of them made and
// another spent was never there. It is written whole or not at all, with the mark that says so.
type part struct {
	x           *index
	first, last uint64
}

// indexPart is the most transactions in a part.
const indexPart = maxChanges

// indexClasses are those of the index in the order of keys.
var indexClasses = [...]Class{ClassAddress, ClassFinal, ClassIndexed, ClassAddressLog, ClassSpent, ClassLive}

// writeBatch writes a part through the log.
func (s *Store) writeBatch(p *part) error {
	w := &s.indexed
	w.reset()
	for _, c := range indexClasses {
		p.plan(w, c)
	}
	_, err := s.commit(w, false)
	return err
}

// tableName is that of a table in the making, in the directory of the store.
const tableName = "index.part"

// writeTable writes a part as a table, which goes into the database as it is. It is on disk at once, so the ledger is synced first. ErrFull
// means that there is no room for it.
func (s *Store) writeTable(p *part) error {
	fs := s.options.FS
	path := fs.PathJoin(s.dir, tableName)
	err := s.makeTable(p, path)
	if err == nil && !s.options.neverSync {
		err = s.db.LogData(nil, pebble.Sync)
	}
	if err == nil {
		err = s.db.Ingest(context.Background(), []string{path})
	}
	switch {
	case errors.Is(err, syscall.ENOSPC):
		s.log.background(err)
		if err := fs.Remove(path); err != nil && !errors.Is(err, errNotExist) {
			return s.fail(err)
		}
		return fmt.Errorf("%w: the index of %d transactions", ErrFull, p.last-p.first+1)
	case err != nil:
		s.log.background(err) // it ends the process
		return s.fail(err)
	}
	return s.failed()
}

func (s *Store) makeTable(p *part, path string) error {
	file, err := bulkFS{s.options.FS}.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	table := sstable.NewWriter(objstorageprovider.NewFileWritable(file), s.tables)
	kinds := [...]pebble.InternalKeyKind{setting: pebble.InternalKeyKindSet, taking: pebble.InternalKeyKindSingleDelete}
	var w writes
	for _, c := range indexClasses {
		w.arena, w.list = w.arena[:0], w.list[:0]
		p.plan(&w, c)
		if err == nil {
			err = w.each(func(kind writeKind, key, value []byte) error {
				return table.Raw().Add(pebble.MakeInternalKey(key, 0, kinds[kind]), value, false)
			})
		}
	}
	return errors.Join(err, table.Close())
}

// planned is how many changes are planned at once: whoever commits waits for no more.
const planned = 256

// plan writes down what is to be written in one class.
func (p *part) plan(w *writes, c Class) {
	if c == ClassIndexed {
		w.set(indexedKey, appendPlace(nil, p.last))
		return
	}
	n := int(p.last - p.first + 1)
	w.list, w.arena = slices.Grow(w.list, 3*n), slices.Grow(w.arena, 128*n)
	for from := p.first; from <= p.last; from += planned {
		p.planSome(w, c, from, min(p.last, from+planned-1))
	}
}

func (p *part) planSome(w *writes, class Class, from, to uint64) {
	p.x.mu.RLock()
	defer p.x.mu.RUnlock()
	for seq := from; seq <= to; seq++ {
		c := p.x.change(seq)
		switch class {
		case ClassFinal:
			w.final(c.tx, seq)
		case ClassSpent:
			for i := range c.spends {
				w.spent(c.spends[i].outpoint, spentValue{c.tx, c.spends[i].kept})
			}
		case ClassAddressLog:
			c.events(w, seq)
		case ClassAddress, ClassLive:
			p.planLive(w, class, c)
		}
	}
}

// events plans what an address sees of a change.
func (c *change) events(w *writes, seq uint64) {
	for i := range c.spends {
		if s := &c.spends[i]; !s.origin {
			w.event(s.address, cursor(seq, i), eventValue{Spent: true})
		}
	}
	for i := range c.outputs {
		w.event(c.outputs[i].Address, cursor(seq, len(c.spends)+i), eventValue{Index: uint32(i)})
	}
}

// planLive plans what a change takes from and adds to the live outputs, by outpoint or by address.
func (p *part) planLive(w *writes, class Class, c *change) {
	for i := range c.spends {
		s := &c.spends[i]
		if s.origin || s.made >= p.first {
			continue
		}
		if class == ClassLive {
			w.key = appendOutpointKey(w.key[:0], ClassLive, s.outpoint)
		} else {
			w.key = addressKey{s.address, s.product, s.outpoint}.append(w.key[:0])
		}
		w.take(w.key)
	}
	for i := range c.outputs {
		if c.spentBy != nil && c.spentBy[i] != 0 && c.spentBy[i] <= p.last {
			continue
		}
		o := utxo.Outpoint{Tx: c.tx, Index: uint32(i)}
		if class == ClassLive {
			w.live(o, &c.outputs[i], c.finalMS)
		} else {
			w.byAddress(o, &c.outputs[i])
		}
	}
}

// event plans a record of ClassAddressLog.
func (w *writes) event(a utxo.Address, at uint64, v eventValue) {
	w.key = appendAddressLogKey(w.key[:0], a, at)
	w.value = v.append(w.value[:0])
	w.set(w.key, w.value)
}

// live plans a record of ClassLive.
func (w *writes) live(o utxo.Outpoint, output *utxo.Output, finalMS uint64) {
	w.key = appendOutpointKey(w.key[:0], ClassLive, o)
	w.value = newLiveValue(finalMS, output).append(w.value[:0])
	w.set(w.key, w.value)
}

// byAddress plans a record of ClassAddress.
func (w *writes) byAddress(o utxo.Outpoint, output *utxo.Output) {
	w.key = addressKey{output.Address, output.Product, o}.append(w.key[:0])
	w.value = appendAmount(w.value[:0], output.Amount)
	w.set(w.key, w.value)
}

// final plans a record of ClassFinal.
func (w *writes) final(id domain.Hash, seq uint64) {
	w.key = appendHashKey(w.key[:0], ClassFinal, id)
	w.value = appendPlace(w.value[:0], seq)
	w.set(w.key, w.value)
}

// spent plans a record of ClassSpent.
func (w *writes) spent(o utxo.Outpoint, v spentValue) {
	w.key = appendOutpointKey(w.key[:0], ClassSpent, o)
	w.value = v.append(w.value[:0])
	w.set(w.key, w.value)
}
