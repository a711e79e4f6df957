package node

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/notarynet/notaryd/internal/bubble"
	"github.com/notarynet/notaryd/node/gossip"
	"github.com/notarynet/notaryd/node/lifecycle"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/utxo"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func named(s string) domain.Hash { return domain.Sum(domain.TagTx, []byte(s)) }

// bare is a flight that spends one output of each of these transactions.
func bare(name, origin string, parents ...domain.Hash) *flight {
	tx := &utxo.Tx{ID: named(name), FullHash: named(name + " with witnesses")}
	for _, p := range parents {
		tx.Inputs = append(tx.Inputs, utxo.Input{Kind: notaryv1.InputKind_INPUT_KIND_SPEND, Outpoint: utxo.Outpoint{Tx: p}})
	}
	return newFlight(tx, Origin{kind: fromAPI, name: origin}, new(utxo.FeePolicy))
}

// kindsOf are the types of what lies in a box.
func kindsOf(in []lifecycle.Input) []string {
	var out []string
	for _, i := range in {
		out = append(out, fmt.Sprintf("%T", i)[len("lifecycle."):])
	}
	return out
}

func (f *flight) got() []string { return kindsOf(f.box.take()) }

// TestMailbox: what is posted is taken once, in its order, and wakes the reader; a box that was closed
// hands out what is left and takes no more.
func TestMailbox(t *testing.T) {
	f := bare("a", "x")
	f.box.attend(make(chan struct{}, 1))
	for _, in := range []lifecycle.Input{lifecycle.Supported{}, lifecycle.Begin{}, lifecycle.Claimed{}} {
		if !f.box.post(in) {
			t.Fatal("refused")
		}
	}
	select {
	case <-f.box.wake:
	default:
		t.Error("nobody is woken")
	}
	if got := f.got(); !slices.Equal(got, []string{"Supported", "Begin", "Claimed"}) {
		t.Errorf("took %v", got)
	}
	if got := f.got(); len(got) != 0 {
		t.Errorf("took %v again", got)
	}
	if !f.box.leave(lifecycle.Supported{}) || !f.box.post(lifecycle.Claimed{}) || !f.box.post(lifecycle.Claimed{}) {
		t.Error("refused")
	}
	select {
	case <-f.box.wake:
	default:
		t.Error("nobody is woken for what came after what wakes nobody")
	}
	select {
	case <-f.box.wake:
		t.Error("woken twice for what is taken at once")
	default:
	}
	if got := f.got(); !slices.Equal(got, []string{"Supported", "Claimed", "Claimed"}) {
		t.Errorf("took %v", got)
	}
	f.box.tire()
	if got := f.got(); len(f.box.wake) != 1 || len(got) != 0 || !f.box.worn {
		t.Errorf("asked to give its stack up: took %v", got)
	}
	f.box.post(lifecycle.Expired{})
	if left := kindsOf(f.box.close()); !slices.Equal(left, []string{"Expired"}) {
		t.Errorf("left %v", left)
	}
	if f.box.post(lifecycle.Begin{}) || len(f.got()) != 0 {
		t.Error("a closed box takes more")
	}
	if f.box.leave(lifecycle.Begin{}) {
		t.Error("a closed box takes what wakes nobody")
	}
}

