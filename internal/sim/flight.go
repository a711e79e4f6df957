package sim

import (
	"errors"
	"slices"

	"github.com/notarynet/notaryd/conflict"
	"github.com/notarynet/notaryd/node/lifecycle"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
	"github.com/notarynet/notaryd/utxo"
)

// Delays of a node, in microseconds.
const (
	mempoolDelay = 5 * ms
	retryDelay   = 400 * ms
	holdPatience = 60 * second // of node's configuration
)

// post gives a machine an input.
func (n *node) post(f *flight, in lifecycle.Input) {
	f.inbox = append(f.inbox, in)
	n.run(f)
}

// run steps a machine until its inbox is empty. Inputs that come of its own effects wait their turn.
func (n *node) run(f *flight) {
	if f.busy {
		return
	}
	f.busy = true
	for len(f.inbox) > 0 {
		in := f.inbox[0]
		f.inbox = f.inbox[1:]
		effects := f.machine.Step(in)
		// The slice is valid until the next Step, and performing may step other machines, not this one.
		for _, e := range effects {
			n.perform(f, e)
		}
	}
	f.busy = false
}

func (n *node) perform(f *flight, e lifecycle.Effect) {
	id := f.tx.ID
	switch e := e.(type) {
	case lifecycle.Look:
		in := lifecycle.Looked{NowMS: n.nowMS()}
		if planted == "clock-from-peers" {
			in.NowMS = max(in.NowMS, n.newestMS)
		}
		for _, i := range f.tx.Inputs {
			entry, found := n.set.Lookup(i.Outpoint)
			in.Entries, in.Found = append(in.Entries, entry), append(in.Found, found)
		}
		n.post(f, in)
	case lifecycle.Judge:
		n.post(f, lifecycle.Judged{})
	case lifecycle.Verify:
		n.post(f, lifecycle.Verified{Err: n.verdict(f.tx)})
	case lifecycle.Relay:
		for to := range n.nodes {
			if to != n.id {
				n.tellTx(to, f.tx)
			}
		}
	case lifecycle.Claim:
		n.claim(f)
	case lifecycle.Support:
		f.supports = true
		n.later(mempoolDelay, func() {
			if f.supports {
				n.cast(f.tx, observation.Pending, 0, conflict.CertRound{}, f)
			}
		})
	case lifecycle.Cast:
		f.supports = false
		n.cast(f.tx, e.State, e.Round, e.Certificate, f)
	case lifecycle.Hold:
		f.parents = e.Parents
		if !f.held || e.Anew {
			f.held = true
			n.later(holdPatience, func() { n.post(f, lifecycle.Expired{}) })
		}
		if now := n.nowMS(); e.UntilMS > now && e.UntilMS-now < holdPatience/ms {
			n.later((e.UntilMS-now)*ms, func() { n.post(f, lifecycle.Woken{}) })
		}
		for _, p := range e.Parents {
			n.want(p, n.rng.Intn(len(n.nodes)))
		}
	case lifecycle.Contest:
		f.supports = false
		n.join(f.tx, e.InWindow, nil)
	case lifecycle.Commit:
		f.supports = false
		n.commit(f, e)
	case lifecycle.Report:
		n.report(f, e)
	case lifecycle.End:
		f.supports = false
		delete(n.flights, id)
	}
}

// verdict on the signatures, remembered by the hash of the full bytes: a copy with a corrupt witness is another thing.
func (n *node) verdict(tx *utxo.Tx) error {
	key := tx.FullHash
	if planted == "verdict-by-id" {
		key = tx.ID
	}
	err, known := n.verdicts[key]
	if !known {
		err = n.verify(tx)
		n.verdicts[key] = err
	}
	return err
}

func (n *node) claim(f *flight) {
	id := f.tx.ID
	rivals := each(f.tx, n.claims.Claim)
	n.post(f, lifecycle.Claimed{Rivals: rivals})
	for _, r := range rivals {
		if other := n.flights[r]; other != nil {
			n.post(other, lifecycle.Rivaled{Rival: id})
		}
	}
	// Votes above round 0 say that others see a contest where this node knows no rival.
	if third, _, _ := n.tally.Standing(id); third.Group != nil {
		n.handOver(id)
		return
	}
	n.later(n.stall, func() {
		if n.flights[id] != nil {
			n.handOver(id) // what does not end in round 0 goes on
		}
	})
}

// commit writes what is final; the claims of rivals end with it.
func (n *node) commit(f *flight, e lifecycle.Commit) {
	id := f.tx.ID
	at, finalMS := conflict.Finality{Round: e.Round, Group: e.Group}, n.nowMS()
	delta := utxo.DeltaOf(f.tx, &n.set)
	n.save(write{txs: []*utxo.Tx{f.tx}, final: &finalWrite{delta, at, finalMS}}, func() {
		if err := n.set.Apply(delta, finalMS); err != nil {
			n.violate("n%d: final %s does not fit: %v", n.id, id, err)
			return
		}
		n.finals[id] = at
		if f.tx.Link != nil {
			n.linked(f.tx)
			n.reobserve(f.tx.Link.Link())
		}
		n.finalized(n, f.tx, at)
		rivals := each(f.tx, n.claims.Release)
		n.post(f, lifecycle.Committed{FinalMS: finalMS})
		for _, r := range rivals {
			if other := n.flights[r]; other != nil {
				n.post(other, lifecycle.Lost{Rival: id})
			}
		}
		n.wake(id)
	})
}

// each claims or releases all that a transaction spends and returns its rivals, by ascending id, none twice.
func each(tx *utxo.Tx, do func(utxo.Outpoint, domain.Hash) []domain.Hash) (rivals []domain.Hash) {
	for _, o := range tx.Spends() {
		rivals = append(rivals, do(o, tx.ID)...)
	}
	slices.SortFunc(rivals, domain.Hash.Compare)
	return slices.Compact(rivals)
}

