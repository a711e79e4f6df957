package conflict

import (
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/utxo"
)

// slowGuard keeps whole votes and reads the rules as they are written, rival by rival.
type slowGuard struct {
	votes     []OwnVote
	inherited []OwnVote // with the certificates of the locks
	rejected  map[domain.Hash]bool
}

func rivals(a, b OwnVote) bool {
	return a.Tx != b.Tx && slices.ContainsFunc(a.Spends, func(o utxo.Outpoint) bool { return slices.Contains(b.Spends, o) })
}

func (s *slowGuard) allows(v OwnVote) bool {
	if v.State == observation.Abstain {
		return true
	}
	if v.State == observation.Accepted && v.Certificate != (CertRound{v.Epoch, v.Round, true}) { // N2
		return false
	}
	for _, w := range s.votes {
		if w.Tx == v.Tx && w.State == v.State && w.Round == v.Round && w.Epoch != v.Epoch { // N1 across epochs
			return false
		}
		if !rivals(v, w) {
			continue
		}
		if v.State == w.State && v.Round == w.Round { // N1
			return false
		}
		if v.State == observation.Accepted && w.State == observation.Pending && w.Round > v.Round { // N4
			return false
		}
	}
	if v.State == observation.Pending { // N3, outpoint by outpoint
		for _, o := range v.Spends {
			if l, ok := s.lock(o); ok && l.Tx != v.Tx {
				c := v.Certificate
				if !c.Known || !before(l.Certificate, c) || !before(c, CertAt(v.Epoch, v.Round)) {
					return false
				}
			}
		}
	}
	return true
}

// before reads the order of ADR 9 as it is written.
func before(a, b CertRound) bool { return a.Epoch < b.Epoch || a.Epoch == b.Epoch && a.Round < b.Round }

// inherit adds a lock, in place of those of the same round on the same outpoints, which it shows to be void there.
func (s *slowGuard) inherit(v OwnVote) {
	for i := range s.inherited {
		if w := &s.inherited[i]; w.Round == v.Round {
			w.Spends = slices.DeleteFunc(slices.Clone(w.Spends), func(o utxo.Outpoint) bool { return slices.Contains(v.Spends, o) })
		}
	}
	s.inherited = append(s.inherited, v)
}

func (s *slowGuard) lock(o utxo.Outpoint) (lock OwnVote, found bool) {
	for _, w := range slices.Concat(s.votes, s.inherited) {
		if w.State == observation.Accepted && !s.rejected[w.Tx] && slices.Contains(w.Spends, o) && (!found || before(lock.Certificate, w.Certificate)) {
			lock, found = w, true
		}
	}
	return lock, found
}

// conflictGraph draws transactions over few outpoints, so that most are rivals of some.
func conflictGraph(t *rapid.T, txs, points int) [][]utxo.Outpoint {
	spends := make([][]utxo.Outpoint, txs)
	for i := range spends {
		ns := rapid.SliceOfNDistinct(rapid.IntRange(0, points-1), 1, 3, rapid.ID).Draw(t, "spends")
		spends[i] = outpoints(ns...)
	}
	return spends
}

func drawOwnVote(t *rapid.T, spends [][]utxo.Outpoint, epoch uint64) OwnVote {
	id := rapid.IntRange(0, len(spends)-1).Draw(t, "tx")
	v := OwnVote{
		Tx: tx(id), Spends: spends[id], Round: uint32(rapid.IntRange(0, 5).Draw(t, "round")), Epoch: epoch,
		State: rapid.SampledFrom([]observation.State{observation.Pending, observation.Accepted, observation.Abstain}).Draw(t, "state"),
	}
	switch {
	case v.State == observation.Accepted && rapid.IntRange(0, 9).Draw(t, "certified") > 0:
		v.Certificate = CertAt(epoch, v.Round)
	case rapid.Bool().Draw(t, "free"):
		v.Certificate = CertAt(rapid.Uint64Range(0, epoch).Draw(t, "cert epoch"), uint32(rapid.IntRange(0, 5).Draw(t, "cert")))
	}
	return v
}