// TestMailboxIsSeized: whoever rests and has not been woken may be relieved of what lies in its box, and touches nothing of it
// any more.
func TestMailboxIsSeized(t *testing.T) {
	f := bare("a", "x")
	plain := func(inputs []lifecycle.Input) bool { return len(inputs) < 2 }
	seize := func() []string {
		inputs, ok := f.box.seize(plain)
		if ok {
			return append(kindsOf(inputs), "seized")
		}
		return nil
	}
	wake := make(chan struct{}, 1)
	f.box.attend(wake)
	f.box.take()
	if seize() != nil {
		t.Error("from an owner that works")
	}
	f.box.rest()
	f.box.post(lifecycle.Rivaled{})
	if seize() != nil {
		t.Error("from an owner that was woken")
	}
	<-wake
	if in, mine := f.box.resume(); !mine || len(in) != 1 || seize() != nil {
		t.Errorf("an owner that was woken: %v, %v", in, mine)
	}
	f.box.rest()
	f.box.leave(lifecycle.Supported{})
	f.box.leave(lifecycle.Supported{})
	if seize() != nil {
		t.Error("what is not plain")
	}
	f.box.prompt()
	<-wake
	f.box.resume()
	f.box.rest()
	f.box.leave(lifecycle.Supported{})
	if got := seize(); !slices.Equal(got, []string{"Supported", "seized"}) {
		t.Errorf("seized %v", got)
	}
	if seize() != nil {
		t.Error("twice")
	}
	if _, mine := f.box.resume(); mine {
		t.Error("the owner before goes on")
	}
	if f.box.post(lifecycle.Stalled{}); len(wake) != 0 {
		t.Error("the owner before is woken")
	}
}

// TestVotedWakesWhoWatches: that a vote is on disk wakes a flight whose state somebody watches short of FINAL, or asks to
// watch later; where nobody does, the flight hears of it with what comes next.
func TestVotedWakesWhoWatches(t *testing.T) {
	told := unwanted{t}
	for name, c := range map[string]struct {
		before, after func(f *flight)
		wakes         bool
	}{
		"nobody":            {nil, nil, false},
		"for FINAL":         {func(f *flight) { f.await(vigil{notaryv1.WaitLevel_WAIT_LEVEL_FINAL, told}) }, nil, false},
		"for PENDING":       {func(f *flight) { f.await(vigil{notaryv1.WaitLevel_WAIT_LEVEL_PENDING, told}) }, nil, true},
		"every change":      {func(f *flight) { f.snapshot() }, nil, true},
		"later":             {nil, func(f *flight) { f.await(vigil{notaryv1.WaitLevel_WAIT_LEVEL_PENDING, told}) }, true},
		"every change soon": {nil, func(f *flight) { f.snapshot() }, true},
	} {
		f := bare("a", "x")
		f.box.attend(make(chan struct{}, 1))
		if c.before != nil {
			c.before(f)
		}
		f.voted(observation.Pending, 0)
		if c.after != nil {
			c.after(f)
		}
		woken := len(f.box.wake) == 1
		if got := f.got(); woken != c.wakes || !slices.Equal(got, []string{"Voted"}) {
			t.Errorf("%s: woken %v, took %v", name, woken, got)
		}
	}
}

// unwanted must not be told.
type unwanted struct{ t *testing.T }

func (a unwanted) arrived(s lifecycle.State) { a.t.Errorf("told at %v", s) }

// TestMailboxManyPosters: nothing is lost between many posters and a reader that sleeps on wake.
func TestMailboxManyPosters(t *testing.T) {
	f := bare("a", "x")
	f.box.attend(make(chan struct{}, 1))
	const posters, each = 8, 7
	var wait sync.WaitGroup
	for p := range posters {
		wait.Go(func() {
			for i := range each {
				if !f.box.post(lifecycle.Voted{Round: uint32(p*each + i)}) {
					t.Error("refused")
				}
			}
		})
	}
	seen := make(map[uint32]bool)
	for len(seen) < posters*each {
		<-f.box.wake
		for _, in := range f.box.take() {
			seen[in.(lifecycle.Voted).Round] = true
		}
	}
	wait.Wait()
}

