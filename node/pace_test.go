package node

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// station is a server that finishes rate transactions a second, none faster than base: with n at once each takes
// n / rate by Little's law.
func station(p *pace, now *time.Time, rate float64, base time.Duration, offered int64, seconds int) (atOnce int64) {
	for end := now.Add(time.Duration(seconds) * time.Second); now.Before(end); {
		atOnce = min(offered, p.limit)
		took := max(base, time.Duration(float64(atOnce)/rate*float64(time.Second)))
		*now = now.Add(time.Duration(float64(time.Second) / rate))
		p.finished(*now, took, atOnce)
	}
	return atOnce
}

// TestPaceHoldsLatency: far past saturation the number at once settles where each takes about as long as is wanted.
func TestPaceHoldsLatency(t *testing.T) {
	for _, rate := range []float64{2500, 5000, 20_000} {
		now := time.Now()
		p := newPace(20_000, 150*time.Millisecond, 300*time.Millisecond)
		station(p, &now, rate, 5*time.Millisecond, 10, 5) // a quiet start
		n := station(p, &now, rate, 5*time.Millisecond, 1_000_000, 150)
		took := time.Duration(float64(n) / rate * float64(time.Second))
		if took > p.long*3/2 || took < p.long/2 {
			t.Errorf("at %v a second %d at once take %v, wanted is %v", rate, n, took, p.long)
		}
	}
}

// TestPaceOfDistance: where finality takes longer than is wanted by distance alone, a crowd has its places all the same;
// but what is slow because it is loaded, or slower than anything wanted, is no distance.
func TestPaceOfDistance(t *testing.T) {
	for _, c := range []struct {
		base     time.Duration
		from, to int64
	}{
		{100 * time.Millisecond, 700, 1500}, {200 * time.Millisecond, 1000, 2000}, {280 * time.Millisecond, 1000, 2000},
		{400 * time.Millisecond, leastAtOnce, leastAtOnce},
	} {
		now := time.Now()
		p := newPace(20_000, 150*time.Millisecond, 300*time.Millisecond)
		station(p, &now, 50, c.base, 10, 60) // a quiet start
		if n := station(p, &now, 5000, c.base, 1_000_000, 120); n < c.from || n > c.to {
			t.Errorf("%d at once where nothing is faster than %v, want %d to %d", n, c.base, c.from, c.to)
		}
	}
}

// TestPaceForgets: what nobody takes any more is given up again, and a crowd has it back soon.
func TestPaceForgets(t *testing.T) {
	now := time.Now()
	p := newPace(20_000, 150*time.Millisecond, 300*time.Millisecond)
	station(p, &now, 20_000, 5*time.Millisecond, 1_000_000, 10)
	high := p.limit
	station(p, &now, 1000, 5*time.Millisecond, 5, 10)
	if high < 1500 || p.limit > leastAtOnce {
		t.Errorf("limit %d after a crowd, %d after ten calm seconds", high, p.limit)
	}
	if station(p, &now, 20_000, 5*time.Millisecond, 1_000_000, 4); p.limit < 1500 {
		t.Errorf("limit %d four seconds later", p.limit)
	}
}

// TestPaceRises: a crowd on a node that had little to do has most of what it can be given within a second, and no more than
// once and a half of that.
func TestPaceRises(t *testing.T) {
	for _, rate := range []float64{2500, 20_000} {
		now := time.Now()
		p := newPace(20_000, 150*time.Millisecond, 300*time.Millisecond)
		station(p, &now, rate, 5*time.Millisecond, 10, 5)
		n := station(p, &now, rate, 5*time.Millisecond, 1_000_000, 1)
		if best := int64(rate * p.long.Seconds()); n < best/2 || n > best*3/2 {
			t.Errorf("at %v a second %d at once after a second, the best are %d", rate, n, best)
		}
	}
}

// TestPaceRecovers: once the crowd has gone, or the network is faster again, there is room again.
func TestPaceRecovers(t *testing.T) {
	now := time.Now()
	p := newPace(20_000, 150*time.Millisecond, 300*time.Millisecond)
	station(p, &now, 5000, 5*time.Millisecond, 10, 5)
	if slow := station(p, &now, 100, 5*time.Millisecond, 1_000_000, 60); slow != leastAtOnce {
		t.Errorf("%d at once on a slow station", slow)
	}
	if fast := station(p, &now, 20_000, 5*time.Millisecond, 1_000_000, 10); fast < 1500 {
		t.Errorf("%d at once on one that is fast again", fast)
	}
}

// TestPaceRoom: who waits for a place has it within the time that is wanted, and a node that has seen nothing yet lets
// a crowd wait.
func TestPaceRoom(t *testing.T) {
	p := newPace(20_000, 160*time.Millisecond, 320*time.Millisecond)
	if p.room() < 1000 {
		t.Errorf("room for %d at the start", p.room())
	}
	p.limit, p.mean = 100, 80*time.Millisecond // 1,250 a second
	if p.room() != 200 {
		t.Errorf("room for %d", p.room())
	}
}

// TestPaceBounds: whatever it is told, the limit stays between its bounds.
func TestPaceBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now, most := time.Now(), rapid.Int64Range(1, 1000).Draw(t, "most")
		p := newPace(most, 50*time.Millisecond, 100*time.Millisecond)
		for range 200 {
			now = now.Add(time.Duration(rapid.IntRange(0, 100).Draw(t, "later")) * time.Millisecond)
			p.finished(now, time.Duration(rapid.IntRange(0, 1000).Draw(t, "took"))*time.Millisecond, rapid.Int64Range(0, 2*most).Draw(t, "at once"))
			if p.limit < min(firstAtOnce, most) || p.limit > most {
				t.Fatalf("limit %d outside of %d..%d", p.limit, min(firstAtOnce, most), most)
			}
		}
	})
}

// TestPaceOfAClock: a clock that is set forward or back while a crowd is on its way costs a node a moment of its pace, no more.
func TestPaceOfAClock(t *testing.T) {
	for _, step := range []time.Duration{time.Minute, 24 * time.Hour} {
		now := time.Now()
		p := newPace(20_000, 500*time.Millisecond, time.Second)
		station(p, &now, 20_000, 20*time.Millisecond, 1_000_000, 10)
		high := p.limit
		for range high {
			now = now.Add(50 * time.Microsecond)
			p.finished(now, step, high)
		}
		if station(p, &now, 20_000, 20*time.Millisecond, 1_000_000, 20); p.limit < high*3/4 {
			t.Errorf("limit %d of %d, 20 s after a step of %v", p.limit, high, step)
		}
	}
	p := newPace(20_000, 500*time.Millisecond, time.Second)
	p.finished(time.Now(), 300*time.Millisecond, 1)
	if p.finished(time.Now(), 0, 1); p.floor.least() != 300*time.Millisecond {
		t.Errorf("what a clock that was set back says is taken for a distance: %v", p.floor.least())
	}
}

// TestPaceAtLeast: as long as transactions take too long, no more than the least are taken.
func TestPaceAtLeast(t *testing.T) {
	now := time.Now()
	p := newPace(20_000, 500*time.Millisecond, time.Second)
	for range 100 {
		now = now.Add(time.Second)
		if p.finished(now, 1200*time.Millisecond, p.limit); p.limit != leastAtOnce {
			t.Fatalf("limit %d", p.limit)
		}
	}
}