func TestGuardAgreesWithTheRules(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		spends := conflictGraph(rt, 5, 4)
		guard, slow := NewGuard(), &slowGuard{rejected: make(map[domain.Hash]bool)}
		var disk []Record
		epoch := uint64(0)
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			switch rapid.IntRange(0, 19).Draw(rt, "what") {
			case 0: // a rival became final
				id := rapid.IntRange(0, len(spends)-1).Draw(rt, "rejected")
				slow.rejected[tx(id)] = true
				disk = append(disk, guard.Reject(tx(id), spends[id])...)
			case 1: // crash: whatever order the records come back in, later versions after earlier ones
				guard = NewGuard()
				guard.Restore(disk)
			case 2: // a hand-over: of two locks of one certificate round on an outpoint the later one stays
				epoch++
				id, round := rapid.IntRange(0, len(spends)-1).Draw(rt, "inherited"), uint32(rapid.IntRange(0, 5).Draw(rt, "at"))
				if slow.rejected[tx(id)] {
					break
				}
				cert := CertAt(epoch-1, round)
				slow.inherit(OwnVote{Tx: tx(id), Spends: spends[id], State: observation.Accepted, Round: round, Certificate: cert})
				for _, o := range spends[id] {
					r := Record{Outpoint: o, Round: round, State: observation.Inherited, Tx: tx(id), Epoch: epoch, Certificate: cert}
					guard.Restore([]Record{r})
					disk = append(disk, r)
				}
			}
			v := drawOwnVote(rt, spends, epoch)
			if slow.rejected[v.Tx] {
				continue // a node never votes for what it rejected
			}
			err := guard.Check(v)
			if errors.Is(err, ErrAlreadyCast) {
				if !slices.ContainsFunc(slow.votes, func(w OwnVote) bool {
					return w.Tx == v.Tx && w.State == v.State && w.Round == v.Round && w.Epoch == v.Epoch
				}) {
					rt.Fatalf("%v was never cast", v)
				}
				continue
			}
			if (err == nil) != slow.allows(v) {
				rt.Fatalf("%v: guard says %v, the rules say %v", v, err, slow.allows(v))
			}
			if err == nil {
				disk = append(disk, guard.Record(v)...)
				slow.votes = append(slow.votes, v)
			} else if !errors.Is(err, ErrContradiction) {
				rt.Fatalf("%v is no contradiction", err)
			}
		}
		for n := range 4 {
			want, locked := slow.lock(outpoint(n))
			id, at, ok := guard.Lock(outpoint(n))
			if ok != locked || id != want.Tx || at != want.Certificate {
				rt.Fatalf("lock of %d: %v %v %v, want %v %v %v", n, id, at, ok, want.Tx, want.Certificate, locked)
			}
		}
	})
}

