package node

import "time"

// quota lets one line of the log through a second and counts the others.
type quota struct {
	last time.Time
	kept int
}

// take reports whether a line may be written, and how many were not since the last one that was.
func (q *quota) take(now time.Time) (kept int, ok bool) {
	if now.Sub(q.last) < time.Second {
		q.kept++
		return 0, false
	}
	kept, q.kept, q.last = q.kept, 0, now
	return kept, true
}
