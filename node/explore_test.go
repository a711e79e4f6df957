package node

import (
	"context"
	"errors"
	"testing"

	"github.com/notarynet/notaryd/observation"
	kit "github.com/notarynet/notaryd/observation/observationtest"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/utxo"
)

// unpaid lets everything be done for nothing.
func unpaid(int) error { return nil }

// unbounded spends without end.
func unbounded(int) bool { return true }

// TestListsEndWhereTheyAreToldTo: the lists of what is read from the disk tell of every record, end a page where they are told to
// and go on there, and end with their context.
func TestListsEndWhereTheyAreToldTo(t *testing.T) {
	const n = 20
	v := newVillageFor(t, 1, n, nil)
	v.still = true
	node, ctx := v.start(0), t.Context()
	for i := range n {
		tx := v.pay(uint32(i), "")
		if _, err := node.Submit(ctx, "test", tx.Raw, notaryv1.WaitLevel_WAIT_LEVEL_FINAL); err != nil {
			t.Fatal(err)
		}
		eventually(t, "it is on disk", func() bool { return node.final(t, tx) })
	}
	key := node.sh.self
	height := node.sh.store.Head(observation.ChainID{Key: key}).Height
	lists := map[string]func(ctx context.Context, token string, limit int, spend func(int) bool) (places []uint64, next string, err error){
		"finals": func(ctx context.Context, token string, limit int, spend func(int) bool) (places []uint64, next string, err error) {
			list, next, err := node.Finals(ctx, token, limit, spend)
			for _, s := range list {
				places = append(places, uint64(s.TransactionId[0])) // to tell them apart
			}
			return places, next, err
		},
		"observations": func(ctx context.Context, token string, limit int, spend func(int) bool) (places []uint64, next string, err error) {
			list, next, err := node.Observations(ctx, key, token, limit, spend)
			for _, o := range list {
				places = append(places, o.Height)
			}
			return places, next, err
		},
	}
	all := map[string]int{"finals": n, "observations": int(height)}
	for name, list := range lists {
		var got []uint64
		token, pages := "", 0
		for {
			records, bytes := 0, 0
			page, next, err := list(ctx, token, 1000, func(n int) bool {
				records, bytes = records+1, bytes+n
				return records < 3
			})
			if err != nil {
				t.Fatal(err)
			}
			got, pages = append(got, page...), pages+1
			if len(page) > 3 || records != len(page) || bytes < 100*records {
				t.Errorf("%s: a page of %d for %d records of %d bytes", name, len(page), records, bytes)
			}
			if token = next; next == "" {
				break
			}
		}
		whole, next, err := list(ctx, "", 1000, unbounded)
		if err != nil || next != "" || len(whole) != all[name] || len(got) != len(whole) || pages < len(whole)/3 {
			t.Errorf("%s: %d of %d on %d pages, then %q; %v", name, len(got), len(whole), pages, next, err)
		}
		for i := range whole {
			if i < len(got) && got[i] != whole[i] {
				t.Errorf("%s: %d at place %d, want %d", name, got[i], i, whole[i])
			}
		}
		gone, cancel := context.WithCancel(ctx)
		page, _, err := list(gone, "", 1000, func(int) bool { cancel(); return true })
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %d after who asked has gone, and %v", name, len(page), err)
		}
	}
}

// TestBalanceIsReadForSomebody: whoever asks for the sum of thousands of outputs is charged for them, and it is not summed on for who has gone.
func TestBalanceIsReadForSomebody(t *testing.T) {
	const n = 2500
	v := newVillageFor(t, 1, n, nil)
	node := v.start(0)
	owner := utxo.FormatAddress(v.genesis.Doc.AddressPrefix, utxo.KeyLock(kit.Key(100).Public()).Address())
	read := 0
	sums, err := node.Balance(t.Context(), owner, func(bytes int) error { read += bytes; return nil })
	if err != nil || len(sums) != 1 || sums[0].Outputs != n || read < 64*n || read > 256*n {
		t.Errorf("%v, %v: %d bytes were read", sums, err, read)
	}
	gone, cancel := context.WithCancel(t.Context())
	if sums, err := node.Balance(gone, owner, func(int) error { cancel(); return gone.Err() }); !errors.Is(err, context.Canceled) {
		t.Errorf("after who asked has gone: %v, %v", sums, err)
	}
}

// TestPageEndsWithAChain: a page of observations that is full where a signing epoch of the key begins does not go on in the one before.
func TestPageEndsWithAChain(t *testing.T) {
	v := newVillageFor(t, 1, 1, nil)
	v.still = true
	node := v.start(0)
	const epochs = 3
	s := kit.Signer{Key: kit.Key(77)}
	for epoch := range uint32(epochs) {
		s.Head = observation.Head{Key: s.Key.Public(), SigningEpoch: epoch + 1}
		if err := node.sh.store.SaveObservations([]*observation.Observation{s.Observe(v.genesis.Group, kit.StartMS)}); err != nil {
			t.Fatal(err)
		}
	}
	token := ""
	for page := range epochs {
		list, next, err := node.Observations(t.Context(), s.Key.Public(), token, 10, func(int) bool { return false })
		if err != nil || len(list) != 1 || list[0].SigningEpoch != uint32(epochs-page) || (next == "") != (page == epochs-1) {
			t.Fatalf("page %d: %v, then %q: %v", page, list, next, err)
		}
		token = next
	}
}