func TestGuardRules(t *testing.T) {
	a, b, c := outpoints(1, 2), outpoints(2, 3), outpoints(3)
	pending := func(id int, spends []utxo.Outpoint, round uint32) OwnVote {
		return OwnVote{Tx: tx(id), Spends: spends, State: observation.Pending, Round: round}
	}
	accepted := func(id int, spends []utxo.Outpoint, round uint32) OwnVote {
		return OwnVote{Tx: tx(id), Spends: spends, State: observation.Accepted, Round: round, Certificate: CertAt(0, round)}
	}
	freed := func(v OwnVote, cert uint32) OwnVote { v.Certificate = CertAt(0, cert); return v }
	in := func(epoch uint64, v OwnVote) OwnVote {
		v.Epoch = epoch
		if v.State == observation.Accepted {
			v.Certificate.Epoch = epoch
		}
		return v
	}
	for name, test := range map[string]struct {
		cast []OwnVote
		vote OwnVote
		want error
	}{
		"N1 PENDING":             {[]OwnVote{pending(1, a, 3)}, pending(2, b, 3), ErrRoundTaken},
		"N1 other round":         {[]OwnVote{pending(1, a, 3)}, pending(2, b, 2), nil},
		"N1 no rival":            {[]OwnVote{pending(1, a, 3)}, pending(3, c, 3), nil},
		"N1 ACCEPTED":            {[]OwnVote{accepted(1, a, 3)}, accepted(2, b, 3), ErrRoundTaken},
		"N1 of two states":       {[]OwnVote{pending(1, a, 3)}, accepted(2, b, 3), nil},
		"N2":                     {nil, pending(1, a, 0), nil},
		"N2 no certificate":      {nil, OwnVote{Tx: tx(1), Spends: a, State: observation.Accepted}, ErrNoCertificate},
		"N2 of another round":    {nil, freed(accepted(1, a, 3), 2), ErrNoCertificate},
		"N3 locked":              {[]OwnVote{accepted(1, a, 1)}, pending(2, b, 4), ErrLocked},
		"N3 below the lock":      {[]OwnVote{accepted(1, a, 3)}, freed(pending(2, b, 2), 1), ErrLocked},
		"N3 certificate at lock": {[]OwnVote{accepted(1, a, 1)}, freed(pending(2, b, 4), 1), ErrLocked},
		"N3 freed":               {[]OwnVote{accepted(1, a, 1)}, freed(pending(2, b, 4), 2), nil},
		"N3 of its own round":    {[]OwnVote{accepted(1, a, 1)}, freed(pending(2, b, 4), 4), ErrLocked},
		"N3 its own lock":        {[]OwnVote{accepted(1, a, 1)}, pending(1, a, 4), nil},
		"N3 highest round holds": {[]OwnVote{accepted(1, a, 4), accepted(2, b, 2)}, pending(2, b, 6), ErrLocked},
		"N3 elsewhere":           {[]OwnVote{accepted(1, a, 1)}, pending(3, c, 4), nil},
		"N4":                     {[]OwnVote{pending(1, a, 3)}, accepted(2, b, 2), ErrVotedAbove},
		"N4 same round":          {[]OwnVote{pending(1, a, 3)}, accepted(2, b, 3), nil},
		"again":                  {[]OwnVote{pending(1, a, 3)}, pending(1, a, 3), ErrAlreadyCast},
		"N1 other epoch":         {[]OwnVote{pending(1, a, 3)}, in(1, pending(1, a, 3)), ErrOtherEpoch},
		"N1 rival, other epoch":  {[]OwnVote{pending(1, a, 3)}, in(1, pending(2, b, 3)), ErrRoundTaken},
		"N2 other epoch":         {nil, freed(in(1, accepted(1, a, 3)), 3), ErrNoCertificate},
		"N3 old certificate":     {[]OwnVote{in(1, accepted(1, a, 0))}, freed(in(1, pending(2, b, 4)), 2), ErrLocked},
		"N3 later epoch":         {[]OwnVote{accepted(1, a, 5)}, in(1, OwnVote{Tx: tx(2), Spends: b, State: observation.Pending, Round: 4, Certificate: CertAt(1, 2)}), nil},
		"abstain":                {[]OwnVote{accepted(1, a, 3)}, OwnVote{Tx: tx(2), Spends: b, State: observation.Abstain, Round: 3}, nil},
	} {
		g := NewGuard()
		for _, v := range test.cast {
			g.Record(v)
		}
		if err := g.Check(test.vote); !errors.Is(err, test.want) || (err == nil) != (test.want == nil) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
}

// A rejected transaction's lock is gone on all its outpoints; its votes are not.
func TestGuardReject(t *testing.T) {
	g := NewGuard()
	a := OwnVote{Tx: tx(1), Spends: outpoints(1, 2), State: observation.Accepted, Round: 2, Certificate: CertAt(0, 2)}
	g.Record(a)
	if changed := g.Reject(tx(1), a.Spends); len(changed) != 2 || !changed[0].Released {
		t.Fatalf("changed %v", changed)
	}
	if again := g.Reject(tx(1), a.Spends); again != nil {
		t.Fatalf("changed twice: %v", again)
	}
	x := OwnVote{Tx: tx(3), Spends: outpoints(1), State: observation.Pending, Round: 3}
	if err := g.Check(x); err != nil {
		t.Errorf("lock of a rejected transaction holds: %v", err)
	}
	x.State, x.Round, x.Certificate = observation.Accepted, 2, CertAt(0, 2)
	if err := g.Check(x); !errors.Is(err, ErrRoundTaken) {
		t.Errorf("vote of a rejected transaction is forgotten: %v", err)
	}
	g.Release(outpoint(1))
	g.Release(outpoint(1))
	if err := g.Check(x); err != nil || g.Len() != 1 || g.Records(outpoint(1)) != nil {
		t.Errorf("released outpoint is still guarded: %v", err)
	}
}

func TestGuardPanicsUnchecked(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("recorded a contradiction")
		}
	}()
	g := NewGuard()
	g.Record(OwnVote{Tx: tx(1), Spends: outpoints(1), State: observation.Pending})
	g.Record(OwnVote{Tx: tx(2), Spends: outpoints(1), State: observation.Pending})
}

