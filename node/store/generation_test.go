package store

import (
	"bytes"
	"runtime"
	"testing"
	"time"

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

// TestCoinKeepsNoGeneration: where a coin was found is forgotten with its generation, or half of what is kept of the database, though somebody still
// has the coin: transactions wait for long with theirs.
func TestCoinKeepsNoGeneration(t *testing.T) {
	s := openTest(t, func(o *Options) { o.indexBytes, o.tablesFrom = 6000, 5 })
	all := chain(t, genesisOutpoint(0), 0, 120)
	if err := s.CommitFinal(all[:4]); err != nil {
		t.Fatal(err)
	}
	_, made, _, err := s.Find(utxo.Outpoint{Tx: all[0].Tx.ID, Index: 1})
	if err != nil || !s.index.holds(made.made) {
		t.Fatalf("%v, %v", made, err)
	}
	_, kept, _, err := s.Find(genesisOutpoint(1))
	if err != nil || !s.recent.holds(kept.kept) {
		t.Fatalf("%v, %v", kept, err)
	}
	gone := make(chan string, 2)
	runtime.AddCleanup(s.index.young, func(what string) { gone <- what }, "generation")
	runtime.AddCleanup(s.recent.young, func(what string) { gone <- what }, "shelf")
	for n := 4; n < len(all); n += 4 {
		if err := s.CommitFinal(all[n : n+4]); err != nil {
			t.Fatal(err)
		}
	}
	s.recent.forget()
	if s.index.holds(made.made) || s.recent.holds(kept.kept) {
		t.Fatal("both are there still")
	}
	patience := time.After(20 * time.Second)
	for found := 0; found < 2; {
		runtime.GC() // again, as a goroutine of the store that has just ended its work may still have had hold of one
		select {
		case <-gone:
			found++
		case <-time.After(10 * time.Millisecond):
		case <-patience:
			t.Fatal("a coin keeps where it was found")
		}
	}
	runtime.KeepAlive(made)
	runtime.KeepAlive(kept)
}

// TestIndexOwnsData: what the index keeps of an output with data is counted, and keeps nothing of its transaction.
func TestIndexOwnsData(t *testing.T) {
	s := openTest(t)
	before := s.index.size()
	tx := makeTx(t, 1, []utxo.Outpoint{genesisOutpoint(0)}, document(owners[0], 1000), payment(owners[1], 5))
	raw := bytes.Clone(tx.Raw)
	if err := s.CommitFinal([]Final{finalOf(tx, now)}); err != nil {
		t.Fatal(err)
	}
	if took := s.index.size() - before; took < 1000+changeBytes || took > 1000+2*changeBytes+4*outputBytes+spendBytes {
		t.Errorf("%d bytes are counted", took)
	}
	clear(tx.Raw)
	e, ok, err := s.Lookup(utxo.Outpoint{Tx: tx.ID})
	if err != nil || !ok || !bytes.Contains(raw, e.Output.Data.Payload) {
		t.Errorf("%v, %v: what the index keeps lies in the transaction", ok, err)
	}
}

// TestPagesEndWithTheirBytes: a page of live outputs ends where their data are a megabyte, and the next goes on there.
func TestPagesEndWithTheirBytes(t *testing.T) {
	s := openTest(t)
	const n = 12
	for i := range n {
		tx := makeTx(t, uint64(i), []utxo.Outpoint{genesisOutpoint(i)}, document(owners[0], 190_000))
		if err := s.CommitFinal([]Final{finalOf(tx, now)}); err != nil {
			t.Fatal(err)
		}
	}
	var token []byte
	seen, pages := map[utxo.Outpoint]bool{}, 0
	for {
		list, next, err := s.Unspent(owners[0], token, 1000)
		if err != nil {
			t.Fatal(err)
		}
		size := 0
		for _, u := range list {
			size += len(u.Output.AppendTo(nil))
			if u.Output.Data != nil && len(u.Output.Data.Payload) == 190_000 {
				seen[u.Outpoint] = true
			}
		}
		if pages++; size > maxPage+utxo.MaxOutputBytes {
			t.Errorf("a page of %d bytes", size)
		}
		if token = next; token == nil {
			break
		}
	}
	if len(seen) != n || pages != 2 && pages != 3 {
		t.Errorf("%d outputs on %d pages", len(seen), pages)
	}
}

// TestLogPagesEndWithTheirBytes: whoever follows an address keeps no more of its log than 64 KiB of data and one event, and leaves
// nothing out.
func TestLogPagesEndWithTheirBytes(t *testing.T) {
	s := openTest(t)
	const n = 6
	for i := range n {
		tx := makeTx(t, uint64(i), []utxo.Outpoint{genesisOutpoint(i)}, document(owners[0], 190_000))
		if err := s.CommitFinal([]Final{finalOf(tx, now)}); err != nil {
			t.Fatal(err)
		}
	}
	seen := 0
	for from, more := uint64(0), true; more; {
		var page []AddressEvent
		var err error
		if page, more, err = s.AddressLog(owners[0], from, 256); err != nil {
			t.Fatal(err)
		}
		size := 0
		for _, e := range page {
			if e.Output.Data != nil && len(e.Output.Data.Payload) == 190_000 {
				seen++
			}
			size += len(e.Output.AppendTo(nil))
			from = e.Cursor + 1
		}
		if size > maxLogPage+utxo.MaxOutputBytes {
			t.Errorf("a page of %d bytes", size)
		}
	}
	if seen != n {
		t.Errorf("%d events of %d", seen, n)
	}
}
