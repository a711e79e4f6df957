package store

import (
	"github.com/cockroachdb/pebble/v2"

	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/utxo"
)

// Coin says where in memory an output was found: to ask again what became of it takes no search then. The zero Coin says nothing, and one
// that has been forgotten, or is of another output, costs a search.
type Coin struct {
	made made
	kept *kept
}

// Lookup finds an output that is or once was final. A spent one names the transaction that spent it;
// for a READ it is as good as a live one.
func (s *Store) Lookup(o utxo.Outpoint) (utxo.Entry, bool, error) {
	e, _, ok, err := s.Find(o)
	return e, ok, err
}

// Find is Lookup, with where it was found.
func (s *Store) Find(o utxo.Outpoint) (utxo.Entry, Coin, bool, error) {
	if err := s.enter(); err != nil {
		return utxo.Entry{}, Coin{}, false, err
	}
	defer s.leave()
	if e, m, ok := s.index.entry(o); ok {
		return e, Coin{made: m}, true, nil
	}
	e, k, turn := s.recent.find(o)
	if k != nil {
		return e, Coin{kept: k}, true, nil
	}
	// Whoever spends it from here on makes the turn another.
	by, spent := s.index.spender(o)
	e, ok, err := s.lookup(s.now(), o)
	if err != nil {
		return utxo.Entry{}, Coin{}, false, err
	}
	switch {
	case ok && spent:
		e.SpentBy = by
	case spent:
		if e, ok, err = s.origin(s.now(), o, by); err != nil {
			return utxo.Entry{}, Coin{}, false, err
		}
	}
	if ok {
		k = s.recent.offer(o, e, turn)
	}
	return e, Coin{kept: k}, ok, nil
}

// SpentBy is what Lookup says of who spent an output that Find found before, or did not.
func (s *Store) SpentBy(o utxo.Outpoint, c Coin) (by domain.Hash, ok bool, err error) {
	if _, by, ok := s.lookAgain(o, c); ok {
		return by, true, s.failed()
	}
	e, ok, err := s.Lookup(o)
	return e.SpentBy, ok, err
}

// lookAgain looks at an output that was found before, and by what it is spent now. It is not ok where a search is needed. Under the store's lock
// it is certain.
func (s *Store) lookAgain(o utxo.Outpoint, c Coin) (output *utxo.Output, by domain.Hash, ok bool) {
	if c.made.in != 0 {
		return s.index.again(o, c.made)
	}
	return s.recent.again(o, c.kept)
}

// inMemory finds an output in memory, who spent it, and where it is; of what was spent it may know no more than that. Under the store's lock
// it is certain; not ok says nothing.
func (s *Store) inMemory(o utxo.Outpoint, c Coin) (output *utxo.Output, by domain.Hash, at Coin, ok bool) {
	if output, by, ok = s.lookAgain(o, c); ok {
		return output, by, c, true
	}
	if e, m, ok := s.index.entry(o); ok {
		return &e.Output, e.SpentBy, Coin{made: m}, true
	}
	if by, ok = s.index.spender(o); ok {
		return nil, by, Coin{}, true
	}
	e, k, _ := s.recent.find(o)
	return &e.Output, e.SpentBy, Coin{kept: k}, k != nil
}

// liveInMemory reports whether an output is in memory and not spent. Under the store's lock that is certain; false says nothing.
func (s *Store) liveInMemory(o utxo.Outpoint, c Coin) bool {
	_, by, _, ok := s.inMemory(o, c)
	return ok && by.IsZero()
}

// now is the database with what its index lacks.
func (s *Store) now() pebble.Reader { return indexedReader{s.db, &s.index} }

type indexedReader struct {
	*pebble.DB
	index *index
}

