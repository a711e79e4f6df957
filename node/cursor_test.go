package node

import (
	"testing"

	kit "github.com/notarynet/notaryd/observation/observationtest"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
	"github.com/notarynet/notaryd/utxo"
)

// TestCursorBeyondTheLog: a cursor of another node, or of this one before it was restored, is refused where the log does not go that far. Who waited until
// it does would miss what comes before.
func TestCursorBeyondTheLog(t *testing.T) {
	v := newVillage(t, nil)
	n := v.start(0)
	address := utxo.FormatAddress(v.genesis.Doc.AddressPrefix, utxo.KeyLock(kit.Key(100).Public()).Address())
	for r, err := range n.WatchAcceptances(t.Context(), "7", false, 0, unpaid) {
		if refusal.ReasonOf(err) != notaryv1.Reason_REASON_CURSOR_GAP {
			t.Errorf("acceptances: %v, %v", r, err)
		}
	}
	for r, err := range n.WatchAddress(t.Context(), address, "99999999", unpaid) {
		if refusal.ReasonOf(err) != notaryv1.Reason_REASON_CURSOR_GAP {
			t.Errorf("address: %v, %v", r, err)
		}
	}
}
