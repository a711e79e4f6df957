package store

import (
	"testing"

	"github.com/notarynet/notaryd/utxo"
)

// TestPagesTakeATransactionApartOnce: the outputs of one transaction, and what one spends, are read together: for a page of them it is
// read and taken apart once, not for each, and what was read is told.
func TestPagesTakeATransactionApartOnce(t *testing.T) {
	const n = utxo.MaxOutputs
	s := openTest(t)
	outputs, spends := make([]utxo.Output, n), make([]utxo.Outpoint, n)
	for i := range outputs {
		outputs[i] = document(owners[0], 700) // long: they are read from the transaction
	}
	made := makeTx(t, 1, []utxo.Outpoint{genesisOutpoint(0)}, outputs...)
	if err := s.CommitFinal([]Final{finalOf(made, now)}); err != nil {
		t.Fatal(err)
	}
	list, _, err := s.Unspent(owners[0], nil, 1000)
	if err != nil {
		t.Fatal(err)
	}
	unspent, read := 0, 0
	for _, u := range list {
		if u.Outpoint.Tx == made.ID {
			unspent, read = unspent+1, read+u.Read
		}
	}
	if unspent != n || read < len(made.Raw) || read > 3*len(made.Raw) {
		t.Errorf("%d outputs, for which %d bytes were read, of a transaction of %d", unspent, read, len(made.Raw))
	}
	for i := range spends {
		spends[i] = utxo.Outpoint{Tx: made.ID, Index: uint32(i)}
	}
	spender := makeTx(t, 2, spends, document(owners[1], 100_000))
	if err := s.CommitFinal([]Final{finalOf(spender, now+1)}); err != nil {
		t.Fatal(err)
	}
	seen := 0
	for from, more := CursorAfter(s.LastSeq()-1), true; more; {
		var page []AddressEvent
		if page, more, err = s.AddressLog(owners[0], from, 256); err != nil {
			t.Fatal(err)
		}
		read, bound := 0, len(made.Raw)+len(spender.Raw)
		for i, e := range page {
			if !e.Spent || e.Tx != spender.ID || e.Outpoint != spends[seen+i] || len(e.Output.Data.Payload) != 700 {
				t.Fatalf("event %d: %+v", seen+i, e)
			}
			read, bound, from = read+e.Read, bound+outputBytes+700, e.Cursor+1
		}
		if seen += len(page); read > bound {
			t.Errorf("%d bytes were read for %d events, want %d at most", read, len(page), bound)
		}
	}
	if seen != n {
		t.Errorf("%d of %d events", seen, n)
	}
}

// TestPagesEndWithWhatIsRead: where each output has to be read from a large transaction of its own, a page ends after a megabyte of
// them, however short the outputs are, and leaves nothing out.
func TestPagesEndWithWhatIsRead(t *testing.T) {
	const n = 24
	s := openTest(t)
	for i := range n {
		tx := makeTx(t, uint64(i), []utxo.Outpoint{genesisOutpoint(i)}, document(owners[0], 700), document(owners[1], 190_000))
		if err := s.CommitFinal([]Final{finalOf(tx, now)}); err != nil {
			t.Fatal(err)
		}
	}
	const most = maxPageRead + utxo.MaxTxBytes + 64*(outputBytes+700)
	seen := 0
	for token := []byte(nil); ; {
		list, next, err := s.Unspent(owners[0], token, 1000)
		if err != nil {
			t.Fatal(err)
		}
		read := 0
		for _, u := range list {
			if read += u.Read; u.Output.Data != nil && len(u.Output.Data.Payload) == 700 {
				seen++
			}
		}
		if read > most {
			t.Errorf("a page for which %d bytes were read", read)
		}
		if token = next; token == nil {
			break
		}
	}
	if seen != n {
		t.Errorf("%d of %d outputs", seen, n)
	}
	events := 0
	for from, more := uint64(0), true; more; {
		page, rest, err := s.AddressLog(owners[0], from, 256)
		if err != nil {
			t.Fatal(err)
		}
		read := 0
		for _, e := range page {
			if read, from = read+e.Read, e.Cursor+1; e.Output.Data != nil && len(e.Output.Data.Payload) == 700 {
				events++
			}
		}
		if read > most {
			t.Errorf("a page of the log for which %d bytes were read", read)
		}
		more = rest
	}
	if events != n {
		t.Errorf("%d of %d events", events, n)
	}
}
