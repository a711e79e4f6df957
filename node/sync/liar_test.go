package sync

import (
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/notarynet/notaryd/proto/domain"
)

// chooser is where a liar's ideas come from: a number from 0 to below n.
type chooser func(n int) int

// lie makes up a reply: to each range some answer of the right form and within the limits, whatever this
// says of the peer's set.
func lie(asked []Range, limits Limits, choose chooser) (reply Reply) {
	ids := 0
	for i := range asked[:1+choose(len(asked))] {
		var more []Range
		r := &asked[i]
		switch parts := r.Split(); {
		case choose(8) == 0:
		case choose(4) == 0 || len(parts) == 1:
			more = append(more, Range{Bounds: r.Bounds, Listed: true, IDs: invent(r.Bounds, choose)})
		default:
			for _, b := range parts {
				part := Range{Bounds: b, Digest: Digest{byte(choose(256))}, Count: uint64(1 + choose(1000))}
				if choose(8) == 0 {
					part = Range{Bounds: b, Listed: true, IDs: invent(b, choose)}
				}
				more = append(more, part)
			}
		}
		for j := range more {
			ids += len(more[j].IDs)
		}
		if i > 0 && (len(reply.Ranges)+len(more) > limits.Ranges || ids > limits.IDs) {
			break
		}
		reply.Answered++
		reply.Ranges = append(reply.Ranges, more...)
	}
	return reply
}

// invent makes up some ids within bounds, ascending.
func invent(b Bounds, choose chooser) []domain.Hash {
	var ids []domain.Hash
	for at := b.From; len(ids) < choose(10) && b.Contains(at); at = number(at).plus(uint256{uint64(1 + choose(3))}).hash() {
		ids = append(ids, at)
	}
	return ids
}

// spoil breaks a reply in some way; not every way makes it one that is refused.
func spoil(reply *Reply, choose chooser) {
	if choose(6) == 0 || len(reply.Ranges) == 0 {
		reply.Answered += choose(5) - 2
		return
	}
	i := choose(len(reply.Ranges))
	r := &reply.Ranges[i]
	r.IDs = slices.Clone(r.IDs)
	switch choose(9) {
	case 0:
		reply.Ranges = slices.Delete(reply.Ranges, i, i+1)
	case 1:
		reply.Ranges = slices.Insert(reply.Ranges, i, *r)
	case 2:
		j := choose(len(reply.Ranges))
		reply.Ranges[i], reply.Ranges[j] = reply.Ranges[j], reply.Ranges[i]
	case 3:
		r.From[choose(32)] ^= byte(1 << choose(8))
	case 4:
		r.To[choose(32)] ^= byte(1 << choose(8))
	case 5:
		r.Listed = !r.Listed
	case 6:
		r.Count = 0
	case 7:
		r.IDs = append(r.IDs, domain.Hash{byte(choose(256))})
	case 8:
		if len(r.IDs) > 0 {
			r.IDs[choose(len(r.IDs))][choose(32)] ^= byte(1 << choose(8))
		}
	}
}

