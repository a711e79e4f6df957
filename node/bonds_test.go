package node

import (
	"log/slog"
	"reflect"
	"slices"
	"testing"

	"github.com/notarynet/notaryd/conflict"
	"github.com/notarynet/notaryd/node/store"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/utxo"
)

// A bond goes from epoch to epoch while its transaction is stated, and no longer; what is taken over anew counts.
func TestBondsAreCarried(t *testing.T) {
	tx := func(i byte) domain.Hash { return domain.Hash{i} }
	bond := func(i byte, spends ...uint32) conflict.Bond {
		b := conflict.Bond{Tx: tx(i)}
		for _, o := range spends {
			b.Spends = append(b.Spends, utxo.Outpoint{Index: o})
		}
		return b
	}
	before := bondsOf([]conflict.Bond{bond(1, 1), bond(2, 2, 3), bond(3, 4)})
	got := carry(before, &conflict.Enter{
		Bonds:  []conflict.Bond{bond(3, 4, 5), bond(5, 6)},
		Stated: []conflict.Lock{{Tx: tx(2)}, {Tx: tx(3)}, {Tx: tx(4)}, {Tx: tx(5)}}, // 4 is this node's own vote
	})
	if want := []conflict.Bond{bond(2, 2, 3), bond(3, 4, 5), bond(5, 6)}; !reflect.DeepEqual(got, want) {
		t.Errorf("carried %v, want %v", got, want)
	}
}

// What ends is found by none of its outpoints, and the others that share one stay.
func TestBondsEnd(t *testing.T) {
	o := func(i uint32) utxo.Outpoint { return utxo.Outpoint{Index: i} }
	a, c := domain.Hash{1}, domain.Hash{2}
	b := bondsOf([]conflict.Bond{{Tx: a, Spends: []utxo.Outpoint{o(1), o(2)}}, {Tx: c, Spends: []utxo.Outpoint{o(2)}}, {Tx: a, Spends: []utxo.Outpoint{o(2), o(3)}}})
	for _, tx := range b.on(o(2)) {
		if tx == a {
			b.end(tx)
		}
	}
	for i, want := range [][]domain.Hash{nil, nil, {c}, nil} {
		if got := b.on(o(uint32(i))); len(got) != len(want) || len(got) == 1 && got[0] != want[0] {
			t.Errorf("outpoint %d: %v, want %v", i, got, want)
		}
	}
	if b.spends(a) != nil || len(b.spends(c)) != 1 {
		t.Errorf("spends %v, %v", b.spends(a), b.spends(c))
	}
	if b.end(c); len(b.of) != 0 || len(b.by) != 0 {
		t.Errorf("left: %+v", b)
	}
}

// What somebody is bound to is settled by a rival also where the transaction itself is not here: by what is known that it spends.
func TestSettledWithoutItsTransaction(t *testing.T) {
	s := newSigner(t)
	sh := &shell{store: s.store, lately: newLately(), flights: newDirectory()}
	lost := domain.Hash{9}
	spends := []utxo.Outpoint{{Tx: s.v.genesis.ID}, {Tx: s.v.genesis.ID, Index: 1}}
	settled := func(spends []utxo.Outpoint) bool {
		t.Helper()
		now, err := sh.settling(lost, spends)
		if err != nil {
			t.Fatal(err)
		}
		return now.settled
	}
	if settled(spends) {
		t.Error("settled before a rival is final")
	}
	s.commit(t, s.v.pay(0, "winner"))
	if !settled(spends) {
		t.Error("not settled by a rival")
	}
	if settled(nil) || settled(spends[1:]) {
		t.Error("settled by a transaction that is no rival, so far as is known")
	}
}

// A restart takes up the bonds of the epoch entered, and of a store that has none the locks that stayed.
func TestBondsAreTakenUp(t *testing.T) {
	v := newVillage(t, nil)
	n := v.idle(nil)
	st, self := n.sh.store, v.signers[0].Key
	o := []utxo.Outpoint{{Tx: v.genesis.ID}, {Tx: v.genesis.ID, Index: 1}, {Tx: v.genesis.ID, Index: 2}}
	locked := func(o utxo.Outpoint, tx domain.Hash) conflict.Record {
		return conflict.Record{Outpoint: o, State: observation.Inherited, Round: 3, Tx: tx, Epoch: 1, Certificate: conflict.CertAt(0, 3)}
	}
	whole, old := domain.Hash{1}, domain.Hash{2}
	err := st.EnterEpoch(store.Entered{Epoch: 1, Bonds: []conflict.Bond{{Tx: whole, Spends: o[:2]}}}, []conflict.Record{locked(o[0], whole), locked(o[2], old)})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.wireBatcher(Parts{Key: self, Store: st, Log: slog.New(slog.DiscardHandler), Metrics: n.sh.metrics}); err != nil {
		t.Fatal(err)
	}
	b := n.sh.batcher
	if err := b.bind(t.Context(), b.taken); err != nil {
		t.Fatal(err)
	}
	if got := b.bonds.spends(whole); !slices.Equal(got, o[:2]) {
		t.Errorf("of the bond: %v", got)
	}
	if got := b.bonds.spends(old); !slices.Equal(got, o[2:]) {
		t.Errorf("of the lock without a bond: %v", got)
	}
}
