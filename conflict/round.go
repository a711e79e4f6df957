package conflict

import (
	"math"
	"slices"

	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/group"
)

// progress moves a contest to the round that its votes say, and starts the round's timer once more than 2/3 of the
// weight was heard in it. Rounds run on votes and not on clocks alone, so that a minority cut off from the rest
// does not run ahead.
func (c *Contests) progress(k *contest) {
	for {
		at, above := c.heardAbove(k, k.round)
		switch {
		case group.Third(above):
			c.enter(k, c.jumpTarget(k))
			continue
		case !group.Quorum(at) && !plantedFreeTimers:
			return
		case group.Quorum(at) && c.hopeless(k, at):
			if !c.next(k) {
				return
			}
			continue
		}
		if k.running == 0 {
			k.running = c.start(RoundTimer, k, c.params.RoundMS(k.round, k.floods(c.params.MaxRivals)))
		}
		return
	}
}

// next moves a contest on by a round. After the last that a vote can name there is none: whom a liar and a round that many were led to have brought there
// waits for certificates.
func (c *Contests) next(k *contest) bool {
	if k.round == math.MaxUint32 {
		return false
	}
	c.enter(k, k.round+1)
	return true
}

// heardAbove is the weight heard in a round or above, and in rounds above it.
func (c *Contests) heardAbove(k *contest, round uint32) (at, above group.Weight) {
	voters := c.group.Voters()
	for i, h := range k.heard {
		if h > uint64(round) {
			at += voters[i].Share
		}
		if h > uint64(round)+1 {
			above += voters[i].Share
		}
	}
	return at, above
}

// jumpTarget is the highest round that more than 1/3 of the weight was heard in or above.
func (c *Contests) jumpTarget(k *contest) uint32 {
	voters := c.group.Voters()
	order := make([]int, len(k.heard))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { // highest round first
		switch {
		case k.heard[a] > k.heard[b]:
			return -1
		case k.heard[a] < k.heard[b]:
			return 1
		}
		return 0
	})
	var sum group.Weight
	for _, i := range order {
		if sum += voters[i].Share; group.Third(sum) {
			return uint32(k.heard[i] - 1)
		}
	}
	panic("conflict: jump without a third")
}

// hopeless reports whether no member can reach a certificate in this round any more, if those heard from do not
// vote in it again: then waiting for the timer is vain. It is a guess about the honest, so it may hurry a round
// and never anything else.
func (c *Contests) hopeless(k *contest, at group.Weight) bool {
	silent := group.Total - at
	for _, t := range k.members {
		w := silent
		if b := c.tally.find(t.id, c.group.Link(), k.round); b != nil {
			w += b.of(observation.Pending).weight
		}
		if group.Quorum(w) {
			return false
		}
	}
	return true
}

// enter begins a round.
func (c *Contests) enter(k *contest, round uint32) {
	k.round = round
	k.waited = false
	k.running, k.wait = 0, 0
	k.lowest.known = false
	k.fresh = append(k.fresh[:0], k.members...)
	k.recheck = true
	k.voted = c.spokeIn(k)
}

// vote casts what this node has to say in the contest's round, once it is time: in round 0 and as facilitator at
// once, else when the facilitator was heard, when its vote could change nothing, or when the wait is over.
func (c *Contests) vote(k *contest) {
	if c.me < 0 {
		return
	}
	if k.voted {
		if len(k.fresh) > 0 {
			c.castAll(k, c.choose(k, k.fresh).picks)
			k.fresh = k.fresh[:0]
		}
		return
	}
	f := c.facilitator(k)
	ready := k.round == 0 || k.waited || f == c.me || f < len(k.heard) && k.heard[f] > uint64(k.round)
	if !ready && !k.recheck {
		return
	}
	k.recheck = false
	choice := c.choose(k, k.members)
	if !ready && !choice.forced {
		if k.wait == 0 {
			k.wait = c.start(WaitTimer, k, c.params.WaitMS(k.round, k.floods(c.params.MaxRivals)))
		}
		return
	}
	k.fresh = k.fresh[:0]
	k.voted = true
	if !c.castAll(k, choice.picks) {
		c.abstain(k)
	}
}

// castAll casts PENDING for each pick and reports whether there was any.
func (c *Contests) castAll(k *contest, picks []candidate) bool {
	for _, p := range picks {
		if !c.cast(p.contender, observation.Pending, k.round, p.justified) {
			panic("conflict: a pick that the guard refuses")
		}
	}
	return len(picks) > 0
}

// abstain says that this node is here and can support nobody: never silence, or the round's timer would not start.
func (c *Contests) abstain(k *contest) {
	t := k.first()
	t.abstained = c.at(k.round)
	c.emit(CastVote{OwnVote{Tx: t.id, Spends: t.spends, State: observation.Abstain, Round: k.round, Epoch: c.group.Epoch()}})
}
