package node

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/notarynet/notaryd/node/store"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// spaceAgain is how soon a write that the store had no room for is tried again.
const spaceAgain = 500 * time.Millisecond

// space minds the room left on disk. While there is too little, nothing new is taken in and writes wait:
// no vote is lost and none leaves unsaved, what is known can be read, and the node goes on by itself once
// somebody has made room.
type space struct {
	full atomic.Bool
	room func() error // store.ErrFull where there is too little
	log  *slog.Logger
	tell func(problem string) // what is in the way of serving; empty once nothing is
}

// look sees whether there is room again, or none any more.
func (s *space) look() { s.noted(s.room()) }

// noted takes note of how a write, or a look, ended, and reports whether it was for want of room.
func (s *space) noted(err error) (full bool) {
	full = errors.Is(err, store.ErrFull)
	switch before := s.full.Swap(full); {
	case full && !before:
		s.log.Error("no room on disk: nothing new is taken in until there is", "err", err)
		s.tell("no room on disk: nothing new is taken in, and nothing is voted on, until there is")
	case before && !full:
		s.log.Info("room on disk again")
		s.tell("")
	}
	return full
}

// write writes, waiting for room.
func (s *space) write(ctx context.Context, write func() error) error {
	for {
		err := write()
		if err == nil || !s.noted(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(spaceAgain):
		}
	}
}

// admit refuses what is new while there is no room.
func (s *space) admit() error {
	if s.full.Load() {
		return refusal.New(notaryv1.Reason_REASON_STORE_FULL, "", "this node has no room on disk")
	}
	return nil
}
