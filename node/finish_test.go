package node

import (
	"testing"

	"github.com/notarynet/notaryd/node/lifecycle"
)

// TestFinalityWakesNobody: whoever counts takes what is not disputed to its commit, and the goroutines that rest with it run the next
// transactions.
func TestFinalityWakesNobody(t *testing.T) {
	v := newVillage(t, nil)
	nodes := []*villager{v.start(0), v.start(1), v.start(2)}
	v.meet(nodes...)
	seized := 0
	tx := v.pay(0, "a")
	for i := range 20 {
		f, err := nodes[0].sh.intake(t.Context(), tx, client("test"), false)
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, "finality", func() bool { return nodes[0].final(t, tx) })
		eventually(t, "the flight to land", func() bool { return nodes[0].sh.flights.get(tx.ID) == nil })
		if state, err := f.standing(); state != lifecycle.Final || err != nil || f.info == nil || len(f.edges) < 3 {
			t.Fatalf("%v, %v, by %d votes", state, err, len(f.edges))
		}
		f.box.mu.Lock()
		if f.box.seized {
			seized++
		}
		f.box.mu.Unlock()
		tx = v.spend(tx, string(rune('b'+i)))
	}
	if seized == 0 {
		t.Error("each was woken at finality")
	}
	if n := nodes[0].sh.hands.waiting(); n > 5 {
		t.Errorf("%d goroutines wait, of one transaction at a time", n)
	}
}
