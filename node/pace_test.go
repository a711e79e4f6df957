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

// TestPaceRecoversForOne: a single client, which may have half of the limit, brings it up again as well.
func TestPaceRecoversForOne(t *testing.T) {
	now := time.Now()
	p := newPace(20_000, 150*time.Millisecond)
	p.limit = leastAtOnce
	for range 200_000 {
		now = now.Add(100 * time.Microsecond)
		p.finished(now, 10*time.Millisecond, p.limit/2)
	}
	if p.limit < 15_000 {
		t.Errorf("limit %d", p.limit)
	}
}

// TestPaceRecovers: once the crowd has gone, or the network is faster again, there is room again.
func TestPaceRecovers(t *testing.T) {
	now := time.Now()
	p := newPace(20_000, 150*time.Millisecond)
	station(p, &now, 5000, 5*time.Millisecond, 10, 5)
	if slow := station(p, &now, 100, 5*time.Millisecond, 1_000_000, 60); slow > leastAtOnce {
		t.Errorf("%d at once on a slow station", slow)
	}
	if fast := station(p, &now, 20_000, 5*time.Millisecond, 1_000_000, 10); fast < 1500 {
		t.Errorf("%d at once on one that is fast again", fast)
	}
}

// TestPaceLeavesTheIdleAlone: where transactions do not take long, nothing is refused however few there are.
func TestPaceLeavesTheIdleAlone(t *testing.T) {
	now := time.Now()
	p := newPace(20_000, 150*time.Millisecond)
	station(p, &now, 10_000, 140*time.Millisecond, 100, 30)
	if p.limit != 20_000 {
		t.Errorf("limit %d", p.limit)
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
			if p.limit < min(leastAtOnce, most) || p.limit > most {
				t.Fatalf("limit %d outside of %d..%d", p.limit, min(leastAtOnce, most), most)
			}
		}
	})
}
