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
	votes    []OwnVote
	rejected map[domain.Hash]bool
}

func rivals(a, b OwnVote) bool {
	return a.Tx != b.Tx && slices.ContainsFunc(a.Spends, func(o utxo.Outpoint) bool { return slices.Contains(b.Spends, o) })
}

func (s *slowGuard) allows(v OwnVote) bool {
	if v.State == observation.Abstain {
		return true
	}
	if v.State == observation.Accepted && !(v.Certificate.Known && v.Certificate.Round == v.Round) { // N2
		return false
	}
	for _, w := range s.votes {
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
				if !c.Known || c.Round <= l.Round || c.Round >= v.Round {
					return false
				}
			}
		}
	}
	return true
}

func (s *slowGuard) lock(o utxo.Outpoint) (lock OwnVote, found bool) {
	for _, w := range s.votes {
		if w.State == observation.Accepted && !s.rejected[w.Tx] && slices.Contains(w.Spends, o) && (!found || w.Round > lock.Round) {
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

func drawOwnVote(t *rapid.T, spends [][]utxo.Outpoint) OwnVote {
	id := rapid.IntRange(0, len(spends)-1).Draw(t, "tx")
	v := OwnVote{
		Tx: tx(id), Spends: spends[id], Round: uint32(rapid.IntRange(0, 5).Draw(t, "round")),
		State: rapid.SampledFrom([]observation.State{observation.Pending, observation.Accepted, observation.Abstain}).Draw(t, "state"),
	}
	switch {
	case v.State == observation.Accepted && rapid.IntRange(0, 9).Draw(t, "certified") > 0:
		v.Certificate = CertAt(v.Round)
	case v.Round > 0 && rapid.Bool().Draw(t, "free"):
		v.Certificate = CertAt(uint32(rapid.IntRange(0, int(v.Round)-1).Draw(t, "cert")))
	}
	return v
}

func TestGuardAgreesWithTheRules(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		spends := conflictGraph(rt, 5, 4)
		guard, slow := NewGuard(), &slowGuard{rejected: make(map[domain.Hash]bool)}
		var disk []Record
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			switch rapid.IntRange(0, 19).Draw(rt, "what") {
			case 0: // a rival became final
				id := rapid.IntRange(0, len(spends)-1).Draw(rt, "rejected")
				slow.rejected[tx(id)] = true
				disk = append(disk, guard.Reject(tx(id), spends[id])...)
			case 1: // crash: whatever order the records come back in, later versions after earlier ones
				guard = NewGuard()
				guard.Restore(disk)
			}
			v := drawOwnVote(rt, spends)
			if slow.rejected[v.Tx] {
				continue // a node never votes for what it rejected
			}
			err := guard.Check(v)
			if errors.Is(err, ErrAlreadyCast) {
				if !slices.ContainsFunc(slow.votes, func(w OwnVote) bool { return w.Tx == v.Tx && w.State == v.State && w.Round == v.Round }) {
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
			id, round, ok := guard.Lock(outpoint(n))
			if ok != locked || id != want.Tx || round != want.Round {
				rt.Fatalf("lock of %d: %v %d %v, want %v %d %v", n, id, round, ok, want.Tx, want.Round, locked)
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
		return OwnVote{Tx: tx(id), Spends: spends, State: observation.Accepted, Round: round, Certificate: CertAt(round)}
	}
	freed := func(v OwnVote, cert uint32) OwnVote { v.Certificate = CertAt(cert); return v }
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
	a := OwnVote{Tx: tx(1), Spends: outpoints(1, 2), State: observation.Accepted, Round: 2, Certificate: CertAt(2)}
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
	x.State, x.Round, x.Certificate = observation.Accepted, 2, CertAt(2)
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
			State:    rapid.SampledFrom([]observation.State{observation.Pending, observation.Accepted}).Draw(rt, "state"),
			Tx:       tx(rapid.IntRange(0, 1<<30).Draw(rt, "tx")),
			Epoch:    rapid.Uint64().Draw(rt, "epoch"),
			Released: rapid.Bool().Draw(rt, "released"),
		}
		if rapid.Bool().Draw(rt, "certified") {
			r.Certificate = CertAt(rapid.Uint32().Draw(rt, "certificate"))
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
	bad("version", key[:], mutate(value[:], 0, 2))
	bad("flags", key[:], mutate(value[:], 41, 4))
	bad("certificate round without certificate", key[:], mutate(value[:], 45, 1))
	bad("state", mutate(key[:], 40, byte(observation.Abstain)), value[:])
}

func FuzzDecodeRecord(f *testing.F) {
	r := Record{Outpoint: outpoint(1), State: observation.Accepted, Tx: tx(1), Certificate: CertAt(7), Released: true}
	key, value := r.Key(), r.Value()
	f.Add(key[:], value[:])
	f.Fuzz(func(t *testing.T, key, value []byte) {
		r, err := DecodeRecord(key, value)
		if err != nil {
			return
		}
		k, v := r.Key(), r.Value()
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
		v.State, v.Certificate = observation.Accepted, CertAt(0)
		g.Record(v)
		g.Release(v.Spends[0])
	}
}
