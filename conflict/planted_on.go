//go:build planted

package conflict

import (
	"fmt"

	"github.com/notarynet/notaryd/observation"
)

var (
	plantedQuorum, plantedGuard, plantedLatestLock, plantedNoPull, plantedKeptLocks bool
	plantedNoSupport, plantedLostTimers, plantedCarriedVote, plantedFreeTimers      bool
	plantedWindow, plantedCrossEpoch, plantedNoAdoption, plantedNoAsking            bool
)

// Planted are the bugs that Plant knows.
var Planted = []string{
	"quorum-at-least", "guard-by-contest", "latest-lock", "no-pull", "kept-locks", "no-support", "lost-timers",
	"carried-votes", "free-timers", "window-gates-rounds", "carried-epochs", "no-adoption", "no-asking",
}

// Plant switches one bug on, and all others off; an empty name switches all off. Builds with the tag planted only.
func Plant(name string) error {
	for i, bug := range []*bool{
		&plantedQuorum, &plantedGuard, &plantedLatestLock, &plantedNoPull, &plantedKeptLocks, &plantedNoSupport, &plantedLostTimers,
		&plantedCarriedVote, &plantedFreeTimers, &plantedWindow, &plantedCrossEpoch, &plantedNoAdoption, &plantedNoAsking,
	} {
		*bug = Planted[i] == name
		if *bug {
			name = ""
		}
	}
	if name != "" {
		return fmt.Errorf("no planted bug %q", name)
	}
	return nil
}

// latest is the lock made last, by history.
var latest = make(map[*history]Record)

func (h *history) noteLock(r *Record) {
	if plantedLatestLock && r.locks() {
		latest[h] = *r
	}
}

func (h *history) latestLock() *Record {
	l := latest[h]
	i, found := h.find(l.Round, l.State)
	if !found || h.records[i].Released {
		return nil
	}
	return &h.records[i]
}

// carryPending counts PENDING of lower rounds in a new ballot.
func (e *entry) carryPending(b *ballot) {
	for i := range e.ballots {
		lower := &e.ballots[i]
		if lower.group != b.group || lower.round >= b.round {
			continue
		}
		for _, p := range lower.of(observation.Pending).places {
			b.of(observation.Pending).add(&Vote{Group: b.group, Voter: int(p.voter)})
		}
	}
}

// carryEpochs counts PENDING of other epochs, in the same round, in a new ballot.
func (e *entry) carryEpochs(b *ballot) {
	for i := range e.ballots {
		other := &e.ballots[i]
		if other.group == b.group || other.round != b.round {
			continue
		}
		for _, p := range other.of(observation.Pending).places {
			if voter, ok := b.group.Voter(other.group.Voters()[p.voter].Key); ok {
				b.of(observation.Pending).add(&Vote{Group: b.group, Voter: voter})
			}
		}
	}
}

func (c *Contests) dropTimers(k *contest) {
	for _, id := range []TimerID{k.running, k.wait} {
		if r := c.timers[id]; r != nil {
			r.txs = nil
		}
	}
}
