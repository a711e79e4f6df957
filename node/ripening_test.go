package node

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/notarynet/notaryd/observation"
)

// TestRipening: each vote is taken once, in the order in which they were asked for, no sooner than the delay after that and at
// the first look afterwards; and as long as one is kept, the timer is set.
func TestRipening(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		delay := time.Duration(rapid.IntRange(0, 50).Draw(t, "delay"))
		p := newRipening(delay)
		now := time.Now()
		var asked []time.Time
		var flights []*flight
		taken := 0
		for range rapid.IntRange(1, 3000).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 3).Draw(t, "passes")))
			for range rapid.IntRange(0, 3).Draw(t, "asks") {
				f := new(flight)
				p.add(cast{flight: f}, now)
				asked, flights = append(asked, now), append(flights, f)
			}
			took := false
			for room := rapid.IntRange(0, 4).Draw(t, "room"); room > 0; room-- {
				c, due := p.take(now)
				if !due {
					if taken < len(asked) && now.Sub(asked[taken]) >= delay {
						t.Fatalf("vote %d is not due after %v", taken, now.Sub(asked[taken]))
					}
					break
				}
				took = true
				if c.flight != flights[taken] || now.Sub(asked[taken]) < delay || !c.support || c.state != observation.Pending || c.round != 0 {
					t.Fatalf("vote %d: %+v after %v", taken, c, now.Sub(asked[taken]))
				}
				taken++
			}
			p.arm(now, took)
			if taken < len(asked) && !p.set {
				t.Fatalf("%d votes are kept, and no timer is set", len(asked)-taken)
			}
		}
	})
}

// TestOvertaken: a vote whose flight has gone on while the mempool delay ran is not cast; neither is one that was held back
// while an epoch ended.
func TestOvertaken(t *testing.T) {
	s := newSigner(t)
	s.unripe = newRipening(time.Hour)
	var flights [4]*flight
	for i := range flights {
		tx := s.v.pay(uint32(i), "patient")
		f := newFlight(tx, Origin{}, &s.config.Fees)
		flights[i] = f
		if i < 3 {
			s.casts <- cast{tx: tx, flight: f, state: observation.Pending, support: true}
		}
	}
	step := func() {
		t.Helper()
		if err := s.ripen(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.gather(t.Context(), <-s.casts); err != nil {
		t.Fatal(err)
	}
	if step(); s.unsigned() != 0 || !s.unripe.set {
		t.Fatalf("%d votes before the delay was over; a timer is set: %v", s.unsigned(), s.unripe.set)
	}
	flights[0].overtaken.Store(true)
	for i := range s.unripe.queue { // the hour is over
		s.unripe.queue[i].due = time.Now()
	}
	if step(); s.unsigned() != 2 || len(s.guard.Records(flights[0].tx.Spends()[0])) != 0 {
		t.Fatalf("%d votes of two that nothing has overtaken", s.unsigned())
	}
	s.closed = true
	if err := s.take(t.Context(), cast{tx: flights[3].tx, flight: flights[3], state: observation.Pending, support: true}, time.Now()); err != nil {
		t.Fatal(err)
	}
	held := s.held
	s.closed = false
	flights[3].overtaken.Store(true)
	before := s.unsigned()
	for _, c := range held {
		if err := s.take(t.Context(), c, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	if len(held) != 1 || s.unsigned() != before {
		t.Errorf("%d votes held, %d cast", len(held), s.unsigned()-before)
	}
}
