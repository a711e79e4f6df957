package conflict

import (
	"cmp"
	"maps"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	"github.com/notarynet/notaryd/utxo"
)

// nextOf makes the group that follows, of the same members with other weights.
func nextOf(t testing.TB, g *group.Group, parts ...int) *group.Group {
	t.Helper()
	members := groupOf(t, g.Epoch()+1, parts...).Members()
	next, err := group.New(g.Network(), g.Epoch()+1, g.Link(), members, nil)
	if err != nil {
		t.Fatal(err)
	}
	return next
}

// ending is the end of an epoch as one node may come to know it: the chains of all voters, of which some do not close,
// what is settled, and which certificates there are.
type ending struct {
	group, next *group.Group
	me          int
	signs       bool
	stated      []Lock
	chains      [][]Walked
	settled     map[domain.Hash]bool
	certified   map[Lock]bool
}

var oldLink = hash('z', 7) // of an epoch before

func (e *ending) epochOf(link domain.Hash) uint64 {
	if link == oldLink {
		return e.group.Epoch() - 1
	}
	return e.group.Epoch()
}

// spendsOf has most transactions share outpoints.
func spendsOf(id domain.Hash) []utxo.Outpoint {
	n := int(id[4])
	return outpoints(n%3, 3+n%2)
}

func (e *ending) certificate(l Lock) Certified {
	return Certified{Lock: l, Epoch: e.epochOf(l.Link), Spends: spendsOf(l.Tx)}
}

func drawEnding(rt *rapid.T, t testing.TB) *ending {
	parts := rapid.SliceOfN(rapid.IntRange(1, 3), 1, 5).Draw(rt, "parts")
	e := &ending{group: groupOf(t, 4, parts...), settled: make(map[domain.Hash]bool), certified: make(map[Lock]bool)}
	e.next = nextOf(t, e.group, parts...)
	e.me = rapid.IntRange(-1, len(parts)-1).Draw(rt, "me")
	e.signs = e.me >= 0 && rapid.Bool().Draw(rt, "signs")
	lock := rapid.Custom(func(rt *rapid.T) Lock {
		l := Lock{tx(rapid.IntRange(0, 6).Draw(rt, "tx")), e.group.Link(), uint32(rapid.IntRange(0, 2).Draw(rt, "round"))}
		if rapid.IntRange(0, 3).Draw(rt, "inherited") == 0 {
			l.Link = oldLink
		}
		return l
	})
	e.stated = rapid.SliceOfNDistinct(lock, 0, 2, rapid.ID).Draw(rt, "stated")
	for i := range parts {
		lock := lock
		if e.signs && i == e.me { // what it is locked on from before is what it entered with
			lock = lock.Filter(func(l Lock) bool { return l.Link != oldLink || slices.Contains(e.stated, l) })
		}
		var chain []Walked
		height := rapid.Uint64Range(1, 9).Draw(rt, "from")
		for n := range rapid.IntRange(1, 4).Draw(rt, "observations") {
			chain = append(chain, Walked{Voter: i, Height: height + uint64(n), Locks: rapid.SliceOfN(lock, 0, 2).Draw(rt, "locks")})
		}
		if rapid.IntRange(0, 3).Draw(rt, "closes") > 0 {
			chain[len(chain)-1].Closing = e.next.Link()
		}
		e.chains = append(e.chains, chain)
	}
	for n := range 7 {
		if rapid.IntRange(0, 3).Draw(rt, "settled") == 0 {
			e.settled[tx(n)] = true
		}
		for _, link := range []domain.Hash{oldLink, e.group.Link()} {
			for round := range uint32(3) {
				e.certified[Lock{tx(n), link, round}] = rapid.IntRange(0, 3).Draw(rt, "certified") > 0
			}
		}
	}
	return e
}

// known is what the node was told so far.
type known struct {
	walked    []int // observations of each chain
	linked    bool
	settled   map[domain.Hash]bool
	certified map[Lock]bool
}