// TestAlarms: callbacks run at their times and in their order, one that is set later may come earlier, and
// one may set another.
func TestAlarms(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		a := newAlarms()
		var wait sync.WaitGroup
		wait.Go(func() { a.run(ctx) })
		start := time.Now()
		type ring struct {
			name string
			at   time.Duration
		}
		var rings []ring
		note := func(name string) func() {
			return func() { rings = append(rings, ring{name, time.Since(start)}) }
		}
		a.after(3*time.Second, note("late"))
		a.after(2*time.Hour, note("very late"))
		synctest.Wait()
		a.after(time.Second, func() {
			note("early")()
			a.after(time.Second, note("set by another"))
		})
		a.after(0, note("now"))
		time.Sleep(3 * time.Hour) // of the bubble's clock
		cancel()
		wait.Wait()
		want := []ring{{"now", 0}, {"early", time.Second}, {"set by another", 2 * time.Second}, {"late", 3 * time.Second}, {"very late", 2 * time.Hour}}
		if !slices.Equal(rings, want) {
			t.Errorf("%v, want %v", rings, want)
		}
	})
}

// TestAlarmsAnyTimes: whatever the times, all callbacks run, by their times.
func TestAlarmsAnyTimes(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		times := rapid.SliceOfN(rapid.IntRange(0, 50), 1, 40).Draw(rt, "ms")
		bubble.Test(t, func(*testing.T) {
			ctx, cancel := context.WithCancel(context.Background())
			a := newAlarms()
			var wait sync.WaitGroup
			wait.Go(func() { a.run(ctx) })
			var rang []int
			for _, ms := range times {
				a.after(time.Duration(ms)*time.Millisecond, func() { rang = append(rang, ms) })
			}
			time.Sleep(time.Minute)
			cancel()
			wait.Wait()
			if !slices.Equal(rang, slices.Sorted(slices.Values(times))) {
				rt.Errorf("%v for %v", rang, times)
			}
		})
	})
}

// TestWaiting: a held flight is told when a parent is final, when its time comes and when the patience
// ends, and its parents are fetched once.
func TestWaiting(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		alarms := newAlarms()
		var wait sync.WaitGroup
		wait.Go(func() { alarms.run(ctx) })
		var fetched []domain.Hash
		config := DefaultConfig()
		config.HoldPatience = time.Minute
		w := newWaiting(config, alarms, func(ids []domain.Hash, _ Origin) { fetched = append(fetched, ids...) })

		p, q := named("p"), named("q")
		f := bare("child", "x", p, q)
		w.hold(f, lifecycle.Hold{Parents: []domain.Hash{p, q}})
		if got := f.got(); !slices.Equal(got, []string{"Woken"}) {
			t.Errorf("a parent may have come since the look: %v", got)
		}
		w.hold(f, lifecycle.Hold{Parents: []domain.Hash{p, q}})
		if got := f.got(); len(got) != 0 {
			t.Errorf("held again: %v", got)
		}
		w.wake(named("somebody else"))
		w.wake(p)
		if got := f.got(); !slices.Equal(got, []string{"Woken"}) {
			t.Errorf("a parent came: %v", got)
		}
		if !slices.Equal(fetched, []domain.Hash{p, q}) {
			t.Errorf("fetched %d parents", len(fetched))
		}
		timed := bare("timed", "x", p)
		w.hold(timed, lifecycle.Hold{UntilMS: nowMS() + 5000})
		late := bare("late", "x", p)
		w.hold(late, lifecycle.Hold{UntilMS: nowMS()})
		synctest.Wait()
		if got := late.got(); !slices.Equal(got, []string{"Woken"}) {
			t.Errorf("its time came between its look and now: %v", got)
		}
		w.drop(late)
		time.Sleep(6 * time.Second)
		if got := timed.got(); !slices.Equal(got, []string{"Woken"}) {
			t.Errorf("its time came: %v", got)
		}
		time.Sleep(time.Minute)
		if got := f.got(); !slices.Equal(got, []string{"Expired"}) {
			t.Errorf("the patience ended: %v", got)
		}
		w.hold(f, lifecycle.Hold{Parents: []domain.Hash{q}, Certified: true, Anew: true})
		if len(fetched) != 3 {
			t.Errorf("fetched %d parents after the patience of a certified one ended", len(fetched))
		}
		w.drop(f)
		w.drop(timed)
		if len(w.held)+len(w.byParent)+len(w.byOrigin) != 0 {
			t.Errorf("left over: %v, %v, %v", w.held, w.byParent, w.byOrigin)
		}
		w.wake(q)
		f.got()
		cancel()
		wait.Wait()
	})
}

