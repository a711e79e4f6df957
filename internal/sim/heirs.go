package sim

import (
	"slices"

	"github.com/notarynet/notaryd/conflict"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
)

// heirs is what a link can undo where locks are not carried through it: of 34, 33 and 33 the first one makes A final
// with the liar's help, which it alone is shown; then a link moves one from the first to the second, and in the next epoch
// the second and the liar suffice for B.
func (w *world) heirs() {
	first, second := w.heirsOf()
	w.after(100*ms, w.propose)
	c := w.conflicts([]int{0}, []int{0})
	w.register(c)
	at := 100*ms + uint64(w.rng.Intn(400*ms))
	w.after(at, func() { first.receive(c.txs[0]) })
	w.after(at, func() { second.receive(c.txs[1]) })
}

// heirsOf are the honest nodes, the heavier one first.
func (w *world) heirsOf() (first, second *node) {
	honest := slices.DeleteFunc(slices.Clone(w.nodes), func(n *node) bool { return n == nil })
	share := func(n *node) group.Weight { return w.ledger.genesis.Group.Share(n.key) }
	if share(honest[0]) < share(honest[1]) {
		return honest[1], honest[0]
	}
	return honest[0], honest[1]
}

// inherited is the group that heirs wait for: what the first has more than the second goes to the second.
func (w *world) inherited(g *group.Group) *group.Group {
	first, second := w.heirsOf()
	members := slices.Clone(g.Members())
	of := func(key domain.PublicKey) *group.Member {
		i := slices.IndexFunc(members, func(m group.Member) bool { return m.Keys[0].Key == key })
		return &members[i]
	}
	a, b := of(first.key), of(second.key)
	a.Weight, b.Weight = b.Weight, a.Weight
	next, err := group.New(g.Network(), g.Epoch()+1, g.Link(), members, nil)
	if err != nil {
		panic(err)
	}
	return next
}

// plead is what the liar among heirs says about a transaction that somebody voted on: links it supports, and A it makes
// final at the first heir alone.
func (l *liar) plead(id domain.Hash, round uint32) {
	first, _ := l.heirsOf()
	to, branch := []int{first.id}, 0
	if c := l.caseOf[id]; c == nil || c.txs[0].Link != nil {
		to, branch = l.every(1, 0), 1
	} else if c.txs[0].ID != id || round > 0 {
		return
	}
	l.say(id, observation.Pending, round, branch, to)
	l.say(id, observation.Accepted, round, branch, to)
}

// claim has the liar say in the next epoch, to the second heir alone, that it is for B.
func (l *liar) claim(n *node) {
	first, second := l.heirsOf()
	if n != second {
		return
	}
	for _, c := range l.cases {
		if !c.contested || c.txs[0].Link != nil || !l.finalAt[first.id][c.txs[0].ID] {
			continue
		}
		for round := range uint32(4) {
			lead := conflict.FacilitatorOf(n.present, c.txs[1].Spends()[0], round+1)
			if n.present.Voters()[lead].Key == l.ledger.keys[l.id].Public() {
				l.say(c.txs[1].ID, observation.Pending, round+1, 2, []int{n.id})
				l.say(c.txs[1].ID, observation.Accepted, round+1, 2, []int{n.id})
			}
		}
	}
}
