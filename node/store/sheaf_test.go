package store

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/notarynet/notaryd/conflict"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/utxo"
)

// inClasses counts the records of some classes.
func inClasses(t *testing.T, s *Store, classes ...Class) map[Class]int {
	t.Helper()
	counts := map[Class]int{}
	for line := range strings.Lines(dump(t, s)) {
		var first byte
		if _, err := fmt.Sscanf(line[:2], "%02x", &first); err != nil {
			t.Fatal(err)
		}
		if c := Class(first); slices.Contains(classes, c) {
			counts[c]++
		}
	}
	return counts
}

// votesOf is everything that binds the guard, and what is pending.
func votesOf(t *testing.T, s *Store) string {
	t.Helper()
	var b strings.Builder
	for _, r := range collect(t, s.GuardRecords()) {
		fmt.Fprintf(&b, "%+v\n", r)
	}
	for _, tx := range collect(t, s.PendingTransactions()) {
		fmt.Fprintf(&b, "%s %d\n", tx.ID, tx.VotedMS)
	}
	return b.String()
}

// A payment that nobody contends leaves no vote behind, and while it lives one record for each observation that votes on it.
func TestSheafGoesWithItsVotes(t *testing.T) {
	s := openTest(t)
	a := makeTx(t, 1, []utxo.Outpoint{genesisOutpoint(0), genesisOutpoint(1)}, payment(owners[0], 20))
	b := makeTx(t, 2, []utxo.Outpoint{genesisOutpoint(2)}, payment(owners[0], 10))
	vote(t, s, observation.Pending, 0, a, b)
	vote(t, s, observation.Accepted, 0, a, b)
	votes := []Class{ClassVote, ClassPending, ClassSheaf}
	if got, want := inClasses(t, s, votes...), (map[Class]int{ClassSheaf: 2}); !maps.Equal(got, want) {
		t.Errorf("voted on twice: %v, want %v", got, want)
	}
	if err := s.CommitFinal([]Final{finalOf(a, now)}); err != nil {
		t.Fatal(err)
	}
	if got, want := inClasses(t, s, votes...), (map[Class]int{ClassSheaf: 2}); !maps.Equal(got, want) {
		t.Errorf("one of two is final: %v, want %v", got, want)
	}
	if got := collect(t, s.GuardRecords()); len(got) != 2 || got[0].Tx != b.ID || got[1].Tx != b.ID {
		t.Errorf("one of two is final: %+v", got)
	}
	if err := s.CommitFinal([]Final{finalOf(b, now)}); err != nil {
		t.Fatal(err)
	}
	if got := inClasses(t, s, votes...); len(got) != 0 || len(s.sheaves) != 0 {
		t.Errorf("both are final: %v, and %d sheaves in memory", got, len(s.sheaves))
	}
}

// Votes that nobody decides are found again after a crash at every step, whatever holds them; and the number of sheaves stays bounded.
func TestSheavesAreBounded(t *testing.T) {
	mem := vfs.NewCrashableMem()
	o := testOptions(mem)
	o.maxSheaves = 4
	s := mustOpen(t, o)
	defer mustClose(t, s)
	for i := range 12 {
		stuck := makeTx(t, uint64(2*i), []utxo.Outpoint{genesisOutpoint(2 * i)}, payment(owners[0], 10))
		quick := makeTx(t, uint64(2*i+1), []utxo.Outpoint{genesisOutpoint(2*i + 1)}, payment(owners[0], 10))
		vote(t, s, observation.Pending, 0, stuck, quick)
		if i%3 == 0 {
			if err := s.CommitFinal([]Final{finalOf(quick, now)}); err != nil {
				t.Fatal(err)
			}
		}
		want := votesOf(t, s)
		if n := inClasses(t, s, ClassSheaf)[ClassSheaf]; n > o.maxSheaves || n != len(s.sheaves) {
			t.Fatalf("step %d: %d sheaves, %d in memory", i, n, len(s.sheaves))
		}
		crashed := testOptions(mem.CrashClone(vfs.CrashCloneCfg{}))
		after := mustOpen(t, crashed)
		if got := votesOf(t, after); got != want {
			t.Fatalf("step %d: after a crash\n%swant\n%s", i, got, want)
		}
		if !maps.Equal(after.sheaves, s.sheaves) || after.lastSheaf != s.lastSheaf {
			t.Fatalf("step %d: sheaves %v, want %v", i, after.sheaves, s.sheaves)
		}
		mustClose(t, after)
	}
	if n := inClasses(t, s, ClassVote, ClassPending); n[ClassVote] == 0 || n[ClassPending] == 0 {
		t.Errorf("%v: no sheaf was dissolved, the test shows nothing", n)
	}
}

