package node

import "time"

// rhythm says when the next message with observations may be sent. A few may follow each other at once, so that a node
// with little to do waits for nothing; in the long run there is one every so often, since most of what a message costs is
// paid by the others, each of whom verifies, stores and counts it (a bucket of tokens, as the theoretical arrival time of ATM's
// generic cell rate algorithm: ITU-T I.371). It is a pure function of what it is told; the batcher owns it.
type rhythm struct {
	every time.Duration // between two, in the long run
	due   time.Time     // when the next one would come at that rate
}

// Settings of the rhythm: a message takes each of the others about 0.2 ms, so that all messages of a group take a
// node a tenth of a processor, as far as that makes no vote wait for long.
const (
	everyVoter = 2 * time.Millisecond // between two of a group
	everyMost  = 50 * time.Millisecond
	atOnce     = 24 // that may follow each other
)

// newRhythm is that of a node in a group of so many voters.
func newRhythm(voters int) rhythm {
	return rhythm{every: min(time.Duration(max(voters, 1))*everyVoter, everyMost)}
}

// signed notes a message and returns how long to wait for the next.
func (r *rhythm) signed(now time.Time) time.Duration {
	if r.due.Before(now) {
		r.due = now
	}
	r.due = r.due.Add(r.every)
	return max(r.due.Sub(now)-atOnce*r.every, 0)
}
