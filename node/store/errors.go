package store

import (
	"errors"
	"fmt"

	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/utxo"
)

// Kinds of errors. Compare with errors.Is.
var (
	// ErrStoreFailed says that the store could not read or write. The node must exit: what is in
	// memory and what is on disk may differ from here on.
	ErrStoreFailed = errors.New("store failed")
	// ErrCorrupt says that a record cannot be what this program wrote. It is an ErrStoreFailed.
	ErrCorrupt = fmt.Errorf("%w: corrupt record", ErrStoreFailed)
	// ErrClosed says that the store was closed.
	ErrClosed = errors.New("store is closed")
	// ErrFull says that free space fell below the reserve. Nothing was written.
	ErrFull = errors.New("store is full")

	// ErrLocked says that another process, or this one, has the directory open.
	ErrLocked = errors.New("store directory is in use")
	// ErrOtherNetwork says that the store was made for another network.
	ErrOtherNetwork = errors.New("store belongs to another network")
	// ErrOtherKey says that the votes in the store are those of another node key.
	ErrOtherKey = errors.New("store belongs to another node key")
	// ErrNewerSchema says that a newer program wrote the store.
	ErrNewerSchema = errors.New("store was written by a newer version")
	// ErrOlderSchema says that a program before this one wrote the store, in a form that this one does not read.
	ErrOlderSchema = errors.New("store was written by an older version, which this one cannot read")
	// ErrNoVotes says that the vote records of the node key are missing: a node that signs
	// without them may contradict itself.
	ErrNoVotes = errors.New("vote records of this node key are missing")

	// ErrMayNotSign says that an observation was signed in an epoch in which this store may not sign: its
	// votes may be incomplete there (Signing). Nothing was written.
	ErrMayNotSign = errors.New("this store may not sign in this signing epoch")

	// ErrNotLive is the kind of a NotLiveError.
	ErrNotLive = errors.New("outpoint is not live")
	// ErrAlreadyFinal says that the transaction is final already.
	ErrAlreadyFinal = errors.New("transaction is already final")
	// ErrInconsistent says that what was to be written contradicts itself or what is stored.
	ErrInconsistent = errors.New("inconsistent write")
)

// NotLiveError is a broken invariant: a transaction about to become final spends an outpoint that is
// not live here. Nothing of its batch was written. Its kind is ErrNotLive.
type NotLiveError struct {
	Tx       domain.Hash
	Outpoint utxo.Outpoint
	// SpentBy is the final transaction that spent the outpoint; zero where it was never created.
	SpentBy domain.Hash
}

// Error implements error.
func (e *NotLiveError) Error() string {
	s := fmt.Sprintf("%v: %s[%d], spent by %s", ErrNotLive, e.Outpoint.Tx, e.Outpoint.Index, e.Tx)
	if e.SpentBy.IsZero() {
		return s + ", was never created"
	}
	return s + ", was spent by " + e.SpentBy.String()
}

// Is reports whether target is ErrNotLive.
func (e *NotLiveError) Is(target error) bool { return target == ErrNotLive }

// corrupt is an ErrCorrupt with its place.
func corrupt(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrCorrupt, fmt.Sprintf(format, args...))
}

// inconsistent is an ErrInconsistent with its detail.
func inconsistent(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrInconsistent, fmt.Sprintf(format, args...))
}
