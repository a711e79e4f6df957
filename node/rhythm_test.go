package node

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// sign signs at every instant at which there is something to sign and the rhythm lets it, and returns how many there were
// and the longest wait.
func sign(r *rhythm, gaps func() time.Duration, lasting time.Duration) (n int, longest time.Duration) {
	now, free := time.Now(), time.Time{}
	for end := now.Add(lasting); now.Before(end); now = now.Add(gaps()) {
		if wait := free.Sub(now); wait > 0 {
			longest = max(longest, wait)
			now = free
		}
		free = now.Add(r.signed(now))
		n++
	}
	return n, longest
}

// TestRhythmLeavesTheIdleAlone: one transaction after the other, two observations each, waits for nothing.
func TestRhythmLeavesTheIdleAlone(t *testing.T) {
	r := newRhythm(4)
	i := 0
	if _, wait := sign(&r, func() time.Duration { i++; return time.Duration(2+14*(i%2)) * time.Millisecond }, time.Minute); wait > 0 {
		t.Errorf("waits %v", wait)
	}
}

// TestRhythmBounds: whatever there is to sign, in the long run observations are so many a second and a few more, and none
// waits longer than the longest interval.
func TestRhythmBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := newRhythm(rapid.IntRange(1, 1000).Draw(t, "voters"))
		most := rapid.IntRange(1, 30).Draw(t, "most")
		gaps := func() time.Duration { return time.Duration(rapid.IntRange(0, most).Draw(t, "ms")) * time.Millisecond }
		n, wait := sign(&r, gaps, time.Second)
		if bound := int(time.Second/r.every) + atOnce + 2; n > bound || wait > r.every {
			t.Errorf("%d in a second, at most %d; waits %v of %v", n, bound, wait, r.every)
		}
	})
}

// TestRhythmOfGroups: the larger the group, the more each observation costs all of it.
func TestRhythmOfGroups(t *testing.T) {
	for voters, want := range map[int]time.Duration{
		0: 2 * time.Millisecond, 1: 2 * time.Millisecond, 4: 8 * time.Millisecond, 25: 50 * time.Millisecond, 1000: 50 * time.Millisecond,
	} {
		if r := newRhythm(voters); r.every != want {
			t.Errorf("%d voters: one every %v, want %v", voters, r.every, want)
		}
	}
}
