package refverify

import (
	"bytes"
	"crypto/sha256"
	"sort"
)

// whole is the weight of a group; a quorum is more than two thirds of it.
const whole = 1_000_000_000

type hash = [32]byte

// tagged is SHA-256(tag || 0x00 || parts).
func tagged(tag string, parts ...[]byte) hash {
	b := append([]byte(tag), 0)
	for _, p := range parts {
		b = append(b, p...)
	}
	return sha256.Sum256(b)
}

// peer is a member of the group.
type peer struct {
	id     hash
	weight uint64
}

// voter is a node key with its share of its peer's weight.
type voter struct {
	key          [32]byte
	signingEpoch uint32
	peer         int
	share        uint64
}

// group is who decides in one epoch.
type group struct {
	network, link, previous hash
	epoch                   uint64
	// linkIndex is the index of the output that holds the group of epoch 0.
	linkIndex uint32
	peers     []peer
	voters    []voter
}

// readGroup takes the group of epoch 0 out of a genesis document. Its link hash is that of a Group with the
// network id as field 1 and the seeds as field 4, which is their number in the document too.
func readGroup(genesis []byte) (*group, error) {
	if err := genesisFields.check("genesis", genesis); err != nil {
		return nil, err
	}
	g := &group{network: tagged("notary/genesis/v1", genesis)}
	encoded := append([]byte{1<<3 | 2, 32}, g.network[:]...)
	var sum uint64
	err := genesisFields.walk("genesis", genesis, func(v value, at string) error {
		switch v.number {
		case 4:
		case 5:
			g.linkIndex++
			return nil
		case 6:
			return rewardFields.walk(at, v.bytes, func(v value, _ string) error {
				if v.number == 1 {
					g.linkIndex += uint32(v.uint)
				}
				return nil
			})
		default:
			return nil
		}
		encoded = append(encoded, 4<<3|2)
		for n := len(v.bytes); ; n >>= 7 {
			if n < 0x80 {
				encoded = append(encoded, byte(n))
				break
			}
			encoded = append(encoded, byte(n)|0x80)
		}
		encoded = append(encoded, v.bytes...)
		if err := g.readMember(at, v.bytes); err != nil {
			return err
		}
		sum += g.peers[len(g.peers)-1].weight
		return nil
	})
	if err != nil {
		return nil, err
	}
	if sum != whole {
		return nil, refuse("genesis.seeds", "weights sum to %d, want %d", sum, whole)
	}
	if !g.sortVoters() {
		return nil, refuse("genesis.seeds", "a node key twice")
	}
	g.link = tagged("notary/link/v1", encoded)
	return g, nil
}

// sortVoters orders the node keys; it is false where one stands twice.
func (g *group) sortVoters() bool {
	sort.Slice(g.voters, func(i, j int) bool { return bytes.Compare(g.voters[i].key[:], g.voters[j].key[:]) < 0 })
	for i := 1; i < len(g.voters); i++ {
		if g.voters[i-1].key == g.voters[i].key {
			return false
		}
	}
	return true
}

// readMember adds a peer and shares its weight among its keys: equally, the remainder to the lowest, one
// unit each.
func (g *group) readMember(at string, b []byte) error {
	var p peer
	var keys []voter
	err := memberFields.walk(at, b, func(v value, at string) error {
		switch v.number {
		case 1:
			p.id = hash(v.bytes)
		case 2:
			p.weight = v.uint
		case 3:
			k := voter{peer: len(g.peers)}
			err := nodeKeyFields.walk(at, v.bytes, func(v value, _ string) error {
				switch v.number {
				case 1:
					k.key = hash(v.bytes)
				case 2:
					k.signingEpoch = uint32(v.uint)
				}
				return nil
			})
			keys = append(keys, k)
			return err
		}
		return nil
	})
	if err != nil {
		return err
	}
	if len(keys) == 0 || p.weight == 0 || p.weight > whole {
		return refuse(at, "%d keys, weight %d", len(keys), p.weight)
	}
	if n := len(g.peers); n > 0 && bytes.Compare(g.peers[n-1].id[:], p.id[:]) >= 0 {
		return refuse(at, "not in the order of peer ids")
	}
	for i := range keys {
		if i > 0 && bytes.Compare(keys[i-1].key[:], keys[i].key[:]) >= 0 {
			return refuse(at, "keys out of order")
		}
		keys[i].share = p.weight / uint64(len(keys))
		if uint64(i) < p.weight%uint64(len(keys)) {
			keys[i].share++
		}
	}
	g.peers, g.voters = append(g.peers, p), append(g.voters, keys...)
	return nil
}
