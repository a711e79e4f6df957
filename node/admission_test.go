package node

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/notarynet/notaryd/internal/bubble"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// impatient is a context for whoever does not wait for a place.
func impatient() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// TestAdmission: so many are let in, none while draining, and what an earlier life left always.
func TestAdmission(t *testing.T) {
	a := newAdmission(2, time.Second)
	client, other, stored := Origin{kind: fromAPI, name: "a"}, Origin{kind: fromAPI, name: "b"}, Origin{kind: fromStore}
	for i, o := range []Origin{client, other} {
		if err := a.admit(impatient(), o, 0); err != nil {
			t.Errorf("%d: %v", i, err)
		}
	}
	for _, o := range []Origin{client, {kind: fromAPI, name: "c"}, {kind: fromGossip, name: "d"}} {
		if got := refusal.ReasonOf(a.admit(impatient(), o, 0)); got != notaryv1.Reason_REASON_OVERLOADED {
			t.Errorf("%v: %v", o, got)
		}
	}
	if a.admit(impatient(), stored, 0) != nil || a.inFlight.Load() != 3 {
		t.Errorf("%d on their way", a.inFlight.Load())
	}
	a.leave(client, 0, false)
	a.leave(other, 0, false)
	if a.admit(impatient(), client, 0) != nil {
		t.Error("no room after two have left")
	}
	a.drain()
	err := a.admit(impatient(), client, 0)
	var retry interface{ RetryAfter() time.Duration }
	if refusal.ReasonOf(err) != notaryv1.Reason_REASON_SHUTTING_DOWN || !errors.As(err, &retry) || retry.RetryAfter() <= 0 {
		t.Errorf("draining: %v", err)
	}
	if a.admit(impatient(), stored, 0) != nil {
		t.Error("what an earlier life left is refused")
	}
}

// TestHeldStandAside: transactions that wait for parents, which are cheap to make, do not use up what the pace leaves to
// clients.
func TestHeldStandAside(t *testing.T) {
	a := newAdmission(100, time.Second)
	a.pace.limit = 10
	client, other := Origin{kind: fromAPI, name: "a"}, Origin{kind: fromAPI, name: "b"}
	for range 3 {
		for range 10 {
			if err := a.admit(impatient(), client, 0); err != nil {
				t.Fatal(err)
			}
		}
		if a.admit(impatient(), client, 0) == nil {
			t.Fatal("more than the pace leaves")
		}
		for range 10 {
			a.aside(client)
		}
	}
	for i := range 10 {
		if err := a.admit(impatient(), Origin{kind: fromAPI, name: string(rune('c' + i))}, 0); err != nil {
			t.Fatalf("client %d: %v", i, err)
		}
	}
	if a.admit(impatient(), other, 0) == nil {
		t.Error("more than the pace leaves")
	}
	for range 30 {
		a.leave(client, 0, true)
	}
	for i := range 10 {
		a.leave(Origin{kind: fromAPI, name: string(rune('c' + i))}, 0, false)
	}
	if a.clients != 0 || a.inFlight.Load() != 0 || len(a.byOrigin) != 0 {
		t.Errorf("%d clients', %d on their way, %d origins", a.clients, a.inFlight.Load(), len(a.byOrigin))
	}
}

// TestClientsTakeTurns: one transaction of an honest client waits for one of a flood, not for all that the flood has sent,
// and finds room where the flood has filled it.
func TestClientsTakeTurns(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		a := newAdmission(1000, time.Second)
		a.pace.limit = 1
		flood, honest := Origin{kind: fromAPI, name: "flood"}, Origin{kind: fromAPI, name: "honest"}
		results := make(chan Origin, 1000)
		ask := func(o Origin) {
			go func() {
				if a.admit(t.Context(), o, 0) == nil {
					results <- o
				} else {
					results <- Origin{name: "refused " + o.name}
				}
			}()
			synctest.Wait()
		}
		room := int(a.pace.room())
		for range room + 10 { // one has a place, room wait, and for the rest there is none
			ask(flood)
		}
		if o := <-results; o != flood {
			t.Fatalf("the first is %v", o)
		}
		for range 9 {
			if o := <-results; o.name != "refused flood" {
				t.Fatalf("%v, of too many", o)
			}
		}
		ask(honest) // takes the room of the flood's newest
		if o := <-results; o.name != "refused flood" {
			t.Fatalf("%v gives way", o)
		}
		for _, want := range []Origin{flood, honest, flood, flood} {
			a.leave(flood, 0, false)
			if o := <-results; o != want {
				t.Fatalf("%v has its turn, want %v", o, want)
			}
		}
		time.Sleep(time.Second) // the patience of all
		synctest.Wait()
		for range room - 4 {
			if o := <-results; o.name != "refused flood" {
				t.Fatalf("%v, of those that waited too long", o)
			}
		}
		a.leave(flood, 0, false)
		if a.lobby.n != 0 || len(a.lobby.lines) != 0 || len(a.lobby.order) != 0 || a.clients != 0 {
			t.Errorf("%d wait in %d lines, %d on their way", a.lobby.n, len(a.lobby.lines), a.clients)
		}
	})
}

