package node

import (
	"bytes"
	"context"
	"slices"
	"time"

	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
	"github.com/notarynet/notaryd/utxo"
)

// voice speaks for this node's peer, where its master key is at hand: it makes the next version of the
// peer's metadata, one at a time, and submits it as anybody would. A master key that is kept elsewhere signs
// there (docs/guides/operator.md).
type voice struct {
	master *domain.PrivateKey // nil where it is kept elsewhere
	turn   chan struct{}      // held by whoever makes a version
}

func newVoice(master *domain.PrivateKey) *voice {
	return &voice{master: master, turn: make(chan struct{}, 1)}
}

// SetTrustLabel makes this node's peer label another, and returns once that is final.
func (n *Node) SetTrustLabel(ctx context.Context, peer domain.Hash, score int32) error {
	return n.say(ctx, func(p *group.Peer) error {
		at, found := slices.BinarySearchFunc(p.Labels, peer, byLabelled)
		switch {
		case peer == p.ID:
			return refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, "peer_id", "a peer does not label itself")
		case score < -group.MaxScore || score > group.MaxScore:
			return refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, "score", "%d, want %d to %d", score, -group.MaxScore, group.MaxScore)
		case found:
			p.Labels[at].Score = score
		case len(p.Labels) == group.MaxLabels:
			return refusal.New(notaryv1.Reason_REASON_LIMIT_EXCEEDED, "peer_id", "a peer labels at most %d others", group.MaxLabels)
		default:
			p.Labels = slices.Insert(p.Labels, at, group.Label{Peer: peer, Score: score})
		}
		return nil
	})
}

// RemoveTrustLabel takes a label back, and returns once that is final.
func (n *Node) RemoveTrustLabel(ctx context.Context, peer domain.Hash) error {
	return n.say(ctx, func(p *group.Peer) error {
		at, found := slices.BinarySearchFunc(p.Labels, peer, byLabelled)
		if !found {
			return refusal.New(notaryv1.Reason_REASON_NOT_FOUND, "peer_id", "%s has no label by this node's peer", peer)
		}
		p.Labels = slices.Delete(p.Labels, at, at+1)
		return nil
	})
}

func byLabelled(l group.Label, peer domain.Hash) int { return l.Peer.Compare(peer) }

// sayTries is how often a version is made anew because another node of the peer was faster.
const sayTries = 3

// say makes the next version of the peer's metadata after an edit. It has the node's own key in it, whatever
// the edit does.
func (n *Node) say(ctx context.Context, edit func(*group.Peer) error) error {
	if n.voice.master == nil {
		return refusal.New(notaryv1.Reason_REASON_NOT_FOUND, "", "this node does not hold the master key of its peer (trust.master_key): sign where that is kept")
	}
	if err := n.sh.begun(ctx); err != nil {
		return err
	}
	select {
	case n.voice.turn <- struct{}{}:
		defer func() { <-n.voice.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	for try := 1; ; try++ {
		raw, err := n.nextVersion(edit)
		if err != nil || raw == nil {
			return err
		}
		_, err = n.Submit(ctx, "operator", raw, notaryv1.WaitLevel_WAIT_LEVEL_FINAL)
		if err == nil || try == sayTries || !outrun(err) {
			return err
		}
	}
}

// outrun reports whether another version of the same number is final.
func outrun(err error) bool {
	r := refusal.ReasonOf(err)
	return r == notaryv1.Reason_REASON_OUTPOINT_SPENT || r == notaryv1.Reason_REASON_DOUBLE_SPEND
}

// nextVersion is the transaction that makes it; nil where the edit changes nothing.
func (n *Node) nextVersion(edit func(*group.Peer) error) ([]byte, error) {
	sh, master := n.sh, *n.voice.master
	id := group.PeerID(master.Public())
	last, found, err := sh.store.PeerMetadata(id)
	if err != nil {
		return nil, err
	}
	next, from := &group.Peer{ID: id, Master: master.Public()}, utxo.Origin(id)
	if found {
		*next, from = *last.Peer, last.Outpoint
		next.Keys, next.Labels = slices.Clone(next.Keys), slices.Clone(next.Labels)
	} else {
		next.Nonce = group.FindWork(sh.genesis.ID, next.Master, sh.rules.WorkBits)
	}
	n.certify(next)
	if err := edit(next); err != nil {
		return nil, err
	}
	if found && samePeer(last.Peer, next) {
		return nil, nil
	}
	next.Version++
	output, err := utxo.PeerOutput(next)
	if err != nil {
		return nil, err
	}
	draft, err := utxo.NewBuilder(sh.genesis.ID).Spend(from).Output(output).Build()
	if err != nil {
		return nil, err
	}
	tx, err := draft.Sign(master).Finish()
	if err != nil {
		return nil, err
	}
	return tx.Raw, nil
}

// certify lists this node's key, in the signing epoch in which it votes, with its BLS key. One that is listed in a later epoch is
// another store's, and epochs never go down.
func (n *Node) certify(p *group.Peer) {
	key, signing := n.sh.keeper.self, n.sh.store.Signing().Epoch
	at, found := slices.BinarySearchFunc(p.Keys, key.Public(), func(c group.CertifiedKey, k domain.PublicKey) int { return c.Key.Compare(k) })
	switch {
	case found && (p.Keys[at].SigningEpoch > signing || p.Keys[at].SigningEpoch == signing && len(p.Keys[at].BLS) > 0):
	case found:
		p.Keys[at] = group.Certify(key, signing, n.sh.genesis.ID, p.ID).WithBLS(key)
	default:
		p.Keys = slices.Insert(p.Keys, at, group.Certify(key, signing, n.sh.genesis.ID, p.ID).WithBLS(key))
	}
}

// samePeer reports whether two versions say the same.
func samePeer(a, b *group.Peer) bool {
	return a.Version == b.Version && slices.Equal(a.Labels, b.Labels) &&
		slices.EqualFunc(a.Keys, b.Keys, func(x, y group.CertifiedKey) bool {
			return x.Key == y.Key && x.SigningEpoch == y.SigningEpoch && x.Membership == y.Membership && bytes.Equal(x.BLS, y.BLS)
		})
}

// announceAgain is how long the node waits before it tries again to have its key listed.
const announceAgain = 10 * time.Second

// announce has the peer's metadata list this node's key, so that a link can.
func (n *Node) announce(ctx context.Context) {
	if n.voice.master == nil || !n.sh.config.Announce || n.sh.begun(ctx) != nil {
		return
	}
	for {
		err := n.say(ctx, func(*group.Peer) error { return nil })
		if err == nil || ctx.Err() != nil {
			return
		}
		n.sh.log.Warn("this node's key is not listed by its peer yet", "err", err)
		select {
		case <-time.After(announceAgain):
		case <-ctx.Done():
			return
		}
	}
}
