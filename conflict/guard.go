package conflict

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/utxo"
)

// Refusals of a Guard. All but ErrAlreadyCast match ErrContradiction with errors.Is.
var (
	// ErrAlreadyCast: this very vote was recorded before; the stored signature may be sent again.
	ErrAlreadyCast = errors.New("vote was cast before")
	// ErrContradiction: the vote breaks one of N1-N4.
	ErrContradiction = errors.New("vote contradicts an earlier one")
	// ErrRoundTaken (N1): a rival has this node's vote of the same state in the same round.
	ErrRoundTaken = fmt.Errorf("%w: a rival has the vote of this round (N1)", ErrContradiction)
	// ErrNoCertificate (N2): ACCEPTED needs the certificate of its own round.
	ErrNoCertificate = fmt.Errorf("%w: ACCEPTED without the certificate of its round (N2)", ErrContradiction)
	// ErrLocked (N3): an outpoint is locked on a rival, and no certificate between frees it.
	ErrLocked = fmt.Errorf("%w: locked on a rival (N3)", ErrContradiction)
	// ErrVotedAbove (N4): a rival has this node's PENDING in a higher round.
	ErrVotedAbove = fmt.Errorf("%w: PENDING for a rival in a higher round (N4)", ErrContradiction)
)

// CertRound names the round of a certificate; the zero value is none.
type CertRound struct {
	Round uint32
	Known bool
}

// CertAt is the certificate of a round.
func CertAt(round uint32) CertRound { return CertRound{Round: round, Known: true} }

// OwnVote is a vote that this node wants to cast.
type OwnVote struct {
	Tx     domain.Hash
	Spends []utxo.Outpoint
	State  observation.State
	Round  uint32
	// Epoch of the group that the vote will be counted with.
	Epoch uint64
	// Certificate is the highest round below Round (for ACCEPTED: Round itself) in which this node knows a
	// certificate for Tx. Whoever fills it in has checked the certificate.
	Certificate CertRound
}

// Record is what a Guard must never forget, one a vote and outpoint. (Outpoint, Round, State) is its key: by N1
// there is one transaction for each.
type Record struct {
	Outpoint utxo.Outpoint
	Round    uint32
	State    observation.State

	Tx          domain.Hash
	Epoch       uint64
	Certificate CertRound
	// Released says that Tx is REJECTED: its lock no longer holds. The vote stays cast.
	Released bool
}

// Guard holds this node's own votes by outpoint and says which further ones N1-N4 allow. It is keyed by outpoint
// and not by contest, since contests merge and split while outpoints stay. The caller writes the records to disk,
// synced, before the vote leaves the node (N5). Not for concurrent use.
type Guard struct {
	histories map[utxo.Outpoint]*history
	idle      []*history
}

// history are the records of one outpoint, by round, then state.
type history struct{ records []Record }

// NewGuard makes a guard that remembers nothing: for a node that has never voted, or before Restore.
func NewGuard() *Guard { return &Guard{histories: make(map[utxo.Outpoint]*history)} }

// Check reports whether the vote may be cast: nil, ErrAlreadyCast, or an error that matches ErrContradiction. Only
// PENDING and ACCEPTED are guarded; any other state is allowed.
func (g *Guard) Check(v OwnVote) error {
	if !guarded(v.State) {
		return nil
	}
	if g.cast(&v) {
		return ErrAlreadyCast
	}
	if v.State == observation.Accepted && v.Certificate != CertAt(v.Round) {
		return ErrNoCertificate
	}
	for _, o := range v.Spends {
		if h := g.histories[o]; h != nil {
			if err := h.check(&v); err != nil {
				return err
			}
		}
	}
	return nil
}

// check holds the vote against the records of one outpoint.
func (h *history) check(v *OwnVote) error {
	for i := range h.records {
		r := &h.records[i]
		switch {
		case r.Tx == v.Tx:
		case r.State == v.State && r.Round == v.Round:
			return ErrRoundTaken
		case v.State == observation.Accepted && r.State == observation.Pending && r.Round > v.Round:
			return ErrVotedAbove
		}
	}
	if v.State != observation.Pending {
		return nil
	}
	lock := h.lock()
	if lock == nil || lock.Tx == v.Tx {
		return nil
	}
	if c := v.Certificate; c.Known && lock.Round < c.Round && c.Round < v.Round {
		return nil
	}
	return ErrLocked
}

