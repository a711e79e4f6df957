package store

import (
	"sync"
	"sync/atomic"

	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/utxo"
)

// index is what the last final transactions changed of the classes that are looked up by id, outpoint and address. All of it follows
// from the ledger, so it is not in the batch that makes a transaction final: it is kept here, answers from here, and is written some tens of
// thousands of transactions at a time, behind the ledger (indexer.go). An output that is made and spent in between is never written.
//
// It changes under the store's lock alone, before the batch is handed to pebble, and may be read without it. What it holds is certain. Of
// what it does not hold, the database is right, once it was asked second.
type index struct {
	limit int64 // of a generation, in bytes

	mu sync.RWMutex
	// young takes in what becomes final. old is the one before, which is being written or was. older was written before it, and is kept
	// for look-ups: what was made lately is what is spent next.
	young, old, older *generation
	logged            uint64 // the newest place that was handed to pebble
	// outputs and spends are what the lists of changes are cut from, also of changes that are not handed over in the end.
	outputs slab[utxo.Output]
	spends  slab[spend]

	indexer
}

// generation is a row of transactions in the order of the ledger.
type generation struct {
	number  uint64 // see numbers
	first   uint64 // the place of the first
	changes []change
	at      map[domain.Hash]uint32   // positions in changes
	spent   map[utxo.Outpoint]uint64 // outpoints that no transaction of this generation made: the places of those that spent them
	bytes   int64                    // about what all this takes

	touchMu sync.Mutex
	touched map[utxo.Address]uint64 // the last places that made or spent an output of an address, among the first seen changes
	seen    int
}

// change is what a final transaction did.
type change struct {
	tx      domain.Hash
	finalMS uint64
	outputs []utxo.Output // that it made
	spentBy []uint64      // the places of those that spent these; nil where nobody did
	spends  []spend
}

// spend is an outpoint that was spent, with what the index needs of the output.
type spend struct {
	outpoint utxo.Outpoint
	address  utxo.Address
	product  utxo.Product
	made     uint64 // the place of the transaction that made it where that was in memory, else 0
	kept     []byte // spentValue.Output
	origin   bool   // of a peer: nobody made it
}

// About what a change takes, its outputs and spends apart, and each of these, in bytes.
const (
	changeBytes = 250
	outputBytes = 140
	spendBytes  = 220
)

func (c *change) bytes() int64 {
	n := changeBytes + outputBytes*len(c.outputs) + spendBytes*len(c.spends)
	for i := range c.outputs {
		n += dataBytes(&c.outputs[i])
	}
	for i := range c.spends {
		n += len(c.spends[i].kept)
	}
	return int64(n)
}

// dataBytes is what the data of an output takes, which is its own (utxo.Output.Own).
func dataBytes(o *utxo.Output) int {
	if o.Data == nil {
		return 0
	}
	return outputBytes + len(o.Data.Payload) + len(o.Data.MediaType) + len(o.Data.Location)
}

// maxChanges is how many transactions fill a generation, if their size does not: so many and once more as many are read again after a crash.
const maxChanges = 1 << 16

// slab is where lists that are kept for as long as each other are cut from: a change would else be two allocations more, or keep all of
// its transaction.
type slab[T any] struct{ free []T }

// slabLen is how many elements are allocated at once.
const slabLen = 512

// take cuts a list of so many zero elements.
func (s *slab[T]) take(n int) []T {
	if n > slabLen/8 {
		return make([]T, n)
	}
	if len(s.free) < n {
		s.free = make([]T, slabLen)
	}
	cut := s.free[:n:n]
	s.free = s.free[n:]
	return cut
}

// full reports whether a generation takes in no more.
func (x *index) full(g *generation) bool { return g.bytes >= x.limit || len(g.changes) >= maxChanges }

// numbers counts what coins are found in, generations and shelves, of all stores of the process: whoever has a coin tells by its number whether that
// is there still, and does not keep it.
var numbers atomic.Uint64

// newGeneration makes an empty one with room for so many transactions, and outpoints that others made.
func newGeneration(first uint64, changes, spent int) *generation {
	return &generation{
		number: numbers.Add(1), first: first, changes: make([]change, 0, changes), at: make(map[domain.Hash]uint32, changes), spent: make(map[utxo.Outpoint]uint64, spent),
	}
}

// end is the place after the last.
func (g *generation) end() uint64 { return g.first + uint64(len(g.changes)) }

// reset forgets everything: the database has all up to a place.
func (x *index) reset(seq uint64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.older, x.old, x.young, x.logged = newGeneration(seq+1, 0, 0), newGeneration(seq+1, 0, 0), newGeneration(seq+1, 0, 0), seq
	x.start(seq)
}

// change is that at a place, which must be in memory.
func (x *index) change(seq uint64) *change {
	g := x.young
	if seq < g.first {
		if g = x.old; seq < g.first {
			g = x.older
		}
	}
	return &g.changes[seq-g.first]
}

// generations are those in memory, the youngest first.
func (x *index) generations() [3]*generation { return [...]*generation{x.young, x.old, x.older} }

// maker is the transaction that made an outpoint; its zero value where that is not in memory.
func (x *index) maker(id domain.Hash) made {
	for _, g := range x.generations() {
		if i, ok := g.at[id]; ok {
			return made{g.number, g.first + uint64(i)}
		}
	}
	return made{}
}

