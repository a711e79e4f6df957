package conflict

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	"github.com/notarynet/notaryd/utxo"
)

// Bounds of what a Handover keeps and asks for.
const (
	// maxUnproven is how many locks of one voter may be neither settled nor certified here before its chain is walked
	// no further. Only that voter's statement waits.
	maxUnproven = 8192
	// maxNeeds is how many locks are asked for at a time.
	maxNeeds = 256
)

// Handover carries the locks of one epoch into the next: one for each epoch that this node has entered, voter or not
// (docs/spec/voting.md, section 7). It walks the chains of all voters as they grow, closes the epoch here once
// the link to the next group is final, and enters the next epoch when voters of more than 2/3 of the weight have closed
// it and everything that they are bound to is settled or certified here.
//
// Step is pure, and what comes of it does not depend on the order of inputs, but for the observations of one chain.
// Not for concurrent use.
type Handover struct {
	group   *group.Group
	me      int  // position of self in group, or -1
	signs   bool // this node votes in the present epoch
	next    *group.Group
	stated  []Lock               // inherited on entering the present epoch
	ranks   map[Lock]CertRound   // of stated
	ended   map[domain.Hash]bool // of stated, those that are settled
	voters  []walker
	binding map[domain.Hash][]Lock // the locks on each transaction that bind somebody and are not settled
	proofs  map[Lock]proof         // of those, the certificates that are known
	closing bool                   // Close was asked for
	turn    int                    // how often it was asked for what is missing
	entered bool
	out     []HandoverEffect
}

// walker is how far one chain was walked.
type walker struct {
	height   uint64 // of the last observation; 0 before the first
	closed   bool
	bound    map[Lock]tie // that are not settled
	unproven int          // of bound, those that are not certified
}

// tie is how a lock binds a voter: by which observation first, and whether its certificate is known.
type tie struct {
	height    uint64
	certified bool
}

// proof is a certificate that is known here.
type proof struct {
	at     CertRound
	spends []utxo.Outpoint
}

// NewHandover begins to watch an epoch. signs says that this node votes in it; stated are the locks that it entered it
// with (Enter.Stated), nil for the first epoch, and epochOf says the epoch of each of their links.
func NewHandover(self domain.PublicKey, signs bool, g *group.Group, stated []Lock, epochOf func(link domain.Hash) uint64) *Handover {
	h := &Handover{
		group: g, me: -1, stated: stated, ranks: make(map[Lock]CertRound), voters: make([]walker, len(g.Voters())),
		ended: make(map[domain.Hash]bool), proofs: make(map[Lock]proof), binding: make(map[domain.Hash][]Lock),
	}
	if i, ok := g.Voter(self); ok {
		h.me, h.signs = i, signs
	}
	for i := range h.voters {
		h.voters[i].bound = make(map[Lock]tie)
	}
	for _, l := range stated {
		h.bind(l)
		h.ranks[l] = CertAt(epochOf(l.Link), l.Round)
	}
	return h
}

func (h *Handover) bind(l Lock) {
	if !slices.Contains(h.binding[l.Tx], l) {
		h.binding[l.Tx] = append(h.binding[l.Tx], l)
	}
}

// mine reports whether a voter is this node, whose own votes its guard holds.
func (h *Handover) mine(voter int) bool { return h.signs && voter == h.me }

// Next is the height of the observation of a voter that Walked wants: 0 for the first one under the present link. Not ok
// says that the chain was walked to its end, or that too much in it has to be settled or certified first.
func (h *Handover) Next(voter int) (height uint64, ok bool) {
	w := &h.voters[voter]
	switch {
	case w.closed || h.entered || w.unproven >= maxUnproven && !h.mine(voter):
		return 0, false
	case w.height == 0:
		return 0, true
	}
	return w.height + 1, true
}

// Clear is the height below which nothing in a voter's chain matters any more: no lock up to it that is not settled, and
// no closing. A Handover that takes its place, after a restart, may begin with the observation above; 0 where that is
// the first one.
func (h *Handover) Clear(voter int) uint64 {
	w := &h.voters[voter]
	height := w.height
	if w.closed {
		height--
	}
	for _, tie := range w.bound {
		height = min(height, tie.height-1)
	}
	return height
}

