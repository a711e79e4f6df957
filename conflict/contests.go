package conflict

import (
	"fmt"
	"slices"

	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	"github.com/notarynet/notaryd/utxo"
)

// Contests settle double spends: every contested transaction of a node, grouped into contests, the connected
// components of the conflict graph. Step is pure. Not for concurrent use.
type Contests struct {
	params Params
	self   domain.PublicKey
	group  *group.Group
	me     int // position of self in group, or -1: a listener

	guard  *Guard // what this node voted on the outpoints seen here
	tally  *Tally
	txs    map[domain.Hash]*contender
	points map[utxo.Outpoint]*point

	timers    map[TimerID]*timer
	lastTimer TimerID

	settled []*contender // final and rejected, oldest first
	stamp   uint64       // marks what a walk has visited

	// Within one Step:
	out    []Effect
	dirty  []*contest
	finals []finalQuorum
	buf    []Milestone
}

// NewContests makes an empty set of contests for a node key. Where self has no weight in the group, it follows the
// rounds and never votes.
func NewContests(p Params, self domain.PublicKey, g *group.Group) (*Contests, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	c := &Contests{
		params: p, self: self,
		guard:  NewGuard(),
		tally:  NewTally(DefaultTallyLimits),
		txs:    make(map[domain.Hash]*contender),
		points: make(map[utxo.Outpoint]*point),
		timers: make(map[TimerID]*timer),
	}
	c.enterGroup(g)
	return c, nil
}

// Step takes one input and returns what is to be done, in this order.
func (c *Contests) Step(in Input) []Effect {
	switch in := in.(type) {
	case Join:
		c.join(&in)
	case Heard:
		for i := range in.Votes {
			c.count(&in.Votes[i])
		}
	case Fired:
		c.fire(in.Timer)
	case Refused:
		c.refused(&in)
	case Freed:
		c.resume(in.Spends, in.Records)
	case NewGroup:
		c.newGroup(&in)
	default:
		panic(fmt.Sprintf("conflict: input %T", in))
	}
	c.settle()
	c.evaluate()
	out := c.out
	c.out = nil
	return out
}

// evaluate brings every contest that changed to where its knowledge says.
func (c *Contests) evaluate() {
	for len(c.dirty) > 0 {
		k := c.dirty[0]
		c.dirty = c.dirty[1:]
		k.dirty = false
		if len(k.members) > 0 {
			c.progress(k)
			c.vote(k)
		}
	}
	c.dirty = c.dirty[:0]
}

func (c *Contests) touch(k *contest) {
	if k != nil && !k.dirty {
		k.dirty = true
		c.dirty = append(c.dirty, k)
	}
}

func (c *Contests) emit(e Effect) { c.out = append(c.out, e) }

// count takes one vote into account. Everything else follows from the tally.
func (c *Contests) count(v *Vote) {
	t := c.txs[v.Tx]
	if t == nil || !v.counts() {
		return
	}
	c.buf = c.tally.Count(*v, c.buf[:0])
	if t.status == live {
		if i, ok := c.position(v); ok {
			t.contest.hear(i, v.Round)
		}
		c.touch(t.contest)
		c.wantCertificate(t, v)
	}
	for _, m := range c.buf {
		switch m.Kind {
		case Certificate:
			c.certified(t, m.Round, m.Group)
		case Final:
			c.finals = append(c.finals, finalQuorum{t, Finality{m.Round, m.Group}})
		}
	}
	if t.status != live {
		c.support(t, v)
	}
}

// position is the voter's place in the present group, where the vote was cast in its epoch.
func (c *Contests) position(v *Vote) (int, bool) {
	return v.Voter, c.present(v.Group)
}

func (c *Contests) present(g *group.Group) bool { return g == c.group || g.Link() == c.group.Link() }

// certified answers a certificate with ACCEPTED at once, unless N1 or N4 forbid it: they will for ever.
func (c *Contests) certified(t *contender, round uint32, g *group.Group) {
	cert := CertAt(g.Epoch(), round)
	if t.certificate.Compare(cert) < 0 {
		t.certificate = cert
	}
	if t.contest != nil {
		t.contest.recheck = true
	}
	if t.status != rejected && c.present(g) {
		c.cast(t, observation.Accepted, round, cert)
	}
}

// cast votes where the guard allows it, and reports whether it did.
func (c *Contests) cast(t *contender, s observation.State, round uint32, cert CertRound) bool {
	if c.me < 0 {
		return false
	}
	v := OwnVote{Tx: t.id, Spends: t.spends, State: s, Round: round, Epoch: c.group.Epoch(), Certificate: cert}
	if c.guard.Check(v) != nil {
		return false
	}
	c.guard.Record(v)
	c.emit(CastVote{v})
	return true
}

// newGroup begins an epoch: old votes keep their certificates, and nothing else. Others may have entered it before:
// what they certified is answered now.
func (c *Contests) newGroup(in *NewGroup) {
	c.enterGroup(in.Group)
	c.guard.Restore(in.Locks)
	for _, t := range c.settled {
		t.late = nil // positions are those of the group
	}
	for _, k := range c.contests() {
		k.relisten(c)
		c.next(k)
		c.touch(k)
		for _, t := range k.members {
			c.certifiedEarly(t)
		}
	}
	c.supportAgain(slices.DeleteFunc(slices.Clone(c.settled), func(t *contender) bool { return !c.voted(t) }))
}

// voted reports whether there are votes of the present epoch on a contender.
func (c *Contests) voted(t *contender) bool {
	e := c.tally.entries[t.id]
	return e != nil && slices.ContainsFunc(e.ballots, func(b ballot) bool { return c.present(b.group) })
}

// certifiedEarly answers the certificates that a contender got in an epoch before this node entered it.
func (c *Contests) certifiedEarly(t *contender) {
	if e := c.tally.entries[t.id]; e != nil {
		for i := range e.ballots {
			if b := &e.ballots[i]; c.present(b.group) && b.certified() {
				c.certified(t, b.round, b.group)
			}
		}
	}
}

// at is a round of the present epoch.
func (c *Contests) at(round uint32) CertRound { return CertAt(c.group.Epoch(), round) }

func (c *Contests) enterGroup(g *group.Group) {
	c.group, c.me = g, -1
	if i, ok := g.Voter(c.self); ok {
		c.me = i
	}
}

// refused replaces what this node believes to have voted by what its guard holds.
func (c *Contests) refused(in *Refused) {
	if t := c.txs[in.Tx]; t != nil && in.State == observation.Pending {
		t.barred = c.at(in.Round)
	}
	c.resume(in.Spends, in.Own)
}

// resume takes what the node's guard holds for outpoints in place of what is remembered here, and lets every
// contest on them look again.
func (c *Contests) resume(spends []utxo.Outpoint, own []Record) {
	for _, o := range spends {
		c.guard.Release(o)
	}
	c.guard.Restore(own)
	for _, o := range spends {
		p := c.points[o]
		if p == nil {
			continue
		}
		for _, t := range p.claimants {
			k := t.contest
			k.voted = c.spokeIn(k)
			k.recheck = true
			k.fresh = append(k.fresh[:0], k.members...) // what was locked may fit in now
			c.touch(k)
		}
	}
}
