package node

import (
	"time"

	"github.com/notarynet/notaryd/proto/domain"
)

// evidenceAgain is how long after a member's return evidence is gossiped once more. It exceeds the time for
// which routers remember a message: before, they would take it for the first one, come late.
const evidenceAgain = 70 * time.Second

// Messages to the witness about members that were away.
type (
	returned  struct{}
	republish struct{}
)

// back reports that a member speaks after a silence: it may have missed evidence, which nobody can ask for.
func (w *witness) back() { w.tell(returned{}) }

// rearm has all evidence gossiped again in a while, once for all who return until then. Whoever has it drops
// it; whoever has not keeps it and passes it on.
func (w *witness) rearm() {
	if w.archive.empty() || time.Since(w.armed) < evidenceAgain {
		return
	}
	w.armed = time.Now()
	w.after(evidenceAgain, func() { w.tell(republish{}) })
}

func (w *witness) republish() error {
	for e, err := range w.store.EvidenceAfter(domain.Hash{}) {
		if err != nil {
			return err
		}
		w.archive.publish(e.Raw)
	}
	return nil
}
