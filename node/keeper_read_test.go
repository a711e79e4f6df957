package node

import (
	"encoding/binary"
	"errors"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/notarynet/notaryd/node/store"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	"github.com/notarynet/notaryd/trust"
	"github.com/notarynet/notaryd/utxo"
)

// spoken is what is on disk of peers.
type spoken map[domain.Hash]store.Metadata

func (s spoken) read(peer domain.Hash) (store.Metadata, bool, error) {
	m, found := s[peer]
	return m, found, nil
}

// speaks enters the next version of what a peer says: a label of each of some others.
func (s spoken) speaks(peer domain.Hash, score int32, of ...domain.Hash) {
	p := &group.Peer{ID: peer, Version: 1}
	if old, spoke := s[peer]; spoke {
		p.Version = old.Peer.Version + 1
	}
	for _, id := range of {
		p.Labels = append(p.Labels, group.Label{Peer: id, Score: score})
	}
	slices.SortFunc(p.Labels, func(a, b group.Label) int { return a.Peer.Compare(b.Peer) })
	s[peer] = store.Metadata{Outpoint: utxo.Outpoint{Tx: domain.Sum("test", peer[:]), Index: uint32(p.Version)}, Peer: p}
}

// keeper is one that knows of nothing final but what peers have said.
func (v *village) keeper() (*keeper, spoken) {
	k, s := newKeeper(v.genesis, v.signers[0].Key, nil, utxo.Rules{Network: v.genesis.ID, EpochMS: v.genesis.EpochMS()}, slog.New(slog.DiscardHandler)), spoken{}
	k.circle.read, k.circle.rest = s.read, 0
	return k, s
}

// ids are whose metadata is read.
func ids(t *testing.T, k *keeper, others ...domain.Hash) (out []domain.Hash) {
	t.Helper()
	read, err := k.unread(others...)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range read {
		out = append(out, m.Peer.ID)
	}
	return out
}

// relink goes on to another link, whatever it read: there are new versions of all of it.
func relink(t *testing.T, v *village, k *keeper) {
	t.Helper()
	members := slices.Clone(k.state.Group().Members())
	members[0].Weight--
	members[1].Weight++
	next, err := group.New(v.genesis.ID, k.state.Group().Epoch()+1, k.state.Group().Link(), members, nil)
	if err != nil {
		t.Fatal(err)
	}
	k.state = k.state.After(next, nil)
}

// stranger is the i-th peer that anybody may have made up, with as low an id as he likes.
func stranger(i int) (id domain.Hash) {
	binary.BigEndian.PutUint32(id[4:], uint32(i+1))
	return id
}

// TestStrangersPushNobodyOut: peers that nobody labels are not read by links, however many they are and whatever their ids, nor from
// disk at all, and members come before those that they label.
func TestStrangersPushNobodyOut(t *testing.T) {
	v := newVillage(t, nil)
	k, s := v.keeper()
	for i := range 2 * maxRead {
		s.speaks(stranger(i), 1000, v.peer(3), stranger(i+1))
	}
	friend, friendOfFriend, foe := domain.Hash{0xff, 1}, domain.Hash{0xff, 2}, domain.Hash{0xff, 3}
	s.speaks(v.peer(2), 900, friend)
	s.speaks(v.peer(1), -900, foe)
	s.speaks(friend, 10, friendOfFriend)
	s.speaks(friendOfFriend, 10, v.peer(0))
	s.speaks(foe, 1000, stranger(0))
	k.circle.read = func(id domain.Hash) (store.Metadata, bool, error) {
		if id == foe || id[0] == 0 && id[7] != 0 {
			t.Errorf("%s is read, to whom nothing leads", id)
		}
		return s.read(id)
	}
	read := ids(t, k)
	slices.SortFunc(read[:min(2, len(read))], domain.Hash.Compare)
	want := []domain.Hash{v.peer(1), v.peer(2), friend, friendOfFriend}
	slices.SortFunc(want[:2], domain.Hash.Compare)
	if !slices.Equal(read, want) {
		t.Fatalf("read %v, want %v", read, want)
	}
	metadata, err := k.unread()
	if err != nil {
		t.Fatal(err)
	}
	for i, at := range outpoints(metadata) {
		if at != s[peersOf(metadata)[i].ID].Outpoint {
			t.Errorf("%s is read where it is not", metadata[i].Peer.ID)
		}
	}
	// For a view of its own a node looks at its own peer as at a member.
	mine, acquaintance := domain.Hash{0xfe}, domain.Hash{0xff, 4}
	s.speaks(mine, 500, v.peer(0), acquaintance)
	s.speaks(acquaintance, 500, v.peer(0))
	own := ids(t, k, mine)
	if at := slices.Index(own, mine); at < 0 || at > 2 || len(own) != len(want)+2 || !slices.Contains(own[3:], acquaintance) {
		t.Errorf("its own is at %d of %v", at, own)
	}
}

