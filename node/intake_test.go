package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/notarynet/notaryd/conflict"
	"github.com/notarynet/notaryd/internal/bubble"
	"github.com/notarynet/notaryd/node/store"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
	"github.com/notarynet/notaryd/utxo"
)

// TestGraveyard: what binds for ever binds the id, what depends on witnesses binds the copy, and what time
// may change binds nobody; the oldest are forgotten.
func TestGraveyard(t *testing.T) {
	g := newGraveyard(8)
	for _, c := range []struct {
		reason       notaryv1.Reason
		copy, others bool
	}{
		{notaryv1.Reason_REASON_DOUBLE_SPEND, true, true},
		{notaryv1.Reason_REASON_UNBALANCED, true, true},
		{notaryv1.Reason_REASON_BAD_SIGNATURE, true, false},
		{notaryv1.Reason_REASON_UNUSED_WITNESS, true, false},
		{notaryv1.Reason_REASON_WINDOW_CLOSED, false, false},
		{notaryv1.Reason_REASON_FEE_TOO_LOW, false, false},
		{notaryv1.Reason_REASON_WAIT_EXPIRED, false, false},
	} {
		tx := bare(c.reason.String(), "x").tx
		other := &utxo.Tx{ID: tx.ID, FullHash: named("another copy")}
		g.bury(tx, refusal.New(c.reason, "", ""), 1)
		if got := g.binding(tx) != nil; got != c.copy {
			t.Errorf("%v binds the copy: %v", c.reason, got)
		}
		if got := g.binding(other) != nil; got != c.others {
			t.Errorf("%v binds other copies: %v", c.reason, got)
		}
		if gr, found := g.find(tx.ID); !found || refusal.ReasonOf(gr.err) != c.reason {
			t.Errorf("%v is not told", c.reason)
		}
	}
	if len(g.graves) > 8 {
		t.Errorf("%d graves in a yard of 8", len(g.graves))
	}
	if _, found := g.find(named("REASON_DOUBLE_SPEND")); found {
		t.Error("the oldest is still there")
	}
}

// TestDirectory: one flight for each transaction, and only that one is taken out.
func TestDirectory(t *testing.T) {
	d := newDirectory()
	a, again := bare("a", "x"), bare("a", "y")
	if f, added := d.add(a); f != a || !added {
		t.Error("not added")
	}
	if f, added := d.add(again); f != a || added {
		t.Error("two flights for one transaction")
	}
	d.remove(again)
	if d.get(a.tx.ID) != a || len(d.all()) != 1 {
		t.Error("another's flight was taken out")
	}
	d.remove(a)
	if d.get(a.tx.ID) != nil || len(d.all()) != 0 {
		t.Error("still there")
	}
	var wait sync.WaitGroup
	for i := range 8 {
		wait.Go(func() {
			for j := range 100 {
				d.add(bare(fmt.Sprint(i, j), "x"))
			}
		})
	}
	wait.Wait()
	if len(d.all()) != 800 {
		t.Errorf("%d flights", len(d.all()))
	}
}

// TestVerifier: requests of many callers are verified together, and each hears of the first bad signature
// of its own.
func TestVerifier(t *testing.T) {
	v := newVerifier(NewMetrics(prometheus.NewRegistry()))
	ctx, cancel := context.WithCancel(t.Context())
	var run sync.WaitGroup
	run.Go(func() { v.run(ctx) })
	key := domain.NewPrivateKey([32]byte{1})
	network := named("network")
	var wait sync.WaitGroup
	for i := range 40 {
		wait.Go(func() {
			want := -1
			var checks []domain.Check
			for j := range i%7 + 1 {
				id := named(fmt.Sprint(i, j))
				c := domain.Check{Key: key.Public(), Tag: domain.TagTx, Network: network, Hash: id, Signature: domain.Sign(key, domain.TagTx, network, id)}
				if i%3 == 0 && j >= i%2 {
					c.Signature[5] ^= 1
					if want < 0 {
						want = j
					}
				}
				checks = append(checks, c)
			}
			if bad, err := v.verify(ctx, checks); err != nil || bad != want {
				t.Errorf("request %d: bad %d, %v, want %d", i, bad, err, want)
			}
		})
	}
	wait.Wait()
	if bad, err := v.verify(ctx, nil); bad != -1 || err != nil {
		t.Errorf("nothing to verify: %d, %v", bad, err)
	}
	cancel()
	run.Wait()
	if _, err := v.verify(ctx, make([]domain.Check, 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end: %v", err)
	}
}

// TestSpace: while the store has no room, nothing new is admitted and a write waits, and then goes on.
func TestSpace(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		room := fmt.Errorf("%w: for the test", store.ErrFull)
		var mu sync.Mutex
		s := &space{log: slog.New(slog.DiscardHandler), tell: func(string) {}, room: func() error { mu.Lock(); defer mu.Unlock(); return room }}
		if s.admit() != nil {
			t.Fatal("full from the start")
		}
		s.look()
		if refusal.ReasonOf(s.admit()) != notaryv1.Reason_REASON_STORE_FULL {
			t.Errorf("no room, and admitted: %v", s.admit())
		}
		tries := 0
		var wait sync.WaitGroup
		wait.Go(func() {
			if err := s.write(t.Context(), func() error { tries++; return s.room() }); err != nil {
				t.Error(err)
			}
		})
		time.Sleep(4 * spaceAgain)
		mu.Lock()
		room = nil
		mu.Unlock()
		wait.Wait()
		s.look()
		if tries < 4 || s.admit() != nil {
			t.Errorf("%d tries, admitted: %v", tries, s.admit())
		}
		broken := errors.New("broken")
		if err := s.write(t.Context(), func() error { return broken }); err != broken {
			t.Errorf("another error is %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		wait.Go(func() {
			if err := s.write(ctx, func() error { return store.ErrFull }); !errors.Is(err, context.Canceled) {
				t.Errorf("ended with %v", err)
			}
		})
		synctest.Wait()
		cancel()
		wait.Wait()
	})
}

