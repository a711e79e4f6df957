package lifecycle

import (
	"errors"

	"github.com/notarynet/notaryd/conflict"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
	"github.com/notarynet/notaryd/utxo"
)

// State is where a transaction stands at this node.
type State uint8

// The states, in the order in which an uncontested transaction passes through them.
const (
	New State = iota
	Resolving
	Held
	Valid
	Pending
	Accepted
	Final
	Rejected
	Contested
)

// String is the state's name.
func (s State) String() string {
	return [...]string{"NEW", "RESOLVING", "HELD", "VALID", "PENDING", "ACCEPTED", "FINAL", "REJECTED", "CONTESTED"}[s]
}

// Ended reports whether the state never changes again.
func (s State) Ended() bool { return s == Final || s == Rejected }

// Machine is the life of one transaction. Its zero value is not usable; see NewMachine.
type Machine struct {
	tx    *utxo.Tx
	fees  *utxo.FeePolicy
	state State

	resolved bool // every rule but the signatures is met
	judged   bool // the group of a link is the right one
	signed   bool // every signature is valid
	claimed  bool // its outpoints are claimed

	inWindow  bool     // the window was open when the transaction was judged
	supported bool     // a member has voted for it
	pending   bool     // own PENDING(0) asked for or cast
	rivalled  bool     // a rival is known
	contested bool     // handed over to the contest
	accepting rounds   // in which ACCEPTED was asked for or cast
	writing   bool     // Commit asked for
	anew      bool     // what it is held for is to be looked for again
	cert      standing // certificate of the highest round
	final     standing // finality

	out  []Effect
	room [4]Effect // of out, mostly
}

// standing is a milestone that was counted: its round, and the group in which it was. Group is nil for none.
type standing struct {
	Group *group.Group
	Round uint32
}

// NewMachine starts the life of a decoded transaction. Fees is what this node asks for before it relays
// and votes in round 0, and not to be changed; a transaction that the network has certified is not asked.
func NewMachine(tx *utxo.Tx, fees *utxo.FeePolicy) *Machine { return &Machine{tx: tx, fees: fees} }

// State is where the transaction stands.
func (m *Machine) State() State { return m.state }

// Tx is the transaction.
func (m *Machine) Tx() *utxo.Tx { return m.tx }

// Step takes one input and returns what must be done now, in order. The slice is valid until the next
// Step. Inputs after the end change nothing.
func (m *Machine) Step(in Input) []Effect {
	if m.out == nil {
		m.out = m.room[:0]
	}
	m.out = m.out[:0]
	if m.state.Ended() {
		return nil
	}
	switch in := in.(type) {
	case Restored:
		m.restore(in)
	case Begin:
		m.enter(Resolving, nil)
		m.do(Look{})
	case Woken:
		if m.state == Held {
			m.do(Look{})
		}
	case Looked:
		m.looked(in)
	case Judged:
		m.verdict(in.Err)
	case Verified:
		m.verified(in)
	case Claimed:
		m.claimed = true
		m.rivalled = m.rivalled || len(in.Rivals) > 0
		m.proceed()
	case Rivaled:
		m.rivalled = true
		m.proceed()
	case Stalled:
		if m.claimed {
			m.contest(nil)
		}
	case Supported:
		m.supported = true
	case Displaced:
		if !m.writing {
			m.reject(in.Err)
		}
	case Voted:
		m.voted(in)
	case Refused:
		m.refused(in)
	case Counted:
		m.counted(in)
	case Committed:
		m.enter(Final, nil)
		m.do(End{})
	case Lost:
		if !m.writing {
			m.reject(refusal.New(notaryv1.Reason_REASON_DOUBLE_SPEND, "inputs", "rival %s is final", in.Rival))
		}
	case Crowded: // whoever needs it brings it again: one that is certified is asked for while its votes are remembered
		if m.state == Held {
			m.reject(refusal.New(notaryv1.Reason_REASON_WAIT_EXPIRED, "", "too many transactions wait for others"))
		}
	case Expired:
		switch {
		case m.state != Held:
		case m.certified(): // the others hold it: giving up would leave this node behind for ever
			m.anew = true
			m.do(Look{})
		default:
			m.reject(refusal.New(notaryv1.Reason_REASON_WAIT_EXPIRED, "", "held for as long as this node holds"))
		}
	}
	return m.out
}

// reports are the effects that every transaction asks for, made once: putting one into an interface allocates.
var reports = func() (all [Contested + 1]Effect) {
	for s := range all {
		all[s] = Report{State: State(s)}
	}
	return all
}()

