package utxo

import (
	"math"
	"math/bits"
	"slices"

	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// Entry is an output of a final transaction.
type Entry struct {
	Output Output
	// FinalMS is when it became final here, Unix milliseconds.
	FinalMS uint64
	// SpentBy is the final transaction that consumed it; zero while it is live.
	SpentBy domain.Hash
}

// View is what is known of final outputs, spent ones included: a READ may refer to them.
type View interface {
	Lookup(Outpoint) (Entry, bool)
}

// Moment is the instant for which a transaction is judged.
type Moment struct {
	// NowMS is Unix milliseconds.
	NowMS uint64
	// IgnoreWindow leaves out the validity window, which gates round 0 only.
	IgnoreWindow bool
	// IgnoreLocks leaves out time locks: for a transaction that the network has certified. An honest node
	// has found them open, by a clock as good as this one and an age that began before it did here.
	IgnoreLocks bool
}

// Delta is what a transaction does to the set of outputs. It can be undone.
type Delta struct {
	Tx      domain.Hash
	Spent   []Spent
	Created []Created
}

// Spent is an output that a transaction consumes, as it was before.
type Spent struct {
	Outpoint Outpoint
	Entry    Entry
}

// Origin reports whether what was consumed is the origin of a peer, which nobody had made.
func (s *Spent) Origin() bool {
	return s.Entry.Output.Kind == notaryv1.OutputKind_OUTPUT_KIND_PEER && s.Entry.Output.Data == nil
}

// Created is an output that a transaction makes.
type Created struct {
	Outpoint Outpoint
	Output   Output
}

// judgement is a transaction beside the outputs that its inputs refer to.
type judgement struct {
	tx *Tx
	at Moment
	// entries are by input; known[i] reports whether entries[i] was found.
	entries []Entry
	known   []bool
	// in are the sums of what is spent (checkInputSums), issued the product that may be issued, once hashed
	// (issues), opened the addresses that witnesses open: what several rules ask.
	in     sums
	issued Product
	hashed bool
	opened addresses
	// proposer is the address of the member that stands behind a link (checkProposer).
	proposer Address
}

// The rules in their order: what is wrong for ever comes before what can only wait, so that nothing hopeless is held.
const (
	windowNotClosed = iota
	unspent
	notReserved
	allKnown
	succession // from here on every input is known
	chain
	inputSums
	products
	balance
	owners
	counterparties
	noneUnused
	locksOpen
	windowOpen
	ruleCount
)

// rule applies one of them. A table of functions would say it shorter, and have every judgement allocated.
func (j *judgement) rule(n int) error {
	switch n {
	case windowNotClosed:
		return checkWindowNotClosed(j)
	case unspent:
		return checkUnspent(j)
	case notReserved:
		return checkNotReserved(j)
	case allKnown:
		return checkKnown(j)
	case succession:
		return checkSuccession(j)
	case chain:
		return checkChain(j)
	case inputSums:
		return checkInputSums(j)
	case products:
		return checkProducts(j)
	case balance:
		return checkBalance(j)
	case owners:
		return checkOwners(j)
	case counterparties:
		return checkCounterparties(j)
	case noneUnused:
		return checkNoneUnused(j)
	case locksOpen:
		return checkLocksOpen(j)
	case windowOpen:
		return checkWindowOpen(j)
	default:
		panic("utxo: a rule that rule does not know")
	}
}

// Validate applies every rule that needs what is known, except signatures, which nodes verify in
// batches (Tx.Checks), and Tx.CheckPossessions. The transaction comes from Decode.
func Validate(tx *Tx, v View, at Moment) (Delta, error) {
	entries, known := Inputs(tx, v)
	j := judgement{tx: tx, at: at, entries: entries, known: known}
	if err := j.judge(); err != nil {
		return Delta{}, err
	}
	return j.delta(), nil
}

// Inputs looks up the entries of all inputs, in their order; known says which of them were found.
func Inputs(tx *Tx, v View) (entries []Entry, known []bool) {
	entries, known = make([]Entry, len(tx.Inputs)), make([]bool, len(tx.Inputs))
	for i := range tx.Inputs {
		entries[i], known[i] = v.Lookup(tx.Inputs[i].Outpoint)
	}
	return entries, known
}

// ValidateAmong is Validate beside what Inputs found, for whoever needs no delta. It changes nothing of that, and allocates nothing for a
// transaction that it finds right.
func ValidateAmong(tx *Tx, entries []Entry, known []bool, at Moment) error {
	j := judgement{tx: tx, at: at, entries: entries, known: known}
	return j.judge()
}

// judge applies the rules in their order.
func (j *judgement) judge() error {
	j.startChain()
	for n := range ruleCount {
		if n == succession {
			for i := range j.tx.Witnesses {
				j.opened.add(j.tx.Witnesses[i].Address())
			}
		}
		if err := j.rule(n); err != nil {
			return err
		}
	}
	return nil
}

// startChain lets the first version of a peer spend its origin, unless somebody has.
func (j *judgement) startChain() {
	start, first := j.tx.Origin()
	for i := range j.tx.Inputs {
		if first && !j.known[i] && j.spends(i) && j.tx.Inputs[i].Outpoint == start {
			j.entries, j.known = slices.Clone(j.entries), slices.Clone(j.known)
			j.entries[i], j.known[i] = j.tx.OriginEntry(false)
		}
	}
}

// issues reports whether the transaction may issue a product. Hardly any does, and to tell takes a hash.
func (j *judgement) issues(p Product) bool {
	if !j.hashed {
		j.issued, j.hashed = j.tx.Issues(), true
	}
	return p == j.issued
}

// ValidateSigned is Validate and then Tx.VerifySignatures.
func ValidateSigned(tx *Tx, v View, at Moment) (Delta, error) {
	d, err := Validate(tx, v, at)
	if err == nil {
		err = tx.VerifySignatures()
	}
	if err != nil {
		return Delta{}, err
	}
	return d, nil
}

// VerifySignatures verifies all that the transaction is signed with, one by one.
func (tx *Tx) VerifySignatures() error {
	for k, c := range tx.Checks() {
		if !c.Verify() {
			return BadSignature(tx, k)
		}
	}
	return tx.CheckPossessions()
}

// BadSignature is the refusal for the k-th of Tx.Checks.
func BadSignature(tx *Tx, k int) error {
	return refusal.New(notaryv1.Reason_REASON_BAD_SIGNATURE, tx.CheckField(k), "does not verify")
}

// NotYet reports whether a refusal may pass with time or with another transaction: hold it. Anything
// else is for ever.
func NotYet(err error) bool {
	switch refusal.ReasonOf(err) {
	case notaryv1.Reason_REASON_UNKNOWN_OUTPOINT, notaryv1.Reason_REASON_WINDOW_NOT_OPEN, notaryv1.Reason_REASON_LOCK_NOT_OPEN,
		notaryv1.Reason_REASON_UNKNOWN_EVIDENCE: // of a link, by whoever judges it
		return true
	}
	return false
}

// OpensMS is the instant at which the window and the time locks of the known inputs are all open, Unix
// milliseconds: when to look again at a transaction that has to wait. MaxUint64 is never.
func OpensMS(tx *Tx, v View) uint64 {
	opens := tx.ValidFromMS
	if tx.actsAtOnce() {
		return opens
	}
	for _, in := range tx.Inputs {
		if e, known := v.Lookup(in.Outpoint); known && in.Kind == notaryv1.InputKind_INPUT_KIND_SPEND {
			opens = max(opens, e.opensMS())
		}
	}
	return opens
}

// opensMS is when the later of the two time locks opens, without wrapping round. An output without an
// age to reach is open whatever the clock says, also one set back to before it became final.
func (e *Entry) opensMS() uint64 {
	if e.Output.MinAgeMS == 0 {
		return e.Output.NotBeforeMS
	}
	aged, carry := bits.Add64(e.FinalMS, e.Output.MinAgeMS, 0)
	if carry != 0 {
		return math.MaxUint64
	}
	return max(aged, e.Output.NotBeforeMS)
}

// spends reports whether the i-th input consumes its outpoint.
func (j *judgement) spends(i int) bool {
	return j.tx.Inputs[i].Kind == notaryv1.InputKind_INPUT_KIND_SPEND
}

// checkWindowNotClosed: the last instant has not passed.
func checkWindowNotClosed(j *judgement) error {
	if until := j.tx.ValidUntilMS; until != 0 && j.at.NowMS > until && !j.at.IgnoreWindow {
		return refusal.New(notaryv1.Reason_REASON_WINDOW_CLOSED, "valid_until_ms", "%d, now %d", until, j.at.NowMS)
	}
	return nil
}

// checkUnspent: what is to be consumed has not been.
func checkUnspent(j *judgement) error {
	for i := range j.entries {
		if e := &j.entries[i]; j.known[i] && j.spends(i) && !e.SpentBy.IsZero() {
			return refusal.New(notaryv1.Reason_REASON_OUTPOINT_SPENT, element("inputs", i)+".outpoint", "spent by %s", e.SpentBy)
		}
	}
	return nil
}

// checkNotReserved: what the network knows of itself is consumed by its own next version alone, and
// rewards by nobody yet.
func checkNotReserved(j *judgement) error {
	for i := range j.entries {
		if e := &j.entries[i]; j.known[i] && j.spends(i) && !j.maySpend(e.Output.Kind) {
			return refusal.New(notaryv1.Reason_REASON_RESERVED_OUTPUT, element("inputs", i)+".outpoint", "%s cannot be spent by this transaction", e.Output.Kind)
		}
	}
	return nil
}

func (j *judgement) maySpend(k notaryv1.OutputKind) bool {
	switch k {
	case notaryv1.OutputKind_OUTPUT_KIND_REWARD:
		return false
	case notaryv1.OutputKind_OUTPUT_KIND_PEER:
		return j.tx.Peer != nil
	case notaryv1.OutputKind_OUTPUT_KIND_LINK:
		return j.tx.Link != nil
	}
	return true
}

// checkKnown: every input, spent or read, refers to an output of a final transaction.
func checkKnown(j *judgement) error {
	for i, known := range j.known {
		if !known {
			return refusal.New(notaryv1.Reason_REASON_UNKNOWN_OUTPOINT, element("inputs", i)+".outpoint", "%s is not final here", j.tx.Inputs[i].Outpoint)
		}
	}
	return nil
}

// checkInputSums: what is spent of one product adds up within 64 bits.
func checkInputSums(j *judgement) error {
	for i := range j.entries {
		if e := &j.entries[i]; j.spends(i) && !j.in.add(e.Output.Product, e.Output.Amount) {
			return refusal.New(notaryv1.Reason_REASON_AMOUNT_OVERFLOW, element("inputs", i), "the inputs of a product sum above 64 bits")
		}
	}
	return nil
}

// checkProducts: a product comes from the inputs or is issued here; the native coin always exists.
func checkProducts(j *judgement) error {
	for i := range j.tx.Outputs {
		p := j.tx.Outputs[i].Product
		if _, spent := j.in.get(p); !spent && !p.IsZero() && !j.issues(p) {
			return refusal.New(notaryv1.Reason_REASON_UNKNOWN_PRODUCT, element("outputs", i)+".product", "%s is neither spent nor issued here", p)
		}
	}
	return nil
}

// checkBalance: per product, what goes in comes out, fees included; what is issued comes from nowhere.
func checkBalance(j *judgement) error {
	var out sums
	for i := range j.tx.Outputs {
		o := &j.tx.Outputs[i]
		if !out.add(o.Product, o.Amount) { // Decode has asked already; a Tx may come from elsewhere.
			return refusal.New(notaryv1.Reason_REASON_AMOUNT_OVERFLOW, element("outputs", i)+".amount", "the outputs of a product sum above 64 bits")
		}
	}
	// In the order of the lists, not of a map: every node names the same field.
	for i := range j.tx.Outputs {
		if p := j.tx.Outputs[i].Product; j.in.of(p) != out.of(p) && !j.issues(p) {
			return unbalanced(element("outputs", i), p, j.in.of(p), out.of(p))
		}
	}
	for i := range j.entries {
		if p := j.entries[i].Output.Product; j.spends(i) && j.in.of(p) != out.of(p) {
			return unbalanced(element("inputs", i), p, j.in.of(p), out.of(p))
		}
	}
	return nil
}

func unbalanced(field string, p Product, in, out uint64) error {
	return refusal.New(notaryv1.Reason_REASON_UNBALANCED, field, "product %s: %d in, %d out", p, in, out)
}

// checkOwners: a witness opens the address of everything that is consumed. A link has none (checkProposer).
func checkOwners(j *judgement) error {
	if j.tx.Link != nil {
		return nil
	}
	for i := range j.entries {
		if j.spends(i) && !j.opened.has(j.entries[i].Output.Address) {
			return refusal.New(notaryv1.Reason_REASON_MISSING_WITNESS, element("inputs", i), "nothing opens address %s", j.entries[i].Output.Address)
		}
	}
	return nil
}

// checkCounterparties: who must agree has signed.
func checkCounterparties(j *judgement) error {
	for i := range j.entries {
		c := j.entries[i].Output.Counterparty
		if j.spends(i) && !c.IsZero() && !j.opened.has(c) {
			return refusal.New(notaryv1.Reason_REASON_COUNTERPARTY_MISSING, element("inputs", i), "counterparty %s has not signed", c)
		}
	}
	return nil
}

// checkNoneUnused: no witness that nothing needs, or anybody could swell a transaction.
func checkNoneUnused(j *judgement) error {
	var needed addresses
	needed.add(j.proposer)
	for i := range j.entries {
		if j.spends(i) {
			needed.add(j.entries[i].Output.Address)
			needed.add(j.entries[i].Output.Counterparty)
		}
	}
	for i := range j.tx.Witnesses {
		if !needed.has(j.tx.Witnesses[i].Address()) {
			return refusal.New(notaryv1.Reason_REASON_UNUSED_WITNESS, element("witnesses", i), "no input needs it")
		}
	}
	return nil
}

// checkLocksOpen: the time locks of everything that is consumed are open.
func checkLocksOpen(j *judgement) error {
	if j.at.IgnoreLocks || j.tx.actsAtOnce() {
		return nil
	}
	for i := range j.entries {
		if opens := j.entries[i].opensMS(); j.spends(i) && (opens > j.at.NowMS || opens == math.MaxUint64) {
			return refusal.New(notaryv1.Reason_REASON_LOCK_NOT_OPEN, element("inputs", i)+".outpoint", "opens at %d, now %d", opens, j.at.NowMS)
		}
	}
	return nil
}

// checkWindowOpen: the first instant has come.
func checkWindowOpen(j *judgement) error {
	if j.tx.ValidFromMS > j.at.NowMS && !j.at.IgnoreWindow {
		return refusal.New(notaryv1.Reason_REASON_WINDOW_NOT_OPEN, "valid_from_ms", "%d, now %d", j.tx.ValidFromMS, j.at.NowMS)
	}
	return nil
}

// DeltaOf is what a transaction does to a set of outputs that it fits, whether or not it is valid beside it.
func DeltaOf(tx *Tx, v View) Delta {
	entries, known := Inputs(tx, v)
	j := judgement{tx: tx, entries: entries, known: known}
	j.startChain()
	return j.delta()
}

func (j *judgement) delta() Delta {
	d := Delta{Tx: j.tx.ID, Spent: make([]Spent, 0, len(j.entries)), Created: make([]Created, 0, len(j.tx.Outputs))}
	for i := range j.entries {
		if j.spends(i) {
			d.Spent = append(d.Spent, Spent{Outpoint: j.tx.Inputs[i].Outpoint, Entry: j.entries[i]})
		}
	}
	for i, o := range j.tx.Outputs {
		d.Created = append(d.Created, Created{Outpoint: Outpoint{Tx: j.tx.ID, Index: uint32(i)}, Output: o})
	}
	return d
}
