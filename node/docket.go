package node

import (
	"time"

	"github.com/notarynet/notaryd/proto/domain"
)

// judgeFor is how long the keeper judges links before it looks whether anything else has happened.
const judgeFor = 500 * time.Millisecond

// docket is the links that wait for a verdict. That is the dearest check of all, and a member can sign any number of them, so
// that whoever has had the fewest judged comes first: one member's thousands delay nobody else's one.
type docket struct {
	asked  []*flight // in the order in which they came
	judged map[domain.PublicKey]int
}

// enter takes a link in. A flight asks once and waits.
func (d *docket) enter(f *flight) { d.asked = append(d.asked, f) }

// next is the link that is to be judged now; nil where there is none.
func (d *docket) next() *flight {
	if len(d.asked) == 0 {
		d.asked = nil
		return nil
	}
	at := 0
	for i, f := range d.asked {
		if d.judged[proposedBy(f)] < d.judged[proposedBy(d.asked[at])] {
			at = i
		}
	}
	f := d.asked[at]
	copy(d.asked[at:], d.asked[at+1:])
	d.asked[len(d.asked)-1], d.asked = nil, d.asked[:len(d.asked)-1]
	if d.judged == nil {
		d.judged = make(map[domain.PublicKey]int)
	}
	d.judged[proposedBy(f)]++
	return f
}

// forget forgets who has had how many judged: a new epoch has begun.
func (d *docket) forget() { d.judged = nil }

// proposedBy is the voter that stands behind a link. It has one witness, whose signature was checked before anybody judges it.
func proposedBy(f *flight) (key domain.PublicKey) {
	if len(f.tx.Witnesses) > 0 && len(f.tx.Witnesses[0].Lock.Keys) > 0 {
		key = f.tx.Witnesses[0].Lock.Keys[0]
	}
	return key
}
