package conflict

import (
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	"github.com/notarynet/notaryd/utxo"
)

// Input is what Contests.Step takes: Join, Heard, Fired, Refused, Freed or NewGroup.
type Input interface{ input() }

// Join hands a transaction over to Contests. It is valid here, or valid but for its window, and its parents are
// final. Joining again adds what is new.
type Join struct {
	Tx     domain.Hash
	Spends []utxo.Outpoint
	// Facilitators that the transaction prefers.
	Facilitators []domain.PublicKey
	// InWindow says that the window was open when the transaction arrived: without it, this node votes for it
	// only above round 0, and only if a member voted for it in round 0.
	InWindow bool
	// Votes are all that were counted so far (Tally.Votes).
	Votes []Vote
	// Own are this node's records for the outpoints spent, votes on their way to disk included.
	Own []Record
	// Final says that the transaction is final here already, and since when; nil otherwise.
	Final *Finality
}

// Finality is the round and epoch in which a transaction became final.
type Finality struct {
	Round uint32
	Group *group.Group
}

// Heard are newly counted votes on transactions that joined, this node's own included once they are on disk. Votes
// of one observation belong in one Heard.
type Heard struct{ Votes []Vote }

// Fired says that a timer ran out.
type Fired struct{ Timer TimerID }

// Refused says that the node's guard refused a CastVote, and what it holds for the outpoints. A contradiction
// between the two is a bug to be reported, but not a reason to stand still.
//
// Not every refusal shows in Own: an outpoint may be spent for good, with nothing left to guard. So a PENDING that
// was refused is not asked for again in its round, whatever Own says.
type Refused struct {
	Tx     domain.Hash
	Spends []utxo.Outpoint
	Own    []Record
	// State and Round of the vote.
	State observation.State
	Round uint32
}

// Freed says that the node's guard has released locks: their transactions are rejected. Records are all that it
// holds for their outpoints.
type Freed struct {
	Spends  []utxo.Outpoint
	Records []Record
}

// NewGroup begins an epoch. Everything undecided is voted on again in the next round under the new group.
type NewGroup struct {
	Group *group.Group
	// Locks are this node's records after the hand-over: what it adopted from closing statements.
	Locks []Record
}

func (Join) input()     {}
func (Heard) input()    {}
func (Fired) input()    {}
func (Refused) input()  {}
func (Freed) input()    {}
func (NewGroup) input() {}
