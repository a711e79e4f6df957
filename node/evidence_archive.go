package node

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"

	"github.com/notarynet/notaryd/node/store"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
)

// ownEvidence is where evidence that was found here comes from.
const ownEvidence = "own"

const (
	forkedChain      = notaryv1.EvidenceKind_EVIDENCE_KIND_FORKED_CHAIN
	conflictingFinal = notaryv1.EvidenceKind_EVIDENCE_KIND_CONFLICTING_FINAL
)

// archive keeps verified evidence: the first piece of each kind against each chain, for ever. More of it would
// say nothing new, and whoever signed it can make any amount. Evidence has one entrance, keep, wherever
// it comes from.
type archive struct {
	network domain.Hash
	self    domain.PublicKey
	store   *store.Store
	log     *slog.Logger
	metrics *evidenceMetrics

	// publish gossips evidence that was found here, list has the next observation say that this node has
	// it. Neither waits.
	publish func(raw []byte)
	list    func(hash domain.Hash)
	peer    func(key domain.PublicKey) domain.Hash
	// accused is told of every chain that new evidence is against.
	accused func(chain observation.ChainID)
	// full is asked whether a write failed for want of room (space.noted).
	full func(error) bool

	mu   sync.Mutex
	held map[observation.ChainID]kindSet
}

// kindSet is a set of kinds of evidence, a bit each.
type kindSet uint32

func (k kindSet) has(kind notaryv1.EvidenceKind) bool { return k&(1<<uint(kind)) != 0 }

func newArchive(network domain.Hash, self domain.PublicKey, s *store.Store, log *slog.Logger, m *evidenceMetrics) *archive {
	return &archive{
		network: network, self: self, store: s, log: log, metrics: m,
		accused: func(observation.ChainID) {}, full: func(error) bool { return false }, held: make(map[observation.ChainID]kindSet),
	}
}

// restore takes up what an earlier life kept.
func (a *archive) restore() error {
	for e, err := range a.store.EvidenceAfter(domain.Hash{}) {
		if err != nil {
			return err
		}
		if err := e.Verify(a.network); err != nil {
			return fmt.Errorf("stored evidence %s convicts nobody: %w", e.Hash, err)
		}
		a.claim(e)
	}
	return nil
}

// holds reports whether there is evidence of a kind against a chain.
func (a *archive) holds(chain observation.ChainID, kind notaryv1.EvidenceKind) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.held[chain].has(kind)
}

// empty reports whether there is no evidence at all.
func (a *archive) empty() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.held) == 0
}

// accuses reports whether there is any evidence against a chain.
func (a *archive) accuses(chain observation.ChainID) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.held[chain] != 0
}

// accusesAny reports whether there is any evidence against one of some chains.
func (a *archive) accusesAny(which func(observation.ChainID) bool) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	for chain := range a.held {
		if which(chain) {
			return true
		}
	}
	return false
}

// convicts reports whether there is any evidence against one of some node keys.
func (a *archive) convicts(keys []group.NodeKey) bool {
	return a.accusesAny(func(chain observation.ChainID) bool {
		return slices.ContainsFunc(keys, func(k group.NodeKey) bool { return k.Key == chain.Key })
	})
}

// claim reports whether evidence is the first of its kind against its chain, and takes note of it.
func (a *archive) claim(e *observation.Evidence) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.held[e.Key()].has(e.Kind) {
		return false
	}
	a.held[e.Key()] |= 1 << uint(e.Kind)
	return true
}

// release takes a claim back.
func (a *archive) release(e *observation.Evidence) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.held[e.Key()] &^= 1 << uint(e.Kind); a.held[e.Key()] == 0 {
		delete(a.held, e.Key())
	}
}

// keep stores evidence that is the first of its kind against its chain, and reports whether it was. What
// was found here is gossiped; what came by gossip the router passes on. from is ownEvidence or the peer
// that sent it.
//
// What does not verify is refused, whoever made it. What there is no room for on disk is dropped, as if it had not come: it is gossiped
// again when members return, and found again.
func (a *archive) keep(e *observation.Evidence, from string) (added bool, err error) {
	if err := e.Verify(a.network); err != nil {
		return false, err
	}
	if !a.claim(e) {
		return false, nil
	}
	if _, err := a.store.SaveEvidence(e); err != nil {
		a.release(e)
		if a.full(err) {
			err = nil
		}
		return false, err
	}
	a.metrics.kept.WithLabelValues(kindName(e.Kind)).Inc()
	key := e.Key().Key
	level := slog.LevelWarn
	if key == a.self {
		level = slog.LevelError // this key is in the hands of two, or the node is broken
	}
	a.log.Log(context.Background(), level, "a peer broke a rule of voting; its votes count until a link removes it",
		"rule", kindName(e.Kind), "peer", a.peer(key), "key", key, "evidence", e.Hash, "from", from)
	if from == ownEvidence {
		a.publish(e.Raw)
	}
	a.list(e.Hash)
	a.accused(e.Key())
	return true, nil
}

// kindName is a kind in lower case, for logs and metrics.
func kindName(k notaryv1.EvidenceKind) string {
	return strings.ToLower(strings.TrimPrefix(k.String(), "EVIDENCE_KIND_"))
}
