package conflict

import (
	"errors"
	"fmt"
)

// Params are what a node may set about contests. None of them touches safety; nodes with different ones
// only wait for each other longer.
type Params struct {
	// BaseMS is D0, the length of round 0 once more than 2/3 of the weight was heard in it, in
	// milliseconds. It should exceed twice the time in which a vote reaches nearly everybody.
	BaseMS uint64
	// MaxMS caps the length of a round, in milliseconds.
	MaxMS uint64
	// PullMS is how long an ACCEPTED may be without its certificate before that is pulled, in milliseconds.
	PullMS uint64
	// MaxRivals is how many transactions may contend for one outpoint unless the network carries more.
	MaxRivals int
	// MaxSettled is how many final and rejected transactions are remembered in order to support them.
	MaxSettled int
}

// DefaultParams suit hops of up to 100 ms.
func DefaultParams() Params {
	return Params{BaseMS: 250, MaxMS: 30_000, PullMS: 60, MaxRivals: 16, MaxSettled: 65_536}
}

// Validate checks each inequality that the parameters must satisfy.
func (p Params) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(p.BaseMS > 0, "base round length is 0 ms")
	check(p.MaxMS >= p.BaseMS, "longest round of %d ms is below the base of %d ms", p.MaxMS, p.BaseMS)
	check(p.MaxMS <= 1<<31, "longest round of %d ms exceeds %d", p.MaxMS, 1<<31)
	check(p.PullMS > 0, "certificates are pulled after 0 ms")
	check(p.MaxRivals >= 2, "%d rivals, want 2 or more", p.MaxRivals)
	check(p.MaxSettled >= 1, "%d settled transactions, want 1 or more", p.MaxSettled)
	return errors.Join(errs...)
}

// Shares of a round's length, in tenths.
const (
	waitTenths = 4 // that others wait for the facilitator's vote
	maxDoubled = 3 // a flood makes rounds at most 2^3 times as long
)

// RoundMS is D(r) = D0 * (1 + r/2), doubled for every flood, capped.
func (p Params) RoundMS(round uint32, floods int) uint64 {
	d := min(p.BaseMS+p.BaseMS*uint64(round)/2, p.MaxMS) // BaseMS <= 2^31, round < 2^32
	return min(d<<min(floods, maxDoubled), p.MaxMS)
}

// WaitMS is how long others wait for the vote of a round's facilitator.
func (p Params) WaitMS(round uint32, floods int) uint64 {
	return max(1, p.RoundMS(round, floods)*waitTenths/10)
}
