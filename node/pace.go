package node

import (
	"math"
	"time"
)

// pace says how many transactions of clients may be on their way at once, and how many may wait for that. Past what a
// node, or the network behind it, can finish, more of them only make all of them wait: so the number falls while they take
// longer than is wanted, by how much longer and once in the time that they take, and rises again while they do not and there
// are takers, fast while they take a small part of that (slow start: Jacobson 1988). All nodes of a network see about the same
// time; so that none keeps a larger number than others, the more a node has on their way the shorter they should take (both
// as in Swift: Kumar and others 2020). What nobody takes is given up again, so that a sudden crowd comes in as fast as it gets
// on and not all at once (congestion window validation: RFC 2861). It is a pure function of what it is told; admission owns it.
type pace struct {
	most, least, first int64
	limit              int64
	long, longest      time.Duration // what transactions should not take: long, or twice the floor up to longest

	mean   time.Duration // of the time to finality, moving, over about the last 16
	floor  floor         // of it
	nextAt time.Time     // when the limit may change again
}

// Settings of the pace.
const (
	leastAtOnce = 64                    // however slow the network is, it takes so many
	firstAtOnce = 64                    // of a sudden crowd
	paceStep    = 50 * time.Millisecond // between two changes

	// The target is what is wanted where fairNumber are on their way, fairLeast of that where very many are, and the
	// part above fairLeast falls with the square root of their number.
	fairNumber = 400
	fairLeast  = 0.6

	paceFall = 0.8 // of the number, where they take infinitely long
	fallMost = 0.5 // of the number, at once
)

func newPace(most int64, long, longest time.Duration) *pace {
	first := min(firstAtOnce, most)
	return &pace{most: most, least: min(leastAtOnce, most), first: first, limit: first, long: long, longest: longest}
}

// wanted is what transactions should not take: in a network whose distances take more than half of that, twice what
// they take.
func (p *pace) wanted() time.Duration { return min(p.usual(), p.longest) }

// usual is that without the bound.
func (p *pace) usual() time.Duration { return max(2*p.floor.least(), p.long) }

// target is what transactions should not take where so many may be on their way as now.
func (p *pace) target() time.Duration {
	part := fairLeast + (1-fairLeast)*math.Sqrt(fairNumber/float64(p.limit))
	return min(time.Duration(part*float64(p.usual())), p.longest)
}

// fall is by which part of it the number falls where transactions take longer than the target.
func fall(took, target time.Duration) float64 {
	return min(paceFall*float64(took-target)/float64(took), fallMost)
}

// finished takes in how long a transaction took from its place on to finality, at an instant of a monotonic clock, with how
// many of clients' transactions are on their way.
func (p *pace) finished(now time.Time, took time.Duration, atOnce int64) {
	took = min(took, 2*p.longest) // a clock that was set is not what holds them up
	if p.mean == 0 {
		p.mean = took
	}
	p.mean += (took - p.mean) / 16
	if took > 0 && atOnce <= p.first {
		p.floor.saw(now, took)
	}
	if now.Before(p.nextAt) {
		return
	}
	p.nextAt = now.Add(paceStep)
	target := p.target()
	switch {
	case p.mean > target:
		p.limit = max(p.least, int64(float64(min(p.limit, atOnce))*(1-fall(p.mean, target))))
		p.nextAt = now.Add(max(paceStep, p.mean)) // when what follows from it is seen
	case atOnce >= p.limit*3/4 && p.mean < target/4:
		p.limit = min(p.most, p.limit+p.limit/2)
	case atOnce >= p.limit*3/4:
		p.limit = min(p.most, p.limit+p.limit/16+4)
	case atOnce < p.limit/4:
		p.limit = max(p.first, p.limit-max(p.limit/16, 1))
	}
}

// room is how many may wait for a place: as many as get one within the time that transactions should not take.
func (p *pace) room() int64 {
	return min(p.most, p.limit*int64(p.wanted())/int64(max(p.mean, p.long/64, 1)))
}

// floor is the least that a transaction took while few were on their way, which no load explains (the base round-trip
// time of TCP Vegas: Brakmo and Peterson 1995): that of two windows, so that it rises again where the network grows wider.
type floor struct {
	young, old time.Duration // 0 where nothing was seen
	turn       time.Time     // when the young becomes the old
}

const floorWindow = 30 * time.Second

func (f *floor) saw(now time.Time, took time.Duration) {
	if !now.Before(f.turn) {
		f.old, f.young, f.turn = f.young, took, now.Add(floorWindow)
	}
	f.young = min(f.young, took)
}

func (f *floor) least() time.Duration {
	if f.old == 0 {
		return f.young
	}
	return min(f.young, f.old)
}