// Open are the locks that bind some voter, or this node by inheritance, and are not settled here, ascending; certified
// ones too only where all are asked for. Settled and Certified answer it: what was not asked for is not remembered.
func (h *Handover) Open(all bool) []Lock {
	var open []Lock
	for _, locks := range h.binding {
		for _, l := range locks {
			if _, certified := h.proofs[l]; all || !certified {
				open = append(open, l)
			}
		}
	}
	slices.SortFunc(open, compareLocks)
	return open
}

// Closing reports whether the link to the next group is final here: this node signs nothing more in the present epoch
// but its closing statement.
func (h *Handover) Closing() bool { return h.next != nil }

// Lacking are the voters whose statements are not valid here, for whoever is told why an epoch does not end: those that
// have not closed it, as far as is known, and those that have and are bound by what is not certified here.
func (h *Handover) Lacking() (open, unproven []domain.PublicKey) {
	for i, v := range h.group.Voters() {
		switch {
		case !h.voters[i].closed:
			open = append(open, v.Key)
		case !h.valid(i):
			unproven = append(unproven, v.Key)
		}
	}
	return open, unproven
}

// Step takes one input and returns what is to be done, in this order. After Enter it does nothing more.
func (h *Handover) Step(in HandoverInput) []HandoverEffect {
	if h.entered {
		return nil
	}
	h.out = nil
	switch in := in.(type) {
	case Walked:
		h.walk(&in)
	case Settled:
		h.settle(in.Tx)
	case Certified:
		h.certify(&in)
	case Linked:
		if h.next == nil {
			if in.Next.Previous() != h.group.Link() {
				panic(fmt.Sprintf("conflict: a link from %s, not from %s", in.Next.Previous(), h.group.Link()))
			}
			h.next = in.Next
		}
	case Again:
		h.ask()
	default:
		panic(fmt.Sprintf("conflict: hand-over input %T", in))
	}
	if h.next != nil {
		h.close()
		h.enter()
	}
	return h.out
}

func (h *Handover) walk(in *Walked) {
	w := &h.voters[in.Voter]
	if next, ok := h.Next(in.Voter); !ok || next != 0 && next != in.Height {
		return
	}
	w.height, w.closed = in.Height, !in.Closing.IsZero()
	for _, l := range in.Locks {
		if _, known := w.bound[l]; known {
			continue
		}
		h.bind(l)
		_, certified := h.proofs[l]
		w.bound[l] = tie{in.Height, certified}
		if !certified {
			w.unproven++
		}
	}
}

// settle drops what binds nobody any more.
func (h *Handover) settle(tx domain.Hash) {
	for _, l := range h.binding[tx] {
		delete(h.proofs, l)
		for i := range h.voters {
			w := &h.voters[i]
			if tie, bound := w.bound[l]; bound {
				delete(w.bound, l)
				if !tie.certified {
					w.unproven--
				}
			}
		}
	}
	delete(h.binding, tx)
	if slices.ContainsFunc(h.stated, func(l Lock) bool { return l.Tx == tx }) {
		h.ended[tx] = true
	}
}

// certify takes a certificate of this epoch or an earlier one.
func (h *Handover) certify(in *Certified) {
	if in.Epoch > h.group.Epoch() || !slices.Contains(h.binding[in.Lock.Tx], in.Lock) {
		return
	}
	h.proofs[in.Lock] = proof{CertAt(in.Epoch, in.Lock.Round), in.Spends}
	for i := range h.voters {
		w := &h.voters[i]
		if tie, bound := w.bound[in.Lock]; bound && !tie.certified {
			tie.certified = true
			w.bound[in.Lock] = tie
			w.unproven--
		}
	}
}

// close ends this node's own chain. It states what the epoch was entered with, whatever became of that: a statement
// that left out what is final here would tell nothing to those who do not know it.
func (h *Handover) close() {
	if h.signs && !h.closing && !h.voters[h.me].closed {
		h.closing = true
		h.out = append(h.out, Close{Next: h.next, Stated: slices.Clone(h.stated)})
	}
}

// valid reports whether a voter's statement is here, and nothing in it unknown. What this node is bound to itself needs
// no certificate: its guard holds it.
func (h *Handover) valid(voter int) bool {
	w := &h.voters[voter]
	return w.closed && (w.unproven == 0 || h.mine(voter))
}

func (h *Handover) enter() {
	if h.signs && !h.voters[h.me].closed {
		return
	}
	var weight group.Weight
	for i, v := range h.group.Voters() {
		if h.valid(i) {
			weight += v.Share
		}
	}
	if !group.Quorum(weight) {
		return
	}
	h.entered = true
	records, bonds := h.adopt()
	h.out = append(h.out, Enter{Group: h.next, Records: records, Bonds: bonds, Stated: h.restated()})
}