func (m *Machine) do(e Effect) { m.out = append(m.out, e) }

func (m *Machine) enter(s State, err error) {
	m.state = s
	if err == nil {
		m.do(reports[s])
	} else {
		m.do(Report{State: s, Err: err})
	}
}

func (m *Machine) reject(err error) {
	m.enter(Rejected, err)
	m.do(End{})
}

func (m *Machine) restore(in Restored) {
	m.pending = m.pending || in.Pending
	if in.Accepted {
		m.accepting.add(in.Round)
	}
}

// looked judges the transaction against what is known. Windows gate round 0 only: one that is closed,
// or not open yet, does not hold back what the network has certified or members have voted for.
func (m *Machine) looked(in Looked) {
	v := view{m.tx, in}
	if m.resolved {
		m.outlived(v)
		if m.state == Held { // a link that could not be judged
			m.ready()
		}
		return
	}
	at := utxo.Moment{NowMS: in.NowMS}
	err := utxo.ValidateAmong(m.tx, in.Entries, in.Found, at)
	m.inWindow = !windowed(err)
	if windowed(err) && (m.certified() || m.pending || m.supported) {
		at.IgnoreWindow = true
		err = utxo.ValidateAmong(m.tx, in.Entries, in.Found, at)
	}
	if utxo.NotYet(err) && m.certified() {
		at.IgnoreWindow, at.IgnoreLocks = true, true
		err = utxo.ValidateAmong(m.tx, in.Entries, in.Found, at)
	}
	if err == nil && !at.IgnoreWindow && !m.certified() && !m.pending {
		err = m.fees.At(in.NowMS).Check(m.tx, in.Entries)
	}
	switch {
	case err == nil:
		m.resolved = true
		if m.signed {
			m.ready()
			return
		}
		if m.state == Held {
			m.enter(Resolving, nil)
		}
		m.do(Verify{})
	case utxo.NotYet(err):
		m.enter(Held, err)
		hold := Hold{Parents: missing(m.tx, in), Err: err, Certified: m.certified(), Anew: m.anew}
		if opens := utxo.OpensMS(m.tx, v); opens > in.NowMS {
			hold.UntilMS = opens
		}
		m.do(hold)
		m.anew = false
	default:
		m.reject(err)
	}
}

// verdict takes note of what this node makes of a link. One that the network has certified meanwhile is
// judged already: a third of the weight is honest and has found it right.
func (m *Machine) verdict(err error) {
	switch {
	case m.judged:
	case err == nil || m.certified():
		m.judged = true
		m.ready()
	case utxo.NotYet(err):
		m.enter(Held, err)
		m.do(Hold{Err: err})
	default:
		m.reject(err)
	}
}

// windowed reports whether a refusal is about the validity window alone.
func windowed(err error) bool {
	switch refusal.ReasonOf(err) {
	case notaryv1.Reason_REASON_WINDOW_NOT_OPEN, notaryv1.Reason_REASON_WINDOW_CLOSED:
		return true
	}
	return false
}

// verified may come before Begin, where whoever brought the transaction has checked its signatures.
func (m *Machine) verified(in Verified) {
	if in.Err != nil {
		m.reject(in.Err)
		return
	}
	m.signed = true
	if m.resolved {
		m.ready()
	}
}

// ready enters the first state in which the transaction may be voted for. A link is judged first, by whoever
// can: it is the dearest check of all, so signatures come before it.
func (m *Machine) ready() {
	if m.tx.Link != nil && !m.judged && !m.certified() && !m.pending {
		m.do(Judge{})
		return
	}
	m.judged = true
	switch {
	case m.accepting.any():
		m.enter(Accepted, nil)
	case m.pending:
		m.enter(Pending, nil)
	default:
		m.enter(Valid, nil)
	}
	m.do(Claim{})
	m.proceed()
}

// contest hands the decision over, once.
func (m *Machine) contest(err error) {
	if m.contested || m.writing {
		return
	}
	m.contested = true
	if m.state != Accepted {
		m.enter(Contested, err)
	}
	m.do(Contest{InWindow: m.inWindow})
	// A rival may have become final before this transaction claimed its outpoints, and then nobody says
	// so; one that becomes final later is told of by Lost.
	m.do(Look{})
}

