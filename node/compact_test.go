package node

import (
	"context"
	"slices"
	"sync"
	"testing"

	"github.com/notarynet/notaryd/node/gossip"
	setsync "github.com/notarynet/notaryd/node/sync"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/bls"
	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
	"github.com/notarynet/notaryd/utxo"
)

// glib gives any final signature that it is asked for, after its own taste.
type glib struct {
	key    domain.PrivateKey
	net    domain.Hash
	change func(*observation.FinalSignature)

	mu    sync.Mutex
	asked []gossip.Final
}

func (g *glib) Final(_ context.Context, _ domain.PublicKey, want gossip.Final) ([]byte, error) {
	g.mu.Lock()
	g.asked = append(g.asked, want)
	g.mu.Unlock()
	f := observation.SignFinal(observation.FinalStatement{Network: g.net, Link: want.Link, Tx: want.Tx, Round: want.Round}, g.key, 0, bls.Derive(g.key))
	if g.change != nil {
		g.change(&f)
	}
	return f.Encode(), nil
}

func (*glib) Transactions(context.Context, []domain.Hash, bool, func(raw, proof []byte) bool) error {
	return nil
}
func (*glib) Observations(context.Context, gossip.Range, func(raw []byte) bool) error { return nil }
func (*glib) Votes(context.Context, gossip.Votes, func(raw []byte) bool) error        { return nil }
func (*glib) Heads(context.Context, func(gossip.Head) bool) error                     { return nil }
func (*glib) Snapshots(context.Context) (gossip.Snapshots, error)                     { return gossip.Snapshots{}, nil }
func (*glib) Piece(context.Context, domain.Hash, uint32) ([]byte, error)              { return nil, nil }
func (*glib) Set(_ context.Context, asked []setsync.Range) (setsync.Reply, error) {
	return setsync.Reply{Answered: len(asked)}, nil // it has the same
}

// chatter has the liar answer questions for final signatures.
func (l *live) chatter(change func(*observation.FinalSignature)) *glib {
	g := &glib{key: l.keys[3], net: l.genesis.ID, change: change}
	l.liar.Serve(l.t.Context(), g, nil)
	return g
}

// compact is a compact proof by a node, verified as anybody would.
func (l *live) compact(node int, tx *utxo.Tx) (*observation.Compact, observation.Verdict) {
	l.t.Helper()
	raw, err := l.nodes[node].CompactProof(l.t.Context(), tx.ID, true, 0, unpaid)
	if err != nil {
		l.t.Fatal(err)
	}
	p, err := observation.DecodeCompact(raw, observation.Limits{})
	if err != nil {
		l.t.Fatal(err)
	}
	v, err := p.Verify(observation.NewRoot(l.genesis.Group))
	if err != nil {
		l.t.Fatal(err)
	}
	if v.Conclusion != observation.Valid || p.Tx != tx.ID || !slices.Equal(p.Raw, tx.Raw) {
		l.t.Fatalf("%s of %s", v.Conclusion, p.Tx)
	}
	return p, v
}

// final waits until a transaction is final on all honest nodes.
func (l *live) final(tx *utxo.Tx) {
	l.t.Helper()
	l.eventually("a transaction to be final", func() bool { return l.finals(0, tx)+l.finals(1, tx)+l.finals(2, tx) == 3 })
}

// TestCompactProof: a node folds what the others say, without the member that says nothing or something else, and a
// node that is asked again does not ask again.
func TestCompactProof(t *testing.T) {
	l := startLive(t)
	a := l.pay("a", 0)
	if _, err := l.nodes[0].CompactProof(t.Context(), a.ID, false, 0, unpaid); refusal.ReasonOf(err) != notaryv1.Reason_REASON_NOT_FOUND {
		t.Errorf("of what nobody knows: %v", err)
	}
	l.submit(0, a)
	l.final(a)
	first, v := l.compact(0, a)
	if n := len(v.Transactions[0].Peers); n != 3 {
		t.Errorf("%d peers", n)
	}
	// Members, not only those who made it final, are asked, and a share that does not hold is left out.
	l.chatter(func(f *observation.FinalSignature) {
		f.Share = bls.Sign(bls.Derive(l.keys[3]), domain.TagFinal, l.genesis.ID, domain.Hash{})
	})
	if _, v := l.compact(1, a); len(v.Transactions[0].Peers) != 3 {
		t.Errorf("%d peers beside a liar", len(v.Transactions[0].Peers))
	}
	again, _ := l.compact(0, a)
	if !slices.Equal(again.Encode(), first.Encode()) {
		t.Error("another proof of the same")
	}
	// Without a quorum there is none.
	b := l.pay("b", 1)
	l.submit(0, b)
	l.final(b)
	l.nodes[1].stop()
	l.nodes[2].stop()
	if _, err := l.nodes[0].CompactProof(t.Context(), b.ID, false, 0, unpaid); refusal.ReasonOf(err) != notaryv1.Reason_REASON_NOT_ENOUGH_WEIGHT {
		t.Errorf("without a quorum: %v", err)
	}
}