// TestRecord: contests are components; they are listed newest first, know their winner, and are forgotten.
func TestRecord(t *testing.T) {
	r := newRecord()
	at := func(i uint32) utxo.Outpoint { return utxo.Outpoint{Tx: named("genesis"), Index: i} }
	a, b, c, d := named("a"), named("b"), named("c"), named("d")
	r.joined(a, []utxo.Outpoint{at(1), at(2)})
	r.joined(c, []utxo.Outpoint{at(3), at(4)})
	r.joined(d, []utxo.Outpoint{at(9)})
	r.joined(a, []utxo.Outpoint{at(1), at(2)})
	if v, ok := r.view(a); !ok || len(v.members) != 1 || v.lowest != at(1) {
		t.Errorf("alone: %+v, %v", v, ok)
	}
	r.joined(b, []utxo.Outpoint{at(2), at(3)}) // links a and c
	v, ok := r.view(c)
	if !ok || len(v.members) != 3 || v.lowest != at(2) {
		t.Fatalf("linked: %+v, %v", v, ok)
	}
	if !slices.IsSortedFunc(v.members, func(x, y contender) int { return x.tx.Compare(y.tx) }) {
		t.Error("members in no order")
	}
	r.reached(a, 2)
	r.decided(conflict.Decided{Final: b, Rejected: []domain.Hash{a, c}})
	v, _ = r.view(a)
	for _, m := range v.members {
		if m.winner != b || m.decidedMS == 0 || m.round != 2 {
			t.Errorf("%s after the decision: %+v", m.tx, m)
		}
	}
	for _, tx := range []domain.Hash{a, b, c, c} {
		r.forget(tx)
	}
	if _, ok := r.view(b); ok || len(r.txs) != 1 || len(r.points) != 1 || len(r.order) != 1 {
		t.Errorf("left over: %v, %v, %v", r.txs, r.points, r.order)
	}
}

// TestConfig: the default is good, and each field has its bounds.
func TestConfig(t *testing.T) {
	if err := DefaultConfig().Validate(); err != nil {
		t.Error(err)
	}
	for name, spoil := range map[string]func(*Config){
		"mempool_delay": func(c *Config) { c.MempoolDelay = -1 }, "flush_interval": func(c *Config) { c.FlushInterval = 0 },
		"heartbeat": func(c *Config) { c.Heartbeat = 0 }, "max_leaves": func(c *Config) { c.MaxLeaves = 0 },
		"max_in_flight": func(c *Config) { c.MaxInFlight = 0 }, "max_held": func(c *Config) { c.MaxHeld = 0 },
		"hold_patience": func(c *Config) { c.HoldPatience = 0 }, "shards": func(c *Config) { c.Shards = 3 },
		"stall_after": func(c *Config) { c.StallAfter = 0 }, "drain_patience": func(c *Config) { c.DrainPatience = -1 },
		"contests": func(c *Config) { c.Contests.BaseMS = 0 },
	} {
		c := DefaultConfig()
		spoil(&c)
		if c.Validate() == nil {
			t.Errorf("%s is not checked", name)
		}
	}
}