// lookup needs no snapshot of its own: an output goes from unknown to live to spent, and is looked for
// in that order.
func (s *Store) lookup(r pebble.Reader, o utxo.Outpoint) (utxo.Entry, bool, error) {
	value, ok, err := s.get(r, appendOutpointKey(nil, ClassLive, o))
	if err != nil {
		return utxo.Entry{}, false, err
	}
	if ok {
		output, finalMS, err := s.liveOutput(r, o, value)
		return utxo.Entry{Output: output, FinalMS: finalMS}, err == nil, err
	}
	value, ok, err = s.get(r, appendOutpointKey(nil, ClassSpent, o))
	if err != nil || !ok {
		return utxo.Entry{}, false, err
	}
	v, err := decodeSpent(value)
	if err != nil {
		return utxo.Entry{}, false, s.fail(err)
	}
	if e, ok, err := s.origin(r, o, v.By); ok || err != nil {
		return e, ok, err
	}
	output, finalMS, err := s.spentOutput(r, o, v)
	return utxo.Entry{Output: output, FinalMS: finalMS, SpentBy: v.By}, err == nil, err
}

// spentOutput reads what was at an outpoint that is spent. Of what was spent before this store began nothing is known
// but by whom.
func (s *Store) spentOutput(r pebble.Reader, o utxo.Outpoint, v spentValue) (utxo.Output, uint64, error) {
	if s.began == nil || o.Tx == s.options.Network {
		return s.anyOutput(r, o)
	}
	if len(v.Output) > 0 {
		output, err := utxo.DecodeOutput(v.Output)
		if err != nil {
			return utxo.Output{}, 0, s.fail(corrupt("spent output %s: %v", o, err))
		}
		return output, s.began.TimeMS, nil
	}
	f, ok, err := s.final(r, o.Tx)
	if err != nil {
		return utxo.Output{}, 0, err
	}
	if !ok || len(f.Raw) == 0 {
		return utxo.Output{}, s.began.TimeMS, nil
	}
	return s.outputOf(f, o)
}

// origin is the entry of a spent outpoint that nobody has made: where the chain of a peer begins. All that
// is known of it is in the transaction that spent it.
func (s *Store) origin(r pebble.Reader, o utxo.Outpoint, by domain.Hash) (utxo.Entry, bool, error) {
	if o.Index != 0 || o.Tx == s.options.Network {
		return utxo.Entry{}, false, nil
	}
	if _, made, err := s.placeOf(r, o.Tx); made || err != nil {
		return utxo.Entry{}, false, err
	}
	tx, err := s.finalTx(r, by)
	if err != nil {
		return utxo.Entry{}, false, err
	}
	if start, ok := tx.Origin(); !ok || start != o {
		return utxo.Entry{}, false, s.fail(corrupt("%s was spent by %s and made by nobody", o, by))
	}
	e, _ := tx.OriginEntry(true)
	return e, true, nil
}

// liveOutput takes a record of ClassLive apart; a long output is read from its transaction.
func (s *Store) liveOutput(r pebble.Reader, o utxo.Outpoint, value []byte) (utxo.Output, uint64, error) {
	v, err := decodeLive(value)
	if err != nil {
		return utxo.Output{}, 0, s.fail(err)
	}
	if len(v.Output) == 0 {
		return s.anyOutput(r, o)
	}
	output, err := utxo.DecodeOutput(v.Output)
	if err != nil {
		return utxo.Output{}, 0, s.fail(corrupt("output %s: %v", o, err))
	}
	return output, v.FinalMS, nil
}

// anyOutput reads an output that is or was final from the transaction that made it.
func (s *Store) anyOutput(r pebble.Reader, o utxo.Outpoint) (utxo.Output, uint64, error) {
	if o.Tx == s.options.Network {
		return s.genesisOutput(r, o)
	}
	f, ok, err := s.final(r, o.Tx)
	if err != nil {
		return utxo.Output{}, 0, err
	}
	if !ok {
		return utxo.Output{}, 0, s.fail(corrupt("no transaction %s", o.Tx))
	}
	return s.outputOf(f, o)
}

