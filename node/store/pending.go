package store

import (
	"slices"
	"sync"

	"github.com/notarynet/notaryd/proto/domain"
)

// pendingSet are the transactions that this node voted on and that are not decided. It changes under the store's lock alone,
// after the batch that changes it was handed to pebble, and may be read without it.
type pendingSet struct {
	mu  sync.RWMutex
	txs map[domain.Hash]pendingTx
}

// pendingTx is when this node first voted, Unix milliseconds, and the sheaf that says so; 0 for a record of ClassPending. At and
// Size say where in the sheaf the bytes of the transaction are.
type pendingTx struct {
	VotedMS  uint64
	Sheaf    uint64
	At, Size uint32
}

func (p *pendingSet) get(id domain.Hash) (tx pendingTx, ok bool) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	tx, ok = p.txs[id]
	return tx, ok
}

func (p *pendingSet) set(id domain.Hash, tx pendingTx) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.txs == nil {
		p.txs = map[domain.Hash]pendingTx{}
	}
	p.txs[id] = tx
}

// alone makes a transaction that was in a sheaf one with a record of its own.
func (p *pendingSet) alone(id domain.Hash) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.txs[id] = pendingTx{VotedMS: p.txs[id].VotedMS}
}

func (p *pendingSet) remove(id domain.Hash) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.txs, id)
}

func (p *pendingSet) clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.txs = nil
}

func (p *pendingSet) len() int {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return len(p.txs)
}

// ids are all of them, ascending.
func (p *pendingSet) ids() []domain.Hash {
	p.mu.RLock()
	defer p.mu.RUnlock()
	ids := make([]domain.Hash, 0, len(p.txs))
	for id := range p.txs {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, domain.Hash.Compare)
	return ids
}
