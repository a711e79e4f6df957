package node

import (
	"fmt"
	"slices"
	"sync"

	"github.com/notarynet/notaryd/node/store"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	"github.com/notarynet/notaryd/utxo"
)

// keptLinks bounds the links that a lineage keeps in memory; others are made again from the store.
const keptLinks = 512

// lineage is the groups of all epochs that are final here, and the links between them. It finds them in the
// store, following from genesis who spent the output that holds each group, and remembers how far it came.
type lineage struct {
	store *store.Store
	edges *edges
	rules utxo.Rules

	mu     sync.Mutex
	groups []*group.Group // by epoch
	byLink map[domain.Hash]*group.Group
	// made[e] is the transaction whose output holds the group of epoch e; at genesis the network id.
	made  []domain.Hash
	first uint32 // index of the output that holds the group of epoch 0
	links map[uint64]*observation.Link
}

func newLineage(genesis *group.Genesis, s *store.Store) *lineage {
	return &lineage{
		store: s, edges: newEdges(s), rules: utxo.Rules{Network: genesis.ID}, groups: []*group.Group{genesis.Group}, made: []domain.Hash{genesis.ID},
		first: genesis.LinkIndex(), byLink: map[domain.Hash]*group.Group{genesis.Group.Link(): genesis.Group}, links: make(map[uint64]*observation.Link),
	}
}

// group is the group of an epoch.
func (l *lineage) group(epoch uint64) (*group.Group, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.reach(epoch); err != nil {
		return nil, err
	}
	return l.groups[epoch], nil
}

// known is the group by its link, or nil where that link is not final here.
func (l *lineage) known(link domain.Hash) *group.Group {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.byLink[link]
}

// counted reports whether a chain counts, or did, in an epoch that is known.
func (l *lineage) counted(chain observation.ChainID) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, g := range slices.Backward(l.groups) {
		if voter, ok := g.Voter(chain.Key); ok && g.Voters()[voter].SigningEpoch == chain.SigningEpoch {
			return true
		}
	}
	return false
}

// transaction is the id of the link that leads to an epoch, zero where that is not final here.
func (l *lineage) transaction(epoch uint64) (id domain.Hash) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if epoch > 0 && epoch < uint64(len(l.made)) {
		id = l.made[epoch]
	}
	return id
}

// after is the group of the epoch after one that is known, or nil while no link to it is final here.
func (l *lineage) after(epoch uint64) (*group.Group, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if uint64(len(l.groups)) <= epoch+1 {
		if _, err := l.follow(); err != nil {
			return nil, err
		}
	}
	if uint64(len(l.groups)) <= epoch+1 {
		return nil, nil
	}
	return l.groups[epoch+1], nil
}

// link is the proven link that leads to an epoch, as observation.History wants it.
func (l *lineage) link(epoch uint64) (*observation.Link, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if k := l.links[epoch]; k != nil {
		return k, nil
	}
	if err := l.reach(epoch); err != nil {
		return nil, err
	}
	if epoch == 0 {
		return nil, fmt.Errorf("no link leads to epoch 0")
	}
	t, found, err := l.store.Transaction(l.made[epoch])
	if err == nil && (!found || t.Final == nil) {
		err = fmt.Errorf("link %s of epoch %d is not in the store", l.made[epoch], epoch)
	}
	if err != nil {
		return nil, err
	}
	proof, err := prove(l.edges, l.groups[epoch-1], l.made[epoch], nil, t.Final)
	if err != nil {
		return nil, err
	}
	k, err := observation.NewLink(t.Raw, proof)
	if err != nil {
		return nil, fmt.Errorf("link of epoch %d: %w", epoch, err)
	}
	if len(l.links) >= keptLinks {
		clear(l.links)
	}
	l.links[epoch] = k
	return k, nil
}

// transactions are the ids of all links that are final here, oldest first.
func (l *lineage) transactions() ([]domain.Hash, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		moved, err := l.follow()
		if err != nil {
			return nil, err
		}
		if !moved {
			return slices.Clone(l.made[1:]), nil
		}
	}
}

// reach follows the links up to an epoch.
func (l *lineage) reach(epoch uint64) error {
	for uint64(len(l.groups)) <= epoch {
		moved, err := l.follow()
		if err == nil && !moved {
			err = fmt.Errorf("no link to epoch %d is final here", len(l.groups))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// follow goes one link further, if there is one.
func (l *lineage) follow() (moved bool, err error) {
	at := utxo.Outpoint{Tx: l.made[len(l.made)-1]}
	if len(l.made) == 1 {
		at.Index = l.first
	}
	entry, found, err := l.store.Lookup(at)
	if err != nil || !found || entry.SpentBy.IsZero() {
		return false, err
	}
	t, found, err := l.store.Transaction(entry.SpentBy)
	if err == nil && !found {
		err = fmt.Errorf("link %s is not in the store", entry.SpentBy)
	}
	if err != nil {
		return false, err
	}
	tx, err := utxo.Decode(t.Raw, l.rules)
	if err == nil && tx.Link == nil {
		err = fmt.Errorf("%s spends a link and is none", entry.SpentBy)
	}
	if err != nil {
		return false, err
	}
	l.groups, l.made = append(l.groups, tx.Link), append(l.made, tx.ID)
	l.byLink[tx.Link.Link()] = tx.Link
	return true, nil
}

// linkable is a proof of either form.
type linkable interface {
	LinkFrom(known *group.Group, history observation.History) error
}

// linkFrom gives a proof by the group of an epoch the links from a known epoch on; from genesis where that is
// 0 or later than the proof's.
func (l *lineage) linkFrom(p linkable, epoch, known uint64) error {
	if known > epoch {
		known = 0
	}
	from, err := l.group(known)
	if err != nil {
		return err
	}
	return p.LinkFrom(from, l.link)
}

// prove builds a proof from the observations that the quorum's votes lie in. raw is the transaction, or nil to
// leave it out.
func prove(e *edges, g *group.Group, id domain.Hash, raw []byte, info *store.FinalInfo) (*observation.Proof, error) {
	if len(info.Edges) == 0 {
		return nil, noProof(id)
	}
	item := observation.Item{ID: id, Round: info.Round, Raw: raw}
	for _, ref := range info.Edges {
		edge, found, err := e.edge(ref, id, info.Link, info.Round)
		if err != nil {
			return nil, err
		}
		if !found {
			return keptProof(e.store, id, raw, ref)
		}
		item.Edges = append(item.Edges, edge)
	}
	p, err := observation.BuildProof(g, nil, []observation.Item{item})
	if err != nil {
		return nil, fmt.Errorf("proof of %s: %w", id, err)
	}
	return p, nil
}

// keptProof is the proof that was kept of a transaction of whose quorum an observation is gone.
func keptProof(s *store.Store, id domain.Hash, raw []byte, gone store.EdgeRef) (*observation.Proof, error) {
	kept, found, err := s.Proof(id)
	if err != nil {
		return nil, err
	}
	if !found {
		before, err := s.PrunedMS()
		if err != nil {
			return nil, err
		}
		if before == 0 {
			return nil, fmt.Errorf("observation %d of %s, part of the proof of %s, is not here", gone.Height, gone.Key, id)
		}
		return nil, prunedProof(id)
	}
	p, err := observation.DecodeProof(kept, observation.Limits{})
	if err != nil {
		return nil, fmt.Errorf("kept proof of %s: %w", id, err)
	}
	for i := range p.Transactions {
		if p.Transactions[i].ID == id {
			p.Transactions[i].Raw = raw
		}
	}
	return p, nil
}
