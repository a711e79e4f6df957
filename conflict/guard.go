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
	// ErrOtherEpoch (N1): this very vote was cast in another epoch, where it counts. A later round has room for one that
	// counts in this epoch.
	ErrOtherEpoch = fmt.Errorf("%w: the vote of this round was cast in another epoch (N1)", ErrContradiction)
	// ErrVotedAbove (N4): a rival has this node's PENDING in a higher round.
	ErrVotedAbove = fmt.Errorf("%w: PENDING for a rival in a higher round (N4)", ErrContradiction)
)

// CertRound names the round of a certificate, and the epoch whose group gave it; the zero value is none. They are
// ordered by epoch, then round, and none comes first (docs/adr/0009-rounds-are-ordered-within-their-epoch.md).
type CertRound struct {
	Epoch uint64
	Round uint32
	Known bool
}

// CertAt is the certificate of a round in an epoch.
func CertAt(epoch uint64, round uint32) CertRound {
	return CertRound{Epoch: epoch, Round: round, Known: true}
}

// Compare orders certificates by epoch, then round, none first: -1, 0 or 1.
func (c CertRound) Compare(d CertRound) int {
	return cmp.Or(compareBool(c.Known, d.Known), cmp.Compare(c.Epoch, d.Epoch), cmp.Compare(c.Round, d.Round))
}

// OwnVote is a vote that this node wants to cast.
type OwnVote struct {
	Tx     domain.Hash
	Spends []utxo.Outpoint
	State  observation.State
	Round  uint32
	// Epoch of the group that the vote will be counted with.
	Epoch uint64
	// Certificate is the highest below (Epoch, Round), for ACCEPTED that of (Epoch, Round) itself, that this node
	// knows for Tx. Whoever fills it in has checked the certificate.
	Certificate CertRound
}

// Record is what a Guard must never forget, one a vote and outpoint. (Outpoint, Round, State) is its key: by N1
// there is one transaction for each.
//
// A record of state INHERITED is no vote: it is the lock of a certificate that others stated when they closed an
// epoch. Round is then that of the certificate, and Epoch the one that was entered with it. Of two under one key the
// one with the higher certificate stays: above the other, it shows that nothing came of that.
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
	// latest is what was asked for last: whoever checks a vote mostly records it next.
	latest struct {
		outpoint utxo.Outpoint
		history  *history // nil for none
	}
}

// history are the records of one outpoint, by round, then state.
type history struct{ records []Record }

// NewGuard makes a guard that remembers nothing: for a node that has never voted, or before Restore.
func NewGuard() *Guard { return &Guard{histories: make(map[utxo.Outpoint]*history)} }

// at is what is known of an outpoint, or nil.
func (g *Guard) at(o utxo.Outpoint) *history {
	if g.latest.outpoint != o {
		g.latest.outpoint, g.latest.history = o, g.histories[o]
	}
	return g.latest.history
}

