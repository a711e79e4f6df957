package sync

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/notarynet/notaryd/proto/domain"
)

// TestBadRepliesAreRefused: each way in which a reply can be wrong has its error, ends the session and finds
// nothing; the same reply unspoiled is good.
func TestBadRepliesAreRefused(t *testing.T) {
	limits := Limits{Ranges: 64, IDs: 20, Leaf: 10, Rounds: 10, Bytes: 1 << 20}
	var ids []domain.Hash
	for i := range 160 {
		ids = append(ids, domain.Hash{byte(i), 1})
	}
	peer := newMemory(ids, false)
	list := func(r *Reply) *Range { return &r.Ranges[len(r.Ranges)-1] }
	for name, c := range map[string]struct {
		spoil func(*Reply)
		want  error
	}{
		"good":                    {func(*Reply) {}, nil},
		"nothing answered":        {func(r *Reply) { r.Answered = 0 }, ErrCount},
		"less than nothing":       {func(r *Reply) { r.Answered = -1 }, ErrCount},
		"more than asked":         {func(r *Reply) { r.Answered = 99 }, ErrCount},
		"more than it says":       {func(r *Reply) { r.Answered = 1 }, ErrBounds},
		"too many ranges":         {func(r *Reply) { r.Ranges = slices.Repeat(r.Ranges, 64) }, ErrTooMany},
		"too many ids":            {func(r *Reply) { list(r).IDs = slices.Repeat(list(r).IDs, 11) }, ErrTooMany},
		"a range twice":           {func(r *Reply) { r.Ranges = append(r.Ranges, *list(r)) }, ErrBounds},
		"descending":              {func(r *Reply) { slices.Reverse(r.Ranges) }, ErrBounds},
		"moved":                   {func(r *Reply) { list(r).From[0]++ }, ErrBounds},
		"longer":                  {func(r *Reply) { list(r).To[0] += 16 }, ErrBounds},
		"a part missing":          {func(r *Reply) { r.Ranges = r.Ranges[1:] }, ErrBounds},
		"not the parts":           {func(r *Reply) { r.Ranges[0].To[31]++ }, ErrBounds},
		"the question":            {func(r *Reply) { *list(r) = Range{Bounds: list(r).Bounds, Count: 1} }, ErrForm},
		"neither list nor digest": {func(r *Reply) { list(r).Listed = false }, ErrForm},
		"nothing, not listed":     {func(r *Reply) { r.Ranges[0].Listed, r.Ranges[0].Count = false, 0 }, ErrForm},
		"ids twice":               {func(r *Reply) { list(r).IDs[1] = list(r).IDs[0] }, ErrIDs},
		"ids below":               {func(r *Reply) { list(r).IDs[0] = domain.Hash{} }, ErrIDs},
		"ids above":               {func(r *Reply) { list(r).IDs[1][0] = 255 }, ErrIDs},
	} {
		// The peer's last range has few ids after the first round; the one before is split.
		s := NewSession(newMemory(nil, false), limits)
		asked, _ := s.Next()
		reply, _ := Answer(peer, asked, limits)
		if _, err := s.Take(reply); err != nil {
			t.Fatal(err)
		}
		s.open = []pending{s.open[0], s.open[1]}
		asked, _ = s.Next()
		peer := newMemory(append(slices.Clone(ids[:144]), ids[150:152]...), false)
		reply, err := Answer(peer, asked, limits)
		if err != nil || len(reply.Ranges) != 17 || len(list(&reply).IDs) != 2 {
			t.Fatalf("%d ranges, %v", len(reply.Ranges), err)
		}
		c.spoil(&reply)
		missing, err := s.Take(reply)
		if !errors.Is(err, c.want) || (err == nil) != (len(missing) > 0) {
			t.Errorf("%s: %v with %d missing, want %v", name, err, len(missing), c.want)
		}
		if _, next := s.Next(); next != err {
			t.Errorf("%s: the session goes on, %v", name, next)
		}
	}
}

