package node

import (
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"

	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// TestAdmission: so many are let in, none while draining, and what an earlier life left always.
func TestAdmission(t *testing.T) {
	a := newAdmission(2, time.Second)
	client, other, stored := Origin{kind: fromAPI, name: "a"}, Origin{kind: fromAPI, name: "b"}, Origin{kind: fromStore}
	for i, o := range []Origin{client, other} {
		if err := a.admit(o); err != nil {
			t.Errorf("%d: %v", i, err)
		}
	}
	for _, o := range []Origin{client, {kind: fromAPI, name: "c"}, {kind: fromGossip, name: "d"}} {
		if got := refusal.ReasonOf(a.admit(o)); got != notaryv1.Reason_REASON_OVERLOADED {
			t.Errorf("%v: %v", o, got)
		}
	}
	if a.admit(stored) != nil || a.inFlight.Load() != 3 {
		t.Errorf("%d on their way", a.inFlight.Load())
	}
	a.leave(client, false)
	a.leave(other, false)
	if a.admit(client) != nil {
		t.Error("no room after two have left")
	}
	a.draining.Store(true)
	err := a.admit(client)
	var retry interface{ RetryAfter() time.Duration }
	if refusal.ReasonOf(err) != notaryv1.Reason_REASON_SHUTTING_DOWN || !errors.As(err, &retry) || retry.RetryAfter() <= 0 {
		t.Errorf("draining: %v", err)
	}
	if a.admit(stored) != nil {
		t.Error("what an earlier life left is refused")
	}
}

// TestHeldStandAside: transactions that wait for parents, which are cheap to make, do not use up what the pace leaves to
// clients.
func TestHeldStandAside(t *testing.T) {
	a := newAdmission(100, time.Second)
	a.pace.limit = 10
	client, other := Origin{kind: fromAPI, name: "a"}, Origin{kind: fromAPI, name: "b"}
	for range 3 { // each time five, which is half of what the pace leaves
		for range 5 {
			if err := a.admit(client); err != nil {
				t.Fatal(err)
			}
		}
		if a.admit(client) == nil {
			t.Fatal("more than half for one client")
		}
		for range 5 {
			a.aside(client)
		}
	}
	for i := range 10 {
		if err := a.admit(Origin{kind: fromAPI, name: string(rune('c' + i))}); err != nil {
			t.Fatalf("client %d: %v", i, err)
		}
	}
	if a.admit(other) == nil {
		t.Error("more than the pace leaves")
	}
	for range 15 {
		a.leave(client, true)
	}
	for i := range 10 {
		a.leave(Origin{kind: fromAPI, name: string(rune('c' + i))}, false)
	}
	if a.clients != 0 || a.inFlight.Load() != 0 || len(a.byOrigin) != 0 {
		t.Errorf("%d clients', %d on their way, %d origins", a.clients, a.inFlight.Load(), len(a.byOrigin))
	}
}

// TestAdmissionIsFair: whatever the others do, an origin that keeps to its share is let in, one alone may have half,
// what was pulled has room beyond, and nothing is counted twice or lost.
func TestAdmissionIsFair(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const most = 64
		a := newAdmission(most, time.Second)
		have := map[Origin]int64{}
		total := int64(0)
		origins := []Origin{
			{kind: fromAPI, name: "flood"}, {kind: fromAPI, name: "second"}, {kind: fromGossip, name: "neighbour"}, {kind: fromPull, name: "pull"},
		}
		for range 400 {
			o := rapid.SampledFrom(origins).Draw(t, "origin")
			if rapid.IntRange(0, 3).Draw(t, "act") == 0 {
				if have[o] > 0 {
					a.leave(o, false)
					have[o]--
					total--
				}
				continue
			}
			err := a.admit(o)
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
				a.leave(o, false)
			}
		}
		if a.inFlight.Load() != 0 || len(a.byOrigin) != 0 {
			t.Fatalf("%d on their way of %v after all have left", a.inFlight.Load(), a.byOrigin)
		}
	})
}