// TestDrainRefusesWhoWaits: a place that becomes free while the node drains is given to nobody.
func TestDrainRefusesWhoWaits(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		a := newAdmission(1000, time.Second)
		a.pace.limit = 1
		o := Origin{kind: fromAPI, name: "a"}
		if err := a.admit(impatient(), o, 0); err != nil {
			t.Fatal(err)
		}
		refused := make(chan error)
		go func() { refused <- a.admit(t.Context(), o, 0) }()
		synctest.Wait()
		a.drain()
		a.leave(o, 0, false)
		if err := <-refused; refusal.ReasonOf(err) != notaryv1.Reason_REASON_SHUTTING_DOWN {
			t.Errorf("%v", err)
		}
		if a.clients != 0 || a.inFlight.Load() != 0 || len(a.byOrigin) != 0 {
			t.Errorf("%d on their way", a.inFlight.Load())
		}
	})
}

// TestAdmissionIsFair: whatever the others do, an origin that keeps to its share is let in, one alone may have half,
// what was pulled has room beyond, and nothing is counted twice or lost.
func TestAdmissionIsFair(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const most = 64
		a := newAdmission(most, time.Second)
		a.pace.limit = most
		have := map[Origin]int64{}
		total := int64(0)
		origins := []Origin{
			{kind: fromAPI, name: "flood"}, {kind: fromAPI, name: "second"}, {kind: fromGossip, name: "neighbour"}, {kind: fromPull, name: "pull"},
		}
		for range 400 {
			o := rapid.SampledFrom(origins).Draw(t, "origin")
			if rapid.IntRange(0, 3).Draw(t, "act") == 0 {
				if have[o] > 0 {
					a.leave(o, 0, false)
					have[o]--
					total--
				}
				continue
			}
			err := a.admit(impatient(), o, 0)
			full := total >= most
			if o.kind == fromPull {
				full = total >= most+most/8
			}
			crowded := o.kind != fromPull && total >= most/2 && have[o] >= most/crowdShare
			if (err == nil) == (full || crowded) {
				t.Fatalf("%s with %d of %d: %v", o.name, have[o], total, err)
			}
			if err == nil {
				have[o]++
				total++
			}
		}
		for o, n := range have {
			for range n {
				a.leave(o, 0, false)
			}
		}
		if a.inFlight.Load() != 0 || len(a.byOrigin) != 0 {
			t.Fatalf("%d on their way of %v after all have left", a.inFlight.Load(), a.byOrigin)
		}
	})
}

// TestEarlierLifePassesOn: a place that is free again because a transaction of an earlier life has ended goes to who waits.
func TestEarlierLifePassesOn(t *testing.T) {
	a := newAdmission(2, time.Minute)
	a.pace.limit = 1
	stored := Origin{kind: fromStore}
	if err := a.admit(impatient(), client("a"), 0); err != nil {
		t.Fatal(err)
	}
	w, err := a.enter(client("b"), 0)
	if w == nil || err != nil {
		t.Fatalf("%v %v", w, err)
	}
	for range 2 {
		if err := a.admit(impatient(), stored, 0); err != nil {
			t.Fatal(err)
		}
	}
	a.leave(client("a"), 0, false) // no room yet
	a.leave(stored, 0, false)
	a.leave(stored, 0, false)
	if !w.placed || a.inFlight.Load() != 1 || a.clients != 1 {
		t.Errorf("placed %v, %d on their way, %d of clients", w.placed, a.inFlight.Load(), a.clients)
	}
}

// TestLargeTakeSeveralPlaces: what is on its way is bounded in bytes with its number, whoever brought it, and all places come
// back.
func TestLargeTakeSeveralPlaces(t *testing.T) {
	const most, large = 1600, 16 * placeBytes
	for _, kind := range []originKind{fromAPI, fromGossip} {
		a := newAdmission(most, time.Second)
		a.pace.limit = most
		var in []Origin
		for {
			o := Origin{kind: kind, name: fmt.Sprint(len(in))}
			if a.admit(impatient(), o, large) != nil {
				break
			}
			in = append(in, o)
		}
		if bytes := len(in) * large; bytes > most*placeBytes || bytes < most*placeBytes*9/10 {
			t.Errorf("kind %v: %d bytes on their way, with room for %d", kind, bytes, most*placeBytes)
		}
		for _, o := range in {
			a.leave(o, large, false)
		}
		if a.places != 0 || a.clients != 0 || a.inFlight.Load() != 0 || len(a.byOrigin) != 0 {
			t.Errorf("%d places, %d clients', %d on their way, %d origins", a.places, a.clients, a.inFlight.Load(), len(a.byOrigin))
		}
	}
}

