package client

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/utxo"
)

// Trust is what a peer trusts, the most trusted first; a zero viewer is the node's own peer. With explain, it
// is that peer's part alone, and an account of it.
func (c *Client) Trust(ctx context.Context, viewer, explain domain.Hash) (*notaryv1.GetTrustResponse, error) {
	req := &notaryv1.GetTrustRequest{}
	if !viewer.IsZero() {
		req.PeerId = viewer[:]
	}
	if !explain.IsZero() {
		req.Explain = explain[:]
	}
	return call(ctx, c, c.Explorer().GetTrust, req)
}

// TrustMargin says how far the group is from harm.
func (c *Client) TrustMargin(ctx context.Context) (*notaryv1.GetTrustMarginResponse, error) {
	return call(ctx, c, c.Explorer().GetTrustMargin, &notaryv1.GetTrustMarginRequest{})
}

// SimulateTrust tells what would become of the weights if labels changed; a rater that is left out is the
// node's own peer.
func (c *Client) SimulateTrust(ctx context.Context, changes []*notaryv1.LabelChange) (*notaryv1.SimulateTrustResponse, error) {
	return call(ctx, c, c.Explorer().SimulateTrust, &notaryv1.SimulateTrustRequest{Changes: changes})
}

// Label sets or replaces what a peer thinks of another.
func Label(p *group.Peer, peer domain.Hash, score int32) {
	at, found := slices.BinarySearchFunc(p.Labels, peer, func(l group.Label, id domain.Hash) int { return l.Peer.Compare(id) })
	if found {
		p.Labels[at].Score = score
		return
	}
	p.Labels = slices.Insert(p.Labels, at, group.Label{Peer: peer, Score: score})
}

// Unlabel takes a label back, and reports whether there was one.
func Unlabel(p *group.Peer, peer domain.Hash) bool {
	before := len(p.Labels)
	p.Labels = slices.DeleteFunc(p.Labels, func(l group.Label) bool { return l.Peer == peer })
	return len(p.Labels) < before
}

// Speak makes the next version of a peer's metadata, or its first, with the master key, and waits until it
// is final. It is for master keys that are kept away from nodes. Edit changes the version before: master key,
// version and work are filled in.
func (c *Client) Speak(ctx context.Context, master domain.PrivateKey, edit func(*group.Peer) error) (*group.Peer, error) {
	last, from, err := c.spoken(ctx, master.Public())
	if err != nil {
		return nil, err
	}
	if err := edit(last); err != nil {
		return nil, err
	}
	if last.Version++; last.Version == 1 {
		last.Nonce = group.FindWork(c.genesis.ID, last.Master, c.genesis.WorkBits())
	}
	output, err := utxo.PeerOutput(last)
	if err != nil {
		return nil, err
	}
	draft, err := utxo.NewBuilder(c.genesis.ID).Spend(from).Output(output).Build()
	if err != nil {
		return nil, err
	}
	tx, err := draft.Sign(master).Finish()
	if err != nil {
		return nil, err
	}
	_, err = c.SubmitFinal(ctx, &Transaction{Tx: tx})
	return last, err
}

// spoken is the newest metadata of a peer, and what its next version spends; of version 0 where there is none.
// The node says where it is, and the proof what it is: the next version repeats it under the master key.
func (c *Client) spoken(ctx context.Context, master domain.PublicKey) (*group.Peer, utxo.Outpoint, error) {
	for coin, err := range c.listed(ctx, utxo.KeyLock(master).Address()) {
		if err != nil {
			return nil, utxo.Outpoint{}, err
		}
		if coin.Output.Kind != notaryv1.OutputKind_OUTPUT_KIND_PEER {
			continue
		}
		proof, _, err := c.Proof(ctx, coin.Outpoint.Tx)
		if err != nil {
			return nil, utxo.Outpoint{}, err
		}
		output, err := ProvenOutput(proof, coin.Outpoint)
		if err != nil {
			return nil, utxo.Outpoint{}, err
		}
		if output.Kind != notaryv1.OutputKind_OUTPUT_KIND_PEER || output.Data == nil {
			return nil, utxo.Outpoint{}, fmt.Errorf("the node's answer holds no peer metadata: %s is another output", coin.Outpoint)
		}
		p, err := group.DecodePeer(output.Data.Payload)
		if err == nil && p.Master != master {
			err = errors.New("it is that of another peer")
		}
		if err != nil {
			return nil, utxo.Outpoint{}, fmt.Errorf("the node's answer holds no peer metadata: %w", err)
		}
		return p, coin.Outpoint, nil
	}
	id := group.PeerID(master)
	return &group.Peer{ID: id, Master: master}, utxo.Origin(id), nil
}
