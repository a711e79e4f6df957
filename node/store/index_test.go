package store

import (
	"errors"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	setsync "github.com/notarynet/notaryd/node/sync"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/utxo"
)

// chain is n transactions, each of which spends the first output of the one before.
func chain(t testing.TB, from utxo.Outpoint, salt uint64, n int) (finals []Final) {
	for i := range n {
		tx := makeTx(t, salt+uint64(i), []utxo.Outpoint{from}, payment(owners[i%2], 5), payment(owners[2], 5))
		finals = append(finals, finalOf(tx, now+uint64(i)))
		from = utxo.Outpoint{Tx: tx.ID}
	}
	return finals
}

// Readers at any time see every outpoint unknown, then live, then spent, and never an earlier state again, while generations of the index are
// filled, written as batches and tables, and dropped.
func TestReadersNeverGoBack(t *testing.T) {
	const length = 120
	s := openTest(t, func(o *Options) { o.indexBytes, o.tablesFrom = 6000, 5 })
	s.recent.half = 4
	var done atomic.Bool
	var readers sync.WaitGroup
	var all [3][]Final
	for i := range all {
		all[i] = chain(t, genesisOutpoint(i), uint64(1000*i), length)
	}
	state := func(e utxo.Entry, ok bool) int {
		switch {
		case !ok:
			return 0
		case e.SpentBy.IsZero():
			return 1
		}
		return 2
	}
	for r := range 3 {
		readers.Go(func() {
			seen := map[utxo.Outpoint]int{}
			for i := 0; !done.Load(); i++ {
				f := &all[r][i%length]
				o := utxo.Outpoint{Tx: f.Tx.ID}
				e, ok, err := s.Lookup(o)
				if now := state(e, ok); err != nil || now < seen[o] {
					t.Errorf("%s went from state %d to %d, %v", o, seen[o], now, err)
					return
				} else {
					seen[o] = now
				}
				if tx, ok, err := s.Transaction(f.Tx.ID); err != nil || !ok && seen[o] > 0 || ok && string(tx.Raw) != string(f.Tx.Raw) {
					t.Errorf("%s in state %d is %+v, %v, %v", f.Tx.ID, seen[o], tx, ok, err)
					return
				}
				if i%16 == 0 {
					if _, err := s.Balance(owners[r], unread); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	var writers sync.WaitGroup
	for i := range all {
		writers.Go(func() {
			for n := 0; n < length; n += 4 {
				if err := s.CommitFinal(all[i][n : n+4]); err != nil {
					t.Error(err)
					return
				}
				spent := all[i][n].Tx.Spends()[0]
				if e, ok, err := s.Lookup(spent); err != nil || !ok || e.SpentBy != all[i][n].Tx.ID {
					t.Errorf("%s is %+v, %v, %v once it was spent", spent, e, ok, err)
				}
			}
		})
	}
	writers.Wait()
	done.Store(true)
	readers.Wait()
	for i := range all {
		rival := makeTx(t, uint64(9000+i), []utxo.Outpoint{genesisOutpoint(i)}, payment(owners[0], 1))
		if err := s.CommitFinal([]Final{finalOf(rival, now)}); !errors.Is(err, ErrNotLive) {
			t.Errorf("a rival of what is written long ago: %v", err)
		}
	}
	if b, err := s.Balance(owners[2], unread); err != nil || len(b) != 1 || b[0].Outputs != 3*length+9 {
		t.Errorf("balance %+v, %v", b, err)
	}
}

// What one transaction makes and another spends in the same part is never among the live outputs; in two parts it is taken out.
func TestPartLeavesOutWhatIsGone(t *testing.T) {
	s := openTest(t)
	finals := chain(t, genesisOutpoint(0), 0, 3)
	if err := s.CommitFinal(finals); err != nil {
		t.Fatal(err)
	}
	inner := utxo.Outpoint{Tx: finals[0].Tx.ID}
	kinds := func(first, last uint64) (kinds []writeKind) {
		var w writes
		p := part{x: &s.index, first: first, last: last}
		p.plan(&w, ClassLive)
		p.plan(&w, ClassAddress)
		if err := w.each(func(kind writeKind, key, _ []byte) error {
			if outpointAt(key[len(key)-outpointLen:]) == inner {
				kinds = append(kinds, kind)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		return kinds
	}
	for _, c := range []struct {
		first, last uint64
		want        []writeKind
	}{
		{1, 1, []writeKind{setting, setting}}, {2, 3, []writeKind{taking, taking}}, {1, 2, nil}, {1, 3, nil}, {3, 3, nil},
	} {
		if got := kinds(c.first, c.last); !slices.Equal(got, c.want) {
			t.Errorf("from %d to %d: %v, want %v", c.first, c.last, got, c.want)
		}
	}
}

// After Close nothing is left to read again; after a crash the ledger is, also into generations that are smaller than those of the store that
// wrote it. Only what an address is asked for is written before its time.
func TestReplay(t *testing.T) {
	mem := vfs.NewCrashableMem()
	o := testOptions(mem)
	s := mustOpen(t, o)
	finals := chain(t, genesisOutpoint(0), 0, 60)
	if err := s.CommitFinal(finals); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.AddressLog(addressOf(99), 0, 10); err != nil || s.index.written() != 0 {
		t.Errorf("%d are indexed for an address that nobody pays, %v", s.index.written(), err)
	}
	crashed := mem.CrashClone(vfs.CrashCloneCfg{})
	want := dump(t, s)
	if s.index.written() != 60 {
		t.Errorf("%d are indexed, want all", s.index.written())
	}
	mustClose(t, s)
	s = mustOpen(t, o)
	if s.index.written() != 60 || s.index.last() != 60 || len(s.index.young.changes) != 0 {
		t.Errorf("after Close %d of %d are indexed, %d in memory", s.index.written(), s.index.last(), len(s.index.young.changes))
	}
	mustClose(t, s)
	o = testOptions(crashed)
	o.indexBytes, o.tablesFrom = 3000, 10
	s = mustOpen(t, o)
	if n := s.index.last(); n != 60 {
		t.Errorf("%d are there after a crash, want 60", n)
	}
	if got := dump(t, s); got != want {
		t.Error("the records after a crash are others")
	}
	mustClose(t, s)
}

// Votes that a crash leaves behind are held against what is final, whether or not the index was written.
func TestVotesAfterReplay(t *testing.T) {
	mem := vfs.NewCrashableMem()
	s := mustOpen(t, testOptions(mem))
	defer func() { mustClose(t, s) }()
	a := makeTx(t, 1, []utxo.Outpoint{genesisOutpoint(0)}, payment(owners[0], 10))
	b := makeTx(t, 2, []utxo.Outpoint{genesisOutpoint(1)}, payment(owners[0], 10))
	vote(t, s, observation.Pending, 0, a, b)
	if err := s.CommitFinal([]Final{finalOf(a, now)}); err != nil {
		t.Fatal(err)
	}
	want := votesOf(t, s)
	after := mustOpen(t, testOptions(mem.CrashClone(vfs.CrashCloneCfg{})))
	defer mustClose(t, after)
	if after.index.written() != 0 {
		t.Error("the index was written: the test shows nothing")
	}
	if got := votesOf(t, after); got != want {
		t.Errorf("after a crash\n%swant\n%s", got, want)
	}
}

// noTables has no room for tables of the index while it is on.
type noTables struct{ on atomic.Bool }

func (n *noTables) String() string { return "no tables" }

// MaybeError implements errorfs.Injector.
func (n *noTables) MaybeError(op errorfs.Op) error {
	if n.on.Load() && op.Kind.ReadOrWrite() == errorfs.OpIsWrite && op.Kind != errorfs.OpRemove && filepath.Base(op.Path) == tableName {
		return syscall.ENOSPC
	}
	return nil
}

// Where there is no room for the index, finals are refused once memory is full, and so is what needs the index; what is in the ledger stays, and
// everything goes on when there is room.
func TestNoRoomForTheIndex(t *testing.T) {
	full := &noTables{}
	o := testOptions(errorfs.Wrap(vfs.NewMem(), full))
	o.indexBytes, o.tablesFrom = 2000, 1
	s := mustOpen(t, o)
	finals := chain(t, genesisOutpoint(0), 0, 40)
	full.on.Store(true)
	n, err := 0, error(nil)
	for ; n < len(finals) && err == nil; n++ {
		err = s.CommitFinal(finals[n : n+1])
	}
	if n--; !errors.Is(err, ErrFull) || errors.Is(err, ErrStoreFailed) || n < 4 || n > 20 {
		t.Fatalf("after %d: %v", n, err)
	}
	if _, err := s.Balance(owners[0], unread); !errors.Is(err, ErrFull) {
		t.Errorf("balance: %v", err)
	}
	if u, err := s.Usage(); err != nil || u.BackgroundErrors == 0 {
		t.Errorf("usage %+v, %v", u, err)
	}
	if final, err := s.IsFinal(finals[0].Tx.ID); !final || err != nil {
		t.Errorf("the first is final: %v, %v", final, err)
	}
	mustClose(t, s)
	s = mustOpen(t, o)
	defer func() { mustClose(t, s) }()
	if got := s.Counts().Finals; got != uint64(n) {
		t.Errorf("%d after a restart, want %d", got, n)
	}
	full.on.Store(false)
	if err := s.CommitFinal(finals[n:]); err != nil {
		t.Fatal(err)
	}
	if got, err := s.FinalSet().IDs(setsync.Bounds{}, 100); err != nil || len(got) != len(finals) {
		t.Errorf("%d in the index, %v", len(got), err)
	}
	if _, ok, err := s.Lookup(utxo.Outpoint{Tx: domain.Hash{1}}); ok || err != nil {
		t.Errorf("an unknown output: %v, %v", ok, err)
	}
}