func TestRecordEncoding(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := Record{
			Outpoint: outpoint(rapid.IntRange(0, 1<<30).Draw(rt, "outpoint")),
			Round:    rapid.Uint32().Draw(rt, "round"),
			State:    rapid.SampledFrom([]observation.State{observation.Pending, observation.Accepted, observation.Inherited}).Draw(rt, "state"),
			Tx:       tx(rapid.IntRange(0, 1<<30).Draw(rt, "tx")),
			Epoch:    rapid.Uint64().Draw(rt, "epoch"),
			Released: rapid.Bool().Draw(rt, "released"),
		}
		if rapid.Bool().Draw(rt, "certified") {
			r.Certificate = CertAt(rapid.Uint64().Draw(rt, "certificate epoch"), rapid.Uint32().Draw(rt, "certificate"))
		}
		if r.State == observation.Inherited {
			r.Epoch = max(r.Epoch, 1)
			r.Certificate = CertAt(r.Epoch-1, r.Round)
		}
		key, value := r.Key(), r.Value()
		if got, err := DecodeRecord(key[:], value[:]); err != nil || got != r {
			rt.Fatalf("%v %v, want %v", got, err, r)
		}
	})
}

// Every byte of a record matters or is refused.
func TestRecordDecodeIsStrict(t *testing.T) {
	r := Record{Outpoint: outpoint(1), State: observation.Pending, Tx: tx(1)}
	key, value := r.Key(), r.Value()
	bad := func(name string, k, v []byte) {
		if got, err := DecodeRecord(k, v); err == nil {
			t.Errorf("%s: read %v", name, got)
		}
	}
	bad("short key", key[1:], value[:])
	bad("short value", key[:], value[1:])
	mutate := func(b []byte, i int, to byte) []byte { b = slices.Clone(b); b[i] = to; return b }
	bad("version", key[:], mutate(value[:], 0, 3))
	bad("length of the first version", key[:], mutate(value[:], 0, 1))
	bad("flags", key[:], mutate(value[:], 41, 4))
	bad("certificate epoch without certificate", key[:], mutate(value[:], 49, 1))
	bad("certificate round without certificate", key[:], mutate(value[:], 53, 1))
	bad("inherited lock without certificate", mutate(key[:], 40, byte(observation.Inherited)), value[:])
	bad("inherited lock of its own epoch", mutate(key[:], 40, byte(observation.Inherited)), mutate(value[:], 41, 1))
	bad("state", mutate(key[:], 40, byte(observation.Abstain)), value[:])
}

// Records of the first version are of a time with one epoch, which is that of their certificates.
func TestRecordOfTheFirstVersion(t *testing.T) {
	r := Record{Outpoint: outpoint(1), Round: 9, State: observation.Pending, Tx: tx(1), Epoch: 3, Certificate: CertAt(3, 7), Released: true}
	key, value := r.Key(), r.Value()
	first := slices.Delete(value[:], 42, 50)
	first[0] = 1
	if got, err := DecodeRecord(key[:], first); err != nil || got != r {
		t.Errorf("%+v %v, want %+v", got, err, r)
	}
}

func FuzzDecodeRecord(f *testing.F) {
	r := Record{Outpoint: outpoint(1), State: observation.Accepted, Tx: tx(1), Certificate: CertAt(0, 7), Released: true}
	key, value := r.Key(), r.Value()
	f.Add(key[:], value[:])
	f.Fuzz(func(t *testing.T, key, value []byte) {
		r, err := DecodeRecord(key, value)
		if err != nil {
			return
		}
		k, v := r.Key(), r.Value()
		if value[0] == recordVersion1 {
			if again, err := DecodeRecord(k[:], v[:]); err != nil || again != r {
				t.Fatalf("%+v re-encodes to %+v, %v", r, again, err)
			}
			return
		}
		if string(k[:]) != string(key) || string(v[:]) != string(value) {
			t.Fatalf("%x %x re-encodes to %x %x", key, value, k, v)
		}
	})
}

func BenchmarkGuard(b *testing.B) {
	g := NewGuard()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		v := OwnVote{Tx: tx(i), Spends: outpoints(i), State: observation.Pending}
		g.Record(v)
		v.State, v.Certificate = observation.Accepted, CertAt(0, 0)
		g.Record(v)
		g.Release(v.Spends[0])
	}
}
