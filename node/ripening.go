package node

import (
	"time"

	"github.com/notarynet/notaryd/node/store"
	"github.com/notarynet/notaryd/observation"
)

// ripeSlack is how late a vote may be taken where others have just been: a busy node then takes many at once.
const ripeSlack = time.Millisecond

// ripening keeps the votes of round 0 for the mempool delay. It is the same for all, so the first that was asked for is
// the first that is due, and neither an alarm nor a wake of the flight is needed for each. A flight asks once, so it holds
// no more than flights began within the delay.
type ripening struct {
	delay time.Duration
	queue []unripe
	next  int         // of queue, to be taken; what is before it has been
	timer *time.Timer // for the first that is due, where set says so
	set   bool
}

// unripe is a vote that waits.
type unripe struct {
	flight *flight
	coins  []store.Coin
	due    time.Time
}

func newRipening(delay time.Duration) *ripening {
	p := &ripening{delay: delay, timer: time.NewTimer(time.Hour)}
	p.timer.Stop()
	return p
}

// add keeps a vote that was asked for at a time.
func (p *ripening) add(c cast, now time.Time) {
	p.queue = append(p.queue, unripe{c.flight, c.coins, now.Add(p.delay)})
}

// take returns the next vote that is due.
func (p *ripening) take(now time.Time) (c cast, due bool) {
	if p.next == len(p.queue) || p.queue[p.next].due.After(now) {
		return c, false
	}
	u := &p.queue[p.next]
	c = cast{tx: u.flight.tx, flight: u.flight, coins: u.coins, state: observation.Pending, support: true}
	*u = unripe{}
	if p.next++; p.next == len(p.queue) {
		p.queue, p.next = p.queue[:0], 0
	} else if p.next >= 1024 && 2*p.next >= len(p.queue) {
		kept := copy(p.queue, p.queue[p.next:])
		clear(p.queue[kept:])
		p.queue, p.next = p.queue[:kept], 0
	}
	return c, true
}

// arm has the timer ring for the next that is due. One that was taken makes the others wait for the slack.
func (p *ripening) arm(now time.Time, took bool) {
	if p.next == len(p.queue) || p.set && !took {
		return
	}
	wait := p.queue[p.next].due.Sub(now)
	if took {
		wait = max(wait, ripeSlack)
	}
	p.timer.Reset(wait)
	p.set = true
}
