package sync

import (
	"errors"
	"fmt"

	"github.com/notarynet/notaryd/proto/domain"
)

// Set is what a node has. It may grow during a session.
type Set interface {
	// Fingerprint is that of all ids within bounds.
	Fingerprint(Bounds) (Fingerprint, error)
	// IDs are the ids within bounds, ascending: all of them, or the first limit.
	IDs(b Bounds, limit int) ([]domain.Hash, error)
}

// Range says what one side has within bounds: all its ids if Listed, else their number and digest.
type Range struct {
	Bounds
	Digest Digest
	Count  uint64
	Listed bool
	// IDs are ascending. Digest and Count mean nothing beside them.
	IDs []domain.Hash
}

// Size is the length in bytes of a plain encoding, both bounds written out: 89, or 69 and 32 for each id. A
// wire form that leaves out bounds that follow from the question is shorter.
func (r *Range) Size() int {
	if r.Listed {
		return 2*domain.Size + 1 + 4 + domain.Size*len(r.IDs)
	}
	return 2*domain.Size + 1 + 8 + len(r.Digest)
}

// Reply answers the first Answered of the ranges asked for, Answered being at least 1; the others did not fit.
//
// The answer to a range is nothing, where the digests are the same; or this range, listed; or its parts
// (Bounds.Split), all of them and in order, with their digests; of which those with nothing in them, and
// no others need be, are listed. Ranges are the answers one after the other.
type Reply struct {
	Answered int
	Ranges   []Range
}

// Limits bound messages and sessions. All nodes of a network have the same Ranges and IDs: a reply beyond
// those of the asker is refused.
type Limits struct {
	// Ranges is how many ranges a request or a reply has at most, not less than Fanout.
	Ranges int
	// IDs is how many ids a reply has at most, not less than Leaf.
	IDs int
	// Leaf is up to how many ids an answerer lists, at least 1.
	Leaf int
	// Rounds is how many requests a session makes at most.
	Rounds int
	// Bytes (Range.Size) is after how much in both directions a session makes no more requests.
	Bytes int
}

// DefaultLimits make messages of at most 154 kB, and sessions that find some 300,000 ids before they end.
var DefaultLimits = Limits{Ranges: 256, IDs: 4096, Leaf: 64, Rounds: 1024, Bytes: 16 << 20}

// must panics where nothing could ever be answered within the limits.
func (l Limits) must() {
	if l.Ranges < Fanout || l.Leaf < 1 || l.IDs < l.Leaf {
		panic("sync: limits without room for an answer")
	}
}

// What can be wrong with a message of a peer. Errors say more, and match one of these.
var (
	ErrTooMany = errors.New("more than the limits allow")
	ErrBounds  = errors.New("range is not where it should be")
	ErrForm    = errors.New("range of the wrong form")
	ErrIDs     = errors.New("ids outside their range or not ascending")
	ErrCount   = errors.New("reply to none, or to more than was asked")
)

// checkAsked says what is wrong with a request: there must be 1 to Ranges ranges, with digests, ascending and
// disjoint, so that to answer it costs no more than to go through the set twice.
func checkAsked(asked []Range, limits Limits) error {
	if len(asked) == 0 || len(asked) > limits.Ranges {
		return fmt.Errorf("request of %d ranges: %w", len(asked), ErrTooMany)
	}
	for i := range asked {
		r := &asked[i]
		if !r.Valid() || i > 0 && (asked[i-1].endsAfter(r.From)) {
			return fmt.Errorf("range %d of a request: %w", i, ErrBounds)
		}
		if r.Listed || len(r.IDs) > 0 {
			return fmt.Errorf("range %d of a request: %w", i, ErrForm)
		}
	}
	return nil
}

// checkIDs says what is wrong with a list.
func (r *Range) checkIDs() error {
	for i, id := range r.IDs {
		if !r.Contains(id) || i > 0 && r.IDs[i-1].Compare(id) >= 0 {
			return fmt.Errorf("id %d of %d: %w", i, len(r.IDs), ErrIDs)
		}
	}
	return nil
}