// TestImpatientIntake: a transaction that is taken in begins, though whoever brought it goes away while the tallies are
// behind: neighbours' deadlines pass when a node is paused or overloaded, and what spends from it waits for it.
func TestImpatientIntake(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		running, end := context.WithCancel(t.Context())
		defer end()
		began := make(chan *flight, 1)
		m := NewMetrics(prometheus.NewRegistry())
		sh := &shell{
			ctx: running, flights: newDirectory(), graves: newGraveyard(1), space: &space{}, metrics: m,
			admission: newAdmission(10, time.Second),
		}
		sh.counting = newCounting(1, nil, newLately(), 0, sh.flights, m, listeners{joined: func(f *flight) { began <- f }})
		shard := sh.counting.shards[0]
		for range cap(shard.queue) { // others' transactions are on their way to the tally
			shard.queue <- knowing{}
		}
		asked, leave := context.WithCancel(running)
		taken := make(chan *flight, 1)
		go func() {
			f, err := sh.intake(asked, bare("a", "x").tx, Origin{kind: fromGossip, name: "neighbour"}, true)
			if err != nil {
				t.Error(err)
			}
			taken <- f
		}()
		synctest.Wait()
		leave()
		synctest.Wait()
		go shard.run(running)
		f := <-taken
		select {
		case first := <-began:
			if first != f {
				t.Error("another flight began")
			}
		case <-time.After(time.Minute):
			t.Error("a flight that is in the directory did not begin")
		}
	})
}

// TestAcceptAtOnce: ACCEPTED is asked for on behalf of a flight as long as it has left that to others and nothing has overtaken it, once;
// where the batcher has no room nobody waits, and the vote of round 0 is not cast any more either way.
func TestAcceptAtOnce(t *testing.T) {
	v := newVillage(t, nil)
	certificate := conflict.Milestone{Kind: conflict.Certificate, Round: 0, Group: v.genesis.Group}
	sh := &shell{batcher: &batcher{casts: make(chan cast, 2)}}
	flights := make([]*flight, 4)
	for i := range flights {
		flights[i] = newFlight(v.pay(uint32(i), ""), Origin{}, new(utxo.FeePolicy))
		flights[i].supports.Store(i > 0)
	}
	flights[1].overtaken.Store(true) // it is contested, say
	for i, want := range []bool{false, false, true, false} {
		if i == 3 {
			sh.batcher.casts <- cast{}
		}
		if got := sh.accept(flights[i], certificate); got != want {
			t.Errorf("flight %d: %v", i, got)
		}
		if sh.accept(flights[i], certificate) {
			t.Errorf("flight %d: asked for twice", i)
		}
	}
	c := <-sh.batcher.casts
	if c.flight != flights[2] || c.tx != flights[2].tx || c.state != observation.Accepted || c.round != 0 || c.support || c.bound ||
		c.certificate != conflict.CertAt(v.genesis.Group.Epoch(), 0) {
		t.Errorf("asked for %+v", c)
	}
	if flights[0].overtaken.Load() || !flights[2].overtaken.Load() || !flights[3].overtaken.Load() {
		t.Error("PENDING(0) is cast after ACCEPTED was asked for, or is not without that")
	}
}

// TestBoardsWhileTheNodeEnds: a transaction that was given a place before the node ended, and boards after that, ends at once, and gives its
// place back once.
func TestBoardsWhileTheNodeEnds(t *testing.T) {
	v := newVillage(t, nil)
	n := v.start(0)
	o := Origin{kind: fromGossip, name: "neighbour"}
	if w, err := n.sh.admission.enter(o, 0); w != nil || err != nil {
		t.Fatalf("%v %v", w, err)
	}
	n.Stop()
	for closed := false; !closed; time.Sleep(time.Millisecond) {
		n.sh.hands.mu.Lock()
		closed = n.sh.hands.closed
		n.sh.hands.mu.Unlock()
	}
	f := n.sh.board(v.pay(0, ""), o, true)
	eventually(t, "it ends, by who boards it or by who ends the node", func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.landed
	})
	n.sh.landed(f)
	if left := n.sh.admission.inFlight.Load(); left != 0 || n.sh.flights.get(f.tx.ID) != nil {
		t.Errorf("%d places are taken", left)
	}
}

// TestGravesAreSmall: what is remembered of a refused transaction does not keep its bytes, nor many outpoints.
func TestGravesAreSmall(t *testing.T) {
	v := newVillage(t, nil)
	g := newGraveyard(4)
	ended := make(chan bool, 1)
	id := func() domain.Hash {
		tx := v.pay(0, "")
		runtime.AddCleanup(tx, func(ended chan bool) { ended <- true }, ended)
		g.bury(tx, refusal.New(notaryv1.Reason_REASON_OUTPOINT_SPENT, "", ""), 1)
		return tx.ID
	}()
	runtime.GC()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Error("a grave keeps its transaction")
	}
	if found, ok := g.find(id); !ok || len(found.spends) != 1 {
		t.Errorf("%+v", found)
	}
	large := bare("large", "x").tx
	for i := range 256 {
		large.Inputs = append(large.Inputs, utxo.Input{Kind: notaryv1.InputKind_INPUT_KIND_SPEND, Outpoint: utxo.Outpoint{Index: uint32(i)}})
	}
	g.bury(large, refusal.New(notaryv1.Reason_REASON_OUTPOINT_SPENT, "", ""), 1)
	if found, _ := g.find(large.ID); len(found.spends) != graveSpends || cap(found.spends) > 2*graveSpends {
		t.Errorf("%d outpoints are remembered", len(found.spends))
	}
}
