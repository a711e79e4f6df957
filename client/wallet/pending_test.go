package wallet

import (
	"context"
	"errors"
	"os"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/utxo"
)

func pending(t *testing.T, i byte) Pending {
	t.Helper()
	network := domain.Hash{0xaa}
	draft, err := utxo.NewBuilder(network).Spend(utxo.Outpoint{Tx: domain.Hash{i}}).Pay(utxo.Address{1}, utxo.Product{}, 5).Build()
	if err != nil {
		t.Fatal(err)
	}
	tx, err := draft.Sign(domain.NewPrivateKey([32]byte{1})).Finish()
	if err != nil {
		t.Fatal(err)
	}
	return Pending{Network: network, ID: tx.ID, Raw: tx.Raw, Spends: tx.Spends(), UntilMS: uint64(i)}
}

func TestPending(t *testing.T) {
	s := newStore(t)
	if list, err := s.Pending("main"); err != nil || len(list) != 0 {
		t.Errorf("none: %v %v", list, err)
	}
	a, b, c := pending(t, 1), pending(t, 2), pending(t, 3)
	for _, p := range []Pending{a, b, c} {
		if err := s.AddPending("main", p); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.RemovePending("main", b.ID); err != nil {
		t.Fatal(err)
	}
	if err := s.RemovePending("main", b.ID); err != nil {
		t.Errorf("again: %v", err)
	}
	got, err := s.Pending("main")
	if err != nil || !reflect.DeepEqual(got, []Pending{a, c}) {
		t.Errorf("got %+v %v", got, err)
	}
	if list, err := s.Pending("other"); err != nil || len(list) != 0 {
		t.Errorf("of another wallet: %v %v", list, err)
	}
	if err := s.AddPending("../x", a); !errors.Is(err, ErrName) {
		t.Errorf("bad name: %v", err)
	}
}

func TestPendingDamaged(t *testing.T) {
	s := newStore(t)
	p := pending(t, 1)
	if err := s.AddPending("main", p); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(s.pendingPath("main"))
	if err != nil {
		t.Fatal(err)
	}
	text := string(whole)
	for name, damaged := range map[string]string{
		"cut":           text[:len(text)/2],
		"other id":      strings.Replace(text, p.ID.String(), strings.Repeat("00", 32), 1),
		"no id":         strings.Replace(text, p.ID.String(), "", 1),
		"other network": strings.Replace(text, `"network_id": "aa`, `"network_id": "ab`, 1),
		"no network":    strings.Replace(text, `"network_id": "aa`, `"network_id": "`, 1),
		"no hex":        strings.Replace(text, `"transaction": "0a`, `"transaction": "zz`, 1),
		"flipped":       strings.Replace(text, `"transaction": "0a`, `"transaction": "0b`, 1),
	} {
		if damaged == text {
			t.Fatalf("%s: nothing changed", name)
		}
		if err := os.WriteFile(s.pendingPath("main"), []byte(damaged), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Pending("main"); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v, want ErrCorrupt", name, err)
		}
		if err := s.AddPending("main", p); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: added on top: %v", name, err)
		}
	}
}

// Whoever holds the lock is alone: read, change and write lose nothing.
func TestLock(t *testing.T) {
	s := newStore(t)
	all := make([]Pending, 12)
	for i := range all {
		all[i] = pending(t, byte(i+1))
	}
	var wg sync.WaitGroup
	for _, p := range all {
		wg.Go(func() {
			unlock, err := s.Lock(t.Context(), "main")
			if err != nil {
				t.Error(err)
				return
			}
			if err := s.AddPending("main", p); err != nil {
				t.Error(err)
			}
			if err := unlock(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	unlock, err := s.Lock(t.Context(), "main")
	if err != nil {
		t.Fatal(err)
	}
	soon, cancel := context.WithTimeout(t.Context(), 3*retryLock)
	defer cancel()
	if _, err := s.Lock(soon, "main"); !errors.Is(err, ErrBusy) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("held: %v, want ErrBusy", err)
	}
	if other, err := s.Lock(soon, "other"); err != nil {
		t.Errorf("another wallet: %v", err)
	} else if err := other(); err != nil {
		t.Error(err)
	}
	if err := unlock(); err != nil {
		t.Error(err)
	}
	if list, err := s.Pending("main"); err != nil || len(list) != len(all) {
		t.Errorf("%d of %d left, %v", len(list), len(all), err)
	}
}