// enter is the slow twin of Handover: what must come of what is known, read off the rules. False: nothing yet.
func (e *ending) enter(k *known) (want Enter, ok bool) {
	if !k.linked {
		return want, false
	}
	var weight group.Weight
	var bound, others []Lock // of valid statements, this node's own and those of others
	for i, v := range e.group.Voters() {
		seen := e.chains[i][:k.walked[i]]
		own := e.signs && i == e.me
		closed := len(seen) > 0 && !seen[len(seen)-1].Closing.IsZero()
		if own && !closed {
			return want, false
		}
		valid := closed
		var locks []Lock
		for _, w := range seen {
			for _, l := range w.Locks {
				if !k.settled[l.Tx] {
					locks = append(locks, l)
					valid = valid && (own || k.certified[l])
				}
			}
		}
		if !valid {
			continue
		}
		weight += v.Share
		bound = append(bound, locks...)
		if !own {
			others = append(others, locks...)
		}
	}
	if !group.Quorum(weight) {
		return want, false
	}
	want.Group = e.next
	highest := make(map[utxo.Outpoint]Record)
	for _, l := range others {
		if !slices.ContainsFunc(want.Bonds, func(b Bond) bool { return b.Tx == l.Tx }) {
			want.Bonds = append(want.Bonds, Bond{l.Tx, spendsOf(l.Tx)})
		}
		c := CertAt(e.epochOf(l.Link), l.Round)
		for _, o := range spendsOf(l.Tx) {
			r, taken := highest[o]
			if !taken || before(r.Certificate, c) || r.Certificate == c && l.Tx.Compare(r.Tx) < 0 {
				highest[o] = Record{Outpoint: o, Round: l.Round, State: observation.Inherited, Tx: l.Tx, Epoch: e.next.Epoch(), Certificate: c}
			}
		}
	}
	for _, r := range highest {
		want.Records = append(want.Records, r)
	}
	slices.SortFunc(want.Bonds, func(a, b Bond) int { return a.Tx.Compare(b.Tx) })
	slices.SortFunc(want.Records, func(a, b Record) int { return a.Outpoint.Compare(b.Outpoint) })
	stated := make(map[domain.Hash]Lock)
	for _, l := range slices.Concat(bound, e.stated) {
		other, there := stated[l.Tx]
		if !k.settled[l.Tx] && (!there || e.lower(other, l)) {
			stated[l.Tx] = l
		}
	}
	want.Stated = slices.Collect(maps.Values(stated))
	slices.SortFunc(want.Stated, compareLocks)
	return want, true
}

// told are the inputs in some order: chains in theirs, all else wherever it falls, and much of it more than once.
func (e *ending) told(rt *rapid.T) []any {
	var facts []any
	for id := range e.settled {
		facts = append(facts, Settled{id})
	}
	for l, there := range e.certified {
		if there {
			facts = append(facts, e.certificate(l))
		}
	}
	facts = append(facts, Linked{e.next}, Again{})
	slices.SortFunc(facts, func(a, b any) int { return cmp.Compare(nameOf(a), nameOf(b)) })
	for i, chain := range e.chains {
		for range chain {
			facts = append(facts, i) // the next of this chain
		}
	}
	return append(rapid.Permutation(facts).Draw(rt, "told"), rapid.Permutation(facts).Draw(rt, "again")...)
}

func nameOf(in any) string {
	switch in := in.(type) {
	case Settled:
		return "s" + in.Tx.String()
	case Certified:
		return "c" + in.Lock.Tx.String() + in.Lock.Link.String() + string(rune('0'+in.Lock.Round))
	case Linked:
		return "l"
	}
	return "a"
}