// A vote of a sheaf is released, contested and rejected like one with a record of its own, across restarts too.
func TestSheafUnderContest(t *testing.T) {
	fs := vfs.NewMem()
	s := mustOpen(t, testOptions(fs))
	defer func() { mustClose(t, s) }()
	points := []utxo.Outpoint{genesisOutpoint(0), genesisOutpoint(1)}
	loser := makeTx(t, 1, points, payment(owners[0], 20))
	winner := makeTx(t, 2, points[:1], payment(owners[1], 10))
	other := makeTx(t, 3, []utxo.Outpoint{genesisOutpoint(5)}, payment(owners[1], 10)) // keeps the sheaves alive
	vote(t, s, observation.Pending, 0, loser, other)
	vote(t, s, observation.Accepted, 0, loser, other)
	lost := recordsOf(loser, observation.Accepted, 0)
	for i := range lost {
		lost[i].Released = true
	}
	f := finalOf(winner, now)
	f.Rivals = []Rejected{{Rejection: Rejection{Tx: loser.ID, Rival: winner.ID, TimeMS: now}, Released: lost}}
	reopen := func(what string) {
		t.Helper()
		want := votesOf(t, s)
		mustClose(t, s)
		s = mustOpen(t, testOptions(fs))
		if got := votesOf(t, s); got != want {
			t.Errorf("%s: after a restart\n%swant\n%s", what, got, want)
		}
	}
	reopen("voted")
	if err := s.CommitFinal([]Final{f}); err != nil {
		t.Fatal(err)
	}
	released, held := 0, 0
	for _, r := range collect(t, s.GuardRecords()) {
		switch {
		case r.Tx == loser.ID && r.Released:
			released++
		case r.Tx == loser.ID:
			held++
		}
	}
	if released != 2 || held != 2 {
		t.Errorf("%d votes for the loser are released and %d are not, want 2 and 2", released, held)
	}
	if pending := collect(t, s.PendingTransactions()); len(pending) != 1 || pending[0].ID != other.ID {
		t.Errorf("%d pending", len(pending))
	}
	reopen("rejected")
	vote(t, s, observation.Pending, 3, loser)
	if tx, ok, err := s.Transaction(loser.ID); err != nil || !ok || !tx.Pending || tx.Rejection == nil {
		t.Errorf("voted on again: %+v, %v, %v", tx, ok, err)
	}
	reopen("voted on again")
	if err := s.CommitFinal([]Final{finalOf(other, now)}); err != nil {
		t.Fatal(err)
	}
	if n := inClasses(t, s, ClassSheaf)[ClassSheaf]; n != 2 { // the votes PENDING of rounds 0 and 3 on the outpoint that is not spent
		t.Errorf("%d sheaves are left, want 2", n)
	}
	reopen("the sheaf of round 0 ACCEPTED is gone")
	if got := collect(t, s.GuardRecords()); !slices.ContainsFunc(got, func(r conflict.Record) bool { return r.Round == 3 && r.Tx == loser.ID }) {
		t.Errorf("the vote of round 3 is gone: %+v", got)
	}
}

// A rejection that is forgotten takes the sheaf along out of which it took a transaction: after a restart that is not pending again, and
// what else was in the sheaf stands.
func TestSheafGoesWithForgottenRejection(t *testing.T) {
	o := testOptions(vfs.NewMem())
	o.MaxRejected = 2
	s := mustOpen(t, o)
	defer func() { mustClose(t, s) }()
	stuck := makeTx(t, 1, []utxo.Outpoint{genesisOutpoint(0)}, payment(owners[0], 10))
	refused := makeTx(t, 2, []utxo.Outpoint{genesisOutpoint(1)}, payment(owners[0], 10))
	vote(t, s, observation.Pending, 0, stuck, refused)
	if err := s.Reject(rejected(refused.ID)); err != nil {
		t.Fatal(err)
	}
	if tx, ok, err := s.Transaction(refused.ID); err != nil || !ok || tx.Rejection == nil || string(tx.Raw) != string(refused.Raw) {
		t.Fatalf("rejected: %+v, %v, %v", tx, ok, err)
	}
	mustClose(t, s)
	s = mustOpen(t, o)
	if n := inClasses(t, s, ClassSheaf)[ClassSheaf]; n != 1 {
		t.Fatalf("%d sheaves, want 1", n)
	}
	want := votesOf(t, s)
	if err := s.Reject(rejected(domain.Hash{1}, domain.Hash{2})); err != nil {
		t.Fatal(err)
	}
	if n := inClasses(t, s, ClassSheaf, ClassPending, ClassTx); !maps.Equal(n, map[Class]int{ClassPending: 1, ClassTx: 1}) {
		t.Errorf("%v, want one pending transaction by a record of its own", n)
	}
	for _, when := range []string{"forgotten", "after a restart"} {
		if got := votesOf(t, s); got != want {
			t.Errorf("%s:\n%swant\n%s", when, got, want)
		}
		if got := standing(t, s, refused.ID); got != "unknown" {
			t.Errorf("%s: the refused one is %s", when, got)
		}
		if tx, _, err := s.Transaction(stuck.ID); err != nil || string(tx.Raw) != string(stuck.Raw) {
			t.Errorf("%s: the other is %+v, %v", when, tx, err)
		}
		mustClose(t, s)
		s = mustOpen(t, o)
	}
}