// TestWaitingBounds: there is room for so many in all and of each origin, and for twice as many that the network
// has certified, but not for any number: on a node that is far behind they would leave their parents no room.
func TestWaitingBounds(t *testing.T) {
	config := DefaultConfig()
	config.MaxHeld, config.MaxHeldPerOrigin = 3, 2
	w := newWaiting(config, newAlarms(), func([]domain.Hash, Origin) {})
	hold := func(name, origin string, certified bool) (f *flight, held bool) {
		f = bare(name, origin, named("p"))
		w.hold(f, lifecycle.Hold{Parents: []domain.Hash{named("p")}, Certified: certified})
		return f, !slices.Contains(f.got(), "Crowded")
	}
	first, _ := hold("a", "x", false)
	for _, c := range []struct {
		name, origin    string
		certified, room bool
	}{
		{"b", "x", false, true}, {"c", "x", false, false}, {"d", "y", false, true}, {"e", "y", false, false},
		{"f", "x", true, true}, {"g", "x", true, true}, {"h", "x", true, false}, {"i", "z", false, false},
		{"j", "z", true, true}, {"k", "w", true, false},
	} {
		if _, held := hold(c.name, c.origin, c.certified); held != c.room {
			t.Errorf("%s of %s, certified %v: held %v", c.name, c.origin, c.certified, held)
		}
	}
	w.drop(first)
	w.drop(first)
	if w.byOrigin["x"] != 3 {
		t.Errorf("%d held of x", w.byOrigin["x"])
	}
}

// TestWaitingBoundsBytes: what is long takes the places of many.
func TestWaitingBoundsBytes(t *testing.T) {
	config := DefaultConfig()
	w := newWaiting(config, newAlarms(), func([]domain.Hash, Origin) {})
	var held []*flight
	bytes := 0
	for i := range config.MaxHeld {
		f := bare(fmt.Sprint("f", i), fmt.Sprint("origin", i%8), named("p"))
		f.tx.Raw = make([]byte, gossip.MaxTransaction)
		w.hold(f, lifecycle.Hold{Parents: []domain.Hash{named("p")}})
		if slices.Contains(f.got(), "Crowded") {
			break
		}
		held = append(held, f)
		bytes += len(f.tx.Raw)
	}
	if bytes > config.MaxHeld*placeBytes || bytes < config.MaxHeld*placeBytes/2 {
		t.Errorf("%d MiB are held", bytes>>20)
	}
	for _, f := range held {
		w.drop(f)
	}
	if w.places != 0 || len(w.byOrigin) != 0 {
		t.Errorf("%d places and %v left over", w.places, w.byOrigin)
	}
}

// TestEndedFlightsAreNotKept: what waited for a parent and has ended is not kept until its patience would have been over.
func TestEndedFlightsAreNotKept(t *testing.T) {
	w := newWaiting(DefaultConfig(), newAlarms(), func([]domain.Hash, Origin) {})
	ended := make(chan bool, 100)
	for i := range cap(ended) {
		parent := named(fmt.Sprint("p", i))
		f := bare(fmt.Sprint("c", i), "x", parent)
		runtime.AddCleanup(f, func(ended chan bool) { ended <- true }, ended)
		w.hold(f, lifecycle.Hold{Parents: []domain.Hash{parent}, UntilMS: nowMS() + 100})
		w.wake(parent)
		w.drop(f)
	}
	runtime.GC()
	for i := range cap(ended) - 1 { // a register may hold the last one
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			t.Fatalf("%d of %d", i, cap(ended))
		}
	}
	runtime.KeepAlive(w)
}
