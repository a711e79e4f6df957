package conflict

import (
	"slices"
	"sort"

	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
)

// TallyLimits bound what voters can make a Tally remember.
type TallyLimits struct {
	// UnknownPerVoter is how many transactions not known here a node key may be the first to name; the
	// oldest gives way. What is dropped comes back with the pull of edges by transaction.
	UnknownPerVoter int
	// HollowPerVoter is in how many rounds of one transaction a node key may have votes, as long
	// as not even 1/3 of the weight has followed; the oldest gives way.
	HollowPerVoter int
}

// DefaultTallyLimits hold at most some 100 bytes for each unknown transaction and voter.
var DefaultTallyLimits = TallyLimits{UnknownPerVoter: 8192, HollowPerVoter: 32}

// MilestoneKind is what a vote brought about.
type MilestoneKind uint8

// The milestones, in the order in which they come about.
const (
	// FirstVote: the transaction is named for the first time.
	FirstVote MilestoneKind = iota + 1
	// Third: PENDING from more than 1/3 of the weight in one round and epoch.
	Third
	// Certificate: PENDING from more than 2/3 of the weight in one round and epoch.
	Certificate
	// Final: ACCEPTED from more than 2/3 of the weight in one round and epoch.
	Final
)

// String is the name of the kind.
func (k MilestoneKind) String() string {
	return [...]string{"none", "first vote", "third", "certificate", "final"}[k]
}

// Milestone is reported once: FirstVote for each transaction, the others for each transaction, round and
// epoch.
type Milestone struct {
	Tx    domain.Hash
	Kind  MilestoneKind
	Round uint32
	Group *group.Group
	// Weight is what stands behind the kind: PENDING weight, or ACCEPTED weight for Final.
	Weight group.Weight
	// Voter is the position in Group of the voter whose vote brought it about.
	Voter int
	// Holder is what Know was told of the transaction, until it is Final or Leave ends it.
	Holder any
}

// Tally counts votes by transaction, round and epoch. It is the only place where votes become weight.
// One per shard; not for concurrent use.
type Tally struct {
	limits  TallyLimits
	entries map[domain.Hash]*entry
	unknown map[domain.PublicKey]*entry // sentinels of rings, oldest next
	idle    []*entry

	reached uint64 // by Reach, of no meaning
}

// entry holds the votes on one transaction. Nearly every one has a single ballot, and all it takes for that lies in one
// piece: whoever counts a vote waits for memory more than for anything else.
type entry struct {
	tx      domain.Hash
	ballots []ballot // by round, then group
	holder  any      // until it is final
	// charged is set while the transaction is unknown: the sentinel of its first voter's ring.
	charged    *entry
	next, prev *entry
	length     int // of a sentinel's ring

	room   [1]ballot                     // of ballots, mostly
	places [roomStates][roomVoters]place // of its counts, mostly
}

const (
	// roomVoters and roomStates say how many votes of which states, PENDING and ACCEPTED, an entry has room for.
	roomVoters = 4
	roomStates = 2
	// maxIdle is how many entries are kept to be used again, maxSpare how many ballots in each of them.
	maxIdle  = 1 << 14
	maxSpare = 4
)

// furnish gives an entry the room that it has.
func (e *entry) furnish() {
	e.ballots, e.room[0] = e.room[:0], ballot{}
	for s := range e.places {
		e.room[0].counts[s].places = e.places[s][:0]
	}
}

// NewTally makes an empty tally.
func NewTally(limits TallyLimits) *Tally {
	return &Tally{
		limits:  limits,
		entries: make(map[domain.Hash]*entry),
		unknown: make(map[domain.PublicKey]*entry),
	}
}

// Know marks a transaction as held here: its votes are kept until Forget, whatever else is named. holder, unless it is
// nil, is named by its milestones. Know reports whether there are votes on it already.
func (t *Tally) Know(tx domain.Hash, holder any) (voted bool) {
	e := t.entries[tx]
	if e == nil {
		e = t.open(tx)
	}
	e.discharge()
	if holder != nil {
		e.holder = holder
	}
	return len(e.ballots) > 0
}

// Reach looks at what is held of a transaction and changes nothing. Whoever is about to count votes on many has them fetched side by side
// so, and not one after the other.
func (t *Tally) Reach(tx domain.Hash) {
	if e := t.entries[tx]; e != nil {
		t.reached += uint64(len(e.ballots)) + e.room[0].counts[0].voters.low + e.places[1][roomVoters-1].height
	}
}

// Leave ends that milestones of a transaction name its holder. It reports whether there are votes on it, and whether all
// voters of a group have ACCEPTED it in one round.
func (t *Tally) Leave(tx domain.Hash) (voted, unanimous bool) {
	e := t.entries[tx]
	if e == nil {
		return false, false
	}
	e.holder = nil
	for i := range e.ballots {
		b := &e.ballots[i]
		unanimous = unanimous || len(b.of(observation.Accepted).places) == len(b.group.Voters())
	}
	return len(e.ballots) > 0, unanimous
}

