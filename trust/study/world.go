// Package study measures how much weight attackers capture, as a function of how many labels by honest
// peers they obtain: the threat models of the EigenTrust paper (Kamvar, Schlosser, Garcia-Molina 2003,
// section 7.3) and some of our own, against DATT with bias and EigenTrust, plain EigenTrust, and
// personalised PageRank. It draws docs/trust/*.svg.
package study

import (
	"encoding/binary"

	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/trust"
)

// Sizes of the world that all figures share.
const (
	honest    = 200 // honest peers
	perHonest = 8   // labels that each of them gives
	members   = 20  // of the group, equal weights: the oldest honest peers, seeds too
	attackers = 40
)

// generator is SplitMix64 (Steele, Lea, Flood 2014).
type generator uint64

func (g *generator) next() uint64 {
	*g += 0x9e3779b97f4a7c15
	z := uint64(*g)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

func (g *generator) below(n int) int { return int(g.next() % uint64(n)) }

// world is peers and what they say. Peers 0 to honest-1 are honest, the rest attack.
type world struct {
	draw   generator
	peers  int
	labels map[[2]int]int32
	order  [][2]int // of labels, as given
}

func id(i int) domain.Hash {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(i))
	return domain.Sum("notary/study/v1", b[:])
}

// say sets a label; the first one counts.
func (w *world) say(rater, ratee int, score int32) {
	k := [2]int{rater, ratee}
	if _, ok := w.labels[k]; ok || rater == ratee {
		return
	}
	w.labels[k] = score
	w.order = append(w.order, k)
}

// newWorld is the honest network: each peer labels others of those that came before it, and some that
// came after, by chance, well; one label in fifty is negative by mistake.
func newWorld(seed uint64) *world {
	w := &world{draw: generator(seed), peers: honest, labels: map[[2]int]int32{}}
	for i := range honest {
		for range perHonest {
			j := w.draw.below(honest)
			if w.draw.below(3) > 0 {
				j = w.draw.below(max(members, i)) // the old are better known
			}
			score := int32(400 + w.draw.below(600))
			if w.draw.below(50) == 0 {
				score = -score
			}
			w.say(i, j, score)
		}
	}
	return w
}

// join adds attackers and returns the number of the first.
func (w *world) join(count int) int {
	first := w.peers
	w.peers += count
	return first
}

// fool makes honest peers label peers of a range well: as many labels as asked for.
func (w *world) fool(labels, first, count int) {
	for range labels {
		w.say(w.draw.below(honest), first+w.draw.below(count), int32(400+w.draw.below(600)))
	}
}

// suffer makes each of a range of peers be found out by some honest peers.
func (w *world) suffer(each, first, count int) {
	for i := range count {
		for range each {
			w.say(w.draw.below(honest), first+i, -int32(400+w.draw.below(600)))
		}
	}
}

// collude makes a range of peers praise one another: each the next few.
func (w *world) collude(each, first, count int) {
	for i := range count {
		for k := range each {
			w.say(first+i, first+(i+1+k)%count, trust.MaxScore)
		}
	}
}

// trustLabels are the labels, in the order given.
func (w *world) trustLabels() []trust.Label {
	out := make([]trust.Label, len(w.order))
	for i, k := range w.order {
		out[i] = trust.Label{Rater: id(k[0]), Ratee: id(k[1]), Score: w.labels[k]}
	}
	return out
}

// group is the members with equal weights.
func group() []trust.Share {
	out := make([]trust.Share, members)
	for i := range out {
		out[i] = trust.Share{Peer: id(i), Weight: 1_000_000_000 / members}
	}
	return out
}

// network is the world under a setting with the members as seeds.
func (w *world) network(s trust.Setting) (*trust.Network, error) {
	ids := make([]domain.Hash, w.peers)
	for i := range ids {
		ids[i] = id(i)
	}
	g, err := trust.NewGraph(w.trustLabels(), ids)
	if err != nil {
		return nil, err
	}
	s.Seeds = group()
	return trust.New(g, s)
}
