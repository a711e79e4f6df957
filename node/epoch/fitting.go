package epoch

import (
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	"github.com/notarynet/notaryd/trust"
)

// Fitting is as much of some metadata, the first ones first, as there is room for in the graph of labels beside what links
// have read. Anybody may name peers that nobody has heard of: without this a few thousand names too many would end all links for ever.
func (s *State) Fitting(read []*group.Peer) []*group.Peer { return s.within(read, trust.MaxPeers) }

// within is Fitting for a graph of at most so many peers. Names that only an older version knows count too: it need not be exact, but
// never too few.
func (s *State) within(read []*group.Peer, most int) (fit []*group.Peer) {
	names := make(map[domain.Hash]struct{})
	for _, share := range s.seeds {
		names[share.Peer] = struct{}{}
	}
	for _, m := range s.group.Members() {
		names[m.PeerID] = struct{}{}
	}
	for _, p := range s.cut {
		enter(names, p)
	}
	for _, p := range read {
		if len(names)+len(p.Labels)+1 > most && len(names)+unheard(names, p) > most {
			continue
		}
		enter(names, p)
		fit = append(fit, p)
	}
	return fit
}

// enter adds a peer and whom it labels.
func enter(names map[domain.Hash]struct{}, p *group.Peer) {
	names[p.ID] = struct{}{}
	for _, l := range p.Labels {
		names[l.Peer] = struct{}{}
	}
}

// unheard is how many enter would add.
func unheard(names map[domain.Hash]struct{}, p *group.Peer) (n int) {
	if _, known := names[p.ID]; !known {
		n++
	}
	for _, l := range p.Labels {
		if _, known := names[l.Peer]; !known {
			n++
		}
	}
	return n
}