// suffer runs a session against a liar: it ends, by itself, by an error or by its limits; it holds no more
// than it may; what it calls missing is missing, and none of it is said twice.
func suffer(fail func(format string, args ...any), choose chooser) {
	var ids []domain.Hash
	for i := range choose(200) {
		ids = append(ids, hashed(7, uint64(i)), domain.Hash{byte(i), 31: byte(i)})
	}
	set := newMemory(ids, false)
	limits := Limits{Ranges: 16 + choose(100), Leaf: 1 + choose(10), IDs: 160 + choose(200), Rounds: 60, Bytes: 500_000}
	s, found, clumsy := NewSession(set, limits), make(map[domain.Hash]bool), choose(2) == 0
	for rounds := 0; ; rounds++ {
		asked, err := s.Next()
		if len(asked) == 0 {
			if err == nil != s.Done() || err != nil && !errors.Is(err, ErrSpent) {
				fail("ended with done %v, %v", s.Done(), err)
			}
			return
		}
		if err := checkAsked(asked, limits); err != nil {
			fail("%v", err)
		}
		message := limits.Ranges*89 + limits.IDs*domain.Size
		if st := s.Stats(); rounds >= limits.Rounds || st.Bytes > limits.Bytes+2*message {
			fail("%d rounds, %+v", rounds, st)
		}
		if len(s.open) > 64*limits.Ranges {
			fail("%d ranges open", len(s.open))
		}
		reply := lie(asked, limits, choose)
		if clumsy && choose(4) == 0 {
			spoil(&reply, choose)
		}
		missing, err := s.Take(reply)
		if err != nil {
			known := []error{ErrTooMany, ErrBounds, ErrForm, ErrIDs, ErrCount}
			if missing != nil || !slices.ContainsFunc(known, func(k error) bool { return errors.Is(err, k) }) {
				fail("%v with %d missing", err, len(missing))
			}
			if _, again := s.Next(); again != err {
				fail("a session goes on after %v", err)
			}
			return
		}
		for _, id := range missing {
			if len(set.within(one(id))) > 0 || found[id] {
				fail("%v is not missing, or was said twice", id)
			}
			found[id] = true
		}
	}
}

// TestLiarsCostLittle: whatever a peer replies, a session ends within its limits, with an error or without.
func TestLiarsCostLittle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "lies")
		suffer(t.Fatalf, stretched(seed))
	})
}

// FuzzTake: replies of any kind never make a session panic, go on for ever, or break what suffer holds it to.
func FuzzTake(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("lies, and more lies"))
	f.Add([]byte{200, 16, 9, 9, 0, 2, 1, 1, 1, 1, 1, 1, 1, 0, 5, 5, 5})
	f.Fuzz(func(t *testing.T, lies []byte) { suffer(t.Fatalf, stretched(lies)) })
}

// stretched chooses by the bytes given, and when these are used up by their hashes.
func stretched(seed []byte) chooser {
	rest, n := seed, uint64(0)
	return func(below int) int {
		if len(rest) < 2 {
			n++
			next := hashed(domainOf(seed), n)
			rest = next[:]
		}
		if below <= 1 {
			return 0
		}
		v := rest[0]
		rest = rest[1:]
		if below <= 256 {
			return int(v) % below
		}
		v2 := rest[0]
		rest = rest[1:]
		return (int(v)<<8 | int(v2)) % below
	}
}

// domainOf makes a number of bytes.
func domainOf(b []byte) (n uint64) {
	for _, c := range b {
		n = n*1099511628211 + uint64(c)
	}
	return n
}

// TestLiarNeverEqual: a peer that says of all parts of all ranges that they differ is cut off by the limits,
// and holds no more memory than 64 levels of ranges.
func TestLiarNeverEqual(t *testing.T) {
	s := NewSession(newMemory(nil, false), DefaultLimits)
	most := 0
	for {
		asked, err := s.Next()
		if errors.Is(err, ErrSpent) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		var reply Reply
		for i := range asked {
			parts := asked[i].Split()
			if len(parts) == 1 {
				reply.Ranges = append(reply.Ranges, Range{Bounds: asked[i].Bounds, Listed: true})
				reply.Answered++
				continue
			}
			if len(reply.Ranges)+len(parts) > DefaultLimits.Ranges {
				break
			}
			for _, b := range parts {
				reply.Ranges = append(reply.Ranges, Range{Bounds: b, Digest: Digest{1}, Count: 1})
			}
			reply.Answered++
		}
		if _, err := s.Take(reply); err != nil {
			t.Fatal(err)
		}
		most = max(most, len(s.open))
	}
	st := s.Stats()
	t.Logf("%+v, %d ranges open at most", st, most)
	if st.Rounds > DefaultLimits.Rounds || most > 64*DefaultLimits.Ranges {
		t.Errorf("%+v, %d ranges open", st, most)
	}
}
