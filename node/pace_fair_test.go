package node

import (
	"testing"
	"time"
)

// shop is one server before which each pace has as many as it allows, first come first served.
type shop struct {
	paces []*pace
	queue []visit
	has   []int64 // of the queue, by pace
	now   time.Time
}

type visit struct {
	of int
	at time.Time
}

// run is some time at so many finals a second; it returns each pace's.
func (s *shop) run(rate float64, d time.Duration) []float64 {
	finals := make([]float64, len(s.paces))
	for end := s.now.Add(d); s.now.Before(end); {
		s.now = s.now.Add(time.Duration(float64(time.Second) / rate))
		for i, p := range s.paces {
			for ; s.has[i] < p.limit; s.has[i]++ {
				s.queue = append(s.queue, visit{i, s.now})
			}
		}
		v := s.queue[0]
		s.queue = s.queue[1:]
		s.paces[v.of].finished(s.now, s.now.Sub(v.at), s.has[v.of])
		s.has[v.of]--
		finals[v.of]++
	}
	return finals
}

// fairness is the index of Jain, Chiu and Hawe (1984): 1 where all have as much.
func fairness(finals []float64) float64 {
	var sum, squares float64
	for _, f := range finals {
		sum += f
		squares += f * f
	}
	return sum * sum / squares / float64(len(finals))
}

// TestPacesAreFair: of four nodes before one bottleneck, of which some have many times as much as others on their way, each
// has about a fourth some seconds later, at any rate, and transactions take about what is wanted all the time from then on.
func TestPacesAreFair(t *testing.T) {
	for _, rate := range []float64{2000, 5000, 10_000, 40_000} {
		s := &shop{now: time.Now(), has: make([]int64, 4)}
		for i := range s.has {
			p := newPace(20_000, 250*time.Millisecond, 500*time.Millisecond)
			p.floor.saw(s.now, 10*time.Millisecond)
			p.limit = int64(leastAtOnce + 400*i)
			s.paces = append(s.paces, p)
		}
		if s.run(rate, 9*time.Second); fairness(s.run(rate, time.Second)) < 0.97 {
			t.Errorf("at %v a second one has much more than another: %v", rate, s.has)
		}
		for range 100 {
			s.run(rate, paceStep)
			if p := s.paces[0]; p.mean < p.long*6/10 || p.mean > p.long*3/2 {
				t.Errorf("at %v a second they take %v", rate, p.mean)
			}
		}
	}
}