// adopt takes over the locks of all valid statements: for each outpoint that of the highest certificate.
func (h *Handover) adopt() ([]Record, []Bond) {
	if plantedNoAdoption {
		return nil, nil
	}
	highest := make(map[utxo.Outpoint]Record)
	spends := make(map[domain.Hash][]utxo.Outpoint)
	for i := range h.voters {
		if h.mine(i) || !h.valid(i) {
			continue
		}
		for l := range h.voters[i].bound {
			p := h.proofs[l]
			spends[l.Tx] = p.spends
			for _, o := range p.spends {
				r := Record{
					Outpoint: o, Round: l.Round, State: observation.Inherited,
					Tx: l.Tx, Epoch: h.next.Epoch(), Certificate: p.at,
				}
				if old, taken := highest[o]; !taken || compareInherited(&old, &r) < 0 {
					highest[o] = r
				}
			}
		}
	}
	bonds := make([]Bond, 0, len(spends))
	for _, tx := range slices.SortedFunc(maps.Keys(spends), domain.Hash.Compare) {
		bonds = append(bonds, Bond{tx, spends[tx]})
	}
	return slices.SortedFunc(maps.Values(highest), func(a, b Record) int { return a.Outpoint.Compare(b.Outpoint) }), bonds
}

// restated are the locks that the next closing statement will name: all that binds this node now and is not settled,
// of each transaction that of the highest certificate. Of its own ones it need not have the certificate at hand.
func (h *Handover) restated() []Lock {
	highest := make(map[domain.Hash]Lock)
	see := func(l Lock) {
		old, there := highest[l.Tx]
		if !there || cmp.Or(h.at(old).Compare(h.at(l)), old.Link.Compare(l.Link)) < 0 {
			highest[l.Tx] = l
		}
	}
	for i := range h.voters {
		if h.valid(i) {
			for l := range h.voters[i].bound {
				see(l)
			}
		}
	}
	for _, l := range h.stated {
		if !h.ended[l.Tx] {
			see(l)
		}
	}
	return slices.SortedFunc(maps.Values(highest), compareLocks)
}

// at is the certificate of a lock in a valid statement, or of one that this node states. Of what this node states the
// certificate need not be at hand: it was when the node inherited it.
func (h *Handover) at(l Lock) CertRound {
	if p, known := h.proofs[l]; known {
		return p.at
	}
	if at, inherited := h.ranks[l]; inherited {
		return at
	}
	return CertAt(h.group.Epoch(), l.Round) // its own vote
}

// ask asks for what keeps statements from being valid, chains and then certificates, and hands the link to whoever has
// not closed yet.
func (h *Handover) ask() {
	if h.next == nil || plantedNoAsking {
		return
	}
	for i, v := range h.group.Voters() {
		if h.mine(i) {
			continue
		}
		if next, ok := h.Next(i); ok {
			h.out = append(h.out, NeedChain{Key: v.Key, From: next})
		}
		if !h.voters[i].closed {
			h.out = append(h.out, HandLink{v.Key})
		}
	}
	h.askLocks()
	h.turn++
}

// askLocks asks for the certificates behind locks, each lock of one of the voters that are bound by it. Every voter has
// a share of what is asked for at a time, other locks of its each time, and another one comes first: whoever is bound by
// a thousand inventions delays no statement but its own.
func (h *Handover) askLocks() {
	voters := h.group.Voters()
	share := max(maxNeeds/len(voters), 1)
	taken := make(map[Lock]bool)
	for k := range voters {
		i := (h.turn + k) % len(voters)
		if h.mine(i) {
			continue
		}
		open := h.unproven(i)
		from, n := 0, 0
		if len(open) > 0 {
			from = h.turn * share % len(open)
		}
		for _, l := range slices.Concat(open[from:], open[:from]) {
			if n == share || len(taken) == maxNeeds {
				break
			}
			if !taken[l] {
				taken[l] = true
				n++
				h.out = append(h.out, NeedLock{Lock: l, From: voters[i].Key})
			}
		}
	}
}

// unproven are the locks of a voter that are not certified, ascending.
func (h *Handover) unproven(voter int) (open []Lock) {
	for l, tie := range h.voters[voter].bound {
		if !tie.certified {
			open = append(open, l)
		}
	}
	slices.SortFunc(open, compareLocks)
	return open
}
