package clienttest

import (
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/canonical"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
)

// NextEpoch makes a link, which everybody signs: the peers stay, those after the first, in the order of
// their peer ids, have the weights given, and the first has what is left.
func (n *Network) NextEpoch(weights ...group.Weight) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	l, err := n.link(weights)
	if err != nil {
		return err
	}
	n.links, n.group, n.holds = append(n.links, l), l.Group, l.Output
	return nil
}

// Betray takes the last link for one that never was and makes another in its place, which everybody signs
// too: a history that has broken. It returns the group that is betrayed.
func (n *Network) Betray(weights ...group.Weight) (*group.Group, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	betrayed := n.group
	n.links = n.links[:len(n.links)-1]
	n.group, n.holds = n.Genesis.Group, genesisOutput(n.Genesis)
	if last := len(n.links) - 1; last >= 0 {
		n.group, n.holds = n.links[last].Group, n.links[last].Output
	}
	l, err := n.link(weights)
	if err != nil {
		return nil, err
	}
	n.links, n.group, n.holds = append(n.links, l), l.Group, l.Output
	return betrayed, nil
}

func genesisOutput(g *group.Genesis) observation.GroupOutput {
	return observation.GroupOutput{Transaction: g.ID, Index: g.LinkIndex()}
}

// link follows the present group. The lock is held.
func (n *Network) link(weights []group.Weight) (*observation.Link, error) {
	members := append([]group.Member(nil), n.group.Members()...)
	left := group.Total
	for i := range weights {
		members[i+1].Weight = weights[i]
	}
	for i := range members[1:] {
		left -= members[i+1].Weight
	}
	members[0].Weight = left
	next, err := group.New(n.Genesis.ID, n.group.Epoch()+1, n.group.Link(), members, nil)
	if err != nil {
		return nil, err
	}
	body, err := canonical.Marshal(&notaryv1.TransactionBody{
		Network: n.Genesis.ID[:],
		Inputs: []*notaryv1.Input{{
			Kind:     notaryv1.InputKind_INPUT_KIND_SPEND,
			Outpoint: &notaryv1.Outpoint{Transaction: n.holds.Transaction[:], Index: n.holds.Index},
		}},
		Outputs: []*notaryv1.Output{{
			Kind: notaryv1.OutputKind_OUTPUT_KIND_LINK,
			Data: &notaryv1.Data{Kind: notaryv1.DataKind_DATA_KIND_GROUP, Payload: next.Bytes()},
		}},
	})
	if err != nil {
		return nil, err
	}
	raw, err := canonical.Marshal(&notaryv1.Transaction{Body: body})
	if err != nil {
		return nil, err
	}
	proof, err := n.sign(domain.Sum(domain.TagTx, body), raw, n.now(), Nodes)
	if err != nil {
		return nil, err
	}
	return observation.NewLink(raw, proof)
}

// linked is a proof with the links from a known epoch on. The lock is held.
func (n *Network) linked(p *observation.Proof, known uint64) (*observation.Proof, error) {
	from := n.Genesis.Group
	if known > 0 && known <= uint64(len(n.links)) && known < p.GroupEpoch {
		from = n.links[known-1].Group
	}
	out := *p
	if known == p.GroupEpoch {
		return &out, nil
	}
	return &out, out.LinkFrom(from, func(epoch uint64) (*observation.Link, error) { return n.links[epoch-1], nil })
}

// Link is the link hash of the present group.
func (n *Network) Link() domain.Hash {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.group.Link()
}
