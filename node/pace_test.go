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
		p := newPace(20_000, 150*time.Millisecond)
		station(p, &now, rate, 5*time.Millisecond, 10, 5) // a quiet start
		n := station(p, &now, rate, 5*time.Millisecond, 1_000_000, 15)
		took := time.Duration(float64(n) / rate * float64(time.Second))
		if took > p.long*3/2 || took < p.long/2 {
			t.Errorf("at %v a second %d at once take %v, wanted is %v", rate, n, took, p.long)
		}
	}
}

// TestPaceForgets: what nobody takes any more is given up again, and a crowd has it back soon.
func TestPaceForgets(t *testing.T) {
	now := time.Now()
	p := newPace(20_000, 150*time.Millisecond)
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

// TestPaceRecovers: once the crowd has gone, or the network is faster again, there is room again.
func TestPaceRecovers(t *testing.T) {
	now := time.Now()
	p := newPace(20_000, 150*time.Millisecond)
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
	p := newPace(20_000, 160*time.Millisecond)
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
		p := newPace(most, 50*time.Millisecond)
		for range 200 {
			now = now.Add(time.Duration(rapid.IntRange(0, 100).Draw(t, "later")) * time.Millisecond)
			p.finished(now, time.Duration(rapid.IntRange(0, 1000).Draw(t, "took"))*time.Millisecond, rapid.Int64Range(0, 2*most).Draw(t, "at once"))
			if p.limit < min(firstAtOnce, most) || p.limit > most {
				t.Fatalf("limit %d outside of %d..%d", p.limit, min(firstAtOnce, most), most)
			}
		}
	})
}