// lock is the record that holds: the ACCEPTED of the highest round, whenever it was made, that is not released.
func (h *history) lock() *Record {
	if plantedLatestLock {
		return h.latestLock()
	}
	for i := len(h.records) - 1; i >= 0; i-- {
		if r := &h.records[i]; r.State == observation.Accepted && !r.Released {
			return r
		}
	}
	return nil
}

// cast reports whether every outpoint holds this very vote.
func (g *Guard) cast(v *OwnVote) bool {
	for _, o := range v.Spends {
		h := g.histories[o]
		if h == nil {
			return false
		}
		i, found := h.find(v.Round, v.State)
		if !found || h.records[i].Tx != v.Tx {
			return false
		}
	}
	return len(v.Spends) > 0
}

// Record takes the vote as cast and returns what must be on disk before it leaves the node. It panics where Check
// refuses: a vote that was not checked is a bug that could cost the node its honesty.
func (g *Guard) Record(v OwnVote) []Record {
	switch err := g.Check(v); {
	case errors.Is(err, ErrAlreadyCast) || !guarded(v.State):
		return nil
	case err != nil:
		panic(fmt.Sprintf("conflict: %v %s round %d recorded unchecked: %v", v.State, v.Tx, v.Round, err))
	}
	records := make([]Record, len(v.Spends))
	for i, o := range v.Spends {
		records[i] = Record{
			Outpoint: o, Round: v.Round, State: v.State,
			Tx: v.Tx, Epoch: v.Epoch, Certificate: v.Certificate,
		}
		g.put(records[i])
	}
	return records
}

// Restore takes records from disk, in any order. A record known already is replaced; a lock that was released
// stays so, since a rejection is for good and the records may be older.
func (g *Guard) Restore(records []Record) {
	for _, r := range records {
		g.put(r)
	}
}

// Reject releases the locks on a transaction since a rival is final, and returns the records that changed, to be
// written. N1 and N4 still see its votes.
func (g *Guard) Reject(tx domain.Hash, spends []utxo.Outpoint) []Record {
	var changed []Record
	for _, o := range spends {
		h := g.histories[o]
		if h == nil || plantedKeptLocks {
			continue
		}
		if plantedGuard {
			g.Release(o)
			continue
		}
		for i := range h.records {
			r := &h.records[i]
			if r.Tx == tx && r.State == observation.Accepted && !r.Released {
				r.Released = true
				changed = append(changed, *r)
			}
		}
	}
	return changed
}

// Release forgets an outpoint: once it is spent for good and no vote on a spender of it will ever be cast again.
func (g *Guard) Release(o utxo.Outpoint) {
	if h := g.histories[o]; h != nil {
		delete(g.histories, o)
		h.records = h.records[:0]
		g.idle = append(g.idle, h)
	}
}

// Lock is the transaction that an outpoint is locked on, and the round.
func (g *Guard) Lock(o utxo.Outpoint) (tx domain.Hash, round uint32, locked bool) {
	if h := g.histories[o]; h != nil {
		if r := h.lock(); r != nil {
			return r.Tx, r.Round, true
		}
	}
	return domain.Hash{}, 0, false
}

// Records are the records of one outpoint, by round, then state.
func (g *Guard) Records(o utxo.Outpoint) []Record {
	if h := g.histories[o]; h != nil {
		return slices.Clone(h.records)
	}
	return nil
}

// Len is the number of outpoints that records are held for.
func (g *Guard) Len() int { return len(g.histories) }

func (g *Guard) put(r Record) {
	h := g.histories[r.Outpoint]
	if h == nil {
		if n := len(g.idle); n > 0 {
			h, g.idle = g.idle[n-1], g.idle[:n-1]
		} else {
			h = new(history)
		}
		g.histories[r.Outpoint] = h
	}
	i, found := h.find(r.Round, r.State)
	if found {
		r.Released = r.Released || h.records[i].Released && h.records[i].Tx == r.Tx
		h.records[i] = r
		return
	}
	h.records = slices.Insert(h.records, i, r)
	h.noteLock(&r)
}

// find is where the record of a round and state is, or belongs.
func (h *history) find(round uint32, s observation.State) (int, bool) {
	for i := len(h.records) - 1; i >= 0; i-- {
		r := &h.records[i]
		switch c := cmp.Or(cmp.Compare(r.Round, round), cmp.Compare(r.State, s)); {
		case c == 0:
			return i, true
		case c < 0:
			return i + 1, false
		}
	}
	return 0, false
}

func guarded(s observation.State) bool { return s == observation.Pending || s == observation.Accepted }
