package lifecycle

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/notarynet/notaryd/conflict"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
	"github.com/notarynet/notaryd/utxo"
)

// facts are what happens around one transaction, in whatever order.
type facts struct {
	tx       string
	verified bool // signatures are checked before Begin
	standing bool // ACCEPTED is asked for as soon as a certificate is counted, where Support allows it

	certificates []uint32
	finals       []uint32
	rival        bool // a rival claims
	beside       bool // a rival had claimed before
	supported    bool
	stalled      bool
	refusals     bool // the guard refuses PENDING
	lost         bool // a rival becomes final
	displaced    bool
	adopted      bool // the child's parent becomes final
	clock        bool // a day passes
	expired      bool
	fee          bool
	restored     []Restored
}

func drawFacts(t *rapid.T) facts {
	rounds := rapid.SliceOfNDistinct(rapid.Uint32Range(0, 4), 0, 3, rapid.ID[uint32])
	f := facts{
		tx:           rapid.SampledFrom([]string{"transfer", "transfer", "child", "locked", "window", "unsigned", "imbalance"}).Draw(t, "tx"),
		certificates: rounds.Draw(t, "certificates"),
	}
	for _, c := range []struct {
		name string
		b    *bool
	}{
		{"verified", &f.verified}, {"standing", &f.standing}, {"rival", &f.rival}, {"beside", &f.beside}, {"supported", &f.supported}, {"stalled", &f.stalled},
		{"refusals", &f.refusals}, {"adopted", &f.adopted}, {"clock", &f.clock}, {"expired", &f.expired}, {"fee", &f.fee},
	} {
		*c.b = rapid.Bool().Draw(t, c.name)
	}
	// A final rival and finality exclude each other below a third of faulty weight.
	switch rapid.IntRange(0, 3).Draw(t, "end") {
	case 1:
		f.finals = rapid.SliceOfNDistinct(rapid.Uint32Range(0, 4), 1, 2, rapid.ID[uint32]).Draw(t, "finals")
	case 2:
		f.lost = true
	case 3:
		f.displaced = rapid.Bool().Draw(t, "displaced")
	}
	if rapid.Bool().Draw(t, "earlier life") {
		f.restored = append(f.restored, Restored{Pending: true})
		if rapid.Bool().Draw(t, "accepted") {
			f.restored = append(f.restored, Restored{Accepted: true})
		}
	}
	return f
}

// run is one machine among its facts, with everything that it was asked to do.
type run struct {
	t       *rapid.T
	facts   facts
	m       *Machine
	tx      *utxo.Tx
	set     *utxo.Set
	nowMS   uint64
	pending []Input // that will come, in any order

	supports bool // PENDING(0) is asked for, and waits for the mempool delay

	given struct {
		rival, restoredPending bool
		certified              map[uint32]bool
		final                  bool
	}
	did struct {
		verify, claim, pending, contest, commit, end, relay, unhindered int
		accepted                                                        map[uint32]int
		highest                                                         uint32
		looks                                                           int
	}
}

func newRun(t *rapid.T, tb testing.TB, f facts) *run {
	r := &run{t: t, facts: f, tx: transactions(tb)[f.tx], set: world(tb), nowMS: now}
	var fees utxo.FeePolicy
	if f.fee {
		fees.MinUnits = 1
	}
	r.m = NewMachine(r.tx, &fees)
	r.given.certified, r.did.accepted = make(map[uint32]bool), make(map[uint32]int)
	return r
}

// around are the facts as inputs. What changes the world is a function that ends in an input.
func (r *run) around(tb testing.TB) []func() Input {
	f := r.facts
	var out []func() Input
	add := func(holds bool, in func() Input) {
		if holds {
			out = append(out, in)
		}
	}
	same := func(in Input) func() Input { return func() Input { return in } }
	for _, round := range f.certificates {
		out = append(out, same(milestone(r.tx, conflict.Certificate, round)))
	}
	for _, round := range f.finals {
		out = append(out, same(milestone(r.tx, conflict.Final, round)))
	}
	add(f.rival, same(Rivaled{rivalID}))
	add(f.supported, same(Supported{}))
	add(f.stalled, same(Stalled{}))
	add(f.lost, same(Lost{rivalID}))
	add(f.displaced, same(Displaced{refusal.New(notaryv1.Reason_REASON_TOO_MANY_RIVALS, "", "")}))
	add(f.expired, same(Expired{}))
	add(f.adopted, func() Input { adopt(tb, r.set); return Woken{} })
	add(f.clock, func() Input { r.nowMS += day; return Woken{} })
	return out
}

