package conflict

import (
	"slices"

	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/utxo"
)

// status of a contender.
type status uint8

const (
	live status = iota
	final
	rejected
)

// contender is a transaction that has, or had, rivals.
type contender struct {
	id           domain.Hash
	spends       []utxo.Outpoint
	points       []*point
	facilitators []domain.PublicKey
	inWindow     bool
	status       status
	contest      *contest  // while live
	certificate  CertRound // the highest, whatever the epoch
	finality     Finality  // once final
	abstained    CertRound // the last round in which this node named it in an ABSTAIN
	barred       CertRound // the last round in which the node's guard refused a PENDING for it
	pulled       map[pullKey]int
	late         *contest                      // who was heard in rounds after it was final
	answers      map[domain.PublicKey][]uint32 // rounds in which a late voter was answered
	mark         uint64
}

// point is an outpoint that contenders spend.
type point struct {
	outpoint  utxo.Outpoint
	claimants []*contender // live
	final     *contender
	refused   int // rivals turned away
	mark      uint64
}

// contest is one connected component of live contenders: they share a round.
type contest struct {
	members []*contender
	round   uint32
	// heard is, by voter of the present group, one more than the highest round in which it voted on any member.
	heard []uint64
	// voted says that this node voted or abstained in this round.
	voted bool
	// waited says that the wait for the facilitator is over.
	waited bool
	// recheck asks whether the choice still depends on the facilitator.
	recheck bool
	// fresh are members that came after this node voted.
	fresh []*contender

	running, wait, pull TimerID // timers: the round's, the wait for its facilitator's vote, the next pull
	lowest              lowest
	dirty               bool
	mark                uint64
}

// lowest are the lowest outpoint and the lowest contested outpoint of a contest, and the facilitator that follows
// from it; kept since a flood of rivals would ask for them over and over.
type lowest struct {
	any, contested *point
	facilitator    int
	known          bool // facilitator is that of the present round, group and outpoint
}

// see takes the outpoints of a member into account.
func (l *lowest) see(t *contender) {
	for _, p := range t.points {
		if l.any == nil || p.outpoint.Compare(l.any.outpoint) < 0 {
			l.any, l.known = p, false
		}
		if len(p.claimants) > 1 && (l.contested == nil || p.outpoint.Compare(l.contested.outpoint) < 0) {
			l.contested, l.known = p, false
		}
	}
}

// outpoint is the lowest contested one, or the lowest one of a contest of one.
func (l *lowest) outpoint() utxo.Outpoint {
	if l.contested != nil {
		return l.contested.outpoint
	}
	return l.any.outpoint
}

func (k *contest) hear(voter int, round uint32) {
	for len(k.heard) <= voter {
		k.heard = append(k.heard, 0)
	}
	k.heard[voter] = max(k.heard[voter], uint64(round)+1)
}

// relisten recounts who was heard, from the votes on the members left.
func (k *contest) relisten(c *Contests) {
	clear(k.heard)
	for _, t := range k.members {
		e := c.tally.entries[t.id]
		if e == nil {
			continue
		}
		for i := range e.ballots {
			b := &e.ballots[i]
			if !c.present(b.group) {
				continue
			}
			for i := range b.counts {
				for _, p := range b.counts[i].places {
					k.hear(int(p.voter), b.round)
				}
			}
		}
	}
}

// contests are all live ones, in the order of their lowest members.
func (c *Contests) contests() []*contest {
	c.stamp++
	var ks []*contest
	for _, t := range c.txs {
		if k := t.contest; k != nil && k.mark != c.stamp {
			k.mark = c.stamp
			ks = append(ks, k)
		}
	}
	slices.SortFunc(ks, func(a, b *contest) int { return a.first().id.Compare(b.first().id) })
	return ks
}

// first is the member with the lowest id.
func (k *contest) first() *contender {
	return slices.MinFunc(k.members, func(a, b *contender) int { return a.id.Compare(b.id) })
}

// floods is how often the greatest flood of refused rivals in the contest has filled an outpoint.
func (k *contest) floods(cap int) int {
	n := 0
	for _, t := range k.members {
		for _, p := range t.points {
			n = max(n, p.refused)
		}
	}
	return n / cap
}

