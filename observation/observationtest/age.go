package observationtest

import (
	"fmt"
	"slices"

	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/canonical"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
)

// Age is a network that changes: its Group and Signers are those of the present epoch.
type Age struct {
	*Network
	// Links are the proven links so far; Links[e-1] leads to epoch e.
	Links []*observation.Link
	// Groups by epoch.
	Groups []*group.Group
	// Output holds the present group.
	Output observation.GroupOutput

	known map[domain.PublicKey]*Signer
}

// Ages begins with a network at epoch 0.
func (n *Network) Ages() *Age {
	a := &Age{
		Network: n, Groups: []*group.Group{n.Group}, known: map[domain.PublicKey]*Signer{},
		Output: observation.GroupOutput{Transaction: n.Genesis.ID, Index: n.Genesis.LinkIndex()},
	}
	for _, s := range n.Signers {
		a.known[s.Head.Key] = s
	}
	return a
}

// Fork is a copy that goes another way: the same keys sign both.
func (a *Age) Fork() *Age {
	network := *a.Network
	b := &Age{Network: &network, Links: slices.Clone(a.Links), Groups: slices.Clone(a.Groups), Output: a.Output, known: map[domain.PublicKey]*Signer{}}
	for key, s := range a.known {
		signer := *s
		b.known[key] = &signer
	}
	b.enter()
	return b
}

// At is a fork that begins at an earlier epoch.
func (a *Age) At(epoch uint64) *Age {
	b := a.Fork()
	b.Links, b.Groups, b.Group = b.Links[:epoch], b.Groups[:epoch+1], b.Groups[epoch]
	b.Output = observation.GroupOutput{Transaction: b.Genesis.ID, Index: b.Genesis.LinkIndex()}
	if epoch > 0 {
		b.Output = b.Links[epoch-1].Output
	}
	b.enter()
	return b
}

// Root knows the genesis document.
func (a *Age) Root() observation.Root { return observation.GenesisRoot(a.Genesis) }

// History is what LinkFrom asks for.
func (a *Age) History(epoch uint64) (*observation.Link, error) {
	if epoch == 0 || epoch > uint64(len(a.Links)) {
		return nil, fmt.Errorf("no link to epoch %d", epoch)
	}
	return a.Links[epoch-1], nil
}

// Member is a peer with some of the fixed keys, by number, all in signing epoch 1.
func (a *Age) Member(weight group.Weight, keys ...int) group.Member {
	master := Key(2_000_000 + keys[0]).Public()
	m := group.Member{PeerID: domain.Sum(domain.TagPeer, master[:]), Weight: weight}
	for _, k := range keys {
		public := Key(k).Public()
		if a.known[public] == nil {
			a.known[public] = &Signer{Key: Key(k), Head: observation.Head{Key: public, SigningEpoch: 1}}
		}
		m.Keys = append(m.Keys, group.NodeKey{Key: public, SigningEpoch: 1})
	}
	return m
}

// Next is the group of some members that would follow the present one.
func (a *Age) Next(members ...group.Member) *group.Group {
	g, err := group.New(a.Genesis.ID, a.Group.Epoch()+1, a.Group.Link(), members, nil)
	if err != nil {
		panic(err)
	}
	return g
}

// LinkTx is a transaction that spends an output and makes a group.
func (a *Age) LinkTx(spend observation.GroupOutput, g *group.Group, change ...func(*notaryv1.TransactionBody)) Tx {
	address := domain.Sum(domain.TagLock, nil)
	body := &notaryv1.TransactionBody{
		Network: a.Genesis.ID[:],
		Inputs: []*notaryv1.Input{{
			Kind:     notaryv1.InputKind_INPUT_KIND_SPEND,
			Outpoint: &notaryv1.Outpoint{Transaction: spend.Transaction[:], Index: spend.Index},
		}},
		Outputs: []*notaryv1.Output{{
			Address: address[:], Kind: notaryv1.OutputKind_OUTPUT_KIND_LINK,
			Data: &notaryv1.Data{Kind: notaryv1.DataKind_DATA_KIND_GROUP, Payload: g.Bytes()},
		}},
	}
	for _, c := range change {
		c(body)
	}
	var tx Tx
	var err error
	if tx.Body, err = canonical.Marshal(body); err != nil {
		panic(err)
	}
	tx.ID = domain.Sum(domain.TagTx, tx.Body)
	if tx.Raw, err = canonical.Marshal(&notaryv1.Transaction{Body: tx.Body}); err != nil {
		panic(err)
	}
	return tx
}

// Prove is the proof of a transaction by some voters of the present group, by position.
func (a *Age) Prove(tx Tx, round uint32, voters ...int) *observation.Proof {
	item := observation.Item{ID: tx.ID, Raw: tx.Raw, Round: round}
	for _, v := range voters {
		timeMS := StartMS + 1000*a.Group.Epoch() + uint64(v)
		item.Edges = append(item.Edges, a.Signers[v].Observe(a.Group, timeMS+1, Vote(tx.ID, observation.Accepted, round, timeMS)).Edge(0))
	}
	p, err := observation.BuildProof(a.Group, nil, []observation.Item{item})
	if err != nil {
		panic(err)
	}
	return p
}

// Grow makes the next link, accepted by the voters at some positions, all where none are named, and goes
// on in the new epoch.
func (a *Age) Grow(g *group.Group, voters ...int) *observation.Link {
	if len(voters) == 0 {
		voters = a.Everybody()
	}
	tx := a.LinkTx(a.Output, g)
	l, err := observation.NewLink(tx.Raw, a.Prove(tx, 0, voters...))
	if err != nil {
		panic(err)
	}
	a.Enter(l)
	return l
}

// Everybody is the positions of all voters.
func (a *Age) Everybody() []int {
	return slices.Collect(func(yield func(int) bool) {
		for i := range a.Signers {
			if !yield(i) {
				return
			}
		}
	})
}

// Enter goes on in the epoch that a link leads to.
func (a *Age) Enter(l *observation.Link) {
	a.Links, a.Groups, a.Output, a.Group = append(a.Links, l), append(a.Groups, l.Group), l.Output, l.Group
	a.enter()
}

func (a *Age) enter() {
	a.Signers = nil
	for _, v := range a.Group.Voters() {
		a.Signers = append(a.Signers, a.known[v.Key])
	}
}