// step gives one input and answers what the machine asks for later, in any order.
func (r *run) step(in Input) {
	in = r.obey(in)
	r.note(in)
	ended := r.m.State().Ended()
	r.checkUnhindered()
	effects := r.m.Step(in)
	if ended && len(effects) > 0 {
		r.t.Fatalf("after the end %T led to %v", in, effects)
	}
	for _, e := range effects {
		r.check(e)
		switch e := e.(type) {
		case Look:
			r.pending = append(r.pending, Looked{}) // looked up when it is answered
		case Verify:
			r.pending = append(r.pending, verify(r.tx))
		case Claim:
			c := Claimed{}
			if r.facts.beside {
				c.Rivals = []domain.Hash{rivalID}
			}
			r.pending = append(r.pending, c)
		case Support:
			r.supports = true
			r.pending = append(r.pending, delayed{})
		case Cast:
			r.supports = false
			r.pending = append(r.pending, Voted{e.State, e.Round})
		case Contest, End:
			r.supports = false
		case Commit:
			r.supports = false
			r.pending = append(r.pending, Committed{r.nowMS})
		}
	}
}

// checkUnhindered: where nothing hinders a machine, what it is told of votes and then finality lead to reports and a commit, as the
// last that is asked for.
func (r *run) checkUnhindered() {
	certificate := milestone(r.tx, conflict.Certificate, 0)
	certificate.Cast = true
	told := []Input{Supported{}, Voted{observation.Pending, 0}, milestone(r.tx, conflict.Third, 0), certificate, Voted{observation.Accepted, 0}}
	for n := range len(told) + 1 {
		if !r.m.Unhindered(told[:n]) {
			continue
		}
		m, last := *r.m, Effect(nil)
		m.out = nil
		for _, in := range append(told[:n:n], milestone(r.tx, conflict.Final, 0)) {
			for _, e := range m.Step(in) {
				if _, ok := e.(Report); !ok && last != nil {
					r.t.Fatalf("%T after %T", e, last)
				} else if !ok {
					last = e
				}
			}
		}
		if _, ok := last.(Commit); !ok {
			r.t.Fatalf("nothing hinders a machine in %s, and finality leads to %T", m.State(), last)
		}
		r.did.unhindered++
	}
	for _, in := range []Input{milestone(r.tx, conflict.Certificate, 1), milestone(r.tx, conflict.Third, 1), Rivaled{rivalID}, Stalled{}, Lost{rivalID}, Refused{}} {
		if r.m.Unhindered([]Input{in}) {
			r.t.Fatalf("%T hinders nothing", in)
		}
	}
}

// obey asks for ACCEPTED by a certificate where the machine has left that to whoever counts.
func (r *run) obey(in Input) Input {
	c, ok := in.(Counted)
	if !ok || c.Kind != conflict.Certificate || !r.facts.standing || !r.supports {
		return in
	}
	r.supports = false
	r.given.certified[c.Round] = true
	r.check(Cast{observation.Accepted, c.Round, conflict.CertAt(0, c.Round)})
	r.pending = append(r.pending, Voted{observation.Accepted, c.Round})
	c.Cast = true
	return c
}

// delayed is the end of the mempool delay, which the machine does not hear of.
type delayed struct{ Input }

// vote is what the vote of round 0 leads to, unless it was taken back.
func (r *run) vote() {
	switch {
	case !r.supports:
	case r.given.rival:
		r.t.Fatal("PENDING(0) beside a known rival")
	case r.facts.refusals:
		r.pending = append(r.pending, Refused{observation.Pending, 0, conflict.ErrLocked})
	default:
		r.pending = append(r.pending, Voted{observation.Pending, 0})
	}
	r.supports = false
}

