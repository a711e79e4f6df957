package lifecycle

import (
	"github.com/notarynet/notaryd/conflict"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	"github.com/notarynet/notaryd/utxo"
)

// Input is what happened to a transaction. Times are Unix milliseconds of the node's clock.
type Input interface{ input() }

type (
	// Begin starts the machine.
	Begin struct{}
	// Looked answers Look. Entries and Found are parallel to the transaction's inputs.
	Looked struct {
		Entries []utxo.Entry
		Found   []bool
		NowMS   uint64
	}
	// Judged answers Judge: nil where the link is right, a refusal that may pass (utxo.NotYet) where this
	// node cannot tell yet.
	Judged struct{ Err error }
	// Verified answers Verify; Err is nil where every signature is valid.
	Verified struct{ Err error }
	// Claimed answers Claim: the transactions that claimed one of the outpoints before.
	Claimed struct{ Rivals []domain.Hash }
	// Rivaled says that another transaction has claimed one of the outpoints since.
	Rivaled struct{ Rival domain.Hash }
	// Voted says that a vote of this node is on disk.
	Voted struct {
		State observation.State
		Round uint32
	}
	// Refused says that the vote guard refused a vote: another vote of this node stands against it.
	Refused struct {
		State observation.State
		Round uint32
		Err   error
	}
	// Counted is a milestone of the tally: a certificate or finality. Cast says that ACCEPTED was asked for by the
	// certificate at once, as Support allows.
	Counted struct {
		Group *group.Group
		Voter int // of Group, whose vote brought it about
		Round uint32
		Kind  conflict.MilestoneKind
		Cast  bool
	}
	// Woken says that what the machine was held for may have come: a parent is final, a time has passed.
	Woken struct{}
	// Committed answers Commit.
	Committed struct{ FinalMS uint64 }
	// Lost says that a rival is final.
	Lost struct{ Rival domain.Hash }
	// Stalled says that nothing has come of the votes for longer than they should take.
	Stalled struct{}
	// Supported says that a member of the group has voted for the transaction: its window no longer
	// keeps it out of rounds above 0.
	Supported struct{}
	// Displaced says that the contest has no room for the transaction.
	Displaced struct{ Err error }
	// Expired says that a held transaction has waited as long as it may.
	Expired struct{}
	// Crowded says that there is no room to hold a transaction.
	Crowded struct{}
	// Restored tells a machine, before Begin, what this node voted in an earlier life.
	Restored struct {
		Pending  bool
		Accepted bool
		Round    uint32
	}
)

// Reached is a milestone as an input: what the machine asks of it.
func Reached(m conflict.Milestone) Counted {
	return Counted{Group: m.Group, Voter: m.Voter, Round: m.Round, Kind: m.Kind}
}

func (Begin) input()     {}
func (Looked) input()    {}
func (Judged) input()    {}
func (Verified) input()  {}
func (Claimed) input()   {}
func (Rivaled) input()   {}
func (Voted) input()     {}
func (Refused) input()   {}
func (Counted) input()   {}
func (Woken) input()     {}
func (Committed) input() {}
func (Lost) input()      {}
func (Stalled) input()   {}
func (Supported) input() {}
func (Displaced) input() {}
func (Expired) input()   {}
func (Crowded) input()   {}
func (Restored) input()  {}