// TestCompactProofOfAll: where everybody answers, all are in the proof.
func TestCompactProofOfAll(t *testing.T) {
	l := startLive(t)
	l.chatter(nil)
	l.nodes[0].sh.compactor.grace = patience
	a := l.pay("a", 0)
	l.submit(0, a)
	l.final(a)
	if _, v := l.compact(0, a); len(v.Transactions[0].Peers) != 4 {
		t.Errorf("%d peers", len(v.Transactions[0].Peers))
	}
}

// TestFinalSigner: a node signs what is final here, and nothing else.
func TestFinalSigner(t *testing.T) {
	l := startLive(t)
	a := l.pay("a", 0)
	l.submit(0, a)
	l.final(a)
	s := l.nodes[0].sh.finalSigner
	link := l.genesis.Group.Link()
	always := func() bool { return true }
	want := gossip.Final{Tx: a.ID, Link: link}
	var f observation.FinalSignature
	var ok bool
	var err error
	l.eventually("what is final to be on disk", func() bool {
		f, ok, err = s.final(want, always)
		return ok || err != nil
	})
	check := f.Check()
	if err != nil || !ok || !check.Verify() || f.Key != l.keys[0].Public() || f.Tx != a.ID {
		t.Fatal(f, ok, err)
	}
	if again, ok, _ := s.final(want, func() bool { return false }); !ok || again != f {
		t.Error("what was signed is not repeated")
	}
	later := want
	later.Round = 7
	if g, ok, _ := s.final(later, always); !ok || g.Round != 7 {
		t.Error("a transaction is final in one round alone")
	}
	refused := func(what string, want gossip.Final, pass bool) {
		t.Helper()
		if _, ok, err := s.final(want, func() bool { return pass }); ok || err != nil {
			t.Errorf("%s: %v, %v", what, ok, err)
		}
	}
	refused("too many", gossip.Final{Tx: a.ID, Round: 9, Link: link}, false)
	refused("an unknown transaction", gossip.Final{Tx: domain.Hash{1}, Link: link}, true)
	refused("a link of nobody's", gossip.Final{Tx: a.ID, Link: domain.Hash{1}}, true)
	child := l.pay("b", 1)
	refused("what is not final yet", gossip.Final{Tx: child.ID, Link: link}, true)
	stranger := newFinalSigner(owner, l.nodes[0].store, s.group)
	if _, ok, _ := stranger.final(want, always); ok {
		t.Error("a key without weight signs")
	}
}

// TestConflictingFinalsAreFound: a member that says of both sides of a double spend that they are final is convicted,
// everywhere, by whoever asks it for the one.
func TestConflictingFinalsAreFound(t *testing.T) {
	l := startLive(t)
	l.chatter(nil)
	for _, n := range l.nodes {
		n.sh.compactor.grace = patience
	}
	a, b := l.pay("a", 0), l.pay("b", 0)
	l.submit(0, a)
	l.submit(1, b)
	l.eventually("the double spend to end", func() bool { return l.finals(0, a, b) == 1 && l.finals(1, a, b) == 1 && l.finals(2, a, b) == 1 })
	winner := a
	if l.finals(0, b) == 1 {
		winner = b
	}
	l.eventually("a proof with the liar in it, and evidence everywhere", func() bool {
		for i := range l.nodes {
			l.compact(i, winner)
			// Asked again it asks again: the first time it may not have known yet what was contested.
			c := l.nodes[i].sh.compactor
			c.mu.Lock()
			clear(c.kept)
			c.mu.Unlock()
		}
		for i := range l.nodes {
			if list := l.evidence(i); len(list) != 1 || list[0].Kind != conflictingFinal || list[0].Key().Key != l.keys[3].Public() {
				return false
			}
		}
		return true
	})
}
