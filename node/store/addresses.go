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
}

// maxPage ends a page whose outputs have so many bytes of data: anybody may give anybody outputs of 200 kB.
const maxPage = 1 << 20

// Unspent lists the live outputs of an address by product and outpoint, at most limit of them or 1 MiB of data and one more, after
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
	snapshot := s.db.NewSnapshot()
	list, next, err = s.unspent(snapshot, lower, after(prefix), limit)
	if e := snapshot.Close(); e != nil && err == nil {
		return nil, nil, s.fail(e)
	}
	return list, next, err
}

func (s *Store) unspent(r *pebble.Snapshot, lower, upper []byte, limit int) (list []Unspent, next []byte, err error) {
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
	size := 0
	for valid := it.First(); valid; valid = it.Next() {
		if len(list) >= limit || size >= maxPage {
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
		list = append(list, Unspent{k.Outpoint, e.Output, e.FinalMS})
		size += dataBytes(&e.Output)
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

// Balance sums the live outputs of an address, by ascending product, the native coin first. It reads
// the index alone. read is told how many bytes of it were read, every thousand outputs and at the end; an error from it ends the sum.
func (s *Store) Balance(a utxo.Address, read func(bytes int) error) (list []Balance, err error) {
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.leave()
	if err := s.bringUpFor(a); err != nil {
		return nil, err
	}
	prefix := appendAddressPrefix(nil, a)
	type item struct {
		product utxo.Product
		amount  uint64
		bytes   int
	}
	unread, bytes := 1000, 0
	for x, err := range scan(s, prefix, after(prefix), func(key, value []byte) (item, error) {
		k, err := parseAddressKey(key)
		if err != nil {
			return item{}, s.fail(err)
		}
		amount, err := decodeAmount(value)
		if err != nil {
			return item{}, s.fail(err)
		}
		return item{k.Product, amount, len(key) + len(value)}, nil
	}) {
		if err != nil {
			return nil, err
		}
		bytes += x.bytes
		if unread--; unread == 0 {
			if err := read(bytes); err != nil {
				return nil, err
			}
			unread, bytes = 1000, 0
		}
		if n := len(list); n == 0 || list[n-1].Product != x.product {
			list = append(list, Balance{Product: x.product})
		}
		b := &list[len(list)-1]
		var carry uint64
		if b.Amount, carry = bits.Add64(b.Amount, x.amount, 0); carry != 0 {
			return nil, s.fail(corrupt("the outputs of product %s sum above 64 bits", x.product))
		}
		b.Outputs++
	}
	return list, read(bytes)
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