// outputOf reads an output from the final transaction that made it.
func (s *Store) outputOf(f *ledgerValue, o utxo.Outpoint) (utxo.Output, uint64, error) {
	tx, err := s.decodeTx(f)
	if err != nil {
		return utxo.Output{}, 0, err
	}
	if uint64(o.Index) >= uint64(len(tx.Outputs)) {
		return utxo.Output{}, 0, s.fail(corrupt("no output %s in a final transaction", o))
	}
	return tx.Outputs[o.Index], f.FinalMS, nil
}

func (s *Store) genesisOutput(r pebble.Reader, o utxo.Outpoint) (utxo.Output, uint64, error) {
	value, ok, err := s.get(r, appendNumberKey(nil, ClassGenesis, o.Index))
	if err != nil {
		return utxo.Output{}, 0, err
	}
	if !ok {
		return utxo.Output{}, 0, s.fail(corrupt("no genesis output %d", o.Index))
	}
	v, err := decodeLive(value)
	if err != nil {
		return utxo.Output{}, 0, s.fail(err)
	}
	output, err := utxo.DecodeOutput(v.Output)
	if err != nil {
		return utxo.Output{}, 0, s.fail(corrupt("genesis output %d: %v", o.Index, err))
	}
	return output, v.FinalMS, nil
}

// finalTx decodes a final transaction whose bytes must be here.
func (s *Store) finalTx(r pebble.Reader, id domain.Hash) (*utxo.Tx, error) {
	f, ok, err := s.final(r, id)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, s.fail(corrupt("no transaction %s", id))
	}
	return s.decodeTx(f)
}

// placeOf is the place of a final transaction.
func (s *Store) placeOf(r pebble.Reader, id domain.Hash) (seq uint64, ok bool, err error) {
	if now, is := r.(indexedReader); is {
		if seq, ok := now.index.place(id); ok {
			return seq, true, nil
		}
	}
	value, ok, err := s.get(r, appendHashKey(nil, ClassFinal, id))
	if err != nil || !ok {
		return 0, false, err
	}
	if seq, err = decodePlace(value); err != nil {
		return 0, false, s.fail(err)
	}
	return seq, true, nil
}

// final reads a final transaction.
func (s *Store) final(r pebble.Reader, id domain.Hash) (*ledgerValue, bool, error) {
	seq, ok, err := s.placeOf(r, id)
	if err != nil || !ok {
		return nil, false, err
	}
	f, err := s.finalAt(r, seq)
	if err == nil && f.Tx != id {
		err = s.fail(corrupt("%s is at the place of %s", f.Tx, id))
	}
	return f, err == nil, err
}

// finalAt reads the final transaction at a place, which must be there.
func (s *Store) finalAt(r pebble.Reader, seq uint64) (*ledgerValue, error) {
	page, paged := r.(*page)
	if paged {
		if f := page.at(seq); f != nil {
			return f, nil
		}
	}
	key := appendSequenceKey(nil, ClassLedger, seq)
	value, ok, err := s.get(r, key)
	if _, is := r.(indexedReader); is && !ok && err == nil {
		s.mu.Lock() // its batch is just being handed to pebble
		value, ok, err = s.get(r, key)
		s.mu.Unlock()
	}
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, s.fail(corrupt("no transaction at place %d", seq))
	}
	f, err := decodeLedger(seq, value, &s.interned)
	if err != nil {
		return nil, s.fail(err)
	}
	if paged {
		page.open(f)
	}
	return f, nil
}

// View is the store as a utxo.View. It keeps the first error, which the caller must ask for before it
// believes any answer. Not for use by several goroutines.
type View struct {
	s   *Store
	err error
}

var _ utxo.View = (*View)(nil)

// View makes a view of what is final now and from now on.
func (s *Store) View() *View { return &View{s: s} }

// Lookup implements utxo.View.
func (v *View) Lookup(o utxo.Outpoint) (utxo.Entry, bool) {
	if v.err != nil {
		return utxo.Entry{}, false
	}
	e, ok, err := v.s.Lookup(o)
	v.err = err
	return e, ok
}

// Err is the first error.
func (v *View) Err() error { return v.err }
