package node

import (
	"reflect"
	"sync"
	"testing"

	"github.com/notarynet/notaryd/node/store"
	"github.com/notarynet/notaryd/utxo"
)

// TestEdges: what is kept makes the same edges as what is read, for many at once; a leaf that is another vote is none;
// memory is bounded; and what was pruned is forgotten.
func TestEdges(t *testing.T) {
	v := newVillage(t, nil)
	nodes := []*villager{v.start(0), v.start(1), v.start(2)}
	v.meet(nodes...)
	n := nodes[0]
	var txs []*utxo.Tx
	for i, tx := 0, v.pay(0, "a"); i < 5; i, tx = i+1, v.spend(tx, "b") {
		n.submitFinal(t, tx)
		txs = append(txs, tx)
	}
	e := newEdges(n.sh.store)
	var asking sync.WaitGroup
	for range 4 {
		asking.Go(func() {
			for _, tx := range txs {
				stored, found, err := n.sh.store.Transaction(tx.ID)
				if err != nil || !found {
					t.Error(err)
					return
				}
				for _, ref := range stored.Final.Edges {
					o, found, err := n.sh.store.EdgeObservation(ref, tx.ID, stored.Final.Link, 0)
					if err != nil || !found {
						t.Error(err)
						return
					}
					if got, ok, err := e.edge(ref, tx.ID, stored.Final.Link, 0); err != nil || !ok || !reflect.DeepEqual(got, o.Edge(int(ref.Leaf))) {
						t.Errorf("%v, %v", ok, err)
					}
					if _, ok, err := e.edge(ref, tx.ID, stored.Final.Link, 1); ok || err != nil {
						t.Errorf("a vote of another round: %v, %v", ok, err)
					}
				}
			}
		})
	}
	asking.Wait()
	if _, ok, err := e.edge(store.EdgeRef{Key: n.sh.self, Height: 1 << 40}, txs[0].ID, v.genesis.Group.Link(), 0); ok || err != nil {
		t.Errorf("of a height that is not: %v, %v", ok, err)
	}
	if len(e.new) == 0 || e.bytes == 0 {
		t.Fatal("nothing is kept")
	}
	kept := len(e.new)
	e.bytes = edgesMemory
	for _, tx := range txs {
		stored, _, err := n.sh.store.Transaction(tx.ID)
		if err != nil {
			t.Fatal(err)
		}
		for _, ref := range stored.Final.Edges {
			if _, ok, err := e.edge(ref, tx.ID, stored.Final.Link, 0); !ok || err != nil {
				t.Errorf("%v, %v", ok, err)
			}
		}
	}
	if len(e.new) != kept { // all were found
		t.Errorf("%d of %d are kept", len(e.new), kept)
	}
	e.read(place{}, e.new[anyPlace(e)])
	if len(e.new) != 0 || len(e.old) != kept || e.bytes != 0 {
		t.Errorf("%d new, %d old, %d bytes when memory is full", len(e.new), len(e.old), e.bytes)
	}
	if e.forget(); len(e.new)+len(e.old) > 0 {
		t.Error("not forgotten")
	}
}

func anyPlace(e *edges) (at place) {
	for at = range e.new {
		return at
	}
	return at
}