// outlived ends a contested transaction whose rival is final.
func (m *Machine) outlived(v view) {
	for _, o := range m.tx.Spends() {
		if e, found := v.Lookup(o); found && !e.SpentBy.IsZero() && !m.writing {
			m.reject(refusal.New(notaryv1.Reason_REASON_DOUBLE_SPEND, "inputs", "rival %s is final", e.SpentBy))
			return
		}
	}
}

// counted takes note of a milestone. The highest round's certificate counts; finality is once and for
// all, in whatever round.
func (m *Machine) counted(in Counted) {
	switch in.Kind {
	case conflict.Certificate:
		if in.Cast {
			m.accepting.add(in.Round)
		}
		if m.cert.Group == nil || in.Round > m.cert.Round {
			m.cert = standing{in.Group, in.Round}
		}
		if m.state == Held {
			m.do(Look{}) // a window no longer gates
		}
	case conflict.Final:
		if m.final.Group == nil {
			m.final = standing{in.Group, in.Round}
		}
		if m.state == Held {
			m.do(Look{})
		}
	case conflict.Third:
		if in.Round == 0 {
			return
		}
		m.rivalled = true // somebody honest sees a contest
	default:
		return
	}
	m.proceed()
}

func (m *Machine) certified() bool { return m.cert.Group != nil || m.final.Group != nil }

// Unhindered reports whether these inputs and then finality lead to reports and a Commit, and to nothing else: nothing is asked for
// or disputed, and whoever has the machine may take it there.
func (m *Machine) Unhindered(inputs []Input) bool {
	if !m.resolved || !m.signed || !m.claimed || m.rivalled || m.contested || m.writing || m.state.Ended() || m.state == Held {
		return false
	}
	for _, in := range inputs {
		switch in := in.(type) {
		case Supported, Voted:
		case Counted:
			if !in.Cast && (in.Kind != conflict.Third || in.Round != 0) {
				return false
			}
		default:
			return false
		}
	}
	return true
}

// proceed does whatever the transaction is ready for. Every path leads here, so that the outcome does
// not depend on the order in which things came.
func (m *Machine) proceed() {
	if !m.resolved || !m.signed || m.state.Ended() {
		return
	}
	if m.cert.Group != nil && !m.accepting.has(m.cert.Round) {
		m.accepting.add(m.cert.Round)
		m.do(Cast{State: observation.Accepted, Round: m.cert.Round, Certificate: conflict.CertAt(m.cert.Group.Epoch(), m.cert.Round)})
	}
	if m.final.Group != nil && !m.writing {
		m.writing = true
		m.do(Commit{Round: m.final.Round, Group: m.final.Group})
		return
	}
	if !m.claimed {
		return
	}
	if m.rivalled || !m.inWindow {
		m.contest(nil)
		return
	}
	if m.pending || m.contested || m.certified() {
		return
	}
	m.pending = true
	m.do(Relay{})
	m.do(Support{})
}

func (m *Machine) voted(in Voted) {
	switch {
	case in.State == observation.Accepted && m.state != Accepted:
		m.enter(Accepted, nil)
	case in.State == observation.Pending && (m.state == Valid || m.state == Resolving):
		m.enter(Pending, nil)
	}
}

// refused leaves the decision to the contest, since a vote of this node for a rival is on disk; and ends
// the transaction where an outpoint is spent for good.
func (m *Machine) refused(in Refused) {
	switch {
	case errors.Is(in.Err, refusal.Because(notaryv1.Reason_REASON_OUTPOINT_SPENT)):
		m.reject(in.Err)
	default:
		m.contest(in.Err)
	}
}

// view is what the shell looked up.
type view struct {
	tx *utxo.Tx
	in Looked
}

// Lookup implements utxo.View.
func (v view) Lookup(o utxo.Outpoint) (utxo.Entry, bool) {
	for i := range v.tx.Inputs {
		if v.tx.Inputs[i].Outpoint == o {
			return v.in.Entries[i], v.in.Found[i]
		}
	}
	return utxo.Entry{}, false
}

// missing are the transactions whose outputs are not known here, each once, in order.
func missing(tx *utxo.Tx, in Looked) []domain.Hash {
	var out []domain.Hash
	origin, first := tx.Origin()
	for i, found := range in.Found {
		id := tx.Inputs[i].Outpoint.Tx
		if first && tx.Inputs[i].Outpoint == origin { // no transaction makes it
			continue
		}
		if !found && (len(out) == 0 || out[len(out)-1] != id) {
			out = append(out, id)
		}
	}
	return out
}
