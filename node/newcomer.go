package node

import (
	"context"
	"errors"

	"github.com/notarynet/notaryd/node/gossip"
	setsync "github.com/notarynet/notaryd/node/sync"
	"github.com/notarynet/notaryd/proto/domain"
)

// newcomer takes nothing in and has nothing: it is not a node yet. Others that are new too learn from it that it offers
// no snapshot.
type newcomer struct{ gossip.Nobody }

// Transactions implements gossip.Backend.
func (newcomer) Transactions(context.Context, []domain.Hash, bool, func(raw, proof []byte) bool) error {
	return nil
}

// Observations implements gossip.Backend.
func (newcomer) Observations(context.Context, gossip.Range, func([]byte) bool) error { return nil }

// Votes implements gossip.Backend.
func (newcomer) Votes(context.Context, gossip.Votes, func([]byte) bool) error { return nil }

// Final implements gossip.Backend.
func (newcomer) Final(context.Context, domain.PublicKey, gossip.Final) ([]byte, error) {
	return nil, nil
}

// Set implements gossip.Backend.
func (newcomer) Set(context.Context, []setsync.Range) (setsync.Reply, error) {
	return setsync.Reply{}, errNew
}

// Snapshots implements gossip.Backend.
func (newcomer) Snapshots(context.Context) (gossip.Snapshots, error) { return gossip.Snapshots{}, nil }

// Piece implements gossip.Backend.
func (newcomer) Piece(context.Context, domain.Hash, uint32) ([]byte, error) { return nil, nil }

// Heads implements gossip.Backend.
func (newcomer) Heads(context.Context, func(gossip.Head) bool) error { return nil }

// errNew says that a node which is about to begin compares nothing.
var errNew = errors.New("not a node yet")
