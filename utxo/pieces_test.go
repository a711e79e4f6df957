package utxo

import "testing"

// TestPaymentIsOnePiece: a payment is decoded into one piece, and judged in none.
func TestPaymentIsOnePiece(t *testing.T) {
	b := start(atAlice).Pay(bobLock.Address(), Product{}, 60*coin).Pay(aliceLock.Address(), Product{}, 40*coin)
	tx := mustFinish(t, mustDraft(t, b).Sign(alice))
	if n := testing.AllocsPerRun(100, func() {
		if _, err := Decode(tx.Raw, testRules); err != nil {
			t.Fatal(err)
		}
	}); n != 1 {
		t.Errorf("decoded into %v pieces", n)
	}
	entries, known := Inputs(tx, world(t))
	if n := testing.AllocsPerRun(100, func() {
		if err := ValidateAmong(tx, entries, known, today); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("judged in %v pieces", n)
	}
}
