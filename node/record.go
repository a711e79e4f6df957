package node

import (
	"cmp"
	"slices"

	"github.com/notarynet/notaryd/conflict"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/utxo"
)

// record is what the arena remembers of contests for people: who contended for what, in which round, and
// how it ended. It decides nothing, and forgets what the contests forget.
type record struct {
	txs    map[domain.Hash]*contender
	points map[utxo.Outpoint][]domain.Hash
	order  []*contender // by time of joining
	open   map[domain.Hash]*contender
	joins  uint64
}

// contender is one contested transaction.
type contender struct {
	tx        domain.Hash
	spends    []utxo.Outpoint
	place     uint64 // in the order of joining; the first is 1
	joinedMS  uint64
	round     uint32
	endsMS    uint64 // when the round's timer rings; 0 where none runs
	decidedMS uint64
	// winner is itself, or the final rival; zero while undecided.
	winner domain.Hash
	at     conflict.Finality
}

func (c *contender) undecided() bool { return c.winner.IsZero() }

// contestView is one contest: transactions linked by conflicts, by ascending id.
type contestView struct {
	lowest  utxo.Outpoint
	members []contender
}

func newRecord() *record {
	return &record{
		txs: make(map[domain.Hash]*contender), points: make(map[utxo.Outpoint][]domain.Hash), open: make(map[domain.Hash]*contender),
	}
}

func (r *record) joined(tx domain.Hash, spends []utxo.Outpoint) {
	if r.txs[tx] != nil {
		return
	}
	r.joins++
	// A copy, else it would keep the transaction.
	c := &contender{tx: tx, spends: slices.Clone(spends), place: r.joins, joinedMS: nowMS()}
	r.txs[tx], r.open[tx] = c, c
	r.order = append(r.order, c)
	for _, o := range spends {
		r.points[o] = append(r.points[o], tx)
	}
}

// reached notes the round of a transaction's contest.
func (r *record) reached(tx domain.Hash, round uint32) {
	for _, c := range r.component(tx, (*contender).undecided) {
		if round > c.round {
			c.round, c.endsMS = round, 0
		}
	}
}

// timed notes the round that a timer was started in, and when the round ends where it is the round's own.
func (r *record) timed(e conflict.StartTimer) {
	r.reached(e.Tx, e.Round)
	if e.Kind != conflict.RoundTimer {
		return
	}
	for _, c := range r.component(e.Tx, (*contender).undecided) {
		if c.round == e.Round {
			c.endsMS = nowMS() + e.AfterMS
		}
	}
}

func (r *record) decided(d conflict.Decided) {
	for _, tx := range append(slices.Clone(d.Rejected), d.Final) {
		if c := r.txs[tx]; c != nil && c.undecided() {
			c.winner, c.at, c.decidedMS, c.endsMS = d.Final, d.Finality, nowMS(), 0
			delete(r.open, tx)
		}
	}
}

func (r *record) forget(tx domain.Hash) {
	c := r.txs[tx]
	if c == nil {
		return
	}
	delete(r.txs, tx)
	delete(r.open, tx)
	for _, o := range c.spends {
		r.points[o] = slices.DeleteFunc(r.points[o], func(t domain.Hash) bool { return t == tx })
		if len(r.points[o]) == 0 {
			delete(r.points, o)
		}
	}
	i, _ := r.position(c.place)
	if i == 0 {
		r.order[0], r.order = nil, r.order[1:] // the oldest goes first, as a rule
		return
	}
	r.order = slices.Delete(r.order, i, i+1)
}

// position is where a place is, or would be, in the order.
func (r *record) position(place uint64) (int, bool) {
	return slices.BinarySearchFunc(r.order, place, func(c *contender, place uint64) int { return cmp.Compare(c.place, place) })
}

// component is every transaction that is linked to one by conflicts, through those that are kept. Nothing
// where the first is not kept. Each outpoint is gone through once: after a double spend is decided, any number of losers
// may still come to it.
func (r *record) component(tx domain.Hash, keep func(*contender) bool) []*contender {
	start := r.txs[tx]
	if start == nil || !keep(start) {
		return nil
	}
	seen, walked := map[domain.Hash]bool{tx: true}, make(map[utxo.Outpoint]bool)
	list := []*contender{start}
	for i := 0; i < len(list); i++ {
		for _, o := range list[i].spends {
			if walked[o] {
				continue
			}
			walked[o] = true
			for _, rival := range r.points[o] {
				if c := r.txs[rival]; !seen[rival] && keep(c) {
					seen[rival] = true
					list = append(list, c)
				}
			}
		}
	}
	return list
}

func anyOf(*contender) bool { return true }

// lowest is the lowest outpoint that two of them spend, or the lowest of all where there is none.
func lowest(list []*contender) utxo.Outpoint {
	var contested, all []utxo.Outpoint
	claimed := make(map[utxo.Outpoint]bool)
	for _, c := range list {
		for _, o := range c.spends {
			if claimed[o] {
				contested = append(contested, o)
			}
			claimed[o] = true
			all = append(all, o)
		}
	}
	if len(contested) > 0 {
		all = contested
	}
	return slices.MinFunc(all, utxo.Outpoint.Compare)
}

// view is the contest of a transaction, with those of its members that are decided.
func (r *record) view(tx domain.Hash) (v contestView, ok bool) {
	list := r.component(tx, anyOf)
	if list == nil {
		return v, false
	}
	slices.SortFunc(list, func(a, b *contender) int { return a.tx.Compare(b.tx) })
	for _, c := range list {
		v.members = append(v.members, *c)
	}
	v.lowest = lowest(list)
	return v, true
}

// contest is the contest of a transaction with the outpoint that names the facilitators of what is undecided of it: of
// the member with the highest id, where that falls into parts. The outpoint is zero where all is decided.
func (r *record) contest(tx domain.Hash) (v contestView, point utxo.Outpoint, ok bool) {
	v, ok = r.view(tx)
	for i := range slices.Backward(v.members) {
		if v.members[i].undecided() {
			point, _ = r.facilitated(v.members[i].tx)
			break
		}
	}
	return v, point, ok
}

// facilitated is the outpoint that names the facilitators of what is undecided of a transaction's contest.
func (r *record) facilitated(tx domain.Hash) (o utxo.Outpoint, ok bool) {
	list := r.component(tx, (*contender).undecided)
	if list == nil {
		return o, false
	}
	return lowest(list), true
}

// list is contests whose newest member joined before a place, newest first, and the place to go on from;
// 0 where there are no more. walked is how many transactions were looked at.
func (r *record) list(before uint64, limit int) (views []contestView, next uint64, walked int) {
	seen := make(map[domain.Hash]bool)
	i, _ := r.position(before)
	for i--; i >= 0; i-- {
		c := r.order[i]
		if seen[c.tx] {
			continue
		}
		v, _ := r.view(c.tx)
		newest := uint64(0)
		for _, m := range v.members {
			seen[m.tx] = true
			newest = max(newest, m.place)
		}
		if newest >= before {
			continue // on an earlier page, or new since
		}
		if len(views) == limit {
			return views, next, len(seen)
		}
		views, next = append(views, v), c.place
	}
	return views, 0, len(seen)
}

// contests is the number of contests with something undecided.
func (r *record) contests() (n int) {
	seen := make(map[domain.Hash]bool, len(r.open))
	for tx := range r.open {
		if seen[tx] {
			continue
		}
		n++
		for _, c := range r.component(tx, (*contender).undecided) {
			seen[c.tx] = true
		}
	}
	return n
}
