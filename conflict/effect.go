package conflict

import (
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
)

// Effect is what Contests.Step asks for: CastVote, StartTimer, NeedCertificate, SendProof, Decided, TooManyRivals,
// Retired or Broken.
type Effect interface{ effect() }

// CastVote asks for a vote of this node: guard, disk, then everybody; and back as Heard.
type CastVote struct{ Vote OwnVote }

// TimerID names a timer within one Contests.
type TimerID uint64

// TimerKind is what a timer is for.
type TimerKind uint8

// The timers.
const (
	// RoundTimer ends a round in which more than 2/3 of the weight was heard.
	RoundTimer TimerKind = iota + 1
	// WaitTimer ends the wait for the facilitator.
	WaitTimer
	// PullTimer asks again for certificates that are missing.
	PullTimer
)

// String is the name of the kind.
func (k TimerKind) String() string { return [...]string{"none", "round", "wait", "pull"}[k] }

// StartTimer asks for Fired after a time. Timers are never cancelled: those of the past do nothing.
type StartTimer struct {
	ID   TimerID
	Kind TimerKind
	// Tx is the lowest id among those that the timer was started for.
	Tx    domain.Hash
	Round uint32
	// AfterMS is the time to wait, in milliseconds of a monotonic clock.
	AfterMS uint64
}

// NeedCertificate asks for the PENDING votes of more than 2/3 of the weight behind an ACCEPTED, from the voter
// that signed it. Its votes come back as Heard.
type NeedCertificate struct {
	Tx    domain.Hash
	Round uint32
	Group *group.Group
	From  domain.PublicKey
}

// SendProof asks to hand the acceptance proof of a final transaction to a voter that still votes.
type SendProof struct {
	Tx domain.Hash
	To domain.PublicKey
}

// Decided says that a transaction is final, and which rivals are rejected by that. The node's guard rejects them
// too. It is said once for a transaction; rivals that turn up later are rejected by a further Decided of the
// same Final.
type Decided struct {
	Final domain.Hash
	Finality
	// Rejected are ascending.
	Rejected []domain.Hash
}

// TooManyRivals refuses a transaction: the outpoint has its fill of rivals with more weight. It joins again on a
// Third milestone, or when a vote above round 0 names it.
type TooManyRivals struct{ Tx domain.Hash }

// Retired says that a settled transaction is forgotten here.
type Retired struct{ Tx domain.Hash }

// Broken reports final quorums for two rivals: more than 1/3 of the weight is faulty. Nothing is changed.
type Broken struct {
	Final, Also domain.Hash
	Finality    // of Also
}

func (CastVote) effect()        {}
func (StartTimer) effect()      {}
func (NeedCertificate) effect() {}
func (SendProof) effect()       {}
func (Decided) effect()         {}
func (TooManyRivals) effect()   {}
func (Retired) effect()         {}
func (Broken) effect()          {}
