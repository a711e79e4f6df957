package utxo

import "math/bits"

// sums are amounts by product: few in a list, as nearly always, and many in a map. The zero value is empty.
type sums struct {
	few  [4]productSum
	n    int // of few
	many map[Product]uint64
}

type productSum struct {
	product Product
	amount  uint64
}

// get is the sum of a product; false where nothing was added.
func (s *sums) get(p Product) (uint64, bool) {
	for i := range s.few[:s.n] {
		if s.few[i].product == p {
			return s.few[i].amount, true
		}
	}
	amount, found := s.many[p]
	return amount, found
}

// of is the sum of a product, 0 where nothing was added.
func (s *sums) of(p Product) uint64 {
	amount, _ := s.get(p)
	return amount
}

// add reports false, and adds nothing, where the sum of the product would not fit 64 bits.
func (s *sums) add(p Product, amount uint64) bool {
	for i := range s.few[:s.n] {
		if at := &s.few[i]; at.product == p {
			return addTo(&at.amount, amount)
		}
	}
	if s.n < len(s.few) {
		s.few[s.n] = productSum{p, amount}
		s.n++
		return true
	}
	if s.many == nil {
		s.many = make(map[Product]uint64)
	}
	sum := s.many[p]
	if !addTo(&sum, amount) {
		return false
	}
	s.many[p] = sum
	return true
}

// addTo reports false, and adds nothing, where the sum would not fit 64 bits.
func addTo(sum *uint64, amount uint64) bool {
	both, carry := bits.Add64(*sum, amount, 0)
	if carry != 0 {
		return false
	}
	*sum = both
	return true
}