// At every moment, whatever came in what order and how often, the node enters exactly if the slow twin says so, with
// the locks that it says.
func TestHandoverAgreesWithTheRules(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		e := drawEnding(rt, t)
		self := domain.PublicKey(hash('x', 0))
		if e.me >= 0 {
			self = e.group.Voters()[e.me].Key
		}
		h := NewHandover(self, e.signs, e.group, e.stated, e.epochOf)
		k := &known{walked: make([]int, len(e.chains)), settled: make(map[domain.Hash]bool), certified: make(map[Lock]bool)}
		entered := false
		check := func(out []HandoverEffect) {
			for _, effect := range out {
				switch effect := effect.(type) {
				case Close:
					if !k.linked || !e.signs || !reflect.DeepEqual(effect.Stated, e.stated) && len(e.stated) > 0 {
						rt.Fatalf("closes: %+v", effect)
					}
				case NeedLock:
					if k.settled[effect.Lock.Tx] || k.certified[effect.Lock] {
						rt.Fatalf("asks for %+v, which is known", effect.Lock)
					}
				case Enter:
					want, ok := e.enter(k)
					if entered || !ok || !slices.Equal(effect.Records, want.Records) || effect.Group != e.next {
						rt.Fatalf("enters (%v) with %+v, want %v %+v", entered, effect.Records, ok, want.Records)
					}
					if !slices.EqualFunc(effect.Bonds, want.Bonds, func(a, b Bond) bool { return a.Tx == b.Tx && slices.Equal(a.Spends, b.Spends) }) {
						rt.Fatalf("is bound by %v, want %v", effect.Bonds, want.Bonds)
					}
					if !slices.Equal(effect.Stated, want.Stated) {
						rt.Fatalf("states %v, want %v", effect.Stated, want.Stated)
					}
					entered = true
				}
			}
		}
		step := func(in HandoverInput) { check(h.Step(in)) }
		walk := func(w Walked) {
			w.Locks = slices.DeleteFunc(slices.Clone(w.Locks), func(l Lock) bool { return k.settled[l.Tx] })
			step(w)
		}
		look := func() {
			for _, l := range h.Open(true) {
				if k.settled[l.Tx] {
					step(Settled{l.Tx})
				} else if k.certified[l] {
					step(e.certificate(l))
				}
			}
		}
		restart := func() {
			old := h
			h = NewHandover(self, e.signs, e.group, e.stated, e.epochOf)
			for i, chain := range e.chains {
				for _, w := range chain[:k.walked[i]] {
					if w.Height > old.Clear(i) {
						walk(w)
					}
				}
			}
			look()
			if k.linked {
				step(Linked{e.next})
			}
		}
		for _, in := range e.told(rt) {
			if !entered && rapid.IntRange(0, 7).Draw(rt, "restarts") == 0 {
				restart()
			}
			switch in := in.(type) {
			case int:
				if k.walked[in] < len(e.chains[in]) {
					w := e.chains[in][k.walked[in]]
					if _, ok := h.Next(in); !ok && !entered {
						rt.Fatalf("chain %d is not walked on at %d", in, k.walked[in])
					}
					k.walked[in]++
					walk(w)
				} else {
					step(e.chains[in][len(e.chains[in])-1])
				}
			case Settled:
				k.settled[in.Tx] = true
				step(in)
			case Certified:
				k.certified[in.Lock] = true
				step(in)
			case Linked:
				k.linked = true
				step(in)
			case Again:
				step(in)
			}
			look()
			if _, ok := e.enter(k); ok && !entered {
				rt.Fatalf("does not enter")
			}
		}
	})
}

// lower reports whether the certificate of a lock is lower than that of another on the same transaction.
func (e *ending) lower(a, b Lock) bool {
	return cmp.Or(CertAt(e.epochOf(a.Link), a.Round).Compare(CertAt(e.epochOf(b.Link), b.Round)), a.Link.Compare(b.Link)) < 0
}

