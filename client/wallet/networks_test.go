package wallet

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"

	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
)

func genesis(t *testing.T, name string) *group.Genesis {
	t.Helper()
	key := domain.NewPrivateKey([32]byte{9}).Public()
	peer := domain.Sum(domain.TagPeer, key[:])
	g, err := group.MakeGenesis(&notaryv1.Genesis{
		Name:          name,
		AddressPrefix: "ntest",
		Seeds: []*notaryv1.Member{{
			PeerId: peer[:], Weight: uint64(group.Total),
			Keys: []*notaryv1.NodeKey{{Key: key[:]}},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestNetworksAddGetRemove(t *testing.T) {
	n := newStore(t).Networks()
	a, b := genesis(t, "a"), genesis(t, "b")
	if _, err := n.Get(a.ID); !errors.Is(err, ErrUnknownNetwork) {
		t.Errorf("empty: %v", err)
	}
	for _, g := range []*group.Genesis{a, b} {
		if isNew, err := n.Add(g); err != nil || !isNew {
			t.Fatalf("add: %v %v", isNew, err)
		}
	}
	if isNew, err := n.Add(a); err != nil || isNew {
		t.Errorf("add again: %v %v", isNew, err)
	}
	got, err := n.Get(a.ID)
	if err != nil || got.ID != a.ID || got.Doc.Name != "a" {
		t.Errorf("get: %v %v", got, err)
	}
	all, err := n.List()
	if err != nil || len(all) != 2 || all[0].ID.Compare(all[1].ID) >= 0 {
		t.Errorf("list: %v %v", all, err)
	}
	if err := n.Pin("127.0.0.1:1", a.ID); err != nil {
		t.Fatal(err)
	}
	if err := n.Pin("127.0.0.1:2", b.ID); err != nil {
		t.Fatal(err)
	}
	if err := n.Remove(a.ID); err != nil {
		t.Fatal(err)
	}
	if err := n.Remove(a.ID); !errors.Is(err, ErrUnknownNetwork) {
		t.Errorf("remove again: %v", err)
	}
	if _, ok, err := n.Pinned("127.0.0.1:1"); ok || err != nil {
		t.Errorf("pin outlived its network: %v", err)
	}
	if id, ok, err := n.Pinned("127.0.0.1:2"); !ok || err != nil || id != b.ID {
		t.Errorf("other pin: %v %v %v", id, ok, err)
	}
}

// Programs that meet their nodes at the same moment all remember them.
func TestNetworksChangedAtOnce(t *testing.T) {
	s := newStore(t)
	g := genesis(t, "a")
	const programs = 16
	var running sync.WaitGroup
	for i := range programs {
		running.Go(func() {
			if err := s.Networks().Pin(fmt.Sprintf("127.0.0.1:%d", i), g.ID); err != nil {
				t.Error(err)
			}
		})
	}
	running.Wait()
	for i := range programs {
		if _, ok, err := s.Networks().Pinned(fmt.Sprintf("127.0.0.1:%d", i)); !ok || err != nil {
			t.Errorf("node %d is forgotten: %v", i, err)
		}
	}
}

func TestNetworksDamaged(t *testing.T) {
	n := newStore(t).Networks()
	a, b := genesis(t, "a"), genesis(t, "b")
	if _, err := n.Add(a); err != nil {
		t.Fatal(err)
	}
	// Somebody put the document of one network in the place of another.
	if err := os.WriteFile(n.Path(a.ID), b.Bytes, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := n.Get(a.ID); !errors.Is(err, ErrCorrupt) {
		t.Errorf("swapped: %v", err)
	}
	if _, err := n.Add(a); !errors.Is(err, ErrCorrupt) {
		t.Errorf("add over damage: %v", err)
	}
	if _, err := n.List(); !errors.Is(err, ErrCorrupt) {
		t.Errorf("list: %v", err)
	}
	if err := os.WriteFile(n.pinsPath(), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := n.Pin("x", a.ID); !errors.Is(err, ErrCorrupt) {
		t.Errorf("pins: %v", err)
	}
	if err := os.WriteFile(n.pinsPath(), []byte(`{"x": "zz"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := n.Pinned("x"); !errors.Is(err, ErrCorrupt) {
		t.Errorf("pinned: %v", err)
	}
}