// TestAccompliceTakesTurns: a member that labels more than a link can read, or more than there is room for, keeps nobody out for ever.
func TestAccompliceTakesTurns(t *testing.T) {
	for name, room := range map[string]int{"of a link": circleBytes, "in memory": maxRead * (metadataBytes + 8*labelBytes)} {
		t.Run(name, func(t *testing.T) {
			v := newVillage(t, nil)
			k, s := v.keeper()
			k.circle.room = room
			honest := domain.Hash{0x80}
			var accomplices []domain.Hash
			for i := range 4 * maxRead {
				accomplices = append(accomplices, stranger(i))
				s.speaks(stranger(i), 1, v.peer(3), stranger(i), stranger(i+1))
			}
			s.speaks(honest, 900, v.peer(0))
			s.speaks(v.peer(3), 1000, accomplices...)
			s.speaks(v.peer(0), 1000, honest)
			for range 64 {
				if slices.Contains(ids(t, k), honest) {
					if full := k.circle.full; full != (room < circleBytes) {
						t.Errorf("full: %v", full)
					}
					return
				}
				relink(t, v, k)
			}
			t.Fatal("an honest peer was never read")
		})
	}
}

// TestFullCircleTurns: who was left out of a full circle has its turn after a while, also where nobody says anything and no link is made.
func TestFullCircleTurns(t *testing.T) {
	v := newVillage(t, nil)
	k, s := v.keeper()
	k.circle.room = maxRead * (metadataBytes + labelBytes)
	honest := domain.Hash{0x80}
	var accomplices []domain.Hash
	for i := range 4 * maxRead {
		accomplices = append(accomplices, stranger(i))
		s.speaks(stranger(i), 1, v.peer(3))
	}
	s.speaks(v.peer(3), 1000, accomplices[:maxRead/2]...)
	s.speaks(v.peer(1), 1000, accomplices[maxRead/2:maxRead]...)
	s.speaks(v.peer(0), 1000, honest)
	s.speaks(honest, 900, v.peer(0))
	in := func() bool {
		return slices.ContainsFunc(k.circle.order, func(m *store.Metadata) bool { return m.Peer.ID == honest })
	}
	turns := 0
	for range 64 {
		ids(t, k)
		if !k.circle.full {
			t.Fatal("there is room for all")
		}
		if in() {
			turns++
		}
		before := k.circle.order
		ids(t, k)
		if &before[0] != &k.circle.order[0] {
			t.Fatal("it turns at once")
		}
		k.circle.drawn = time.Now().Add(-circleTurn)
	}
	if turns == 0 || turns == 64 {
		t.Errorf("an honest peer was in it %d times of 64", turns)
	}
}

// TestCircleFollows: what is said anew by those who are looked at is read, also where they said nothing before; what others say is not.
func TestCircleFollows(t *testing.T) {
	v := newVillage(t, nil)
	k, s := v.keeper()
	friend, late, other := domain.Hash{0xff, 1}, domain.Hash{0xff, 2}, domain.Hash{0xff, 3}
	s.speaks(v.peer(0), 900, friend, late)
	s.speaks(friend, 10, v.peer(1))
	reads := 0
	k.circle.read = func(id domain.Hash) (store.Metadata, bool, error) {
		reads++
		return s.read(id)
	}
	holds := func(what string, wantReads int, want ...domain.Hash) {
		t.Helper()
		reads = 0
		if got := ids(t, k); !slices.Equal(got, want) || reads != wantReads {
			t.Errorf("%s: %v after %d reads, want %v after %d", what, got, reads, want, wantReads)
		}
	}
	all := len(k.state.Group().Members()) + 2
	holds("at first", all, v.peer(0), friend)
	holds("again", 0, v.peer(0), friend)
	s.speaks(other, 1000, v.peer(0))
	k.circle.spoke(other)
	if k.circle.stale {
		t.Error("a stranger has the circle drawn anew")
	}
	holds("after a stranger", 0, v.peer(0), friend)
	s.speaks(late, 10, other)
	k.circle.spoke(late)
	reads = 0
	if got := ids(t, k); len(got) != 4 || got[0] != v.peer(0) || got[3] != other || reads != 2 {
		t.Errorf("after one that was silent: %v, %d reads", got, reads)
	}
	s.speaks(v.peer(0), 900, friend)
	k.circle.spoke(v.peer(0))
	holds("after a label was withdrawn", 1, v.peer(0), friend)
	if _, kept := k.circle.kept[other]; kept {
		t.Error("who is out of it is kept")
	}
	relink(t, v, k)
	holds("after a link", 0, v.peer(0), friend)

	// What is said often is not looked at as often, but for a link.
	k.circle.rest, k.circle.took, k.circle.drawn = circleRest, time.Hour, time.Now()
	s.speaks(v.peer(0), 900, friend, late)
	k.circle.spoke(v.peer(0))
	holds("too soon", 0, v.peer(0), friend)
	if wait := k.circle.waits(); wait < 8*time.Hour || wait > 9*time.Hour {
		t.Errorf("it waits for %s", wait)
	}
	k.circle.drawn = time.Now().Add(-9 * time.Hour)
	reads = 0
	if got := ids(t, k); len(got) != 4 || k.circle.stale {
		t.Errorf("in time: %v", got)
	}
}