// What more than 2/3 ACCEPTED is settled or locked at whoever enters the next epoch, whoever of at most 1/3 lies about
// it: the locks of every collection hold what is final.
func TestHandoverKeepsWhatIsFinal(t *testing.T) {
	if plantedNoAdoption {
		t.Skip("planted")
	}
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(4, 7).Draw(rt, "voters")
		g := equalGroup(t, n)
		next := nextOf(t, g, slices.Repeat([]int{1}, n)...)
		faulty := (n - 1) / 3
		final := Lock{tx(0), g.Link(), 1}
		signers := rapid.Permutation(slices.Collect(maps.Keys(indices(n)))).Draw(rt, "signers")[:2*n/3+1]
		h := NewHandover(hash2key('x'), false, g, nil, nil)
		var inputs []HandoverInput
		for i := range n {
			w := Walked{Voter: i, Height: 1, Closing: next.Link()}
			switch {
			case i < faulty && rapid.Bool().Draw(rt, "silent"):
				continue
			case i >= faulty && slices.Contains(signers, i):
				w.Locks = []Lock{final}
			case i < faulty: // states a lower certificate of a rival, or nothing
				if rapid.Bool().Draw(rt, "rival") {
					w.Locks = []Lock{{tx(6), g.Link(), 0}}
				}
			}
			inputs = append(inputs, w)
		}
		inputs = append(inputs, Linked{next})
		for _, in := range rapid.Permutation(inputs).Draw(rt, "inputs") {
			out := h.Step(in)
			for _, l := range h.Open(false) {
				out = append(out, h.Step(Certified{Lock: l, Spends: spendsOf(l.Tx)})...)
			}
			for _, effect := range out {
				enter, ok := effect.(Enter)
				if !ok {
					continue
				}
				guard := NewGuard()
				guard.Restore(enter.Records)
				for _, o := range spendsOf(final.Tx) {
					if id, at, locked := guard.Lock(o); !locked || id != final.Tx || at != CertAt(0, 1) {
						rt.Fatalf("%v is locked on %v at %v, want %v", o, id, at, final)
					}
				}
				return
			}
		}
		rt.Fatal("nobody enters")
	})
}

func indices(n int) map[int]bool {
	m := make(map[int]bool)
	for i := range n {
		m[i] = true
	}
	return m
}

func hash2key(kind byte) domain.PublicKey { return domain.PublicKey(hash(kind, 0)) }

// What a closing statement says is read back from the observations that it fills.
func TestClosingStatementRoundTrip(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		g := equalGroup(t, 4)
		lock := rapid.Custom(func(rt *rapid.T) Lock {
			return Lock{tx(rapid.IntRange(0, 9).Draw(rt, "tx")), hash('z', rapid.IntRange(0, 2).Draw(rt, "link")), rapid.Uint32().Draw(rt, "round")}
		})
		stated := rapid.SliceOfNDistinct(lock, 0, 12, rapid.ID).Draw(rt, "stated")
		most := rapid.IntRange(2, 9).Draw(rt, "most")
		head := observation.Head{Key: nodeKey(1)}
		var got []Lock
		parts := ClosingLeaves(stated, hash('l', 9), 7, most)
		for i, leaves := range parts {
			if len(leaves) > most {
				rt.Fatalf("%d leaves, at most %d", len(leaves), most)
			}
			o := observation.Seal(head, g, leaves, 7).Signed(domain.Signature{})
			head = o.Head()
			w := WalkOf(o, 1, nil)
			if last := i == len(parts)-1; w.Height != head.Height || last != (w.Closing == hash('l', 9)) {
				rt.Fatalf("walked %+v", w)
			}
			got = append(got, w.Locks...)
		}
		slices.SortFunc(stated, compareLocks)
		slices.SortFunc(got, compareLocks)
		if !slices.Equal(got, stated) {
			rt.Fatalf("read %v, want %v", got, stated)
		}
	})
}

