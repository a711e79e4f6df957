package conflict

import (
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/group"
)

// ballot counts the votes on one transaction in one round of one epoch. Quorums never look beyond it:
// weights of different rounds or epochs are not added up.
type ballot struct {
	group  *group.Group
	round  uint32
	opener int
	counts [3]count // by state: Pending, Accepted, Abstain
}

// count is who said one thing, and their weight. A node key is counted once.
type count struct {
	voters []uint64 // a bit each, by position in the group
	weight group.Weight
	places []place
}

// place is where in whose chain a counted vote stands.
type place struct {
	height       uint64
	timeMS       uint64
	voter        int32
	leaf         uint32
	signingEpoch uint32
}

func (b *ballot) of(s observation.State) *count { return &b.counts[s-observation.Pending] }

// certified reports whether the ballot holds a certificate: PENDING from more than 2/3 of the weight.
func (b *ballot) certified() bool { return quorum(b.of(observation.Pending).weight) }

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

func (c *count) has(voter int) bool {
	return voter>>6 < len(c.voters) && c.voters[voter>>6]&(1<<(voter&63)) != 0
}

// add counts a vote and reports whether it is the first of its voter.
func (c *count) add(v *Vote) bool {
	if c.has(v.Voter) {
		return false
	}
	voters := v.Group.Voters()
	for words := (len(voters) + 63) >> 6; len(c.voters) < words; {
		c.voters = append(c.voters, 0)
	}
	c.voters[v.Voter>>6] |= 1 << (v.Voter & 63)
	c.weight += voters[v.Voter].Share
	c.places = append(c.places, place{
		height: v.Height, timeMS: v.TimeMS, voter: int32(v.Voter), leaf: v.Leaf, signingEpoch: v.SigningEpoch,
	})
	return true
}

// reset empties the ballot and keeps its memory.
func (b *ballot) reset() {
	b.group = nil
	for i := range b.counts {
		c := &b.counts[i]
		c.voters, c.weight, c.places = c.voters[:0], 0, c.places[:0]
	}
}
