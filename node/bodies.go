package node

import (
	"bytes"

	"github.com/notarynet/notaryd/proto/domain"
)

// bodies keeps bodies of transactions for evidence, as many as there is room for in bytes: the oldest give way. Without its body a contradiction is still
// seen, and counted as not built.
type bodies struct {
	of    map[domain.Hash][]byte
	order []domain.Hash // the oldest first; some are gone
	bytes int
}

// bodiesBytes bounds all of them.
const bodiesBytes = 64 << 20

func newBodies() *bodies { return &bodies{of: make(map[domain.Hash][]byte)} }

// keep takes a copy of a body that is not kept yet.
func (b *bodies) keep(tx domain.Hash, body []byte) {
	b.of[tx] = bytes.Clone(body)
	b.order = append(b.order, tx)
	b.bytes += len(body)
	for b.bytes > bodiesBytes || len(b.order) > 0 && b.of[b.order[0]] == nil {
		b.drop(b.order[0])
		b.order = b.order[1:]
	}
}

// drop forgets a body.
func (b *bodies) drop(tx domain.Hash) {
	b.bytes -= len(b.of[tx])
	delete(b.of, tx)
}
