package conflict

import (
	"cmp"
	"encoding/binary"
	"slices"

	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	"github.com/notarynet/notaryd/utxo"
)

// candidate is a contender that N1-N4 let this node vote for, with all that rule 6 ranks it by.
type candidate struct {
	*contender
	justified   CertRound // the highest certificate below the round, or of an earlier epoch, for N3
	facilitator bool
	support     group.Weight
	preferred   group.Weight
	tie         domain.Hash
}

// choice is a maximal set of candidates without conflicts among them.
type choice struct {
	picks []candidate
	// forced says that the facilitator's vote could not change it.
	forced bool
}

// compareRule6 orders by the facilitator's choice, the highest certificate, the most weight among the latest votes, the
// same among facilitators that all rivals prefer, and the lowest tie hash. Certificates do not come first: one that a
// liar showed to a few, and that nobody accepted on, would hold these few for ever. N3 alone guards safety.
func compareRule6(a, b candidate) int {
	return cmp.Or(
		compareBool(b.facilitator, a.facilitator),
		b.certificate.Compare(a.certificate),
		cmp.Compare(b.support, a.support),
		cmp.Compare(b.preferred, a.preferred),
		a.tie.Compare(b.tie),
	)
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// choose takes greedily, in the order of rule 6, whoever is allowed and conflicts with nobody taken before: a
// maximal admissible set of transactions, whatever outpoints they share.
func (c *Contests) choose(k *contest, among []*contender) choice {
	candidates := c.candidates(k, among)
	slices.SortFunc(candidates, compareRule6)
	c.stamp++
	result := choice{forced: true}
	for _, t := range candidates {
		if slices.ContainsFunc(t.points, func(p *point) bool { return p.mark == c.stamp }) {
			result.forced = false
			continue
		}
		for _, p := range t.points {
			p.mark = c.stamp
		}
		result.picks = append(result.picks, t)
	}
	return result
}

// candidates are those that the guard allows in the contest's round.
func (c *Contests) candidates(k *contest, among []*contender) []candidate {
	f, preferred, lowest := c.facilitator(k), k.preferred(c.group), k.lowest.outpoint()
	link := c.group.Link()
	var out []candidate
	for _, t := range among {
		v := OwnVote{
			Tx: t.id, Spends: t.spends, State: observation.Pending, Round: k.round, Epoch: c.group.Epoch(),
			Certificate: c.certificateBelow(t, c.at(k.round)),
		}
		if t.barred == c.at(k.round) || !c.admissible(t, k.round) || c.guard.Check(v) != nil {
			continue
		}
		d := candidate{contender: t, justified: v.Certificate, facilitator: c.chosenBy(t, f, k.round)}
		d.support, d.preferred = c.support6(k, t, preferred)
		d.tie = TieHash(lowest, k.round, link, t.id)
		out = append(out, d)
	}
	return out
}

// admissible reports whether the validity window lets this node vote in a round. It gates round 0; in later rounds it is
// enough that a member voted in any: two transactions with half the votes each would freeze an outpoint for ever,
// also where a liar's votes of round 0 were shown to some alone.
func (c *Contests) admissible(t *contender, round uint32) bool {
	if t.inWindow {
		return true
	}
	if round == 0 || plantedWindow {
		return false
	}
	e := c.tally.entries[t.id]
	return e != nil && slices.ContainsFunc(e.ballots, func(b ballot) bool { return b.of(observation.Pending).weight > 0 })
}

// certificateBelow is the highest certificate for the contender below a round of an epoch.
func (c *Contests) certificateBelow(t *contender, below CertRound) (highest CertRound) {
	e := c.tally.entries[t.id]
	if e == nil {
		return CertRound{}
	}
	for i := range e.ballots {
		b := &e.ballots[i]
		at := CertAt(b.group.Epoch(), b.round)
		if at.Compare(below) < 0 && highest.Compare(at) < 0 && b.certified() {
			highest = at
		}
	}
	return highest
}

// support6 is the weight of those whose latest votes in the contest support the contender, and the part of it that
// belongs to preferred facilitators.
func (c *Contests) support6(k *contest, t *contender, preferred []int) (all, among group.Weight) {
	e := c.tally.entries[t.id]
	if e == nil {
		return 0, 0
	}
	voters := c.group.Voters()
	for i := range e.ballots {
		b := &e.ballots[i]
		if !c.present(b.group) {
			continue
		}
		pending, accepted := b.of(observation.Pending), b.of(observation.Accepted)
		for i, h := range k.heard {
			if h == uint64(b.round)+1 && (pending.has(i) || accepted.has(i)) {
				all += voters[i].Share
				if slices.Contains(preferred, i) {
					among += voters[i].Share
				}
			}
		}
	}
	return all, among
}

// preferred are the voters that every member names as a facilitator it prefers.
func (k *contest) preferred(g *group.Group) []int {
	var out []int
	for _, key := range k.members[0].facilitators {
		i, ok := g.Voter(key)
		if ok && !slices.ContainsFunc(k.members, func(t *contender) bool { return !slices.Contains(t.facilitators, key) }) {
			out = append(out, i)
		}
	}
	return out
}

// chosenBy reports whether a voter is PENDING for the contender in a round of this epoch.
func (c *Contests) chosenBy(t *contender, voter int, round uint32) bool {
	b := c.tally.find(t.id, c.group.Link(), round)
	return b != nil && voter >= 0 && b.of(observation.Pending).has(voter)
}

// facilitator is the voter whose choice a round adopts. Round 0 has none: -1.
func (c *Contests) facilitator(k *contest) int {
	if k.round == 0 {
		return -1
	}
	if l := &k.lowest; !l.known {
		l.facilitator, l.known = FacilitatorOf(c.group, l.outpoint(), k.round), true
	}
	return k.lowest.facilitator
}

// FacilitatorOf is the position in the group of the facilitator of a round in the contest whose lowest contested
// outpoint is given: the first voter at which the cumulative weight, keys in order, exceeds
// H("notary/facilitator/v1", link, outpoint, round) mod 1e9, its first eight bytes taken as a big-endian integer.
func FacilitatorOf(g *group.Group, lowest utxo.Outpoint, round uint32) int {
	link, o := g.Link(), lowest.Bytes()
	h := domain.Sum(domain.TagFacilitator, link[:], o[:], binary.BigEndian.AppendUint32(nil, round))
	x := group.Weight(binary.BigEndian.Uint64(h[:8]) % uint64(group.Total))
	for i, v := range g.Voters() {
		if x < v.Share {
			return i
		}
		x -= v.Share
	}
	panic("conflict: weights do not sum to the whole")
}

// TieHash is H("notary/tie/v1", lowest contested outpoint, round, link, id): the lowest wins. It changes with the
// round, so that grinding one id does not win them all.
func TieHash(lowest utxo.Outpoint, round uint32, link, id domain.Hash) domain.Hash {
	o := lowest.Bytes()
	var r [4]byte
	binary.BigEndian.PutUint32(r[:], round)
	return domain.Sum(domain.TagTie, o[:], r[:], link[:], id[:])
}