// add puts a contender into the contest, and on its running timers.
func (c *Contests) add(k *contest, t *contender) {
	t.contest = k
	k.members = append(k.members, t)
	k.fresh = append(k.fresh, t)
	k.recheck = true
	k.lowest.see(t)
	for _, id := range []TimerID{k.running, k.wait, k.pull} {
		if r := c.timers[id]; r != nil {
			r.txs = append(r.txs, t)
		}
	}
}

// merge makes one contest of two and returns it. The round is the higher one, with what runs in it.
func (c *Contests) merge(a, b *contest) *contest {
	if a.round < b.round || a.round == b.round && len(a.members) < len(b.members) {
		a, b = b, a
	}
	same := a.round == b.round
	if same {
		c.share(&a.running, b.running, a)
		c.share(&a.wait, b.wait, a)
	}
	c.share(&a.pull, b.pull, a)
	moved := b.members
	b.members, b.fresh = nil, nil
	for _, t := range moved {
		c.add(a, t)
	}
	for voter, h := range b.heard {
		if h > 0 {
			a.hear(voter, uint32(h-1))
		}
	}
	a.voted = a.voted || same && b.voted
	a.waited = a.waited || same && b.waited
	return a
}

// share lets a contest that has no timer of a kind wait for that of another.
func (c *Contests) share(own *TimerID, other TimerID, k *contest) {
	if r := c.timers[other]; *own == 0 && r != nil {
		*own = other
		r.txs = append(r.txs, k.members...)
	}
}

// leave takes contenders out of their contest and off their outpoints; the caller splits what is left.
func (c *Contests) leave(k *contest, gone []*contender) {
	for _, t := range gone {
		t.contest = nil
	}
	left := func(t *contender) bool { return t.contest == nil }
	k.members = slices.DeleteFunc(k.members, left)
	c.stamp++
	for _, t := range gone {
		for _, p := range t.points {
			if p.mark != c.stamp {
				p.mark = c.stamp
				p.claimants = slices.DeleteFunc(p.claimants, left)
			}
		}
	}
}

// split finds the components of what is left of a contest. Each keeps the round and its running timers, which hold
// the transactions they were started for.
func (c *Contests) split(k *contest) {
	members := k.members
	if plantedLostTimers {
		c.dropTimers(k)
	}
	c.stamp++
	stamp := c.stamp
	k.members, k.fresh = nil, nil
	for _, t := range members {
		if t.mark == stamp {
			continue
		}
		part := k
		if len(k.members) > 0 {
			part = &contest{round: k.round, waited: k.waited, running: k.running, wait: k.wait, pull: k.pull}
		}
		part.members = component(t, stamp)
		part.fresh = slices.Clone(part.members)
		part.recheck = true
		part.lowest = lowest{}
		for _, m := range part.members {
			m.contest = part
			part.lowest.see(m)
		}
		part.relisten(c)
		part.voted = c.spokeIn(part)
		c.touch(part)
	}
}

// component walks the conflict graph from one contender, outpoint by outpoint.
func component(from *contender, stamp uint64) []*contender {
	from.mark = stamp
	found := []*contender{from}
	for i := 0; i < len(found); i++ {
		for _, p := range found[i].points {
			if p.mark == stamp {
				continue
			}
			p.mark = stamp
			for _, t := range p.claimants {
				if t.mark != stamp {
					t.mark = stamp
					found = append(found, t)
				}
			}
		}
	}
	return found
}

// spokeIn reports whether this node voted or abstained on any member in the contest's round.
func (c *Contests) spokeIn(k *contest) bool {
	return slices.ContainsFunc(k.members, func(t *contender) bool { return c.spoke(t, k.round) })
}

func (c *Contests) spoke(t *contender, round uint32) bool {
	if c.me < 0 {
		return false
	}
	v := OwnVote{Tx: t.id, Spends: t.spends, State: observation.Pending, Round: round, Epoch: c.group.Epoch()}
	if t.abstained == c.at(round) || c.guard.cast(&v) {
		return true
	}
	b := c.tally.find(t.id, c.group.Link(), round)
	return b != nil && (b.of(observation.Pending).has(c.me) || b.of(observation.Abstain).has(c.me))
}
