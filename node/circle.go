package node

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"time"

	"github.com/notarynet/notaryd/node/store"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
)

// circleBytes is how much memory what peers say may take, about: 255 that label as many as one may take 140 MB and 2 s to draw, 9,000 with all
// keys and addresses that one may have 110 MB (BenchmarkCircle); the disk comes on top.
const circleBytes = 1 << 27

// What a piece of metadata takes in memory, each label with whom it names, about (BenchmarkCircle).
const (
	metadataBytes = 512
	labelBytes    = 128
	keyBytes      = 384
)

// circleTurn is how long those who were left out of a full circle wait, where no link comes, until others are.
const circleTurn = 30 * time.Second

// circleRest is how many times as long as it took to draw a circle what is said anew waits, at least: whoever is in it may say something
// new as often as he likes.
const circleRest = 9

// circle is what is known of some peers and of whom their positive labels lead to: the newest metadata of each, the nearest first,
// as far as there is room. Everybody else's stays on disk, however many there are: they can be made up at the price of some work.
type circle struct {
	read func(peer domain.Hash) (store.Metadata, bool, error) // what is on disk
	room int                                                  // in bytes
	rest int                                                  // circleRest, but in tests

	kept  map[domain.Hash]*store.Metadata // of all that were looked for; nil of who says nothing
	order []*store.Metadata               // of who says something, the nearest first
	full  bool                            // there was no room for all

	// What it was drawn for; it is drawn anew where that changes.
	link  domain.Hash
	roots []domain.Hash
	stale bool
	turn  byte // how often others were let in under this link
	drawn time.Time
	took  time.Duration
}

func newCircle(read func(domain.Hash) (store.Metadata, bool, error), room int) *circle {
	return &circle{read: read, room: room, rest: circleRest, kept: make(map[domain.Hash]*store.Metadata), stale: true}
}

// spoke is told that there is newer metadata of a peer. Of one that nothing leads to that changes nothing.
func (c *circle) spoke(peer domain.Hash) {
	if _, looked := c.kept[peer]; looked {
		delete(c.kept, peer)
		c.stale = true
	}
}

// waits is for how long what is said anew has to wait.
func (c *circle) waits() time.Duration {
	return max(0, time.Duration(c.rest)*c.took-time.Since(c.drawn))
}

// draw goes from the roots to whom their labels lead to. The order of those equally near is another one for each link, and where there is no room for
// all, after a while, so that nobody is the last for ever.
func (c *circle) draw(link domain.Hash, roots []domain.Hash) error {
	roots = slices.Clone(roots)
	slices.SortFunc(roots, domain.Hash.Compare)
	roots = slices.DeleteFunc(slices.Compact(roots), domain.Hash.IsZero)
	began := time.Now()
	switch same := c.link == link && slices.Equal(c.roots, roots); {
	case !same:
		c.turn = 0
	case c.waits() > 0:
		return nil
	case c.full && began.Sub(c.drawn) >= circleTurn:
		c.turn++
	case !c.stale:
		return nil
	}
	kept := make(map[domain.Hash]*store.Metadata, len(c.kept))
	order, said, full := c.order[:0:0], 0, false
	for level := roots; len(level) > 0 && !full; {
		var next []domain.Hash
		for _, at := range ranked(level, link, c.turn) {
			id := at.id
			if _, before := kept[id]; before {
				continue
			}
			m, err := c.find(id)
			if err != nil {
				return err
			}
			if m == nil {
				kept[id] = nil
				continue
			}
			if said += sizeOf(m.Peer); said > c.room {
				full = true
				break
			}
			kept[id], order = m, append(order, m)
			for _, l := range m.Peer.Labels {
				if l.Score > 0 {
					next = append(next, l.Peer)
				}
			}
		}
		level = next
	}
	c.kept, c.order, c.full = kept, order, full
	c.link, c.roots, c.stale = link, roots, false
	c.drawn = time.Now()
	c.took = c.drawn.Sub(began)
	return nil
}

// rank is where a peer comes among those equally near.
type rank struct {
	at uint64
	id domain.Hash
}

// ranked puts peers in an order that nobody could foresee who chose their ids, another one for each link and turn. Who is named
// twice comes twice.
func ranked(ids []domain.Hash, link domain.Hash, turn byte) []rank {
	out := make([]rank, len(ids))
	from := append(append(make([]byte, 0, 2*domain.Size+1), link[:]...), turn)
	for i, id := range ids {
		sum := sha256.Sum256(append(from, id[:]...))
		out[i] = rank{binary.BigEndian.Uint64(sum[:]), id}
	}
	slices.SortFunc(out, func(a, b rank) int { return cmp.Or(cmp.Compare(a.at, b.at), a.id.Compare(b.id)) })
	return out
}

// sizeOf is what metadata takes in memory, about.
func sizeOf(p *group.Peer) int {
	size := metadataBytes + labelBytes*len(p.Labels) + keyBytes*len(p.Keys) + len(p.Name)
	for _, a := range p.Addresses {
		size += len(a)
	}
	return size
}

// find is the newest metadata of a peer; nil where it says nothing.
func (c *circle) find(peer domain.Hash) (*store.Metadata, error) {
	if m, looked := c.kept[peer]; looked {
		return m, nil
	}
	m, found, err := c.read(peer)
	if err != nil || !found {
		return nil, err
	}
	return &m, nil
}