// A voter that is bound by more than can be looked up is walked no further, and only its own statement waits.
func TestHandoverBoundsTheUnproven(t *testing.T) {
	g := equalGroup(t, 4)
	h := NewHandover(nodeKey(3), true, g, nil, nil)
	height := uint64(1)
	for {
		if _, ok := h.Next(0); !ok {
			break
		}
		w := Walked{Voter: 0, Height: height}
		for i := range 1000 {
			w.Locks = append(w.Locks, Lock{hash('j', int(height)*1000+i), g.Link(), 0})
		}
		h.Step(w)
		if height++; height > 20 {
			t.Fatal("no end of it")
		}
	}
	next := nextOf(t, g, 1, 1, 1, 1)
	h.Step(Linked{next})
	var entered bool
	for i := 1; i < 4; i++ {
		for _, effect := range h.Step(Walked{Voter: i, Height: 1, Closing: next.Link()}) {
			_, ok := effect.(Enter)
			entered = entered || ok
		}
	}
	if !entered {
		t.Error("three of four have closed, and nobody enters")
	}
}

// Whoever is told why an epoch does not end hears who has not closed it, and whose statement names what nobody shows.
func TestHandoverSaysWhatItLacks(t *testing.T) {
	g := equalGroup(t, 4)
	next := nextOf(t, g, 1, 1, 1, 1)
	keys := g.Voters()
	h := NewHandover(keys[3].Key, true, g, nil, nil)
	h.Step(Linked{next})
	lock := Lock{tx(1), g.Link(), 0}
	h.Step(Walked{Voter: 3, Height: 1, Locks: []Lock{lock}, Closing: next.Link()}) // its own needs no certificate
	h.Step(Walked{Voter: 0, Height: 1, Locks: []Lock{lock}, Closing: next.Link()})
	open, unproven := h.Lacking()
	if !slices.Equal(open, []domain.PublicKey{keys[1].Key, keys[2].Key}) || !slices.Equal(unproven, []domain.PublicKey{keys[0].Key}) {
		t.Errorf("not closed %v, not certified %v", open, unproven)
	}
	h.Step(Settled{lock.Tx})
	if _, unproven = h.Lacking(); len(unproven) != 0 {
		t.Errorf("once it is settled, not certified: %v", unproven)
	}
}

// Every lock that a statement waits for is asked for, of whoever is bound by it, however many inventions others are
// bound by.
func TestHandoverAsksForEverything(t *testing.T) {
	if plantedNoAsking {
		t.Skip("planted")
	}
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(4, 40).Draw(rt, "voters")
		liars := rapid.IntRange(1, (n-1)/3).Draw(rt, "liars")
		g := equalGroup(t, n)
		next := nextOf(t, g, slices.Repeat([]int{1}, n)...)
		h := NewHandover(hash2key('x'), false, g, nil, nil)
		bound := make(map[NeedLock]bool)
		for i := range n {
			w := Walked{Voter: i, Height: 1, Closing: next.Link()}
			count := rapid.IntRange(1, 3).Draw(rt, "locks")
			if i < liars {
				count = rapid.IntRange(1, 3*maxNeeds).Draw(rt, "inventions")
			}
			for k := range count {
				l := Lock{hash('h', k), g.Link(), 0} // the honest are bound by the same
				if i < liars {
					l.Tx = domain.Hash{30: byte(k >> 8), 31: byte(k)} // before all others
				}
				w.Locks = append(w.Locks, l)
				bound[NeedLock{l, g.Voters()[i].Key}] = true
			}
			h.Step(w)
		}
		asked := make(map[Lock]bool)
		ask := func(in HandoverInput) {
			var needs []NeedLock
			for _, e := range h.Step(in) {
				if need, ok := e.(NeedLock); ok {
					needs, asked[need.Lock] = append(needs, need), true
					if !bound[need] {
						rt.Fatalf("asks %v for what does not bind it", need.From)
					}
				}
			}
			if len(needs) > maxNeeds {
				rt.Fatalf("asks for %d at once", len(needs))
			}
		}
		ask(Linked{next})
		for range n {
			ask(Again{})
		}
		if !asked[Lock{hash('h', 0), g.Link(), 0}] {
			rt.Fatal("what binds the honest is not asked for")
		}
		for range 3 * n { // shares of 256/n of at most 768 inventions
			ask(Again{})
		}
		for need := range bound {
			if !asked[need.Lock] {
				rt.Fatalf("never asked for: %v", need)
			}
		}
	})
}

