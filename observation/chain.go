package observation

import (
	"cmp"
	"container/heap"
	"slices"

	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// History gives the proven link that leads to an epoch from the one before.
type History func(epoch uint64) (*Link, error)

// LinkFrom gives a proof, so far without links, those that lead from a group that the verifier knows to
// the one that signed it: of all chains of proven links, and of groups 1, 2, 4, 8, ... epochs ahead that
// the next proof vouches for, the one of the fewest bytes. The group of the proof's epoch, which the
// proof itself may vouch for, is tried from everywhere. A proof by the group known needs none.
//
// A verifier who knows a later group than that of the proof is refused with INVALID_ARGUMENT.
func (p *Proof) LinkFrom(known *group.Group, history History) error {
	links, err := p.linksFrom(known, history)
	if err != nil {
		return err
	}
	p.Links = links
	return p.checkBounds()
}

func (p *Proof) linksFrom(known *group.Group, history History) ([]*Link, error) {
	switch {
	case known.Link() == p.Link:
		return nil, nil
	case known.Epoch() >= p.GroupEpoch:
		return nil, refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, "known_epoch", "epoch %d is not before epoch %d of the proof", known.Epoch(), p.GroupEpoch)
	}
	s := search{proof: p, known: known, history: history, best: map[uint64]*stop{}}
	links, err := s.run()
	if err != nil {
		return nil, err
	}
	out := *p
	out.Links = links
	return links, out.checkLinks()
}

// stop is an epoch whose group a verifier can be led to.
type stop struct {
	epoch uint64
	bytes int
	// from is the stop before; links lead on from there. Nil at the start.
	from  *stop
	links []*Link
	done  bool
}

// search is Dijkstra's over epochs (Dijkstra 1959), which loads no more of the history than it must.
type search struct {
	proof   *Proof
	known   *group.Group
	history History
	best    map[uint64]*stop
	open    stops
}

func (s *search) run() ([]*Link, error) {
	// The usual case, which needs no search and one link of the history: every other chain ends in a link that
	// holds the same group, and more.
	last, err := s.history(s.proof.GroupEpoch)
	if err != nil {
		return nil, err
	}
	if group.Quorum(s.proof.weightIn(s.known, last.Group)) {
		return []*Link{Vouched(last.Group)}, nil
	}
	s.reach(s.known.Epoch(), nil)
	for len(s.open) > 0 {
		at := heap.Pop(&s.open).(*stop)
		if at.done {
			continue
		}
		if at.epoch == s.proof.GroupEpoch {
			return at.path(), nil
		}
		at.done = true
		if err := s.leave(at); err != nil {
			return nil, err
		}
	}
	panic("observation: an epoch without a next one")
}

// leave reaches what can be reached from a stop at once.
func (s *search) leave(at *stop) error {
	here := s.known
	if at.from != nil {
		here = at.links[len(at.links)-1].Group
	}
	next, err := s.history(at.epoch + 1)
	if err != nil {
		return err
	}
	s.reach(next.Group.Epoch(), at, next)
	last, err := s.history(s.proof.GroupEpoch)
	if err != nil {
		return err
	}
	if group.Quorum(s.proof.weightIn(here, last.Group)) {
		s.reach(last.Group.Epoch(), at, Vouched(last.Group))
	}
	for ahead := uint64(1); ahead < s.proof.GroupEpoch-at.epoch; ahead *= 2 {
		over, err := s.history(at.epoch + ahead)
		if err != nil {
			return err
		}
		onward, err := s.history(at.epoch + ahead + 1)
		if err != nil {
			return err
		}
		if group.Quorum(onward.Proof.weightIn(here, over.Group)) {
			s.reach(onward.Group.Epoch(), at, Vouched(over.Group), onward)
		}
	}
	return nil
}

// reach takes a way to an epoch, where it is the shortest so far.
func (s *search) reach(epoch uint64, from *stop, links ...*Link) {
	to := &stop{epoch: epoch, from: from, links: links}
	if from != nil {
		to.bytes = from.bytes
	}
	for _, l := range links {
		to.bytes += len(l.Raw)
	}
	if old, ok := s.best[epoch]; ok && old.bytes <= to.bytes {
		return
	}
	s.best[epoch] = to
	heap.Push(&s.open, to)
}

// path is the links from the start to a stop.
func (t *stop) path() (links []*Link) {
	var legs [][]*Link
	for ; t != nil; t = t.from {
		legs = append(legs, t.links)
	}
	for _, leg := range slices.Backward(legs) {
		links = append(links, leg...)
	}
	return links
}

// stops is a heap by bytes, then by epoch, the later first.
type stops []*stop

// Len is for package heap.
func (s stops) Len() int { return len(s) }

// Less is for package heap.
func (s stops) Less(i, j int) bool {
	return cmp.Or(cmp.Compare(s[i].bytes, s[j].bytes), cmp.Compare(s[j].epoch, s[i].epoch)) < 0
}

// Swap is for package heap.
func (s stops) Swap(i, j int) { s[i], s[j] = s[j], s[i] }

// Push is for package heap.
func (s *stops) Push(x any) { *s = append(*s, x.(*stop)) }

// Pop is for package heap.
func (s *stops) Pop() any {
	last := (*s)[len(*s)-1]
	*s = (*s)[:len(*s)-1]
	return last
}