// TestViewOfAStranger: of a viewer to whom no label leads counts what it says, and what those say whom it labels; for nobody else does that.
func TestViewOfAStranger(t *testing.T) {
	v := newVillage(t, nil)
	k, s := v.keeper()
	mine, acquaintance, other := domain.Hash{0xfe}, domain.Hash{0xff, 4}, domain.Hash{0xff, 5}
	s.speaks(v.peer(2), 900, v.peer(0))
	s.speaks(mine, 500, v.peer(0), acquaintance)
	s.speaks(acquaintance, 400, v.peer(1))
	s.speaks(other, 300, v.peer(1))
	read, err := k.unread()
	if err != nil {
		t.Fatal(err)
	}
	all := newTrusted(k.state, peersOf(read), domain.Hash{}, k.log)
	paid := 0
	pay := func(bytes int) error { paid += bytes; return nil }
	viewed, err := all.viewedBy(mine, s.read, pay)
	if err != nil {
		t.Fatal(err)
	}
	if least := 3 * (metadataBytes + costOfFinding); paid < least { // it, and the two that say something and that it leads to
		t.Errorf("%d are paid, want %d at least", paid, least)
	}
	unpaid := errors.New("no more")
	var many []domain.Hash
	for i := range 2 * payAtOnce / costOfFinding {
		many = append(many, stranger(i))
	}
	s.speaks(stranger(len(many)), 1, many...)
	if _, err := all.viewedBy(stranger(len(many)), s.read, func(bytes int) error { return unpaid }); !errors.Is(err, unpaid) {
		t.Errorf("whoever cannot pay: %v", err)
	}
	if all.labels(mine) != nil || len(all.fresh) != 1 || len(viewed.fresh) != 3 {
		t.Errorf("%d are read for all, %d for the viewer", len(all.fresh), len(viewed.fresh))
	}
	if l := viewed.labels(mine); len(l) != 2 || viewed.labels(other) != nil {
		t.Errorf("its labels are %v", l)
	}
	network, err := viewed.state.NetworkOf(mine, viewed.fresh)
	if err != nil {
		t.Fatal(err)
	}
	weights, err := viewed.weights(network, mine)
	if err != nil {
		t.Fatal(err)
	}
	for _, trusted := range []domain.Hash{v.peer(0), v.peer(1), acquaintance} {
		if !slices.ContainsFunc(weights, func(w trust.Share) bool { return w.Peer == trusted && w.Weight > 0 }) {
			t.Errorf("it does not trust %s: %v", trusted, weights)
		}
	}
}

// BenchmarkCircle: as much as there is room for: labels of peers that say nothing, and peers that label nobody and have all keys and addresses
// that one may: what it takes to draw it anew, and to keep it. The time is without that of the disk.
func BenchmarkCircle(b *testing.B) {
	named := func(i int) domain.Hash { return domain.Sum("test", binary.BigEndian.AppendUint32(nil, uint32(i))) }
	labels := func(i int) *group.Peer {
		p := &group.Peer{ID: stranger(i), Version: 1}
		for j := range group.MaxLabels {
			p.Labels = append(p.Labels, group.Label{Peer: named(i*group.MaxLabels + j), Score: 1})
		}
		return p
	}
	keys := func(i int) *group.Peer {
		p := &group.Peer{ID: stranger(i), Version: 1}
		for range 32 {
			p.Keys = append(p.Keys, group.CertifiedKey{NodeKey: group.NodeKey{BLS: make([]byte, 48)}, Possession: make([]byte, 96)})
		}
		for range group.MaxAddresses {
			p.Addresses = append(p.Addresses, strings.Repeat("a", 256))
		}
		return p
	}
	for name, says := range map[string]func(int) *group.Peer{"labels": labels, "keys": keys} {
		b.Run(name, func(b *testing.B) {
			speakers := circleBytes / sizeOf(says(0))
			var roots []domain.Hash
			number := make(map[domain.Hash]int)
			for i := range speakers {
				roots = append(roots, stranger(i))
				number[stranger(i)] = i
			}
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			c := newCircle(func(id domain.Hash) (store.Metadata, bool, error) {
				i, speaks := number[id]
				if !speaks {
					return store.Metadata{}, false, nil
				}
				return store.Metadata{Peer: says(i)}, true, nil
			}, circleBytes)
			c.rest = 0
			for b.Loop() {
				c.stale = true
				if err := c.draw(domain.Hash{}, roots); err != nil {
					b.Fatal(err)
				}
				if c.full || len(c.order) != speakers {
					b.Fatalf("%d are in it", len(c.order))
				}
			}
			b.StopTimer()
			runtime.GC()
			runtime.ReadMemStats(&after)
			b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/1e6, "MB/circle")
			b.ReportMetric(float64(speakers), "peers")
			runtime.KeepAlive(c)
		})
	}
}