// A lock of an earlier epoch that this node restates ranks by that epoch, whether or not its certificate was looked up.
func TestRestatedLockRanksByItsEpoch(t *testing.T) {
	g := equalGroup(t, 4)
	for range 4 {
		g = nextOf(t, g, 1, 1, 1, 1)
	}
	next := nextOf(t, g, 1, 1, 1, 1)
	own, lower := Lock{tx(1), hash('z', 3), 3}, Lock{tx(1), hash('z', 2), 5}
	epochOf := func(link domain.Hash) uint64 {
		if link == own.Link {
			return 3
		}
		return 2
	}
	for _, looked := range []bool{true, false} {
		h := NewHandover(g.Voters()[0].Key, true, g, []Lock{own}, epochOf)
		if looked {
			h.Step(Certified{Lock: own, Epoch: 3, Spends: outpoints(1)})
		}
		h.Step(Walked{Voter: 0, Height: 1, Locks: []Lock{own}, Closing: next.Link()})
		h.Step(Walked{Voter: 1, Height: 1, Locks: []Lock{lower}, Closing: next.Link()})
		h.Step(Certified{Lock: lower, Epoch: 2, Spends: outpoints(1)})
		h.Step(Linked{next})
		out := h.Step(Walked{Voter: 2, Height: 1, Closing: next.Link()})
		if enter, ok := out[len(out)-1].(Enter); !ok || !slices.Equal(enter.Stated, []Lock{own}) {
			t.Errorf("looked up %t: %+v, want %v stated", looked, out, own)
		}
	}
}

// A certificate of an epoch that this node has not entered proves nothing yet, and never becomes a record that could not
// be read back.
func TestHandoverIgnoresCertificatesOfLaterEpochs(t *testing.T) {
	g := equalGroup(t, 1)
	next := nextOf(t, g, 1)
	h := NewHandover(hash2key('x'), false, g, nil, nil)
	l := Lock{tx(1), next.Link(), 2}
	h.Step(Walked{Voter: 0, Height: 1, Locks: []Lock{l}, Closing: next.Link()})
	h.Step(Certified{Lock: l, Epoch: 1, Spends: outpoints(1)})
	if out := h.Step(Linked{next}); len(out) != 0 {
		t.Errorf("enters: %+v", out)
	}
}

// A transaction that got this node's vote in an epoch that is over is voted on in the round above.
func TestJoinAfterALink(t *testing.T) {
	g := equalGroup(t, 4)
	next := nextOf(t, g, 1, 1, 1, 1)
	c := newTestContests(t, 0, next, nil)
	own := Record{Outpoint: outpoint(1), State: observation.Pending, Round: 2, Tx: tx(1)}
	votes := found[CastVote](c.Step(Join{Tx: tx(1), Spends: outpoints(1), InWindow: true, Own: []Record{own}}))
	if len(votes) != 1 || votes[0].Vote.Round != 3 || votes[0].Vote.Epoch != 1 {
		t.Errorf("votes %+v, want round 3 of epoch 1", votes)
	}
}

// Whoever votes in a later epoch on what became final before is told, whatever its round.
func TestSupportAfterALink(t *testing.T) {
	g := equalGroup(t, 4)
	next := nextOf(t, g, 1, 1, 1, 1)
	for _, early := range []bool{false, true} { // the vote comes before this node has entered, or after
		c := newTestContests(t, 0, g, nil)
		c.Step(Join{Tx: tx(1), Spends: outpoints(1), InWindow: true, Final: &Finality{Round: 2, Group: g}})
		var out []Effect
		vote := Heard{[]Vote{{Tx: tx(1), State: observation.Pending, Round: 1, Group: next, Voter: 2}}}
		if early {
			out = append(out, c.Step(vote)...)
		}
		out = append(out, c.Step(NewGroup{Group: next})...)
		if !early {
			out = append(out, c.Step(vote)...)
		}
		if len(found[SendProof](out)) != 1 {
			t.Errorf("early %v: %+v", early, out)
		}
	}
}
