package node

import (
	"sync"

	"github.com/notarynet/notaryd/node/store"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
)

// edgesMemory bounds each of the two generations that edges keeps, in bytes of leaves and of the trees over them.
const edgesMemory = 8 << 20

// edges keeps the observations that proofs were lately made of, decoded and with their trees: what becomes final together
// lies in the same few, and each holds hundreds of votes. Safe for concurrent use.
type edges struct {
	store *store.Store

	mu       sync.Mutex
	new, old map[place]*kept
	bytes    int // of new
}

// place is where an observation lies.
type place struct {
	key    domain.PublicKey
	epoch  uint32
	height uint64
}

// kept is an observation with its tree; nil where there is none at its place.
type kept struct {
	once        sync.Once
	observation *observation.Observation
	tree        *observation.Tree
	err         error
}

func newEdges(s *store.Store) *edges {
	return &edges{store: s, new: make(map[place]*kept), old: make(map[place]*kept)}
}

// edge is the ACCEPTED vote on a transaction under a link at a place, with its path; false where it is not here any more.
func (e *edges) edge(ref store.EdgeRef, tx, link domain.Hash, round uint32) (observation.Edge, bool, error) {
	at := place{ref.Key, ref.SigningEpoch, ref.Height}
	k := e.find(at)
	k.once.Do(func() {
		var found bool
		k.observation, found, k.err = e.store.Observation(observation.ChainID{Key: at.key, SigningEpoch: at.epoch}, at.height)
		if k.err == nil && found {
			k.tree = k.observation.Tree()
		}
		e.read(at, k)
	})
	switch {
	case k.err != nil:
		return observation.Edge{}, false, k.err
	case k.tree != nil && store.Holds(k.observation, ref.Leaf, tx, link, round):
		return observation.NewEdge(k.observation, k.tree, int(ref.Leaf)), true, nil
	}
	o, found, err := e.store.EdgeObservation(ref, tx, link, round) // a fork, or gone
	if err != nil || !found {
		return observation.Edge{}, false, err
	}
	return o.Edge(int(ref.Leaf)), true, nil
}

// find is what is kept of a place; what is not is to be read, by whoever comes first.
func (e *edges) find(at place) *kept {
	e.mu.Lock()
	defer e.mu.Unlock()
	k := e.new[at]
	if k == nil {
		k = e.old[at]
	}
	if k == nil {
		k = new(kept)
		e.new[at] = k
	}
	return k
}

// read counts what was read, and keeps nothing where there was nothing. When the new are too many they become the old.
func (e *edges) read(at place, k *kept) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if k.tree == nil {
		if e.new[at] == k {
			delete(e.new, at)
		}
		return
	}
	if e.bytes += len(k.observation.Raw) + 2*domain.Size*k.observation.Len(); e.bytes > edgesMemory {
		e.old, e.new, e.bytes = e.new, make(map[place]*kept), 0
	}
}

// forget drops everything: what was pruned makes no more proofs.
func (e *edges) forget() {
	e.mu.Lock()
	defer e.mu.Unlock()
	clear(e.new)
	clear(e.old)
	e.bytes = 0
}
