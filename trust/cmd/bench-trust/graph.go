package main

import (
	"encoding/binary"
	"slices"
	"sync"
	"time"

	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/trust"
)

// random is SplitMix64.
type random uint64

func (r *random) next() uint64 {
	*r += 0x9e3779b97f4a7c15
	z := uint64(*r)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// rows is a drawn graph.
type rows struct {
	ids          []domain.Hash
	start, ratee []uint32
	score        []int16
}

// draw makes peers with as many labels each, one in twenty negative: of peers at random, or nine in ten
// within clusters whose members are scattered over the numbers.
func draw(peers, labels, cluster int) rows {
	r := random(1)
	out := rows{ids: make([]domain.Hash, peers), start: make([]uint32, peers+1)}
	for i := range out.ids {
		binary.BigEndian.PutUint32(out.ids[i][:], uint32(i))
	}
	var line []uint32
	for i := range peers {
		line = line[:0]
		for range labels {
			j := int(r.next() % uint64(peers))
			if cluster > 0 && r.next()%10 != 0 {
				clusters := max(1, peers/cluster) // members of one cluster are that far apart
				j = (i%clusters + clusters*int(r.next()%uint64(cluster))) % peers
			}
			if j != i {
				line = append(line, uint32(j))
			}
		}
		slices.Sort(line)
		line = slices.Compact(line)
		for _, j := range line {
			score := int16(1 + r.next()%trust.MaxScore)
			if r.next()%20 == 0 {
				score = -score
			}
			out.ratee, out.score = append(out.ratee, j), append(out.score, score)
		}
		out.start[i+1] = uint32(len(out.ratee))
	}
	out.ratee, out.score = slices.Clip(out.ratee), slices.Clip(out.score)
	return out
}

// bytes is what an iteration moves at least: per positive label a column, a weight and the share it
// points at; per peer its row start, share (read and written), preference, scale, next share and place in the filter.
func (b *bench) bytes() float64 {
	positive := 0.0
	for i := range b.peers {
		_, scores := b.graph.Said(i)
		for _, s := range scores {
			if s > 0 {
				positive++
			}
		}
	}
	return positive*(4+2+8) + float64(b.peers)*(4+16+8+8+8+1)
}

// bandwidth is what all cores together read and write in a second, in bytes: the best of several sums
// of two long vectors into a third (STREAM's "add", McCalpin 1995).
func bandwidth() float64 {
	const n = 8 << 20
	a, b, c := make([]float64, n), make([]float64, n), make([]float64, n)
	best := 0.0
	for range 8 {
		start := time.Now()
		var wait sync.WaitGroup
		const parts = 2
		for p := range parts {
			wait.Go(func() {
				x, y, z := a[p*n/parts:(p+1)*n/parts], b[p*n/parts:(p+1)*n/parts], c[p*n/parts:(p+1)*n/parts]
				for i := range x {
					z[i] = x[i] + y[i]
				}
			})
		}
		wait.Wait()
		best = max(best, 3*8*n/time.Since(start).Seconds())
	}
	return best
}

// flat is EigenTrust as one would write it first: float64 values beside int32 columns, one core, the
// matrix made beforehand and kept.
func flat(g *trust.Graph, p []float64) []float64 {
	c := flatOf(g)
	sum := 0.0
	for _, x := range p {
		sum += x
	}
	t, next := make([]float64, len(p)), make([]float64, len(p))
	for i := range t {
		t[i] = p[i] / sum
	}
	for change := 1.0; change >= 1e-6; {
		change = 0
		for i := range next {
			s := 0.0
			for k := c.start[i]; k < c.start[i+1]; k++ {
				s += c.value[k] * t[c.column[k]]
			}
			next[i] = (1-teleport)*s + teleport*p[i]/sum
			change += max(next[i]-t[i], t[i]-next[i])
		}
		t, next = next, t
	}
	return t
}

type flatMatrix struct {
	start  []int
	column []int32
	value  []float64
}

var flatCache *flatMatrix

func flatOf(g *trust.Graph) *flatMatrix {
	if flatCache != nil {
		return flatCache
	}
	n := g.Len()
	c := &flatMatrix{start: make([]int, n+1)}
	sums := make([]float64, n)
	for i := range n {
		ratees, scores := g.Said(i)
		for k, to := range ratees {
			if scores[k] > 0 {
				c.start[to+1]++
				sums[i] += float64(scores[k])
			}
		}
	}
	for i := range n {
		c.start[i+1] += c.start[i]
	}
	c.column, c.value = make([]int32, c.start[n]), make([]float64, c.start[n])
	at := slices.Clone(c.start)
	for i := range n {
		ratees, scores := g.Said(i)
		for k, to := range ratees {
			if scores[k] > 0 {
				c.column[at[to]], c.value[at[to]] = int32(i), float64(scores[k])/sums[i]
				at[to]++
			}
		}
	}
	flatCache = c
	return c
}
