package node

import (
	"context"
	"testing"
	"time"

	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// begin hands a transaction over and returns what is waited for and a channel that is closed when it is ready.
func (n *villager) begin(t *testing.T, ctx context.Context, raw []byte, level notaryv1.WaitLevel) (Pending, <-chan struct{}) {
	t.Helper()
	ready := make(chan struct{})
	p, err := n.Begin(ctx, "test", raw, level, false, func() { close(ready) })
	if err != nil {
		t.Fatal(err)
	}
	return p, ready
}

func within(t *testing.T, what string, done <-chan struct{}) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(villagePatience):
		t.Fatalf("%s does not come", what)
	}
}

// TestBegin: a wait without a goroutine ends where one with a goroutine does, or when it is left.
func TestBegin(t *testing.T) {
	v := newVillageFor(t, 1, 4, nil)
	n, ctx := v.start(0), t.Context()
	tx := v.pay(0, "")
	for range 2 { // on its way, and final already
		p, ready := n.begin(t, ctx, tx.Raw, notaryv1.WaitLevel_WAIT_LEVEL_FINAL)
		within(t, "finality", ready)
		if s, err := p.Result(); err != nil || s.GetState() != notaryv1.TransactionState_TRANSACTION_STATE_FINAL || string(s.GetTransactionId()) != string(tx.ID[:]) {
			t.Fatalf("%v, %v", s, err)
		}
		if p.Leave() {
			t.Error("left after the end")
		}
	}
	for _, level := range []notaryv1.WaitLevel{notaryv1.WaitLevel_WAIT_LEVEL_NONE, notaryv1.WaitLevel_WAIT_LEVEL_PENDING} {
		p, ready := n.begin(t, ctx, v.pay(1, "").Raw, level)
		within(t, level.String(), ready)
		if s, err := p.Result(); err != nil || s.GetState() == notaryv1.TransactionState_TRANSACTION_STATE_REJECTED {
			t.Errorf("%s: %v, %v", level, s, err)
		}
	}
	// A rival of what is final is refused, at once or as its result.
	over := make(chan struct{})
	p, err := n.Begin(ctx, "test", v.pay(0, "rival").Raw, notaryv1.WaitLevel_WAIT_LEVEL_FINAL, false, func() { close(over) })
	if err == nil {
		within(t, "a refusal", over)
		_, err = p.Result()
	}
	if refusal.ReasonOf(err) != notaryv1.Reason_REASON_OUTPOINT_SPENT {
		t.Errorf("a rival of what is final: %v", err)
	}
	if _, err := n.Begin(ctx, "test", []byte("nothing"), notaryv1.WaitLevel_WAIT_LEVEL_FINAL, false, func() {}); refusal.ReasonOf(err) == notaryv1.Reason_REASON_UNSPECIFIED {
		t.Errorf("bytes that are no transaction: %v", err)
	}
}

// TestBeginIsLeft: who has left is not called, and the status is there all the same; when the node ends, all who wait
// are told.
func TestBeginIsLeft(t *testing.T) {
	v := newVillage(t, nil) // a quarter of the weight decides nothing
	n, ctx := v.start(0), t.Context()
	left, never := n.begin(t, ctx, v.pay(0, "").Raw, notaryv1.WaitLevel_WAIT_LEVEL_FINAL)
	stays, told := n.begin(t, ctx, v.pay(0, "").Raw, notaryv1.WaitLevel_WAIT_LEVEL_FINAL)
	if !left.Leave() || left.Leave() {
		t.Error("a wait is left once")
	}
	eventually(t, "the node's vote", func() bool {
		return left.Status(ctx).GetState() == notaryv1.TransactionState_TRANSACTION_STATE_PENDING
	})
	n.Stop()
	within(t, "the end", told)
	if _, err := stays.Result(); refusal.ReasonOf(err) != notaryv1.Reason_REASON_SHUTTING_DOWN {
		t.Errorf("the node ends: %v", err)
	}
	select {
	case <-never:
		t.Error("who has left is told")
	default:
	}
}

