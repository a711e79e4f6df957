package conflict

import (
	"encoding/binary"
	"testing"

	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	"github.com/notarynet/notaryd/utxo"
)

// hash names test things by a letter and a number.
func hash(kind byte, n int) (h domain.Hash) {
	h[0] = kind
	binary.BigEndian.PutUint32(h[1:], uint32(n))
	return h
}

func tx(n int) domain.Hash { return hash('t', n) }

func outpoint(n int) utxo.Outpoint { return utxo.Outpoint{Tx: hash('o', n), Index: uint32(n)} }

func outpoints(ns ...int) []utxo.Outpoint {
	out := make([]utxo.Outpoint, len(ns))
	for i, n := range ns {
		out[i] = outpoint(n)
	}
	return out
}

// nodeKey is the key of the voter at position n in groupOf.
func nodeKey(n int) domain.PublicKey { return domain.PublicKey(hash('k', n)) }

// groupOf makes a group of one key a member, with weights in proportion to parts.
func groupOf(t testing.TB, epoch uint64, parts ...int) *group.Group {
	t.Helper()
	sum := 0
	for _, p := range parts {
		sum += p
	}
	members := make([]group.Member, len(parts))
	left := group.Total
	for i, p := range parts {
		w := group.Total * group.Weight(p) / group.Weight(sum)
		if i == len(parts)-1 {
			w = left
		}
		left -= w
		members[i] = group.Member{PeerID: hash('p', i), Weight: w, Keys: []group.NodeKey{{Key: nodeKey(i)}}}
	}
	var previous domain.Hash
	if epoch > 0 {
		previous = hash('l', int(epoch))
	}
	g, err := group.New(hash('n', 0), epoch, previous, members, nil)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// equalGroup makes a group of n equal members.
func equalGroup(t testing.TB, n int) *group.Group {
	t.Helper()
	parts := make([]int, n)
	for i := range parts {
		parts[i] = 1
	}
	return groupOf(t, 0, parts...)
}
