package node

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/notarynet/notaryd/node/gossip"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// Limits of the evidence that one neighbour may send. A group has at most five pieces to send for each of
// its node keys, and one more for each member, ever.
const (
	evidenceBurst  = 64
	evidenceWindow = 10 * time.Second
)

// turnstile bounds how much each neighbour gets looked at in a window of time.
type turnstile struct {
	most   int
	window time.Duration

	mu     sync.Mutex
	since  time.Time
	passed map[domain.PublicKey]int
}

func newTurnstile(most int, window time.Duration) *turnstile {
	return &turnstile{most: most, window: window, passed: make(map[domain.PublicKey]int)}
}

// pass reports whether one more is allowed.
func (t *turnstile) pass(from domain.PublicKey) bool { return t.passAll(from, 1) }

// passAll reports whether so many more are allowed; none of them pass where not all may.
func (t *turnstile) passAll(from domain.PublicKey, n int) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if now := time.Now(); now.Sub(t.since) >= t.window {
		t.since = now
		clear(t.passed)
	}
	if t.passed[from]+n > t.most {
		return false
	}
	t.passed[from] += n
	return true
}

// ValidateEvidence checks evidence and keeps it, when it is the first of its kind against a chain of the
// group; only then is it passed on. Evidence that convicts nobody is blamed on the sender: no honest node
// relays any. Cheap questions come first, so that each signature of a liar is checked a bounded number of
// times.
func (h handlers) ValidateEvidence(_ context.Context, from domain.PublicKey, raw []byte) gossip.Verdict {
	sh := h.sh
	if !sh.turnstile.pass(from) {
		return gossip.Ignore
	}
	added, err := sh.admitEvidence(raw, from.String())
	switch {
	case added:
		return gossip.Take
	case err == nil || unfamiliar(err):
		sh.metrics.evidence.surplus.Inc()
		return gossip.Ignore
	case refusal.ReasonOf(err) == notaryv1.Reason_REASON_UNSPECIFIED: // the store's
		sh.fail(err)
		return gossip.Ignore
	default:
		sh.metrics.evidence.refused.Inc()
		sh.log.Debug("gossiped evidence refused", "from", from, "err", err)
		return gossip.Reject
	}
}

// unfamiliar reports whether a refusal may be this version's own limit.
func unfamiliar(err error) bool {
	return refusal.ReasonOf(err) == notaryv1.Reason_REASON_UNKNOWN_KIND
}

// admitEvidence keeps evidence against a key of the group, in the signing epoch in which its votes count
// here, and the first against a member whose key counted before. Other keys and epochs cost nothing to make, so that there
// would be no end of them.
func (sh *shell) admitEvidence(raw []byte, from string) (added bool, err error) {
	e, err := observation.DecodeEvidence(raw)
	if err != nil {
		return false, err
	}
	chain := e.Key()
	if sh.archive.holds(chain, e.Kind) || !sh.follows(chain) && !sh.answersFor(chain) {
		return false, nil
	}
	return sh.archive.keep(e, from)
}

// answersFor reports whether a chain counted in an epoch before, its peer is a member still, and nothing known here convicts that. A link
// removes it on such evidence too (epoch.State.Judge): who replaces his key quickly must not get away with it, nor leave those who know
// waiting for those who may not be told.
func (sh *shell) answersFor(chain observation.ChainID) bool {
	state := sh.keeper.seen.Load().state
	peer, known := state.PeerOf(chain.Key)
	if !known || !slices.ContainsFunc(state.Group().Members(), func(m group.Member) bool { return m.PeerID == peer }) {
		return false
	}
	return sh.lineage.counted(chain) && !sh.archive.accusesAny(func(held observation.ChainID) bool {
		of, known := state.PeerOf(held.Key)
		return known && of == peer
	})
}

// publishEvidence gossips evidence that was found here. What the network's queue has no room for others
// find by themselves, as this node did.
func (sh *shell) publishEvidence(raw []byte) {
	if err := sh.net.PublishEvidence(raw); err != nil && !errors.Is(err, gossip.ErrClosed) {
		sh.log.Warn("evidence not passed on", "err", err)
	}
}