// TestBeginSheds: with shed, transactions wait for their places beside the stream; too many are refused, the newest first; who leaves
// waits no more; and who gets a place goes on.
func TestBeginSheds(t *testing.T) {
	v := newVillageFor(t, 1, 300, nil)
	n, ctx := v.start(0), t.Context()
	a := n.sh.admission
	others := func(change int64) { // who have places from elsewhere
		a.mu.Lock()
		defer a.mu.Unlock()
		a.clients += change
		a.pass()
	}
	const places = 3
	a.mu.Lock()
	a.patience = time.Hour // nobody is refused for waiting too long
	a.pace.limit = places
	room := int(a.pace.room())
	a.mu.Unlock()
	others(places)
	type waiter struct {
		Pending
		ready <-chan struct{}
	}
	var all []waiter
	for i := range room + 3 {
		ready := make(chan struct{})
		p, err := n.Begin(ctx, "test", v.pay(uint32(i), "").Raw, notaryv1.WaitLevel_WAIT_LEVEL_FINAL, true, func() { close(ready) })
		if want := i < room; (err == nil) != want || !want && refusal.ReasonOf(err) != notaryv1.Reason_REASON_OVERLOADED {
			t.Fatalf("%d, with room for %d: %v", i, room, err)
		}
		if err == nil {
			all = append(all, waiter{p, ready})
		}
	}
	if all[1].Leave() {
		t.Error("who waits for a place is told that it waits no more")
	}
	within(t, "the end of a wait that was left", all[1].ready)
	if s, err := all[1].Result(); refusal.ReasonOf(err) != notaryv1.Reason_REASON_OVERLOADED {
		t.Errorf("left before it had a place: %v, %v", s, err)
	}
	others(-places)
	within(t, "finality", all[0].ready)
	if s, err := all[0].Result(); err != nil || s.GetState() != notaryv1.TransactionState_TRANSACTION_STATE_FINAL {
		t.Errorf("%v, %v", s, err)
	}
	for _, w := range all[2:] {
		within(t, "finality", w.ready)
		if s, err := w.Result(); err != nil || s.GetState() != notaryv1.TransactionState_TRANSACTION_STATE_FINAL {
			t.Fatalf("%v, %v", s, err)
		}
	}
}

// TestLeftWithAPlace: who leaves in the moment in which a transaction gets its place is told that it goes on.
func TestLeftWithAPlace(t *testing.T) {
	v := newVillageFor(t, 1, 4, nil)
	n := v.start(0)
	tx := v.pay(0, "")
	told := make(chan struct{})
	p := &pending{node: n.Node, ctx: t.Context(), tx: tx, level: notaryv1.WaitLevel_WAIT_LEVEL_FINAL, ready: func() { close(told) }, guest: new(guest)}
	if p.Leave() {
		t.Fatal("who waits for a place is told that it waits no more")
	}
	f, err := n.sh.intake(t.Context(), tx, client("test"), false)
	if err != nil {
		t.Fatal(err)
	}
	p.watch(f)
	within(t, "the end of a wait that was left", told)
	if s, err := p.Result(); refusal.ReasonOf(err) != notaryv1.Reason_REASON_WAIT_EXPIRED || string(s.GetTransactionId()) != string(tx.ID[:]) {
		t.Errorf("%v, %v", s, err)
	}
	final, ready := n.begin(t, t.Context(), tx.Raw, notaryv1.WaitLevel_WAIT_LEVEL_FINAL)
	within(t, "finality", ready)
	if _, err := final.Result(); err != nil {
		t.Errorf("it does not go on: %v", err)
	}
}

// BenchmarkRefusal has a busy node turn transactions away that came over streams which shed load.
func BenchmarkRefusal(b *testing.B) {
	const coins = 2000
	v := newVillageFor(b, 1, coins, nil)
	n := v.start(0)
	a := n.sh.admission
	a.mu.Lock()
	a.patience = time.Hour
	a.clients += a.pace.limit // others have all places
	room := int(a.pace.room())
	a.mu.Unlock()
	var raws [][]byte
	for i := range coins {
		raws = append(raws, v.pay(uint32(i), "").Raw)
	}
	begin := func(i int) (Pending, error) {
		return n.Begin(b.Context(), "test", raws[i%coins], notaryv1.WaitLevel_WAIT_LEVEL_FINAL, true, func() {})
	}
	for i := range room {
		p, err := begin(i)
		if err != nil {
			b.Fatal(err)
		}
		defer p.Leave()
	}
	b.ReportAllocs()
	for i := room; b.Loop(); i++ {
		if _, err := begin(i); refusal.ReasonOf(err) != notaryv1.Reason_REASON_OVERLOADED {
			b.Fatal(err)
		}
	}
}