// note keeps what the machine was told.
func (r *run) note(in Input) {
	switch in := in.(type) {
	case Rivaled:
		r.given.rival = true
	case Claimed:
		r.given.rival = r.given.rival || len(in.Rivals) > 0
	case Counted:
		r.given.certified[in.Round] = r.given.certified[in.Round] || in.Kind == conflict.Certificate
		r.given.final = r.given.final || in.Kind == conflict.Final
		r.given.rival = r.given.rival || in.Kind == conflict.Third && in.Round > 0
	case Restored:
		r.given.restoredPending = r.given.restoredPending || in.Pending
	}
}

// check holds one effect against what no order of inputs may bring about.
func (r *run) check(e Effect) {
	d := &r.did
	if d.end > 0 {
		r.t.Fatalf("%T after End", e)
	}
	once := func(n *int) {
		if *n++; *n > 1 {
			r.t.Fatalf("%T twice", e)
		}
	}
	switch e := e.(type) {
	case Look:
		d.looks++
	case Verify:
		once(&d.verify)
	case Relay:
		once(&d.relay)
		if r.given.rival {
			r.t.Fatal("a double spend is passed on")
		}
	case Claim:
		once(&d.claim)
	case Contest:
		once(&d.contest)
		if d.commit > 0 {
			r.t.Fatal("a contest over what is final")
		}
	case End:
		once(&d.end)
	case Commit:
		once(&d.commit)
		if !r.given.final || e.Group != members {
			r.t.Fatalf("Commit of %+v; finality seen: %v", e, r.given.final)
		}
	case Support:
		d.pending++
		switch {
		case d.claim == 0:
			r.t.Fatal("a vote on what is not known to be valid")
		case d.pending > 1 || r.given.restoredPending:
			r.t.Fatal("PENDING(0) twice")
		case r.given.rival:
			r.t.Fatal("PENDING(0) beside a known rival")
		case d.contest > 0 || len(d.accepted) > 0:
			r.t.Fatal("PENDING(0) after the decision was handed over, or was made")
		}
	case Cast:
		r.checkCast(e)
	}
}

func (r *run) checkCast(e Cast) {
	d := &r.did
	if d.claim == 0 {
		r.t.Fatal("a vote on what is not known to be valid")
	}
	switch e.State {
	case observation.Accepted:
		d.accepted[e.Round]++
		d.highest = max(d.highest, e.Round)
		if d.accepted[e.Round] > 1 {
			r.t.Fatalf("ACCEPTED(%d) twice", e.Round)
		}
		if !r.given.certified[e.Round] || e.Certificate != conflict.CertAt(0, e.Round) {
			r.t.Fatalf("ACCEPTED(%d) without its certificate (N2)", e.Round)
		}
	default:
		r.t.Fatalf("vote %v", e.State)
	}
}

// finish gives everything that is to come, in an order that is drawn, until nothing is left.
func (r *run) finish(tb testing.TB, around []func() Input) {
	for _, in := range r.facts.restored {
		r.step(in)
	}
	if r.facts.verified {
		r.step(verify(r.tx))
		r.did.verify = 1 // nobody asks again
	}
	begun := false
	for {
		choices := len(r.pending) + len(around)
		if !begun {
			choices++
		}
		if choices == 0 {
			return
		}
		i := rapid.IntRange(0, choices-1).Draw(r.t, "next")
		switch {
		case i < len(r.pending):
			in := r.pending[i]
			r.pending = append(r.pending[:i:i], r.pending[i+1:]...)
			switch in.(type) {
			case delayed:
				r.vote()
				continue
			case Looked:
				in = look(r.tx, r.set, r.nowMS)
			}
			r.step(in)
		case i < len(r.pending)+len(around):
			i -= len(r.pending)
			in := around[i]
			around = append(around[:i:i], around[i+1:]...)
			r.step(in())
		default:
			begun = true
			r.step(Begin{})
		}
	}
}

