package conflict

import (
	"slices"

	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
)

// ballot counts the votes on one transaction in one round of one epoch. Quorums never look beyond it:
// weights of different rounds or epochs are not added up.
type ballot struct {
	group  *group.Group
	round  uint32
	counts [3]count // by state: Pending, Accepted, Abstain
}

// count is who said one thing, and their weight. A node key is counted once.
type count struct {
	voters voterSet
	weight group.Weight
	places []place
}

// place is where in whose chain a counted vote stands. Its signing epoch is the one in which the voter counts.
type place struct {
	height uint64
	timeMS uint64
	leaf   uint32
	voter  uint16 // group.MaxMembers fit
}

// voterSet holds positions in a group, a bit each.
type voterSet struct {
	low  uint64 // the first 64
	high []uint64
}

func (s *voterSet) has(voter int) bool {
	if voter < 64 {
		return s.low&(1<<voter) != 0
	}
	word := voter>>6 - 1
	return word < len(s.high) && s.high[word]&(1<<(voter&63)) != 0
}

// remove takes a position out that is in.
func (s *voterSet) remove(voter int) {
	if voter < 64 {
		s.low &^= 1 << voter
	} else {
		s.high[voter>>6-1] &^= 1 << (voter & 63)
	}
}

// add puts a position of a group of so many voters in.
func (s *voterSet) add(voter, voters int) {
	if voter < 64 {
		s.low |= 1 << voter
		return
	}
	for words := (voters - 1) >> 6; len(s.high) < words; {
		s.high = append(s.high, 0)
	}
	s.high[voter>>6-1] |= 1 << (voter & 63)
}

func (b *ballot) of(s observation.State) *count { return &b.counts[s-observation.Pending] }

// has reports whether a voter has said anything.
func (b *ballot) has(voter int) bool {
	return b.counts[0].has(voter) || b.counts[1].has(voter) || b.counts[2].has(voter)
}

// withdraw takes out all that a voter has said.
func (b *ballot) withdraw(voter int) {
	for i := range b.counts {
		if c := &b.counts[i]; c.has(voter) {
			c.voters.remove(voter)
			c.weight -= b.group.Voters()[voter].Share
			c.places = slices.DeleteFunc(c.places, func(p place) bool { return int(p.voter) == voter })
		}
	}
}

// empty reports whether nobody has said anything.
func (b *ballot) empty() bool {
	return len(b.counts[0].places)+len(b.counts[1].places)+len(b.counts[2].places) == 0
}

// certified reports whether the ballot holds a certificate: PENDING from more than 2/3 of the weight.
func (b *ballot) certified() bool { return quorum(b.of(observation.Pending).weight) }

// milestone is one that stands by the votes of a state, of which there are some.
func (b *ballot) milestone(tx domain.Hash, k MilestoneKind, c *count) Milestone {
	return Milestone{Tx: tx, Kind: k, Round: b.round, Group: b.group, Weight: c.weight, Voter: int(c.places[0].voter)}
}

// quorum is what makes certificates and finality. The whole is no multiple of 3, so that >= for > makes no difference
// unless the division is carried out.
func quorum(w group.Weight) bool { return group.Quorum(w) || plantedQuorum && w >= 2*group.Total/3 }

// hollow reports whether not even one honest voter is sure to stand behind the ballot.
func (b *ballot) hollow() bool {
	for i := range b.counts {
		if group.Third(b.counts[i].weight) {
			return false
		}
	}
	return true
}

func (c *count) has(voter int) bool { return c.voters.has(voter) }

// add counts a vote and reports whether it is the first of its voter.
func (c *count) add(v *Vote) bool {
	if c.has(v.Voter) {
		return false
	}
	voters := v.Group.Voters()
	c.voters.add(v.Voter, len(voters))
	c.weight += voters[v.Voter].Share
	c.places = append(c.places, place{height: v.Height, timeMS: v.TimeMS, leaf: v.Leaf, voter: uint16(v.Voter)})
	return true
}

// reset empties the ballot and keeps its memory.
func (b *ballot) reset() {
	b.group = nil
	for i := range b.counts {
		c := &b.counts[i]
		c.voters, c.weight, c.places = voterSet{high: c.voters.high[:0]}, 0, c.places[:0]
	}
}
