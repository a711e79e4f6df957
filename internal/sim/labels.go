package sim

import (
	"cmp"
	"slices"

	"github.com/notarynet/notaryd/node/epoch"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
)

// labels are what peers say of each other, and what the chain of links has come to by it: groups are those of node/epoch
// and trust, as in earnest. Metadata is final as soon as it is said; how it gets there is no matter of this package.
type labels struct {
	peers  []*group.Peer                // by node, their newest metadata
	states map[domain.Hash]*epoch.State // by link
	reads  map[domain.Hash]reading      // by link
}

// reading is what a link was made from.
type reading struct {
	from domain.Hash
	read []*group.Peer
}

func (w *world) newLabels() labels {
	g := w.ledger.genesis.Group
	l := labels{states: map[domain.Hash]*epoch.State{g.Link(): epoch.Start(g)}, reads: make(map[domain.Hash]reading)}
	for i, key := range w.ledger.keys {
		id, _ := l.states[g.Link()].PeerOf(key.Public())
		p := &group.Peer{ID: id, Keys: []group.CertifiedKey{{NodeKey: group.NodeKey{Key: key.Public()}}}}
		l.peers = append(l.peers, p)
		for range 3 {
			l.say(w, i)
		}
	}
	return l
}

// say has a peer change its mind about another one, at random: mostly for the better.
func (l *labels) say(w *world, i int) {
	p := *l.peers[i]
	p.Version++
	of := l.peers[w.rng.Intn(len(l.peers))].ID
	if of == p.ID {
		return
	}
	p.Labels = slices.DeleteFunc(slices.Clone(p.Labels), func(x group.Label) bool { return x.Peer == of })
	p.Labels = append(p.Labels, group.Label{Peer: of, Score: int32(w.rng.Intn(1300) - 300)})
	slices.SortFunc(p.Labels, func(a, b group.Label) int { return a.Peer.Compare(b.Peer) })
	l.peers[i] = &p
}

// state is what the links up to one have come to.
func (l *labels) state(g *group.Group) *epoch.State {
	if s := l.states[g.Link()]; s != nil {
		return s
	}
	r := l.reads[g.Link()]
	s := l.states[r.from].After(g, r.read)
	l.states[g.Link()] = s
	return s
}

// next is a group that may follow at a node: by the labels that have changed, or, sometimes, without those whom the node has evidence
// against. Nil where nothing changes, or the faulty would have a third.
func (n *node) nextGroup() *group.Group {
	s := n.labels.state(n.present)
	var read []*group.Peer
	convictions := n.convictions(s)
	if len(convictions) == 0 || n.rng.Intn(3) > 0 {
		convictions = nil
		for _, p := range n.labels.peers {
			if old := s.Read(p.ID); (old == nil || old.Version < p.Version) && n.rng.Intn(4) > 0 {
				read = append(read, p)
			}
		}
	}
	next, err := s.Next(read, convictions)
	n.must(err)
	if !epoch.Worth(n.present, next) || 3*n.unsoundWeight(next) >= group.Total {
		return nil
	}
	n.labels.reads[next.Link()] = reading{n.present.Link(), read}
	return next
}

// convictions is a piece of evidence for each member that the node has some against.
func (n *node) convictions(s *epoch.State) (out []epoch.Conviction) {
	byPeer := make(map[domain.Hash]epoch.Conviction)
	for c, e := range n.disk.evidence {
		peer, known := s.PeerOf(c.chain.Key)
		if _, member := n.present.Voter(c.chain.Key); !known || !member {
			continue
		}
		if old, there := byPeer[peer]; !there || e.Hash.Compare(old.Evidence) < 0 {
			byPeer[peer] = epoch.Conviction{Evidence: e.Hash, Key: c.chain.Key}
		}
	}
	for _, c := range byPeer {
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b epoch.Conviction) int { return cmp.Compare(a.Evidence.Compare(b.Evidence), 0) })
	if len(out) == len(n.present.Members()) {
		return nil
	}
	return out
}
