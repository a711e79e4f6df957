package node

import (
	"context"

	"github.com/notarynet/notaryd/conflict"
	"github.com/notarynet/notaryd/proto/domain"
)

// overhearing says that the votes on a transaction go to the witness from now on, those counted so far
// first, or, where on is false, no longer.
type overhearing struct {
	tx domain.Hash
	on bool
}

// tell names who is told of votes on watched transactions. It is called before anything runs; hear must
// not block.
func (c *counting) tell(hear func(votes []conflict.Vote)) {
	for _, s := range c.shards {
		s.watched, s.overhear = make(map[domain.Hash]bool), hear
	}
}

// overhear begins or ends that the votes on a transaction are passed on. No vote is missed on the way.
func (c *counting) overhear(ctx context.Context, m overhearing) {
	select {
	case c.shard(m.tx).queue <- m:
	case <-ctx.Done():
	}
}

func (s *countingShard) watch(m overhearing) {
	if !m.on {
		delete(s.watched, m.tx)
		return
	}
	s.watched[m.tx] = true
	if votes := s.tally.Votes(m.tx); len(votes) > 0 {
		s.overhear(votes)
	}
}
