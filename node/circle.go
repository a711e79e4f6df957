package node

import (
	"slices"
	"time"

	"github.com/notarynet/notaryd/node/store"
	"github.com/notarynet/notaryd/proto/domain"
)

// circleLabels is how many labels are kept in memory, with what their peers say beside: those of 255 peers that say as much as one
// may. So many take 140 MB, and a second or more to draw (BenchmarkCircle).
const circleLabels = 1 << 20

// circleRest is how many times as long as it took to draw a circle what is said anew waits, at least: whoever is in it may say something
// new as often as he likes.
const circleRest = 9

// circle is what is known of some peers and of whom their positive labels lead to: the newest metadata of each, the nearest first,
// as far as there is room. Everybody else's stays on disk, however many there are: they can be made up at the price of some work.
type circle struct {
	read func(peer domain.Hash) (store.Metadata, bool, error) // what is on disk
	room int                                                  // in labels
	rest int                                                  // circleRest, but in tests

	kept  map[domain.Hash]*store.Metadata // of all that were looked for; nil of who says nothing
	order []*store.Metadata               // of who says something, the nearest first
	full  bool                            // there was no room for all

	// What it was drawn for; it is drawn anew where that changes.
	link  domain.Hash
	roots []domain.Hash
	stale bool
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

// draw goes from the roots to whom their labels lead to. Of those equally near the ids from the link on come first, so that nobody is
// the last for ever.
func (c *circle) draw(link domain.Hash, roots []domain.Hash) error {
	roots = slices.Clone(roots)
	slices.SortFunc(roots, domain.Hash.Compare)
	roots = slices.DeleteFunc(slices.Compact(roots), domain.Hash.IsZero)
	if c.link == link && slices.Equal(c.roots, roots) && (!c.stale || c.waits() > 0) {
		return nil
	}
	began := time.Now()
	kept := make(map[domain.Hash]*store.Metadata, len(c.kept))
	order, said, full := c.order[:0:0], 0, false
	for level := slices.Clone(roots); len(level) > 0 && !full; {
		slices.SortFunc(level, domain.Hash.Compare)
		first, _ := slices.BinarySearchFunc(level, link, domain.Hash.Compare)
		var next []domain.Hash
		for i := range level {
			id := level[(first+i)%len(level)]
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
			if said += 1 + len(m.Peer.Labels); said > c.room {
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