// TestAnyOrder: whatever the facts and their order, no rule is broken on the way.
func TestAnyOrder(t *testing.T) {
	unhindered := 0
	check := func(rt *rapid.T) {
		r := newRun(rt, t, drawFacts(rt))
		r.finish(t, r.around(t))
		if r.did.end > 0 != r.m.State().Ended() {
			rt.Fatalf("End said %d times in state %v", r.did.end, r.m.State())
		}
		unhindered += r.did.unhindered
	}
	rapid.Check(t, check)
	for range 50 { // in a few of a hundred orders nothing hinders, so that a hundred may have none
		if unhindered > 0 {
			return
		}
		rapid.Check(t, check)
	}
	t.Error("there is always something that hinders")
}

// outcome is what must not depend on the order.
type outcome struct {
	State   State
	Highest uint32 // of ACCEPTED
	Votes   bool   // ACCEPTED at all
	Commit  bool
}

func (r *run) outcome() outcome {
	return outcome{r.m.State(), r.did.highest, len(r.did.accepted) > 0, r.did.commit > 0}
}

// expected is the obvious twin: it looks at the set of facts alone.
func (f facts) expected() outcome {
	certified := len(f.certificates) > 0 || len(f.finals) > 0
	voted := len(f.restored) > 0
	var out outcome
	for _, round := range f.certificates {
		restored := round == 0 && len(f.restored) == 2
		out.Votes = out.Votes || !restored
		if !restored {
			out.Highest = max(out.Highest, round)
		}
	}
	switch {
	case len(f.finals) > 0:
		out.State, out.Commit = Final, true
	case f.lost:
		return outcome{State: Rejected}
	case len(f.certificates) > 0 || len(f.restored) == 2:
		out.State = Accepted
	case f.rival || f.beside || f.stalled || f.refusals && !voted:
		out.State = Contested
	default:
		out.State = Pending
	}
	if f.fee && !certified && !voted {
		return outcome{State: Rejected}
	}
	return out
}

// TestOutcome: for a transaction that is valid now, where it ends is a function of the set of facts.
// Two facts are left out since their order matters by nature: a window or fee that is judged before the
// network has certified (the node takes the transaction up again then), and a contest that has no room.
func TestOutcome(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		f := drawFacts(rt)
		f.displaced, f.expired, f.clock = false, false, false
		f.tx = rapid.SampledFrom([]string{"transfer", "child"}).Draw(rt, "valid tx")
		f.adopted = f.tx == "child"
		if len(f.certificates) > 0 || len(f.finals) > 0 || f.lost {
			f.fee = false
		}
		want := f.expected()
		r := newRun(rt, t, f)
		r.finish(t, r.around(t))
		got := r.outcome()
		if f.lost {
			got = outcome{State: got.State} // votes cast before the rival was final differ by order
		}
		if len(f.certificates) > 1 && got.State == Final {
			// A certificate of a higher round may come after the commit.
			got.Highest, want.Highest, got.Votes, want.Votes = 0, 0, false, false
		}
		if len(f.finals) > 0 {
			got.Highest, want.Highest, got.Votes, want.Votes = 0, 0, false, false
		}
		if f.stalled && got.State == Pending && want.State == Contested {
			want.State = Pending // stalled before it was valid
		}
		if got != want {
			rt.Fatalf("%+v, want %+v for %+v", got, want, f)
		}
	})
}

