package store

import (
	"errors"
	"maps"
	"reflect"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/notarynet/notaryd/conflict"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/utxo"
)

// How far chains are clear is what was said last, and goes over a restart.
func TestClear(t *testing.T) {
	options := testOptions(vfs.NewMem())
	s := mustOpen(t, options)
	if _, found, err := s.Clear(); found || err != nil {
		t.Fatalf("clear before anything was: %v, %v", found, err)
	}
	chain := observation.ChainID{Key: domain.PublicKey{7}, SigningEpoch: 1}
	want := Clear{Link: domain.Hash{1}, Heights: map[observation.ChainID]uint64{chain: 70, {Key: domain.PublicKey{3}}: 1}}
	for _, c := range []Clear{{Link: domain.Hash{9}, Heights: map[observation.ChainID]uint64{chain: 90}}, want} {
		if err := s.SaveClear(c); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, options)
	defer s.Close()
	got, found, err := s.Clear()
	if err != nil || !found || got.Link != want.Link || !maps.Equal(got.Heights, want.Heights) {
		t.Errorf("%+v, %v, %v; want %+v", got, found, err, want)
	}
}

// What the builds before bonds wrote is read as an epoch without any.
func TestEnteredVersion1(t *testing.T) {
	e := Entered{Epoch: 7, Link: domain.Hash{1}, Stated: []conflict.Lock{{Tx: domain.Hash{2}, Link: domain.Hash{3}, Round: 4}}}
	raw := e.append(nil)
	old := append([]byte{version1}, raw[1:len(raw)-8]...)
	if got, err := decodeEntered(old); err != nil || !reflect.DeepEqual(got, e) {
		t.Errorf("version 1 is read as %+v, %v", got, err)
	}
	for name, bad := range map[string][]byte{"version 1 with bonds": append([]byte{version1}, raw[1:]...), "version 2 without": append([]byte{version2}, old[1:]...), "version 3": append([]byte{3}, raw[1:]...)} {
		if _, err := decodeEntered(bad); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Of inherited locks under one key, disk and guard keep the same one: that of the higher certificate, whichever was
// inherited later.
func TestInheritedLocksOnDiskAreThoseOfTheGuard(t *testing.T) {
	at := func(tx byte, epoch, certified uint64) conflict.Record {
		return conflict.Record{
			Outpoint: utxo.Outpoint{Tx: domain.Hash{9}}, Round: 3, State: observation.Inherited,
			Tx: domain.Hash{tx}, Epoch: epoch, Certificate: conflict.CertAt(certified, 3),
		}
	}
	for name, second := range map[string]conflict.Record{"lower": at(2, 3, 0), "higher": at(2, 3, 2)} {
		t.Run(name, func(t *testing.T) {
			s, guard := openTest(t), conflict.NewGuard()
			for epoch, inherited := range [][]conflict.Record{nil, {at(1, 2, 1)}, {second}} {
				if err := s.EnterEpoch(Entered{Epoch: uint64(epoch) + 1}, inherited); err != nil {
					t.Fatal(err)
				}
				guard.Restore(inherited)
			}
			var disk []conflict.Record
			for r, err := range s.GuardRecords() {
				if err != nil {
					t.Fatal(err)
				}
				disk = append(disk, r)
			}
			want := guard.Records(second.Outpoint)
			if len(disk) != 1 || len(want) != 1 || disk[0] != want[0] {
				t.Errorf("on disk %+v, in the guard %+v", disk, want)
			}
		})
	}
}