// TestBadRequestsAreRefused: who answers takes only ranges that ascend, do not overlap and are no lists, and
// not too many.
func TestBadRequestsAreRefused(t *testing.T) {
	at := func(from, to byte) Range { return Range{Bounds: Bounds{From: domain.Hash{from}, To: domain.Hash{to}}} }
	for name, c := range map[string]struct {
		asked []Range
		want  error
	}{
		"good":         {[]Range{at(1, 2), at(2, 3), at(7, 0)}, nil},
		"none":         {nil, ErrTooMany},
		"many":         {make([]Range, 257), ErrTooMany},
		"twice":        {[]Range{at(1, 2), at(1, 2)}, ErrBounds},
		"after all":    {[]Range{at(1, 0), at(2, 3)}, ErrBounds},
		"descending":   {[]Range{at(4, 5), at(1, 2)}, ErrBounds},
		"inverted":     {[]Range{at(2, 1)}, ErrBounds},
		"empty":        {[]Range{at(2, 2)}, ErrBounds},
		"listed":       {[]Range{{Listed: true}}, ErrForm},
		"ids unlisted": {[]Range{{IDs: make([]domain.Hash, 1)}}, ErrForm},
	} {
		_, err := Answer(newMemory(nil, false), c.asked, DefaultLimits)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

// TestAnswersFit: a reply keeps the limits, answers at least one range, and costs no more than two fingerprints
// for each range of a message, and 17.
func TestAnswersFit(t *testing.T) {
	ids := make([]domain.Hash, 100_000)
	for i := range ids {
		ids[i] = hashed(9, uint64(i))
	}
	set, limits := newMemory(ids, true), DefaultLimits
	var asked []Range
	for _, b := range (Bounds{}).Split() {
		for _, b := range b.Split() {
			asked = append(asked, Range{Bounds: b})
		}
	}
	for _, limits.Leaf = range []int{1, 64, 400, 1000} {
		set.reads = 0
		reply, err := Answer(set, asked, limits)
		listed := 0
		for _, r := range reply.Ranges {
			listed += len(r.IDs)
		}
		if err != nil || reply.Answered < 1 || len(reply.Ranges) > limits.Ranges ||
			listed > limits.IDs || set.reads > 2*limits.Ranges+17 {
			t.Errorf("leaf %d: %d answered by %d ranges and %d ids in %d reads, %v",
				limits.Leaf, reply.Answered, len(reply.Ranges), listed, set.reads, err)
		}
	}
}

// failing is a Set whose store is broken from some read on.
type failing struct {
	Set
	left int
}

var errStore = errors.New("store is broken")

func (f *failing) Fingerprint(b Bounds) (Fingerprint, error) {
	if f.left--; f.left < 0 {
		return Fingerprint{}, errStore
	}
	return f.Set.Fingerprint(b)
}

func (f *failing) IDs(b Bounds, limit int) ([]domain.Hash, error) {
	if f.left--; f.left < 0 {
		return nil, errStore
	}
	return f.Set.IDs(b, limit)
}

// TestErrorsOfSets: an error of either set comes out as it is, wherever it happens.
func TestErrorsOfSets(t *testing.T) {
	ids := make([]domain.Hash, 2000)
	for i := range ids {
		ids[i] = hashed(10, uint64(i))
	}
	whole, part := newMemory(ids, true), newMemory(ids[:1900], true)
	for left := 0; ; left++ {
		_, _, here := reconcile(&failing{part, left}, whole, DefaultLimits)
		_, _, there := reconcile(part, &failing{whole, left}, DefaultLimits)
		if here == nil && there == nil {
			break
		}
		for _, err := range []error{here, there} {
			if err != nil && !errors.Is(err, errStore) {
				t.Fatalf("after %d reads: %v", left, err)
			}
		}
	}
}

// TestLimitsWithoutRoom: limits within which nothing could be answered are a mistake of the program.
func TestLimitsWithoutRoom(t *testing.T) {
	for _, l := range []Limits{{}, {Ranges: 15, IDs: 1, Leaf: 1}, {Ranges: 16, IDs: 1, Leaf: 2}, {Ranges: 16, IDs: 1}} {
		func() {
			defer func() {
				if fmt.Sprint(recover()) != "sync: limits without room for an answer" {
					t.Errorf("%+v are taken", l)
				}
			}()
			NewSession(newMemory(nil, false), l)
		}()
	}
}
