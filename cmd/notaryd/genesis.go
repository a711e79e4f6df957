package main

import (
	"time"

	"github.com/notarynet/notaryd/proto/bls"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/utxo"
)

// A devnet's faucet owns this many outputs of this many coins each, so that many people and programs
// can draw from it at once.
const (
	faucetOutputs = 256
	faucetCoins   = 1_000_000
	coin          = 1_000_000_000
)

// What a devnet asks of peers and how fast it goes: work that takes no time, and links after 15 seconds.
const (
	devnetWorkBits = 8
	devnetEpochMS  = 15_000
)

// devnetGenesis gives every node the same weight and the faucet all coins.
func devnetGenesis(nodes []*devnetNode, faucet domain.PublicKey) (*group.Genesis, error) {
	doc := &notaryv1.Genesis{
		Name: "devnet", AddressPrefix: "dnota", TimeMs: uint64(time.Now().UnixMilli()),
		Rewards: &notaryv1.RewardSchedule{},
		Limits:  &notaryv1.NetworkLimits{WorkBits: devnetWorkBits, EpochMs: devnetEpochMS},
	}
	weights := group.Split(len(nodes))
	var seeds []group.Member
	secrets := make(map[domain.PublicKey]bls.PrivateKey, len(nodes))
	for i, n := range nodes {
		secret := bls.Derive(n.key)
		secrets[n.key.Public()] = secret
		public := secret.Public()
		seeds = append(seeds, group.Member{
			PeerID: group.PeerID(n.master.Public()), Weight: weights[i],
			Keys: []group.NodeKey{{Key: n.key.Public(), BLS: public[:]}},
		})
	}
	doc.Seeds = group.Seeds(seeds)
	doc.BlsPossessions = group.Possessions(doc.Seeds, func(node domain.PublicKey) bls.Signature { return bls.Prove(secrets[node], node) })
	address := utxo.KeyLock(faucet).Address()
	for range faucetOutputs {
		doc.Allocations = append(doc.Allocations, &notaryv1.Output{
			Address: address[:], Amount: faucetCoins * coin, Kind: notaryv1.OutputKind_OUTPUT_KIND_PAYMENT,
		})
	}
	return group.MakeGenesis(doc)
}
