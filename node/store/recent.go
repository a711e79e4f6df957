package store

import (
	"sync"

	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/utxo"
)

// recent keeps decoded outputs that the database was asked for lately: a transaction's inputs are looked at several times on its way. What
// was made lately is in index. Under the store's lock it is certain of what it holds (recent.again): whether
// an output may be spent, a vote needs a record of its own, and a transaction a look-up, is decided here where it can be.
//
// It forgets by halves: what was not entered since the last two turns is gone. A reader that found an output in the
// database offers it with the turn of its own look-up; where an output that is not kept was spent since, or a turn
// has passed, the offer is stale and comes to nothing.
type recent struct {
	mu         sync.RWMutex
	turn       uint64
	young, old *shelf
	half       int // the room of a shelf
}

// shelf is half of what is kept.
type shelf struct {
	number uint64 // see numbers
	at     map[utxo.Outpoint]*kept
	takes  int // what lies there takes the room of so many outputs without data
}

func newShelf(size int) *shelf {
	return &shelf{number: numbers.Add(1), at: make(map[utxo.Outpoint]*kept, size)}
}

// kept is an output that the database was asked for.
type kept struct {
	outpoint utxo.Outpoint
	entry    utxo.Entry
	on       uint64 // the number of its shelf, which whoever found it does not keep
}

// recentBytes is about what one output without data takes, its place in the map included.
const recentBytes = 384

func newRecent(bytes int64) *recent {
	half := max(int(bytes/recentBytes/2), 16)
	return &recent{half: half, young: newShelf(0), old: newShelf(0)}
}

// find returns what is kept of an output, and else the turn with which to offer it.
func (r *recent) find(o utxo.Outpoint) (e utxo.Entry, k *kept, turn uint64) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if k = r.at(o); k != nil {
		e = k.entry
	}
	return e, k, r.turn
}

func (r *recent) at(o utxo.Outpoint) *kept {
	if k := r.young.at[o]; k != nil {
		return k
	}
	return r.old.at[o]
}

// holds reports whether what was found before is kept still.
func (r *recent) holds(k *kept) bool {
	return k != nil && (k.on == r.young.number || k.on == r.old.number)
}

// again looks at an output that was found before. It is not ok where that is not kept any more.
func (r *recent) again(o utxo.Outpoint, k *kept) (output *utxo.Output, by domain.Hash, ok bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if !r.holds(k) || k.outpoint != o {
		return nil, by, false
	}
	return &k.entry.Output, k.entry.SpentBy, true
}

// forget drops everything.
func (r *recent) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.turn++
	r.young, r.old = newShelf(0), newShelf(0)
}

// offer enters what the database said, unless it may be out of date, and returns what is kept then.
func (r *recent) offer(o utxo.Outpoint, e utxo.Entry, turn uint64) *kept {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.turn != turn {
		return nil
	}
	if k := r.at(o); k != nil {
		return k // whoever entered it knew no less
	}
	return r.enter(o, e)
}

func (r *recent) enter(o utxo.Outpoint, e utxo.Entry) *kept {
	if r.young.takes >= r.half {
		r.turn++
		r.young, r.old = newShelf(len(r.young.at)), r.young
	}
	e.Output.Own()
	k := &kept{o, e, r.young.number}
	r.young.at[o] = k
	r.young.takes += 1 + dataBytes(&e.Output)/recentBytes
	return k
}

// spend takes in what final transactions have spent; found is where that was found, as far as that is known. The store's lock is held, so
// that they come in order.
func (r *recent) spend(changes []change, found []Coin) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for i := range changes {
		c := &changes[i]
		for j := range c.spends {
			k := CoinAt(found, n).kept
			if !r.holds(k) {
				k = r.at(c.spends[j].outpoint)
			}
			if k != nil {
				k.entry.SpentBy = c.tx
			} else {
				r.turn++ // somebody may just have found it live
			}
			n++
		}
	}
}
