package store

import (
	"github.com/notarynet/notaryd/conflict"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/utxo"
)

// lent is what one batch after the other works with, under the store's lock: a busy node would else allocate a kilobyte more a transaction.
type lent struct {
	finals  lentMap[domain.Hash, int]
	spent   lentMap[utxo.Outpoint, domain.Hash]
	changes []change
	found   []Coin

	voted   lentMap[domain.Hash, struct{}]
	places  lentMap[voteKey, int]
	pending []sheafTx
	records []conflict.Record
}

// lentMap is a map that is emptied and used again.
type lentMap[K comparable, V any] struct {
	m    map[K]V
	room int // for so many entries
}

// empty is the map with room for so many entries; where none are expected, one of its own. One much too large is given up: emptying it would take as long as when it was full.
func (l *lentMap[K, V]) empty(room int) map[K]V {
	if room == 0 {
		return map[K]V{}
	}
	if l.m == nil || room > l.room || 8*room+64 < l.room {
		l.m, l.room = make(map[K]V, room), room
	} else {
		clear(l.m)
	}
	return l.m
}

// lentList is a list without entries and with room for so many, by the same rule.
func lentList[T any](list *[]T, room int) []T {
	if room == 0 {
		return nil
	}
	if room > cap(*list) || 8*room+64 < cap(*list) {
		*list = make([]T, 0, room)
	} else {
		clear((*list)[:cap(*list)])
	}
	return (*list)[:0]
}
