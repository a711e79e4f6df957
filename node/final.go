package node

import (
	"context"
	"sync"
	"time"

	"github.com/notarynet/notaryd/node/gossip"
	"github.com/notarynet/notaryd/node/store"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/bls"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
)

// Limits of the final signatures that are made for others.
const (
	finalBurst  = 64
	finalWindow = 10 * time.Second
	// finalsKept is how many are remembered to be given again.
	finalsKept = 4096
)

// finalSigner says that transactions are final, for compact proofs. It needs no guard and keeps no record of what
// it signed: it speaks only of what is final on its disk, synced, where nothing that is final ever ceases to be and no
// two rivals both are. So it can say nothing after a restart that contradicts what it said before, in
// whatever round or epoch it is asked to say it.
type finalSigner struct {
	node  domain.PrivateKey
	key   bls.PrivateKey
	store *store.Store
	group func() *group.Group

	turnstile *turnstile
	mu        sync.Mutex
	made      map[observation.FinalStatement]observation.FinalSignature
}

func newFinalSigner(node domain.PrivateKey, s *store.Store, g func() *group.Group) *finalSigner {
	return &finalSigner{
		node: node, key: bls.Derive(node), store: s, group: g, turnstile: newTurnstile(finalBurst, finalWindow),
		made: make(map[observation.FinalStatement]observation.FinalSignature),
	}
}

// final is this node's signature, where it signs and the transaction is final here. Links other than that of the
// present group and the one under which it became final here are not known to be anybody's, and get none. pass is
// asked before a signature is made that is not remembered.
func (f *finalSigner) final(want gossip.Final, pass func() bool) (s observation.FinalSignature, ok bool, err error) {
	g := f.group()
	self := f.node.Public()
	voter, member := g.Voter(self)
	if may, _ := maySign(g, self, f.store.Signing()); !may || !member || !listed(g.Voters()[voter], f.key) {
		return s, false, nil
	}
	t, found, err := f.store.Transaction(want.Tx)
	if err != nil || !found || t.Final == nil || !f.store.Durable(t.Final.Seq) {
		return s, false, err
	}
	if want.Link != g.Link() && want.Link != t.Final.Link {
		return s, false, nil
	}
	statement := observation.FinalStatement{Network: g.Network(), Link: want.Link, Tx: want.Tx, Round: want.Round}
	f.mu.Lock()
	s, ok = f.made[statement]
	f.mu.Unlock()
	if ok && s.SigningEpoch == g.Voters()[voter].SigningEpoch {
		return s, true, nil
	}
	if !pass() {
		return s, false, nil
	}
	s = observation.SignFinal(statement, f.node, g.Voters()[voter].SigningEpoch, f.key)
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.made) >= finalsKept {
		clear(f.made) // they are made anew, the same
	}
	f.made[statement] = s
	return s, true, nil
}

// listed reports whether a group counts this BLS key for a voter.
func listed(v group.Voter, key bls.PrivateKey) bool {
	public := key.Public()
	return string(v.BLS) == string(public[:])
}

// Final implements gossip.Backend.
func (p pulls) Final(_ context.Context, from domain.PublicKey, want gossip.Final) ([]byte, error) {
	f := p.sh.finalSigner
	s, ok, err := f.final(want, func() bool { return f.turnstile.pass(from) })
	if err != nil || !ok {
		return nil, err
	}
	return s.Encode(), nil
}
