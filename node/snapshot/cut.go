package snapshot

import (
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	"github.com/notarynet/notaryd/utxo"
)

// Cut decides which of some final transactions were final at a time T by what was signed until then: those for which
// members with more than 2/3 of the weight had an ACCEPTED of one round under one link in observations sealed at T or
// before, and all that these spend or read from. It does not depend on the order in which a node learned anything.
//
// Candidates are added in the order in which they became final here, which has parents before children.
type Cut struct {
	timeMS uint64
	list   []candidate
	place  map[domain.Hash]int
	votes  map[ballot]map[int]struct{} // voters
	weight map[ballot]group.Weight
}

type candidate struct {
	tx domain.Hash
	in bool
}

// ballot is what votes are counted for.
type ballot struct {
	tx, link domain.Hash
	round    uint32
}

// NewCut is a cut at a time, Unix milliseconds.
func NewCut(timeMS uint64) *Cut {
	return &Cut{timeMS: timeMS, place: make(map[domain.Hash]int), votes: make(map[ballot]map[int]struct{}), weight: make(map[ballot]group.Weight)}
}

// Candidate adds a transaction that became final, of which it is not known yet whether it was so at T.
func (c *Cut) Candidate(tx domain.Hash) {
	if _, twice := c.place[tx]; !twice {
		c.place[tx] = len(c.list)
		c.list = append(c.list, candidate{tx: tx})
	}
}

// Len is how many candidates there are.
func (c *Cut) Len() int { return len(c.list) }

// Settle says that a candidate was final at T: all of a quorum of it was sealed by then.
func (c *Cut) Settle(tx domain.Hash) {
	if i, ok := c.place[tx]; ok {
		c.list[i].in = true
	}
}

// Count counts the ACCEPTED leaves of an observation whose signature was checked. g is the group of its link, voter the
// signer's place in it.
func (c *Cut) Count(o *observation.Observation, g *group.Group, voter int) {
	if o.Header.TimeMS > c.timeMS {
		return
	}
	for i := range o.Len() {
		leaf := o.Leaf(i)
		if leaf.Type != observation.SubjectTx || leaf.State != observation.Accepted {
			continue
		}
		place, ok := c.place[leaf.Subject]
		if !ok || c.list[place].in {
			continue
		}
		b := ballot{leaf.Subject, g.Link(), leaf.Round}
		if c.votes[b] == nil {
			c.votes[b] = make(map[int]struct{})
		}
		if _, twice := c.votes[b][voter]; twice {
			continue
		}
		c.votes[b][voter] = struct{}{}
		if c.weight[b] += g.Voters()[voter].Share; group.Quorum(c.weight[b]) {
			c.list[place].in = true
		}
	}
}

// Out are the candidates that were not final at T, parents before children. parents are the transactions whose outputs
// one spends or reads: those of one that was final were final too.
func (c *Cut) Out(parents func(tx domain.Hash) ([]utxo.Outpoint, error)) ([]domain.Hash, error) {
	first := 0
	for first < len(c.list) && c.list[first].in {
		first++
	}
	for i := len(c.list) - 1; i > first; i-- {
		if !c.list[i].in {
			continue
		}
		from, err := parents(c.list[i].tx)
		if err != nil {
			return nil, err
		}
		for _, o := range from {
			c.Settle(o.Tx)
		}
	}
	var out []domain.Hash
	for i := range c.list[first:] {
		if !c.list[first+i].in {
			out = append(out, c.list[first+i].tx)
		}
	}
	return out, nil
}