// made is where a transaction in memory is. It keeps nothing there: a transaction may wait for long with where its coins were.
type made struct {
	in    uint64 // the number of a generation; 0 for none
	place uint64
}

// holds reports whether a transaction that was found in memory before is there still.
func (x *index) holds(m made) bool {
	return m.in != 0 && (m.in == x.young.number || m.in == x.old.number || m.in == x.older.number)
}

// place is that of a final transaction in memory.
func (x *index) place(id domain.Hash) (seq uint64, ok bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	m := x.maker(id)
	return m.place, m.in != 0
}

// entry is an output that was made by a transaction in memory, and which.
func (x *index) entry(o utxo.Outpoint) (e utxo.Entry, m made, ok bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if m = x.maker(o.Tx); m.in == 0 {
		return utxo.Entry{}, made{}, false
	}
	c := x.change(m.place)
	if uint64(o.Index) >= uint64(len(c.outputs)) {
		return utxo.Entry{}, made{}, false
	}
	return utxo.Entry{Output: c.outputs[o.Index], FinalMS: c.finalMS, SpentBy: x.spentBy(c, o.Index)}, m, true
}

// spentBy is what spent an output of a change; zero where it is live.
func (x *index) spentBy(c *change, output uint32) (by domain.Hash) {
	if c.spentBy != nil && c.spentBy[output] != 0 {
		by = x.change(c.spentBy[output]).tx
	}
	return by
}

// again looks at an output that was found before. It is not ok where that is not in memory any more.
func (x *index) again(o utxo.Outpoint, m made) (output *utxo.Output, by domain.Hash, ok bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if !x.holds(m) {
		return nil, by, false
	}
	c := x.change(m.place)
	if c.tx != o.Tx || uint64(o.Index) >= uint64(len(c.outputs)) {
		return nil, by, false
	}
	return &c.outputs[o.Index], x.spentBy(c, o.Index), true
}

// spender is the transaction in memory that spent an outpoint which none in memory made.
func (x *index) spender(o utxo.Outpoint) (id domain.Hash, ok bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	for _, g := range x.generations() {
		if seq, ok := g.spent[o]; ok {
			return x.change(seq).tx, true
		}
	}
	return id, false
}

// add takes in what comes next in the ledger, before that is handed to pebble. found is where all that it spends was found, as far as
// that is known. The store's lock is held.
func (x *index) add(changes []change, found []Coin) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.turn()
	g, n := x.young, 0
	for i := range changes {
		c, seq := &changes[i], g.end()
		for j := range c.spends {
			x.spend(&c.spends[j], CoinAt(found, n).made, seq)
			n++
		}
		g.at[c.tx] = uint32(len(g.changes))
		g.changes = append(g.changes, *c)
		g.bytes += c.bytes()
	}
}

// handed says that all that was added was handed to pebble, and may be written behind it. The store's lock is held.
func (x *index) handed() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.logged = x.young.end() - 1
	x.turn()
}

// spend notes what a transaction spends, which was found there.
func (x *index) spend(s *spend, m made, seq uint64) {
	if !x.holds(m) {
		m = x.maker(s.outpoint.Tx)
	}
	if m.in != 0 {
		c := x.change(m.place)
		if c.spentBy == nil {
			c.spentBy = make([]uint64, len(c.outputs))
		}
		c.spentBy[s.outpoint.Index], s.made = seq, m.place
	}
	if m.in != x.young.number {
		x.young.spent[s.outpoint] = seq
	}
}

// turn begins a new generation where the young one is full and the old one written.
func (x *index) turn() {
	if !x.full(x.young) || x.written() < x.old.end()-1 {
		return
	}
	x.older, x.old, x.young = x.old, x.young, newGeneration(x.young.end(), len(x.young.changes), len(x.young.spent))
	x.want(x.old.end() - 1)
}

// waits reports whether nothing should be added before the old generation, which ends with a place, is written.
func (x *index) waits() (old uint64, full bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	old = x.old.end() - 1
	return old, x.full(x.young) && x.written() < old
}

// last is the newest place that may be written.
func (x *index) last() uint64 {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.logged
}

// size is about what it takes in memory, in bytes.
func (x *index) size() uint64 {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return uint64(x.young.bytes + x.old.bytes + x.older.bytes)
}

// touches reports whether a change that is not written made or spent an output of an address.
func (x *index) touches(a utxo.Address) bool {
	x.mu.RLock()
	parts := [...]struct {
		g       *generation
		changes []change
	}{{x.young, x.young.changes}, {x.old, x.old.changes}}
	x.mu.RUnlock()
	written := x.written()
	for _, p := range parts {
		if p.g.first+uint64(len(p.changes)) > written+1 && p.g.touch(a, p.changes) > written {
			return true
		}
	}
	return false
}

// touch is the last place among the first changes of a generation that made or spent an output of an address; 0 where none did.
func (g *generation) touch(a utxo.Address, changes []change) uint64 {
	g.touchMu.Lock()
	defer g.touchMu.Unlock()
	if g.touched == nil {
		g.touched = map[utxo.Address]uint64{}
	}
	for ; g.seen < len(changes); g.seen++ {
		c, seq := &changes[g.seen], g.first+uint64(g.seen)
		for i := range c.outputs {
			g.touched[c.outputs[i].Address] = seq
		}
		for i := range c.spends {
			if s := &c.spends[i]; !s.origin {
				g.touched[s.address] = seq
			}
		}
	}
	return g.touched[a]
}
