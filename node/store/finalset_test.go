package store

import (
	"slices"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	setsync "github.com/notarynet/notaryd/node/sync"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/utxo"
)

// What is final is counted the same by the table, by going through it, and after a restart; what is committed while it is
// counted is in it once.
func TestFinalSet(t *testing.T) {
	o := testOptions(vfs.NewMem())
	s := mustOpen(t, o)
	defer func() { mustClose(t, s) }()
	set := s.FinalSet()
	var want []domain.Hash
	parent := genesisOutpoint(0)
	commit := func(i int) {
		tx := makeTx(t, uint64(i), []utxo.Outpoint{parent}, payment(owners[i%2], 1))
		parent = utxo.Outpoint{Tx: tx.ID}
		if err := s.CommitFinal([]Final{finalOf(tx, now)}); err != nil {
			t.Fatal(err)
		}
		want = append(want, tx.ID)
	}
	check := func() {
		t.Helper()
		slices.SortFunc(want, domain.Hash.Compare)
		for _, b := range []setsync.Bounds{{}, {From: want[len(want)/3]}, {To: want[len(want)/2]}, {From: want[1], To: want[len(want)-1]}, {From: domain.Hash{0x40}, To: domain.Hash{0xc0}}} {
			var twin setsync.Fingerprint
			var in []domain.Hash
			for _, id := range want {
				if b.Contains(id) {
					twin.Add(id)
					in = append(in, id)
				}
			}
			if f, err := set.Fingerprint(b); err != nil || f != twin {
				t.Errorf("%d of %d ids counted, %v", f.Count, twin.Count, err)
			}
			if ids, err := set.IDs(b, 1<<20); err != nil || !slices.Equal(ids, in) {
				t.Errorf("%d of %d ids listed, %v", len(ids), len(in), err)
			}
			if ids, err := set.IDs(b, 3); err != nil || !slices.Equal(ids, in[:min(3, len(in))]) {
				t.Errorf("%d ids listed, %v", len(ids), err)
			}
		}
	}
	for i := range 30 {
		commit(i)
	}
	check()
	commit(30)
	check()
	mustClose(t, s)
	s = mustOpen(t, o)
	set = s.FinalSet()
	var asking sync.WaitGroup
	for range 4 {
		asking.Go(func() {
			if _, err := set.Fingerprint(setsync.Bounds{}); err != nil {
				t.Error(err)
			}
		})
	}
	for i := range 40 {
		commit(100 + i)
	}
	asking.Wait()
	check()
	s.mu.Lock()
	s.newFinals = make([]domain.Hash, maxNewFinals) // nobody has asked for long
	s.mu.Unlock()
	commit(200)
	commit(201)
	check()
}
