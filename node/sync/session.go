package sync

import (
	"errors"
	"fmt"
	"slices"

	"github.com/notarynet/notaryd/proto/domain"
)

// ErrSpent ends a session that has used up its rounds or bytes. What it found so far holds; when that is
// fetched, another session, better with another peer, finds more.
var ErrSpent = errors.New("session has used up its rounds or bytes")

// Session is the asking side of one reconciliation with one peer: Next and Take in turn until Next has nothing
// more to ask, or an error. Not for concurrent use.
//
// It goes through the id space depth first, so that it holds at most some 64·Limits.Ranges ranges whatever
// the peer says.
type Session struct {
	set    Set
	limits Limits
	// open are the ranges still to compare, the lowest last, and asked those under way, the lowest first.
	open, asked []pending
	stats       Stats
	done        bool
	err         error
}

// pending is a range and what the peer has there, if it has said so.
type pending struct {
	Bounds
	said   bool
	digest Digest
}

// Stats is what a session did so far.
type Stats struct {
	// Rounds are the requests made, Bytes (Range.Size) those of requests and replies.
	Rounds, Bytes int
	// Digests and IDs are what the peer sent of each.
	Digests, IDs int
	// Missing are the ids that only the peer has. Extra are those that only this side has, in ranges that the
	// peer listed.
	Missing, Extra uint64
}

// NewSession compares a set with that of a peer.
func NewSession(set Set, limits Limits) *Session {
	limits.must()
	return &Session{set: set, limits: limits, open: []pending{{}}}
}

// Next is the next request, 1 to Limits.Ranges ranges; none when the session is done. Called again before
// Take, it is a request anew for the same (a reply was lost), and one more round. ErrSpent ends the
// session, an error of the set does not.
func (s *Session) Next() ([]Range, error) {
	if s.err != nil {
		return nil, s.err
	}
	for _, p := range slices.Backward(s.asked) {
		s.open = append(s.open, p)
	}
	s.asked = s.asked[:0]
	if len(s.open) > 0 && (s.stats.Rounds >= s.limits.Rounds || s.stats.Bytes >= s.limits.Bytes) {
		return nil, s.end(ErrSpent)
	}
	var request []Range
	for len(s.open) > 0 && len(request) < s.limits.Ranges {
		p := s.open[len(s.open)-1]
		f, err := s.set.Fingerprint(p.Bounds)
		if err != nil {
			return nil, err
		}
		s.open = s.open[:len(s.open)-1]
		if r := (Range{Bounds: p.Bounds, Digest: f.Digest(), Count: f.Count}); !p.said || r.Digest != p.digest {
			s.asked = append(s.asked, p)
			request = append(request, r)
			s.stats.Bytes += r.Size()
		}
	}
	if s.done = len(request) == 0; !s.done {
		s.stats.Rounds++
	}
	return request, nil
}

// Done reports whether Next found that nothing is left to ask.
func (s *Session) Done() bool { return s.done }

// Stats is what the session did so far.
func (s *Session) Stats() Stats { return s.stats }

// Take reads the reply to the last request. missing are ids that the peer lists and this side lacks, none
// twice in a session; whether they exist, only fetching them shows. A reply that is not what an honest peer
// sends is an error, changes nothing, and ends the session: the peer lies or has other limits. An error of
// the set ends it too.
func (s *Session) Take(reply Reply) (missing []domain.Hash, err error) {
	if s.err != nil {
		return nil, s.err
	}
	if err := s.check(&reply); err != nil {
		return nil, s.end(fmt.Errorf("reply: %w", err))
	}
	var more []pending
	for i := range reply.Ranges {
		r := &reply.Ranges[i]
		s.stats.Bytes += r.Size()
		if !r.Listed {
			s.stats.Digests++
			more = append(more, pending{Bounds: r.Bounds, said: true, digest: r.Digest})
			continue
		}
		if missing, err = s.lack(r, missing); err != nil {
			return nil, s.end(err)
		}
	}
	// What did not fit is above all that did.
	more = append(more, s.asked[reply.Answered:]...)
	for _, p := range slices.Backward(more) {
		s.open = append(s.open, p)
	}
	s.asked = s.asked[:0]
	return missing, nil
}

func (s *Session) end(err error) error {
	s.err = err
	return err
}

// check says what is wrong with a reply.
func (s *Session) check(reply *Reply) error {
	if reply.Answered < 1 || reply.Answered > len(s.asked) {
		return fmt.Errorf("%d of %d ranges: %w", reply.Answered, len(s.asked), ErrCount)
	}
	if len(reply.Ranges) > s.limits.Ranges {
		return fmt.Errorf("%d ranges: %w", len(reply.Ranges), ErrTooMany)
	}
	ids := 0
	for i := range reply.Ranges {
		r := &reply.Ranges[i]
		if ids += len(r.IDs); ids > s.limits.IDs {
			return fmt.Errorf("%d ids: %w", ids, ErrTooMany)
		}
		// Nothing in a range is said by an empty list, so that it is said in one way only.
		if !r.Listed && (r.Count == 0 || len(r.IDs) > 0) {
			return fmt.Errorf("range %d: %w", i, ErrForm)
		}
		if err := r.checkIDs(); err != nil {
			return fmt.Errorf("range %d: %w", i, err)
		}
	}
	rest := reply.Ranges
	for _, p := range s.asked[:reply.Answered] {
		n, err := answers(p.Bounds, rest)
		if err != nil {
			return fmt.Errorf("range %d: %w", len(reply.Ranges)-len(rest), err)
		}
		rest = rest[n:]
	}
	if len(rest) > 0 {
		return fmt.Errorf("range %d: %w", len(reply.Ranges)-len(rest), ErrBounds)
	}
	return nil
}

// answers is how many of the next ranges of a reply answer one that was asked: none, itself or all its
// parts.
func answers(asked Bounds, next []Range) (int, error) {
	if len(next) == 0 || next[0].From != asked.From {
		return 0, nil
	}
	if next[0].Bounds == asked {
		if !next[0].Listed {
			// It would be asked again and again.
			return 0, ErrForm
		}
		return 1, nil
	}
	parts := asked.Split()
	if len(next) < len(parts) {
		return 0, ErrBounds
	}
	for i, part := range parts {
		if next[i].Bounds != part {
			return 0, ErrBounds
		}
	}
	return len(parts), nil
}

// lack appends the ids of a list that are not here to missing. It reads no more than some four times as many
// ids here as are listed, however many this side has in the range.
func (s *Session) lack(r *Range, missing []domain.Hash) ([]domain.Hash, error) {
	limit := 4*len(r.IDs) + 2*s.limits.Leaf
	own, err := s.set.IDs(r.Bounds, limit)
	if err != nil {
		return nil, err
	}
	count, whole := uint64(len(own)), len(own) < limit
	if !whole {
		f, err := s.set.Fingerprint(r.Bounds)
		if err != nil {
			return nil, err
		}
		count = f.Count
	}
	for _, id := range r.IDs {
		_, here := slices.BinarySearchFunc(own, id, domain.Hash.Compare)
		if !here && !whole {
			found, err := s.set.IDs(one(id), 1)
			if err != nil {
				return nil, err
			}
			here = len(found) > 0
		}
		if !here {
			s.stats.Missing++
			missing = append(missing, id)
		} else if count > 0 {
			count--
		}
	}
	s.stats.IDs += len(r.IDs)
	s.stats.Extra += count
	return missing, nil
}