// TestExhaustive plays every order of a small set of facts and asks for one and the same end.
func TestExhaustive(t *testing.T) {
	txs := transactions(t)
	for _, c := range []struct {
		name string
		tx   string
		in   func(tx *utxo.Tx) []Input
		want State
	}{
		{"certified and final", "transfer", func(tx *utxo.Tx) []Input {
			return []Input{milestone(tx, conflict.Certificate, 0), milestone(tx, conflict.Final, 0), Rivaled{rivalID}}
		}, Final},
		{"certified beside a rival", "transfer", func(tx *utxo.Tx) []Input {
			return []Input{milestone(tx, conflict.Certificate, 1), Rivaled{rivalID}, Supported{}}
		}, Accepted},
		{"a contest of others", "transfer", func(tx *utxo.Tx) []Input {
			return []Input{milestone(tx, conflict.Third, 0), milestone(tx, conflict.Third, 1), Supported{}}
		}, Contested},
		{"votes of round 0", "transfer", func(tx *utxo.Tx) []Input {
			return []Input{milestone(tx, conflict.Third, 0), Supported{}, Woken{}}
		}, Pending},
		{"final without its parent", "child", func(tx *utxo.Tx) []Input {
			return []Input{milestone(tx, conflict.Certificate, 0), milestone(tx, conflict.Final, 0), Expired{}}
		}, Held},
		{"alone", "transfer", func(*utxo.Tx) []Input { return []Input{Supported{}, Woken{}, Expired{}} }, Pending},
	} {
		t.Run(c.name, func(t *testing.T) {
			tx, set := txs[c.tx], world(t)
			orders := 0
			var play func(done []Input, left []Input)
			play = func(done, left []Input) {
				if len(left) > 0 {
					for i := range left {
						rest := append(append([]Input(nil), left[:i]...), left[i+1:]...)
						play(append(done[:len(done):len(done)], left[i]), rest)
					}
					return
				}
				orders++
				if got := settle(tx, set, done); got != c.want {
					t.Fatalf("%v after %s", got, names(done))
				}
			}
			play(nil, append([]Input{Begin{}}, c.in(tx)...))
			if orders != 24 {
				t.Errorf("%d orders", orders)
			}
		})
	}
}

// settle gives inputs in their order, and after each the answers to what it led to. An Expired before
// the end of a hold that is not certified ends it, so it comes last there.
func settle(tx *utxo.Tx, set *utxo.Set, in []Input) State {
	m := NewMachine(tx, new(utxo.FeePolicy))
	queue := append([]Input(nil), in...)
	var late []Input
	certified := false
	for len(queue) > 0 || len(late) > 0 {
		if len(queue) == 0 {
			queue, late = late, nil
		}
		next := queue[0]
		queue = queue[1:]
		if c, ok := next.(Counted); ok {
			certified = certified || c.Kind == conflict.Certificate || c.Kind == conflict.Final
		}
		if _, ok := next.(Expired); ok && !certified && len(queue) > 0 {
			late = append(late, next)
			continue
		}
		for _, e := range m.Step(next) {
			switch e := e.(type) {
			case Look:
				queue = append(queue, look(tx, set, now))
			case Verify:
				queue = append(queue, verify(tx))
			case Claim:
				queue = append(queue, Claimed{})
			case Support:
				queue = append(queue, Voted{observation.Pending, 0})
			case Cast:
				queue = append(queue, Voted{e.State, e.Round})
			case Commit:
				queue = append(queue, Committed{now})
			}
		}
	}
	return m.State()
}

func names(in []Input) (s string) {
	for _, i := range in {
		s += fmt.Sprintf("%T ", i)
	}
	return s
}

// TestStates: every state has a name, and two of them never change.
func TestStates(t *testing.T) {
	seen := make(map[string]bool)
	for s := New; s <= Contested; s++ {
		if seen[s.String()] {
			t.Errorf("%v twice", s)
		}
		seen[s.String()] = true
		if s.Ended() != (s == Final || s == Rejected) {
			t.Errorf("%v ended: %v", s, s.Ended())
		}
	}
	tx := transactions(t)["transfer"]
	if m := NewMachine(tx, new(utxo.FeePolicy)); m.State() != New || m.Tx() != tx {
		t.Error("a machine begins elsewhere")
	}
}

// TestHeldForNoTimeThatHasCome: what waits for a parent is not woken for a time that had come when it was looked at: it
// would look for ever.
func TestHeldForNoTimeThatHasCome(t *testing.T) {
	tx := transactions(t)["child"]
	tx.ValidFromMS = now - 1
	for at, want := range map[uint64]uint64{now - 2: now - 1, now - 1: 0, now: 0} {
		m := NewMachine(tx, new(utxo.FeePolicy))
		m.Step(Begin{})
		out := m.Step(look(tx, world(t), at))
		hold, ok := out[len(out)-1].(Hold)
		if !ok || hold.UntilMS != want || len(hold.Parents) != 1 {
			t.Errorf("looked at %d: %+v, want until %d", at, out, want)
		}
	}
}
