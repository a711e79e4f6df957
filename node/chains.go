package node

import (
	"github.com/notarynet/notaryd/observation"
)

// chainsMost bounds the chains that are followed: there are at most 5,500 node keys in a group that fits its bytes, and those of two groups count
// while one epoch ends.
const chainsMost = 1 << 14

// followed reports whether a chain is followed from here on; where it was not, it is taken up where the store has it. Keys come and go with links, as
// often as their peers like, so what counts no more is forgotten whenever it is half of what is followed: else it would fill the room one day, and
// new voters would find none.
func (ob *observer) followed(id observation.ChainID) bool {
	if _, known := ob.chains.Head(id); known {
		return true
	}
	if ob.taken >= ob.sweepAt {
		ob.forget()
	}
	if !ob.chains.Resume(ob.store.Head(id)) {
		if !ob.counts(id) {
			return false
		}
		if ob.forget(); !ob.chains.Resume(ob.store.Head(id)) {
			return false
		}
	}
	ob.taken++
	return true
}

// forget stops following the chains that do not count in the present epoch, nor in the next where that is final.
func (ob *observer) forget() {
	ob.taken = 0
	for _, h := range ob.chains.Heads() {
		id := observation.ChainID{Key: h.Key, SigningEpoch: h.SigningEpoch}
		if ob.counts(id) {
			ob.taken++
			continue
		}
		ob.chains.Forget(id)
		delete(ob.ahead, id)
		delete(ob.asked, id)
	}
	ob.sweepAt = 2*ob.taken + sweepSlack
}

// sweepSlack is how many chains more than twice those that counted may be followed before it is looked which of them still count.
const sweepSlack = 64

// resume takes up the chains that count, where an earlier life left them; others when they are heard.
func (ob *observer) resume() {
	ob.sweepAt = sweepSlack
	for _, h := range ob.store.Heads() {
		if id := (observation.ChainID{Key: h.Key, SigningEpoch: h.SigningEpoch}); ob.counts(id) {
			ob.followed(id)
		}
	}
}
