package main

import (
	"testing"

	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
)

// How far a node is behind is said in one line.
func TestBehind(t *testing.T) {
	for want, c := range map[string]*notaryv1.CatchUp{
		"not known yet: too few members have said how much is final with them; cannot verify yet, cannot vote yet": {},
		"nothing; can verify now, can vote now": {FinalElsewhere: 9, CanVerify: true, CanVote: true},
		"20 of 29 final transactions are missing, 4 a second come, about 5s left; can verify now, cannot vote yet": {
			FinalElsewhere: 29, Missing: 20, PerSecond: 4, EtaMs: 5000, CanVerify: true},
		"20 of 29 final transactions are missing; nothing has become final here for 1m0s: no member is connected; cannot verify yet, cannot vote yet": {
			FinalElsewhere: 29, Missing: 20, Stalled: "nothing has become final here for 1m0s: no member is connected"},
	} {
		if got := behind(c); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