// Count adds a vote and appends the milestones that it brought about to out. A vote that was counted before,
// or that has no weight in its group, changes nothing. It does not allocate while entries that were forgotten are left.
func (t *Tally) Count(v Vote, out []Milestone) []Milestone {
	if !v.counts() {
		return out
	}
	e := t.entries[v.Tx]
	if e == nil {
		e = t.open(v.Tx)
		t.charge(e, v.Key())
	}
	if len(e.ballots) == 0 {
		out = append(out, Milestone{Tx: v.Tx, Kind: FirstVote, Round: v.Round, Group: v.Group, Voter: v.Voter, Holder: e.holder})
	}
	b := t.ballot(e, &v)
	c := b.of(v.State)
	before := c.weight
	if !c.add(&v) {
		return out
	}
	report := func(k MilestoneKind) {
		out = append(out, Milestone{Tx: v.Tx, Kind: k, Round: v.Round, Group: v.Group, Weight: c.weight, Voter: v.Voter, Holder: e.holder})
	}
	switch v.State {
	case observation.Pending:
		if !group.Third(before) && group.Third(c.weight) {
			report(Third)
		}
		if !quorum(before) && quorum(c.weight) {
			report(Certificate)
		}
	case observation.Accepted:
		if !quorum(before) && quorum(c.weight) {
			report(Final)
			e.holder = nil
		}
	}
	return out
}

// Weights are the PENDING and the ACCEPTED weight of a transaction in one round under one link.
func (t *Tally) Weights(tx, link domain.Hash, round uint32) (pending, accepted group.Weight) {
	if b := t.find(tx, link, round); b != nil {
		return b.of(observation.Pending).weight, b.of(observation.Accepted).weight
	}
	return 0, 0
}

// Standing is what the votes on a transaction amount to: a third of the weight above round 0, the certificate of the highest
// round and the finality of the lowest. Their Group is nil where there is none; their Voter is one of those behind them.
func (t *Tally) Standing(tx domain.Hash) (third, certificate, final Milestone) {
	e := t.entries[tx]
	if e == nil {
		return third, certificate, final
	}
	for i := range e.ballots {
		b := &e.ballots[i]
		pending, accepted := b.of(observation.Pending), b.of(observation.Accepted)
		if group.Third(pending.weight) && b.round > 0 {
			third = b.milestone(tx, Third, pending)
		}
		if quorum(pending.weight) && (certificate.Group == nil || b.round > certificate.Round) {
			certificate = b.milestone(tx, Certificate, pending)
		}
		if quorum(accepted.weight) && final.Group == nil {
			final = b.milestone(tx, Final, accepted)
		}
	}
	return third, certificate, final
}

// Edges appends the votes of one state on a transaction in one round under one link, by voter: what a certificate
// or an acceptance proof is built from.
func (t *Tally) Edges(out []Vote, tx, link domain.Hash, round uint32, state observation.State) []Vote {
	b := t.find(tx, link, round)
	if b == nil || state < observation.Pending || state > observation.Abstain {
		return out
	}
	votes := b.votes(tx, state, out)
	slices.SortFunc(votes[len(out):], compareVotes)
	return votes
}

// Votes are all counted votes on a transaction, by epoch, round, state and voter: what is handed over when
// the transaction becomes contested.
func (t *Tally) Votes(tx domain.Hash) []Vote {
	e := t.entries[tx]
	if e == nil {
		return nil
	}
	var votes []Vote
	for i := range e.ballots {
		for s := observation.Pending; s <= observation.Abstain; s++ {
			votes = e.ballots[i].votes(tx, s, votes)
		}
	}
	slices.SortFunc(votes, compareVotes)
	return votes
}

// Forget drops a transaction and its votes.
func (t *Tally) Forget(tx domain.Hash) {
	e := t.entries[tx]
	if e == nil {
		return
	}
	delete(t.entries, tx)
	e.discharge()
	if len(t.idle) >= maxIdle {
		return
	}
	if cap(e.ballots) > maxSpare {
		e.empty()
	}
	t.idle = append(t.idle, e)
}

// empty makes an entry that was forgotten one that is new. Mostly that waits until it is used again: its memory has to be fetched then
// in any case.
func (e *entry) empty() {
	e.holder = nil
	for i := range e.ballots {
		e.ballots[i].reset()
	}
	if e.ballots = e.ballots[:0]; cap(e.ballots) > maxSpare {
		e.furnish()
	}
}

// Len is the number of transactions that votes are held for or that are known.
func (t *Tally) Len() int { return len(t.entries) }