// Check reports whether the vote may be cast: nil, ErrAlreadyCast, or an error that matches ErrContradiction. Only
// PENDING and ACCEPTED are guarded; any other state is allowed.
func (g *Guard) Check(v OwnVote) error {
	if !guarded(v.State) {
		return nil
	}
	if g.cast(&v) {
		return ErrAlreadyCast
	}
	if v.State == observation.Accepted && v.Certificate != CertAt(v.Epoch, v.Round) {
		return ErrNoCertificate
	}
	for _, o := range v.Spends {
		if h := g.at(o); h != nil {
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
			if r.State == v.State && r.Round == v.Round && r.Epoch != v.Epoch {
				return ErrOtherEpoch
			}
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
	if c := v.Certificate; lock.at().Compare(c) < 0 && c.Compare(CertAt(v.Epoch, v.Round)) < 0 {
		return nil
	}
	return ErrLocked
}

// lock is the record that holds: of the highest epoch and, in it, the highest round, whenever it was made, among
// those that are not released.
func (h *history) lock() (lock *Record) {
	if plantedLatestLock {
		return h.latestLock()
	}
	for i := range h.records {
		if r := &h.records[i]; r.locks() && !r.Released && (lock == nil || lock.at().Compare(r.at()) < 0) {
			lock = r
		}
	}
	return lock
}

// locks reports whether the record locks its outpoint while it is not released.
func (r *Record) locks() bool {
	return r.State == observation.Accepted || r.State == observation.Inherited
}

// at is the certificate behind a lock.
func (r *Record) at() CertRound {
	if r.State == observation.Inherited {
		return r.Certificate
	}
	return CertAt(r.Epoch, r.Round) // N2
}

// cast reports whether every outpoint holds this very vote.
func (g *Guard) cast(v *OwnVote) bool {
	for _, o := range v.Spends {
		h := g.at(o)
		if h == nil {
			return false
		}
		i, found := h.find(v.Round, v.State)
		if !found || h.records[i].Tx != v.Tx || h.records[i].Epoch != v.Epoch {
			return false
		}
	}
	return len(v.Spends) > 0
}

// Record takes the vote as cast and returns what must be on disk before it leaves the node. It panics where Check
// refuses: a vote that was not checked is a bug that could cost the node its honesty.
func (g *Guard) Record(v OwnVote) []Record { return g.AppendRecord(nil, v) }

// AppendRecord does so and appends what must be on disk.
func (g *Guard) AppendRecord(records []Record, v OwnVote) []Record {
	switch err := g.Check(v); {
	case errors.Is(err, ErrAlreadyCast) || !guarded(v.State):
		return records
	case err != nil:
		panic(fmt.Sprintf("conflict: %v %s round %d recorded unchecked: %v", v.State, v.Tx, v.Round, err))
	}
	for _, o := range v.Spends {
		r := Record{
			Outpoint: o, Round: v.Round, State: v.State,
			Tx: v.Tx, Epoch: v.Epoch, Certificate: v.Certificate,
		}
		records = append(records, r)
		g.put(r)
	}
	return records
}

// Restore takes records from disk, in any order, and locks that are adopted on entering an epoch. A record known
// already is replaced; a lock that was released stays so, since a rejection is for good and the records may be older.
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
		h := g.at(o)
		if h == nil || plantedKeptLocks {
			continue
		}
		if plantedGuard {
			g.Release(o)
			continue
		}
		for i := range h.records {
			r := &h.records[i]
			if r.Tx == tx && r.locks() && !r.Released {
				r.Released = true
				changed = append(changed, *r)
			}
		}
	}
	return changed
}

// Release forgets an outpoint: once it is spent for good and no vote on a spender of it will ever be cast again.
func (g *Guard) Release(o utxo.Outpoint) {
	if h := g.at(o); h != nil {
		delete(g.histories, o)
		g.latest.history = nil
		h.records = h.records[:0]
		g.idle = append(g.idle, h)
	}
}

// Settle forgets an outpoint that a final transaction has spent. Where this node has voted for a rival the records stay:
// it may go on supporting the winner in rounds in which it voted for the rival before. Settle reports whether nothing stays.
func (g *Guard) Settle(o utxo.Outpoint, final domain.Hash) bool {
	h := g.at(o)
	if h == nil {
		return true
	}
	for i := range h.records {
		if h.records[i].Tx != final {
			return false
		}
	}
	g.Release(o)
	return true
}

// Lock is the transaction that an outpoint is locked on, and the certificate behind the lock.
func (g *Guard) Lock(o utxo.Outpoint) (tx domain.Hash, at CertRound, locked bool) {
	if h := g.at(o); h != nil {
		if r := h.lock(); r != nil {
			return r.Tx, r.at(), true
		}
	}
	return domain.Hash{}, CertRound{}, false
}

// Records are the records of one outpoint, by round, then state.
func (g *Guard) Records(o utxo.Outpoint) []Record {
	if h := g.at(o); h != nil {
		return slices.Clone(h.records)
	}
	return nil
}

// Len is the number of outpoints that records are held for.
func (g *Guard) Len() int { return len(g.histories) }

func (g *Guard) put(r Record) {
	h := g.at(r.Outpoint)
	if h == nil {
		if n := len(g.idle); n > 0 {
			h, g.idle = g.idle[n-1], g.idle[:n-1]
		} else {
			h = new(history)
		}
		g.histories[r.Outpoint], g.latest.history = h, h
	}
	i, found := h.find(r.Round, r.State)
	if found {
		if r.YieldsTo(&h.records[i]) {
			return
		}
		r.Released = r.Released || h.records[i].Released && h.records[i].Tx == r.Tx
		h.records[i] = r
		return
	}
	h.records = slices.Insert(h.records, i, r)
	h.noteLock(&r)
}

// YieldsTo reports whether an inherited lock is void beside another one under its key: that of the higher certificate
// stays, in memory and on disk.
func (r *Record) YieldsTo(other *Record) bool {
	return r.State == observation.Inherited && compareInherited(r, other) < 0
}

// compareInherited orders inherited locks on one outpoint: by certificate, then, where both are of one round, which
// takes more than 1/3 of the weight to be faulty, the lower id last.
func compareInherited(a, b *Record) int {
	return cmp.Or(a.Certificate.Compare(b.Certificate), b.Tx.Compare(a.Tx))
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
