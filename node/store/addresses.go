package store

import (
	"errors"
	"math/bits"

	"github.com/cockroachdb/pebble/v2"

	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/utxo"
)

// ErrBadToken says that a page token is not one of Unspent.
var ErrBadToken = errors.New("not a page token of this list")

// Unspent is one live output of an address.
type Unspent struct {
	Outpoint utxo.Outpoint
	Output   utxo.Output
	// FinalMS is when its transaction became final here, Unix milliseconds.
	FinalMS uint64
	// Read is how many bytes were read for it.
	Read int
}

// maxPage ends a page whose outputs have so many bytes of data: anybody may give anybody outputs of 200 kB.
const maxPage = 1 << 20

// Unspent lists the live outputs of an address by product and outpoint, at most limit of them, or 1 MiB of data, or of transactions read for them, and one more, after
// the one that a token names; nil starts at the beginning. next is nil on the last page.
func (s *Store) Unspent(a utxo.Address, token []byte, limit int) (list []Unspent, next []byte, err error) {
	if err := s.enter(); err != nil {
		return nil, nil, err
	}
	defer s.leave()
	if err := s.bringUpFor(a); err != nil {
		return nil, nil, err
	}
	prefix := appendAddressPrefix(nil, a)
	lower := prefix
	if len(token) > 0 { // the key of the last output listed, behind the address
		last := append(append([]byte(nil), prefix...), token...)
		if _, err := parseAddressKey(last); err != nil {
			return nil, nil, ErrBadToken
		}
		lower = append(last, 0) // the least key after it
	}
	page := s.newPage()
	list, next, err = s.unspent(page, lower, after(prefix), limit)
	if e := page.Close(); e != nil && err == nil {
		return nil, nil, s.fail(e)
	}
	return list, next, err
}

func (s *Store) unspent(r *page, lower, upper []byte, limit int) (list []Unspent, next []byte, err error) {
	it, err := r.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return nil, nil, s.fail(err)
	}
	defer func() {
		if e := it.Close(); e != nil && err == nil {
			list, next, err = nil, nil, s.fail(e)
		}
	}()
	var last []byte
	size, mark := 0, 0
	for valid := it.First(); valid; valid = it.Next() {
		if len(list) >= limit || size >= maxPage || r.read >= maxPageRead {
			return list, last, nil
		}
		k, err := parseAddressKey(it.Key())
		if err != nil {
			return nil, nil, s.fail(err)
		}
		e, ok, err := s.lookup(r, k.Outpoint)
		if err != nil {
			return nil, nil, err
		}
		if !ok || !e.SpentBy.IsZero() {
			return nil, nil, s.fail(corrupt("the address index names %s, which is not live", k.Outpoint))
		}
		data := dataBytes(&e.Output)
		list = append(list, Unspent{k.Outpoint, e.Output, e.FinalMS, max(data, r.took(&mark))})
		size += data
		last = append(last[:0], it.Key()[1+domain.Size:]...)
	}
	return list, nil, nil
}

// Balance is what an address holds of one product.
type Balance struct {
	Product utxo.Product
	// Amount is the sum of the live outputs in base units, Outputs their number.
	Amount, Outputs uint64
}

// balanceAtOnce is how many outputs are summed before whoever asked is told.
const balanceAtOnce = 1000

// Balance sums the live outputs of an address, by ascending product, the native coin first, as they are at one instant. It reads
// the index alone. read is told how many bytes of it were read, every thousand outputs and at the end, and may take its time; an error from
// it ends the sum. Meanwhile a snapshot is held, which keeps the store from dropping what is overwritten, and nothing else.
func (s *Store) Balance(a utxo.Address, read func(bytes int) error) (list []Balance, err error) {
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.leave()
	if err := s.bringUpFor(a); err != nil {
		return nil, err
	}
	prefix := appendAddressPrefix(nil, a)
	sum := balanceSum{s: s, r: s.db.NewSnapshot(), lower: prefix, upper: after(prefix)}
	defer func() {
		if e := sum.r.Close(); e != nil && err == nil {
			list, err = nil, s.fail(e)
		}
	}()
	for more := true; more; {
		var bytes int
		if bytes, more, err = sum.next(); err == nil {
			err = read(bytes)
		}
		if err != nil {
			return nil, err
		}
	}
	return sum.list, nil
}

// balanceSum is a sum that has come as far as lower.
type balanceSum struct {
	s            *Store
	r            *pebble.Snapshot
	lower, upper []byte
	list         []Balance
}

// next adds some outputs, and says how many bytes that were and whether there are more.
func (b *balanceSum) next() (bytes int, more bool, err error) {
	it, err := b.r.NewIter(&pebble.IterOptions{LowerBound: b.lower, UpperBound: b.upper})
	if err != nil {
		return 0, false, b.s.fail(err)
	}
	defer func() {
		if e := it.Close(); e != nil && err == nil {
			err = b.s.fail(e)
		}
	}()
	n := 0
	for valid := it.First(); valid; valid = it.Next() {
		if n == balanceAtOnce {
			b.lower = append([]byte(nil), it.Key()...)
			return bytes, true, nil
		}
		value, err := it.ValueAndErr()
		if err != nil {
			return 0, false, b.s.fail(err)
		}
		if err := b.add(it.Key(), value); err != nil {
			return 0, false, b.s.fail(err)
		}
		n, bytes = n+1, bytes+len(it.Key())+len(value)
	}
	return bytes, false, nil
}

// add adds one output.
func (b *balanceSum) add(key, value []byte) error {
	k, err := parseAddressKey(key)
	if err != nil {
		return err
	}
	amount, err := decodeAmount(value)
	if err != nil {
		return err
	}
	if n := len(b.list); n == 0 || b.list[n-1].Product != k.Product {
		b.list = append(b.list, Balance{Product: k.Product})
	}
	last := &b.list[len(b.list)-1]
	sum, carry := bits.Add64(last.Amount, amount, 0)
	if carry != 0 {
		return corrupt("the outputs of product %s sum above 64 bits", k.Product)
	}
	last.Amount, last.Outputs = sum, last.Outputs+1
	return nil
}

// ProductInfo is what the issuer of a product calls it. ok is false where nothing was said.
func (s *Store) ProductInfo(p utxo.Product) (info *notaryv1.ProductInfo, ok bool, err error) {
	if err := s.enter(); err != nil {
		return nil, false, err
	}
	defer s.leave()
	value, ok, err := s.get(s.db, appendHashKey(nil, ClassProduct, p))
	if err != nil || !ok {
		return nil, false, err
	}
	payload, err := decodeBytes(value)
	if err != nil {
		return nil, false, s.fail(err)
	}
	if info, err = utxo.DecodeProductInfo(payload); err != nil {
		return nil, false, s.fail(corrupt("product %s: %v", p, err))
	}
	return info, true, nil
}
