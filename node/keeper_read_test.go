package node

import (
	"encoding/binary"
	"slices"
	"testing"

	"github.com/notarynet/notaryd/node/store"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	"github.com/notarynet/notaryd/utxo"
)

// keeper is one that knows of nothing final.
func (v *village) keeper() *keeper {
	return newKeeper(v.genesis, v.signers[0].Key, nil, utxo.Rules{Network: v.genesis.ID, EpochMS: v.genesis.EpochMS()}, nil)
}

// speaks enters the first version of what a peer says: a label of each of some others.
func (k *keeper) speaks(peer domain.Hash, score int32, of ...domain.Hash) {
	p := &group.Peer{ID: peer, Version: 1}
	for _, id := range of {
		p.Labels = append(p.Labels, group.Label{Peer: id, Score: score})
	}
	slices.SortFunc(p.Labels, func(a, b group.Label) int { return a.Peer.Compare(b.Peer) })
	k.newest[peer] = store.Metadata{Outpoint: utxo.Outpoint{Tx: domain.Sum("test", peer[:])}, Peer: p}
}

// stranger is the i-th peer that anybody may have made up, with as low an id as he likes.
func stranger(i int) (id domain.Hash) {
	binary.BigEndian.PutUint32(id[4:], uint32(i+1))
	return id
}

// TestStrangersPushNobodyOut: peers that nobody labels are not read by links, however many they are and whatever their ids, and
// members come before those that they label.
func TestStrangersPushNobodyOut(t *testing.T) {
	v := newVillage(t, nil)
	k := v.keeper()
	for i := range 2 * maxRead {
		k.speaks(stranger(i), 1000, v.peer(3), stranger(i+1))
	}
	friend, friendOfFriend, foe := domain.Hash{0xff, 1}, domain.Hash{0xff, 2}, domain.Hash{0xff, 3}
	k.speaks(v.peer(2), 900, friend)
	k.speaks(v.peer(1), -900, foe)
	k.speaks(friend, 10, friendOfFriend)
	k.speaks(friendOfFriend, 10, v.peer(0))
	k.speaks(foe, 1000, stranger(0))
	var read []domain.Hash
	for _, p := range k.fresh() {
		read = append(read, p.ID)
	}
	slices.SortFunc(read[:min(2, len(read))], domain.Hash.Compare)
	want := []domain.Hash{v.peer(1), v.peer(2), friend, friendOfFriend}
	slices.SortFunc(want[:2], domain.Hash.Compare)
	if !slices.Equal(read, want) {
		t.Fatalf("read %v, want %v", read, want)
	}
	at := k.outpoints(k.fresh())
	for i, p := range k.fresh() {
		if at[i] != k.newest[p.ID].Outpoint {
			t.Errorf("%s is read where it is not", p.ID)
		}
	}
	// For a view of its own a node looks at everybody, but at its own peer first.
	mine := stranger(7 * maxRead)
	k.speaks(mine, 500, v.peer(0))
	if all, reached := k.unread(mine); len(all) != len(k.newest) || reached != len(want)+1 || all[len(want)].ID == mine {
		t.Errorf("%d of %d, %d reached", len(all), len(k.newest), reached)
	}
}

// TestAccompliceTakesTurns: a member that labels more than a link can read keeps nobody out for ever.
func TestAccompliceTakesTurns(t *testing.T) {
	v := newVillage(t, nil)
	k := v.keeper()
	honest := domain.Hash{0x80}
	var accomplices []domain.Hash
	for i := range 4 * maxRead {
		accomplices = append(accomplices, stranger(i))
		k.speaks(stranger(i), 1, v.peer(3))
	}
	k.speaks(honest, 900, v.peer(0))
	k.speaks(v.peer(3), 1000, accomplices...)
	k.speaks(v.peer(0), 1000, honest)
	reads := func() bool {
		return slices.ContainsFunc(k.fresh(), func(p *group.Peer) bool { return p.ID == honest })
	}
	for link := range 64 {
		if reads() {
			return
		}
		members := slices.Clone(k.state.Group().Members())
		members[0].Weight--
		members[1].Weight++
		next, err := group.New(v.genesis.ID, uint64(link+1), k.state.Group().Link(), members, nil)
		if err != nil {
			t.Fatal(err)
		}
		k.state = k.state.After(next, nil) // whatever it read, there are new versions of all of it
	}
	t.Fatal("an honest peer was never read")
}
