package node

import (
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
	order  []domain.Hash // by time of joining
}

// contender is one contested transaction.
type contender struct {
	tx        domain.Hash
	spends    []utxo.Outpoint
	joinedMS  uint64
	round     uint32
	decidedMS uint64
	// winner is itself, or the final rival; zero while undecided.
	winner domain.Hash
	at     conflict.Finality
}

// contestView is one contest: transactions linked by conflicts, by ascending id.
type contestView struct {
	lowest  utxo.Outpoint
	members []contender
}

func newRecord() *record {
	return &record{txs: make(map[domain.Hash]*contender), points: make(map[utxo.Outpoint][]domain.Hash)}
}

func (r *record) joined(tx domain.Hash, spends []utxo.Outpoint) {
	if r.txs[tx] != nil {
		return
	}
	r.txs[tx] = &contender{tx: tx, spends: spends, joinedMS: nowMS()}
	r.order = append(r.order, tx)
	for _, o := range spends {
		r.points[o] = append(r.points[o], tx)
	}
}

// reached notes the round of a transaction's contest.
func (r *record) reached(tx domain.Hash, round uint32) {
	for _, c := range r.component(tx) {
		if c.winner.IsZero() {
			c.round = max(c.round, round)
		}
	}
}

func (r *record) decided(d conflict.Decided) {
	for _, tx := range append(slices.Clone(d.Rejected), d.Final) {
		if c := r.txs[tx]; c != nil && c.winner.IsZero() {
			c.winner, c.at, c.decidedMS = d.Final, d.Finality, nowMS()
		}
	}
}

func (r *record) forget(tx domain.Hash) {
	c := r.txs[tx]
	if c == nil {
		return
	}
	delete(r.txs, tx)
	for _, o := range c.spends {
		r.points[o] = slices.DeleteFunc(r.points[o], func(t domain.Hash) bool { return t == tx })
		if len(r.points[o]) == 0 {
			delete(r.points, o)
		}
	}
	if i := slices.Index(r.order, tx); i >= 0 {
		r.order = slices.Delete(r.order, i, i+1)
	}
}

// component is every transaction that is linked to one by conflicts.
func (r *record) component(tx domain.Hash) []*contender {
	start := r.txs[tx]
	if start == nil {
		return nil
	}
	seen := map[domain.Hash]bool{tx: true}
	list := []*contender{start}
	for i := 0; i < len(list); i++ {
		for _, o := range list[i].spends {
			for _, rival := range r.points[o] {
				if !seen[rival] {
					seen[rival] = true
					list = append(list, r.txs[rival])
				}
			}
		}
	}
	return list
}

// view is the contest of a transaction.
func (r *record) view(tx domain.Hash) (v contestView, ok bool) {
	list := r.component(tx)
	if list == nil {
		return v, false
	}
	slices.SortFunc(list, func(a, b *contender) int { return a.tx.Compare(b.tx) })
	first := true
	for _, c := range list {
		v.members = append(v.members, *c)
		for _, o := range c.spends {
			if len(r.points[o]) > 1 && (first || o.Compare(v.lowest) < 0) {
				v.lowest, first = o, false
			}
		}
	}
	if first { // no rival: its own lowest outpoint names it
		v.lowest = slices.MinFunc(list[0].spends, utxo.Outpoint.Compare)
	}
	return v, true
}

// list is contests by when their newest member joined, newest first, from a position on, and the next
// position; 0 where there are no more.
func (r *record) list(from, limit int) (views []contestView, next int) {
	seen := make(map[domain.Hash]bool)
	for i, n := len(r.order)-1, 0; i >= 0; i-- {
		tx := r.order[i]
		if seen[tx] {
			continue
		}
		v, _ := r.view(tx)
		for _, m := range v.members {
			seen[m.tx] = true
		}
		if n++; n <= from {
			continue
		}
		if len(views) == limit {
			return views, n - 1
		}
		views = append(views, v)
	}
	return views, 0
}
