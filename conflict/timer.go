package conflict

import (
	"slices"

	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/group"
)

// timer runs for the transactions it was started for, and for those that joined them since, whatever becomes of
// the contest: it survives merges and splits.
type timer struct {
	kind  TimerKind
	round uint32
	txs   []*contender
}

// start begins a timer for all members of a contest.
func (c *Contests) start(kind TimerKind, k *contest, afterMS uint64) TimerID {
	c.lastTimer++
	id := c.lastTimer
	c.timers[id] = &timer{kind: kind, round: k.round, txs: slices.Clone(k.members)}
	c.emit(StartTimer{ID: id, Kind: kind, Tx: k.first().id, Round: k.round, AfterMS: afterMS})
	return id
}

// fire ends a timer for every contest that its transactions are in now.
func (c *Contests) fire(id TimerID) {
	r := c.timers[id]
	if r == nil {
		return
	}
	delete(c.timers, id)
	c.stamp++
	stamp := c.stamp
	var ks []*contest
	for _, t := range r.txs {
		if k := t.contest; k != nil && k.mark != stamp {
			k.mark = stamp
			ks = append(ks, k)
		}
	}
	for _, k := range ks {
		switch {
		case r.kind == PullTimer:
			if k.pull == id { // else one that another contest brought along
				k.pull = 0
				c.pull(k)
			}
		case k.round != r.round:
		case r.kind == RoundTimer:
			c.next(k)
			c.touch(k)
		case r.kind == WaitTimer:
			k.waited, k.recheck = true, true
			c.touch(k)
		}
	}
}

// pullKey is a ballot whose certificate is missing.
type pullKey struct {
	group *group.Group
	round uint32
}

// maxBackoff caps the growth of the time between two pulls at 2^5.
const maxBackoff = 5

// wantCertificate sees to it that an ACCEPTED without its certificate is not left so: a liar's vote shown to one
// node alone could leave two honest locks that nobody can undo.
func (c *Contests) wantCertificate(t *contender, v *Vote) {
	if !plantedNoPull && v.State == observation.Accepted && t.contest.pull == 0 && c.uncertified(t) != nil {
		t.contest.pull = c.start(PullTimer, t.contest, c.params.PullMS)
	}
}

// uncertified are the ballots of a contender with an ACCEPTED of somebody else and no certificate.
func (c *Contests) uncertified(t *contender) (out []*ballot) {
	e := c.tally.entries[t.id]
	if e == nil {
		return nil
	}
	for i := range e.ballots {
		b := &e.ballots[i]
		if !b.certified() && slices.ContainsFunc(b.of(observation.Accepted).places, func(p place) bool { return !c.mine(b, p) }) {
			out = append(out, b)
		}
	}
	return out
}

func (c *Contests) mine(b *ballot, p place) bool { return b.group.Voters()[p.voter].Key == c.self }

// pull asks for every missing certificate of a contest, each time from the next of those that signed ACCEPTED.
func (c *Contests) pull(k *contest) {
	least := -1
	for _, t := range k.members {
		for _, b := range c.uncertified(t) {
			key := pullKey{b.group, b.round}
			n := t.pulled[key]
			if least < 0 || n < least {
				least = n
			}
			if t.pulled == nil {
				t.pulled = make(map[pullKey]int)
			}
			t.pulled[key] = n + 1
			c.emit(NeedCertificate{Tx: t.id, Round: b.round, Group: b.group, From: c.signer(b, n)})
		}
	}
	if least >= 0 {
		k.pull = c.start(PullTimer, k, c.params.PullMS<<min(least+1, maxBackoff))
	}
}

// signer is the nth of the others that signed ACCEPTED, in the order of their positions, round and round.
func (c *Contests) signer(b *ballot, n int) (key [32]byte) {
	var signers []uint16
	for _, p := range b.of(observation.Accepted).places {
		if !c.mine(b, p) {
			signers = append(signers, p.voter)
		}
	}
	slices.Sort(signers)
	return b.group.Voters()[signers[n%len(signers)]].Key
}