func (b *ballot) votes(tx domain.Hash, s observation.State, out []Vote) []Vote {
	voters := b.group.Voters()
	for _, p := range b.of(s).places {
		out = append(out, Vote{
			Tx: tx, State: s, Round: b.round, Group: b.group, Voter: int(p.voter),
			SigningEpoch: voters[p.voter].SigningEpoch, Height: p.height, Leaf: p.leaf, TimeMS: p.timeMS,
		})
	}
	return out
}

func (t *Tally) open(tx domain.Hash) *entry {
	var e *entry
	if n := len(t.idle); n > 0 {
		e, t.idle = t.idle[n-1], t.idle[:n-1]
		e.empty()
	} else {
		e = new(entry)
		e.furnish()
	}
	e.tx = tx
	t.entries[tx] = e
	return e
}

// charge puts an unknown transaction on the account of the voter that named it first.
func (t *Tally) charge(e *entry, voter domain.PublicKey) {
	ring := t.unknown[voter]
	if ring == nil {
		ring = new(entry)
		ring.next, ring.prev = ring, ring
		t.unknown[voter] = ring
	}
	if ring.length >= t.limits.UnknownPerVoter {
		t.Forget(ring.next.tx)
	}
	e.charged, e.next, e.prev = ring, ring, ring.prev
	e.prev.next, ring.prev = e, e
	ring.length++
}

func (e *entry) discharge() {
	if e.charged == nil {
		return
	}
	e.charged.length--
	e.prev.next, e.next.prev = e.next, e.prev
	e.charged, e.next, e.prev = nil, nil, nil
}

func (t *Tally) find(tx, link domain.Hash, round uint32) *ballot {
	e := t.entries[tx]
	if e == nil {
		return nil
	}
	for i := e.from(round); i < len(e.ballots) && e.ballots[i].round == round; i++ {
		if e.ballots[i].group.Link() == link {
			return &e.ballots[i]
		}
	}
	return nil
}

// from is the position of the first ballot in round or above.
func (e *entry) from(round uint32) int {
	return sort.Search(len(e.ballots), func(i int) bool { return e.ballots[i].round >= round })
}

// ballot finds or opens the ballot of a vote. What it returns moves when the next one is opened.
func (t *Tally) ballot(e *entry, v *Vote) *ballot {
	i, found := e.position(v)
	if found && e.ballots[i].has(v.Voter) {
		return &e.ballots[i]
	}
	if at := t.makeRoom(e, v); at >= 0 && at < i {
		i--
	}
	if found {
		return &e.ballots[i]
	}
	b := e.insert(i)
	b.group, b.round = v.Group, v.Round
	if plantedCarriedVote {
		e.carryPending(b)
	}
	if plantedCrossEpoch {
		e.carryEpochs(b)
	}
	return b
}

// position is where the ballot of a vote is, or belongs.
func (e *entry) position(v *Vote) (i int, found bool) {
	for i = e.from(v.Round); i < len(e.ballots) && e.ballots[i].round == v.Round; i++ {
		if c := compareGroups(e.ballots[i].group, v.Group); c >= 0 {
			return i, c == 0
		}
	}
	return i, false
}

// insert makes an empty ballot at a position, of what memory is left from others.
func (e *entry) insert(at int) *ballot {
	last := len(e.ballots)
	if last < cap(e.ballots) {
		e.ballots = e.ballots[:last+1]
	} else {
		e.ballots = append(e.ballots, ballot{})
	}
	b := e.ballots[last]
	copy(e.ballots[at+1:], e.ballots[at:last])
	e.ballots[at] = b
	return &e.ballots[at]
}

// remove drops a ballot and keeps its memory.
func (e *entry) remove(at int) {
	b := e.ballots[at]
	b.reset()
	last := len(e.ballots) - 1
	copy(e.ballots[at:], e.ballots[at+1:])
	e.ballots[last] = b
	e.ballots = e.ballots[:last]
}

// makeRoom takes a voter's votes out of the lowest hollow ballot where it has some in too many: a liar that votes in rounds nobody else reaches
// loses its own votes, and nobody else's. It returns the position of a ballot that is dropped since nothing is left in it, or -1.
func (t *Tally) makeRoom(e *entry, v *Vote) int {
	if len(e.ballots) < t.limits.HollowPerVoter {
		return -1
	}
	voted, lowest := 0, -1
	for i := range e.ballots {
		if b := &e.ballots[i]; b.group == v.Group && b.has(v.Voter) && b.hollow() {
			voted++
			if lowest < 0 {
				lowest = i
			}
		}
	}
	if voted < t.limits.HollowPerVoter {
		return -1
	}
	if e.ballots[lowest].withdraw(v.Voter); !e.ballots[lowest].empty() {
		return -1
	}
	e.remove(lowest)
	return lowest
}