// wake looks again at what waited for a parent.
func (n *node) wake(parent domain.Hash) {
	for _, id := range n.flightIDs() {
		f := n.flights[id]
		if f == nil {
			continue
		}
		for _, p := range f.parents {
			if p == parent {
				n.post(f, lifecycle.Woken{})
				break
			}
		}
	}
}

func (n *node) report(f *flight, e lifecycle.Report) {
	n.logf("n%d %s %v %v", n.id, n.name(f.tx.ID), e.State, errText(e.Err))
	if e.State != lifecycle.Rejected {
		return
	}
	id := f.tx.ID
	if errors.Is(e.Err, refusal.Because(notaryv1.Reason_REASON_WINDOW_CLOSED)) ||
		errors.Is(e.Err, refusal.Because(notaryv1.Reason_REASON_WAIT_EXPIRED)) ||
		errors.Is(e.Err, refusal.Because(notaryv1.Reason_REASON_TOO_MANY_RIVALS)) {
		n.late[id] = true // until others vote for it
		return
	}
	n.rejected[id] = true
	n.rejectedAt(n, id)
	n.free(f.tx)
	each(f.tx, n.claims.Release)
	n.lose(f.tx)
}

// free releases what binds this node to a transaction that is rejected.
func (n *node) free(tx *utxo.Tx) {
	if changed := n.guard.Reject(tx.ID, tx.Spends()); len(changed) > 0 {
		n.disk.put(write{records: changed})
		n.contest(conflict.Freed{Spends: tx.Spends(), Records: n.ownRecords(tx)})
	}
}

// verify really checks signatures, once for all nodes.
func (w *world) verify(tx *utxo.Tx) error {
	err, known := w.signatures[tx.FullHash]
	if !known {
		for k, c := range tx.Checks() {
			if !c.Verify() {
				err = utxo.BadSignature(tx, k)
				break
			}
		}
		if err == nil {
			err = tx.CheckPossessions()
		}
		w.signatures[tx.FullHash] = err
	}
	return err
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// errOtherEpoch refuses a vote that was wanted in an epoch that is over.
var errOtherEpoch = errors.New("wanted in another epoch")

// cast asks the guard for a vote and puts it into the next batch. Refusals go to whoever asked: the machine of a
// transaction, or, where there is none, the contests.
func (n *node) cast(tx *utxo.Tx, s observation.State, round uint32, cert conflict.CertRound, f *flight) {
	if _, member := n.present.Voter(n.key); !member {
		return // a listener
	}
	if n.closed {
		n.held = append(n.held, func() { n.cast(tx, s, round, cert, f) })
		return
	}
	v := conflict.OwnVote{Tx: tx.ID, Spends: tx.Spends(), State: s, Round: round, Epoch: n.present.Epoch(), Certificate: cert}
	switch err := n.guard.Check(v); {
	case errors.Is(err, conflict.ErrAlreadyCast):
		return
	case err != nil:
		n.logf("n%d guard refuses %v %s round %d: %v", n.id, s, n.name(tx.ID), round, err)
		n.refused(tx, s, round, err, f)
		return
	}
	n.batch.records = append(n.batch.records, n.guard.Record(v)...)
	n.batch.txs = append(n.batch.txs, tx)
	n.waiting = append(n.waiting, observation.Leaf{
		Subject: tx.ID, Type: observation.SubjectTx, State: s, Round: round, TimeMS: n.nowMS(),
	})
	if f != nil {
		n.voted = append(n.voted, func() { n.post(f, lifecycle.Voted{State: s, Round: round}) })
	}
	n.seal()
}

func (n *node) refused(tx *utxo.Tx, s observation.State, round uint32, err error, f *flight) {
	if f != nil {
		n.post(f, lifecycle.Refused{State: s, Round: round, Err: err})
		return
	}
	n.contradicted++
	n.contest(conflict.Refused{Tx: tx.ID, Spends: tx.Spends(), Own: n.ownRecords(tx), State: s, Round: round})
}

// seal makes an observation of what waits, saves it, and only then shows it to anybody (rule N5). While one is being
// saved, votes gather for the next.
func (n *node) seal() {
	if len(n.waiting) == 0 && len(n.statement) > 0 && !n.sealing {
		n.waiting, n.statement = n.statement[0], n.statement[1:]
	}
	if n.sealing || len(n.waiting) == 0 {
		return
	}
	n.sealing = true
	draft := observation.Seal(n.head, n.group(), n.waiting, n.nowMS())
	o := draft.Signed(domain.Signature{}) // signed only where a proof is made: see oracle.go
	n.head = o.Head()
	w, voted := n.batch, n.voted
	w.own = o
	n.waiting, n.batch, n.voted = nil, write{}, nil
	publish := func() {
		n.overheard(n, o)
		for to := range n.nodes {
			n.deliver(n.id, to, o)
		}
	}
	if planted == "send-before-save" {
		n.published(n, o)
		publish()
	}
	n.save(w, func() {
		if planted != "send-before-save" {
			n.published(n, o) // or will be, whatever happens now: it is on disk
		}
		if n.strike != nil && n.strike(n, o) {
			return
		}
		if planted != "send-before-save" {
			publish()
		}
		n.sealing = false
		for _, do := range voted {
			do()
		}
		n.seal()
	})
}

// save writes a batch and goes on when it is synced.
func (n *node) save(w write, then func()) {
	upTo := n.disk.put(w)
	wait := uint64(200 + n.rng.Intn(1800))
	if n.slow {
		wait *= 60
		n.count("slow disk", 1)
	}
	n.later(wait, func() {
		n.disk.sync(upTo)
		then()
	})
}
