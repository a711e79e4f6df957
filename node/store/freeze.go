package store

import (
	"bytes"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/notarynet/notaryd/node/snapshot"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/utxo"
)

// Frozen is all that was final at one moment, while the store goes on. It must be closed before the store is.
type Frozen struct {
	s *Store
	r *pebble.Snapshot
	// Finals is how many transactions were final.
	Finals uint64
}

// Freeze is this moment.
func (s *Store) Freeze() (*Frozen, error) {
	if err := s.enter(); err != nil {
		return nil, err
	}
	var r *pebble.Snapshot
	finals, err := s.still(func() { r = s.db.NewSnapshot() })
	if err != nil {
		s.leave()
		return nil, err
	}
	return &Frozen{s: s, r: r, Finals: finals}, nil
}

// Close gives the moment up.
func (f *Frozen) Close() error {
	defer f.s.leave()
	if err := f.r.Close(); err != nil {
		return f.s.fail(err)
	}
	return nil
}

// Newest goes through what became final here, newest first, until told returns false or what was final before the store
// began is reached.
func (f *Frozen) Newest(told func(id domain.Hash, info *FinalInfo) (more bool, err error)) error {
	first := uint64(1)
	if f.s.began != nil {
		first += f.s.began.Finals
	}
	for seq := f.Finals; seq >= first; seq-- {
		v, err := f.s.finalAt(f.r, seq)
		if err != nil {
			return err
		}
		if more, err := told(v.Tx, &v.FinalInfo); !more || err != nil {
			return err
		}
	}
	return nil
}

// Final reports whether a transaction was final.
func (f *Frozen) Final(id domain.Hash) (bool, error) {
	_, ok, err := f.s.placeOf(f.r, id)
	return ok, err
}

// Parents are the outpoints that a transaction which is final here spends and reads.
func (f *Frozen) Parents(id domain.Hash) ([]utxo.Outpoint, error) {
	tx, err := f.s.finalTx(f.r, id)
	if err != nil {
		return nil, err
	}
	return append(tx.Spends(), tx.Reads()...), nil
}

// without is what is different where some transactions are not final.
type without struct {
	txs      map[domain.Hash]bool
	products map[utxo.Product]bool // that they describe
	unspent  []snapshot.Record     // outputs that they spend and others made, by outpoint
}

func (f *Frozen) without(out []domain.Hash) (*without, error) {
	w := &without{txs: make(map[domain.Hash]bool, len(out)), products: make(map[utxo.Product]bool)}
	for _, id := range out {
		w.txs[id] = true
	}
	for _, id := range out {
		tx, err := f.s.finalTx(f.r, id)
		if err != nil {
			return nil, err
		}
		w.products[tx.Issues()] = true
		start, first := tx.Origin()
		for _, o := range tx.Spends() {
			if w.txs[o.Tx] || first && o == start {
				continue
			}
			e, ok, err := f.s.lookup(f.r, o)
			if err != nil {
				return nil, err
			}
			if !ok || e.SpentBy != id {
				return nil, f.s.fail(corrupt("%s is not spent by %s", o, id))
			}
			w.unspent = append(w.unspent, snapshot.Record{Kind: snapshot.Output, Key: appendOutpoint(nil, o), Value: e.Output.AppendTo(nil)})
		}
	}
	slices.SortFunc(w.unspent, func(a, b snapshot.Record) int { return bytes.Compare(a.Key, b.Key) })
	return w, nil
}

// Records tells of everything that was final but for some transactions, which must leave out all that depends on them, in
// the order of a snapshot.
func (f *Frozen) Records(out []domain.Hash, told func(snapshot.Record) error) error {
	w, err := f.without(out)
	if err != nil {
		return err
	}
	for _, part := range []func(*without, func(snapshot.Record) error) error{f.finals, f.spent, f.outputs, f.products} {
		if err := part(w, told); err != nil {
			return err
		}
	}
	return nil
}

func (f *Frozen) finals(w *without, told func(snapshot.Record) error) error {
	return f.each(ClassFinal, hashKeyLen, func(key, _ []byte) error {
		if w.txs[domain.Hash(key)] {
			return nil
		}
		return told(snapshot.Record{Kind: snapshot.Final, Key: key})
	})
}

func (f *Frozen) spent(w *without, told func(snapshot.Record) error) error {
	return f.each(ClassSpent, outpointKeyLen, func(key, value []byte) error {
		v, err := decodeSpent(value)
		if err != nil {
			return f.s.fail(err)
		}
		if w.txs[v.By] {
			return nil
		}
		return told(snapshot.Record{Kind: snapshot.Spent, Key: key, Value: v.By[:]})
	})
}

func (f *Frozen) outputs(w *without, told func(snapshot.Record) error) error {
	before := func(key []byte) error {
		for len(w.unspent) > 0 && (key == nil || bytes.Compare(w.unspent[0].Key, key) < 0) {
			if err := told(w.unspent[0]); err != nil {
				return err
			}
			w.unspent = w.unspent[1:]
		}
		return nil
	}
	err := f.each(ClassLive, outpointKeyLen, func(key, value []byte) error {
		if err := before(key); err != nil {
			return err
		}
		if w.txs[domain.Hash(key)] {
			return nil
		}
		v, err := decodeLive(value)
		if err != nil {
			return f.s.fail(err)
		}
		if len(v.Output) == 0 { // a long one, in its transaction
			o, _, err := f.s.anyOutput(f.r, outpointAt(key))
			if err != nil {
				return err
			}
			v.Output = o.AppendTo(nil)
		}
		return told(snapshot.Record{Kind: snapshot.Output, Key: key, Value: v.Output})
	})
	if err != nil {
		return err
	}
	return before(nil)
}

func (f *Frozen) products(w *without, told func(snapshot.Record) error) error {
	return f.each(ClassProduct, hashKeyLen, func(key, value []byte) error {
		if w.products[domain.Hash(key)] {
			return nil
		}
		info, err := decodeBytes(value)
		if err != nil {
			return f.s.fail(err)
		}
		return told(snapshot.Record{Kind: snapshot.Product, Key: key, Value: info})
	})
}

// each goes through a class, with keys less the class, which are of one length.
func (f *Frozen) each(c Class, length int, told func(key, value []byte) error) error {
	it, err := f.r.NewIter(&pebble.IterOptions{LowerBound: []byte{byte(c)}, UpperBound: []byte{byte(c) + 1}})
	if err != nil {
		return f.s.fail(err)
	}
	for valid := it.First(); valid && err == nil; valid = it.Next() {
		var value []byte
		if value, err = it.ValueAndErr(); err != nil {
			err = f.s.fail(err)
			break
		}
		if len(it.Key()) != length {
			err = f.s.fail(corrupt("key %x of class %c", it.Key(), c))
			break
		}
		err = told(it.Key()[1:], value)
	}
	if e := it.Close(); e != nil && err == nil {
		err = f.s.fail(e)
	}
	return err
}