// TestLargeWaitForSeveralPlaces: what waits is bounded in bytes, too, and comes in once there are places enough.
func TestLargeWaitForSeveralPlaces(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		const most, large = 320, 16 * placeBytes
		a := newAdmission(most, time.Second)
		first := Origin{kind: fromAPI, name: "first"}
		if err := a.admit(impatient(), first, 0); err != nil {
			t.Fatal(err)
		}
		a.pace.limit = 1
		answers := make(chan error, most)
		for i := range most {
			go func() { answers <- a.admit(t.Context(), Origin{kind: fromAPI, name: fmt.Sprint(i)}, large) }()
			synctest.Wait()
			if a.lobby.places > most {
				t.Fatalf("%d places are waited for, of %d", a.lobby.places, most)
			}
		}
		waiting := a.lobby.n
		a.pace.limit = most
		a.leave(first, 0, false)
		in := 0
		for range most {
			if <-answers == nil {
				in++
			}
		}
		if want := most / int(a.placesOf(large)); in != want || waiting != want {
			t.Errorf("%d waited and %d came in, want %d", waiting, in, want)
		}
		if a.lobby.n != 0 || a.lobby.places != 0 {
			t.Errorf("%d wait, for %d places", a.lobby.n, a.lobby.places)
		}
	})
}

// TestOthersGoOnWhereALargeOneGivesUp: who waits behind one that has no room has its place as soon as that waits no more,
// whether its patience ends, who brought it leaves, or it gives way to others.
func TestOthersGoOnWhereALargeOneGivesUp(t *testing.T) {
	const most, large = 320, 16 * placeBytes
	for name, end := range map[string]func(a *admission, w *guest){
		"its patience ends": func(a *admission, w *guest) {
			if a.wait(context.Background(), w) == nil {
				t.Error("a large one has found room")
			}
		},
		"who brought it leaves": func(a *admission, w *guest) { a.quit(w) },
		"it gives way": func(a *admission, w *guest) {
			a.pace.mean = a.pace.wanted() / 2 // two may wait
			if _, err := a.enter(Origin{kind: fromAPI, name: "third"}, 0); err != nil {
				t.Error(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAdmission(most, 10*time.Millisecond)
			client := func(name string) Origin { return Origin{kind: fromAPI, name: name} }
			a.pace.limit = 1
			if err := a.admit(impatient(), client("first"), 0); err != nil {
				t.Fatal(err)
			}
			w, err := a.enter(client("large"), large)
			if w == nil {
				t.Fatal(err)
			}
			for a.places < most-1 { // meanwhile others fill the room
				if err := a.admit(impatient(), Origin{kind: fromPull, name: "pull"}, 0); err != nil {
					t.Fatal(err)
				}
			}
			small, err := a.enter(client("small"), 0)
			if small == nil {
				t.Fatal(err)
			}
			a.leave(client("first"), 0, false)
			if w.placed || small.placed {
				t.Fatal("there is no room for the large one, which is first")
			}
			end(a, w)
			if !small.placed {
				t.Errorf("no place, with %d of %d taken", a.places, most)
			}
		})
	}
}

// TestWideLinesGiveWay: where too many places are waited for, who wants the most of them gives way, and not who waits with more
// that are small.
func TestWideLinesGiveWay(t *testing.T) {
	const most, large = 320, 16 * placeBytes
	a := newAdmission(most, time.Second)
	client := func(name string) Origin { return Origin{kind: fromAPI, name: name} }
	if err := a.admit(impatient(), client("first"), 0); err != nil {
		t.Fatal(err)
	}
	a.pace.limit = 1
	a.pace.mean = time.Nanosecond // more may wait than come here
	var small []*guest
	enter := func(name string, bytes int) *guest {
		w, err := a.enter(client(name), bytes)
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	for range 3 {
		small = append(small, enter("small", 0))
	}
	for i := range 2 * most / int(a.placesOf(large)) {
		_, _ = a.enter(client(fmt.Sprint(i%10)), large)
	}
	for _, w := range small {
		if w.line == nil {
			t.Fatalf("who wants %d places of %d gives way", len(small), most)
		}
	}
	if a.lobby.places > most || a.lobby.places < most*3/4 {
		t.Errorf("%d places of %d are waited for", a.lobby.places, most)
	}
}
