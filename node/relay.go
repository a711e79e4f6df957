package node

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/notarynet/notaryd/node/gossip"
)

// neighbourAgain is how often the node looks whether anybody listens.
const neighbourAgain = 50 * time.Millisecond

// relays pass transactions on, once anybody listens. What is published to nobody is lost, unless a vote of this node
// makes others ask for it; a node without weight casts none.
type relays struct {
	listened atomic.Bool // a peer that relays transactions has been connected

	mu      sync.Mutex
	unheard []*flight // to be passed on once somebody listens
}

// relay passes a flight's transaction on, now or later.
func (sh *shell) relay(f *flight) {
	if sh.relays.listened.Load() {
		sh.publish(f.tx.Raw)
		return
	}
	if sh.relays.add(f) {
		sh.relayUnheard()
	}
}

// add enters a flight; true says that nobody looks yet whether anybody listens.
func (r *relays) add(f *flight) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.unheard = append(r.unheard, f)
	return len(r.unheard) == 1
}

// relayUnheard passes on what waits, if anybody listens, and looks again later if not.
func (sh *shell) relayUnheard() {
	heard := sh.neighboured()
	if heard {
		sh.relays.listened.Store(true) // and then no more are added but by those who have just looked
	}
	sh.relays.mu.Lock()
	flights := sh.relays.unheard
	if heard {
		sh.relays.unheard = nil
	} else {
		flights = slices.DeleteFunc(flights, func(f *flight) bool { return sh.flights.get(f.tx.ID) != f })
		sh.relays.unheard = flights
	}
	sh.relays.mu.Unlock()
	if !heard {
		if len(flights) > 0 {
			sh.alarms.after(neighbourAgain, sh.relayUnheard)
		}
		return
	}
	for _, f := range flights {
		if sh.flights.get(f.tx.ID) == f {
			sh.publish(f.tx.Raw)
		}
	}
}

// neighboured reports whether a peer is connected that relays transactions.
func (sh *shell) neighboured() bool {
	return slices.ContainsFunc(sh.net.Peers(), func(p gossip.Peer) bool { return p.Topics > 0 })
}

// publish passes a transaction on. What the network's queue has no room for is pulled by whoever sees a
// vote on it.
func (sh *shell) publish(raw []byte) {
	if err := sh.net.PublishTransactions([][]byte{raw}); err != nil {
		sh.log.Debug("transaction not passed on", "err", err)
	}
}
