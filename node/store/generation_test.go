package store

import (
	"runtime"
	"testing"

	"github.com/notarynet/notaryd/utxo"
)

// What a generation says that it takes is about what it takes.
func TestGenerationIsCounted(t *testing.T) {
	const n = 20_000
	o := testOptions(nil) // no files in memory
	o.Genesis, o.MemBytes, o.ReserveBytes = genesis(n), 256<<20, 1
	s, err := Open(t.TempDir(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer mustClose(t, s)
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc) - int64(s.db.Metrics().MemTable.Size)
	}
	commit := func(from, to int) {
		for i := from; i < to; i += 500 {
			var list []Final
			for j := i; j < i+500; j++ {
				list = append(list, finalOf(makeTx(t, uint64(j), []utxo.Outpoint{genesisOutpoint(j)}, payment(owners[0], 5), payment(owners[1], 5)), now))
			}
			if err := s.CommitFinal(list); err != nil {
				t.Fatal(err)
			}
		}
	}
	commit(0, n/2)
	before, said := heap(), s.index.size()
	commit(n/2, n)
	took, counted := heap()-before, int64(s.index.size()-said)
	t.Logf("%d B a transaction, %d counted", took/(n/2), counted/(n/2))
	if took > counted*3/2 {
		t.Errorf("%d bytes are taken, %d counted", took, counted)
	}
}
