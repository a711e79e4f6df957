package node

import (
	"math"
	"sync"
)

// Resolution of recent.
const (
	recentSeconds = 60
	// recentGrowth is the ratio of one latency to the next that is told apart from it.
	recentGrowth  = 1.1
	recentBuckets = 128 // up to 1.1^128 ms, 55 hours
)

// recent counts what became final within the last minute and how long it took, in slots of a second.
type recent struct {
	mu    sync.Mutex
	slots [recentSeconds]recentSlot
}

type recentSlot struct {
	second  uint64
	count   uint64
	buckets [recentBuckets]uint32
}

// final counts a transaction that became final at an instant, tookMS after it arrived.
func (r *recent) final(atMS, tookMS uint64) {
	bucket := 0
	if tookMS > 1 {
		bucket = min(int(math.Log(float64(tookMS))/math.Log(recentGrowth)), recentBuckets-1)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	second := atMS / 1000
	s := &r.slots[second%recentSeconds]
	if s.second != second {
		*s = recentSlot{second: second}
	}
	s.count++
	s.buckets[bucket]++
}

// minute is what the last minute was like: finals a second, and the times from arrival to final that half
// and 99 of 100 of them did not exceed, in milliseconds; 0 where there were none.
func (r *recent) minute(nowMS uint64) (perSecond, p50, p99 float64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var total uint64
	var buckets [recentBuckets]uint64
	now := nowMS / 1000
	for i := range r.slots {
		s := &r.slots[i]
		if s.second > now || now-s.second >= recentSeconds {
			continue
		}
		total += s.count
		for b, n := range s.buckets {
			buckets[b] += uint64(n)
		}
	}
	return float64(total) / recentSeconds, quantile(buckets[:], total, 0.5), quantile(buckets[:], total, 0.99)
}

// quantile is the middle, by ratio, of the bucket in which the share q of all is reached.
func quantile(buckets []uint64, total uint64, q float64) float64 {
	want := uint64(math.Ceil(q * float64(total)))
	var sum uint64
	for b, n := range buckets {
		if sum += n; n > 0 && sum >= want {
			return math.Pow(recentGrowth, float64(b)+0.5)
		}
	}
	return 0
}
