// Package observationtest makes small networks that sign observations, for tests: keys, groups and
// transactions are the same in every run.
package observationtest

import (
	"crypto/sha256"
	"fmt"

	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/bls"
	"github.com/notarynet/notaryd/proto/canonical"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
)

// StartMS is the time of the genesis documents made here.
const StartMS = 1_700_000_000_000

// Key is the i-th key of a fixed list.
func Key(i int) domain.PrivateKey {
	return domain.NewPrivateKey(sha256.Sum256(fmt.Appendf(nil, "notary test key %d", i)))
}

// Peer is a seed of a network: its weight and how many node keys it has.
type Peer struct {
	Weight uint64
	Keys   int
}

// Equal are n peers of one key and equal weight; the remainder goes to the first.
func Equal(n int) []Peer {
	peers := make([]Peer, n)
	for i := range peers {
		peers[i] = Peer{Weight: uint64(group.Total) / uint64(n), Keys: 1}
	}
	peers[0].Weight += uint64(group.Total) % uint64(n)
	return peers
}

// Network is a group of epoch 0 and one signer for each of its voters, in their order.
type Network struct {
	Genesis *group.Genesis
	Group   *group.Group
	Signers []*Signer
}

// Signer is a node that signs whatever it is told to.
type Signer struct {
	Key  domain.PrivateKey
	Head observation.Head
}

// New makes a network. The signing epoch of every key is 1, and there are no BLS keys.
func New(name string, peers ...Peer) *Network { return build(name, false, peers) }

// NewBLS makes a network whose node keys have BLS keys beside them.
func NewBLS(name string, peers ...Peer) *Network { return build(name, true, peers) }

func build(name string, withBLS bool, peers []Peer) *Network {
	doc := &notaryv1.Genesis{Name: name, AddressPrefix: "test", TimeMs: StartMS}
	keys := map[domain.PublicKey]domain.PrivateKey{}
	next := 0
	for i, p := range peers {
		master := Key(1_000_000 + i).Public()
		id := domain.Sum(domain.TagPeer, master[:])
		m := &notaryv1.Member{PeerId: id[:], Weight: p.Weight}
		for range p.Keys {
			key := Key(next)
			next++
			public := key.Public()
			keys[public] = key
			k := &notaryv1.NodeKey{Key: public[:], SigningEpoch: 1}
			if withBLS {
				folds := bls.Derive(key).Public()
				k.BlsKey = folds[:]
			}
			m.Keys = append(m.Keys, k)
		}
		sortBy(m.Keys, func(k *notaryv1.NodeKey) []byte { return k.Key })
		doc.Seeds = append(doc.Seeds, m)
	}
	sortBy(doc.Seeds, func(m *notaryv1.Member) []byte { return m.PeerId })
	doc.BlsPossessions = group.Possessions(doc.Seeds, func(node domain.PublicKey) bls.Signature {
		return bls.Prove(bls.Derive(keys[node]), node)
	})
	genesis, err := group.MakeGenesis(doc)
	if err != nil {
		panic(err)
	}
	n := &Network{Genesis: genesis, Group: genesis.Group}
	for _, v := range n.Group.Voters() {
		n.Signers = append(n.Signers, &Signer{
			Key:  keys[v.Key],
			Head: observation.Head{Key: v.Key, SigningEpoch: v.SigningEpoch},
		})
	}
	return n
}

// Observe signs the next observation of the chain.
func (s *Signer) Observe(g *group.Group, timeMS uint64, leaves ...observation.Leaf) *observation.Observation {
	o := observation.Seal(s.Head, g, leaves, timeMS).Sign(s.Key)
	s.Head = o.Head()
	return o
}

// Vote is a leaf on a transaction.
func Vote(tx domain.Hash, state observation.State, round uint32, timeMS uint64) observation.Leaf {
	return observation.Leaf{Subject: tx, Type: observation.SubjectTx, State: state, Round: round, TimeMS: timeMS}
}

// Tx is an unsigned transaction.
type Tx struct {
	ID domain.Hash
	// Body is a canonical TransactionBody, Raw the canonical Transaction around it.
	Body, Raw []byte
}

// Spend makes a transaction that spends the genesis outputs at the given positions. Salt tells apart
// transactions that spend the same.
func (n *Network) Spend(salt string, positions ...uint32) Tx {
	body := &notaryv1.TransactionBody{Network: n.Genesis.ID[:], Salt: []byte(salt)}
	for _, p := range positions {
		body.Inputs = append(body.Inputs, &notaryv1.Input{
			Kind:     notaryv1.InputKind_INPUT_KIND_SPEND,
			Outpoint: &notaryv1.Outpoint{Transaction: n.Genesis.ID[:], Index: p},
		})
	}
	address := domain.Sum(domain.TagLock, []byte(salt))
	body.Outputs = append(body.Outputs, &notaryv1.Output{
		Address: address[:], Amount: 1, Kind: notaryv1.OutputKind_OUTPUT_KIND_PAYMENT,
	})
	var tx Tx
	var err error
	if tx.Body, err = canonical.Marshal(body); err != nil {
		panic(err)
	}
	tx.ID = domain.Sum(domain.TagTx, tx.Body)
	public, signature := Key(0).Public(), domain.Sign(Key(0), domain.TagTx, n.Genesis.ID, tx.ID)
	tx.Raw, err = canonical.Marshal(&notaryv1.Transaction{Body: tx.Body, Witnesses: []*notaryv1.Witness{{
		Lock:       &notaryv1.Lock{Threshold: 1, Keys: [][]byte{public[:]}},
		Signatures: []*notaryv1.LockSignature{{Signature: signature[:]}},
	}}})
	if err != nil {
		panic(err)
	}
	return tx
}

// Accept lets the first signers vote for a transaction, each in a batch of leaves of its own size, and
// returns their edges. Batches hold other votes around the one that counts.
func (n *Network) Accept(tx domain.Hash, state observation.State, round uint32, signers, batch int) []observation.Edge {
	edges := make([]observation.Edge, 0, signers)
	for i, s := range n.Signers[:signers] {
		timeMS := StartMS + 1000 + uint64(7*i)
		leaves := make([]observation.Leaf, batch)
		for j := range leaves {
			leaves[j] = Vote(domain.Sum(domain.TagTx, fmt.Appendf(nil, "other %d %d", i, j)), state, round, timeMS)
		}
		at := (i * 5) % batch
		leaves[at] = Vote(tx, state, round, timeMS)
		edges = append(edges, s.Observe(n.Group, timeMS+20, leaves...).Edge(at))
	}
	return edges
}

// Final lets the first signers say that a transaction is final in a round.
func (n *Network) Final(tx domain.Hash, round uint32, signers int) []observation.FinalSignature {
	var out []observation.FinalSignature
	for _, s := range n.Signers[:signers] {
		out = append(out, s.Final(n.Group, tx, round))
	}
	return out
}

// Final says that a transaction is final in a round.
func (s *Signer) Final(g *group.Group, tx domain.Hash, round uint32) observation.FinalSignature {
	statement := observation.FinalStatement{Network: g.Network(), Link: g.Link(), Tx: tx, Round: round}
	return observation.SignFinal(statement, s.Key, s.Head.SigningEpoch, bls.Derive(s.Key))
}
