package gossip

import (
	"bytes"
	"context"
	"errors"
	"math"
	"testing"
	"time"

	"github.com/notarynet/notaryd/proto/canonical"
	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
)

// A final signature comes from the one who is asked, none is no error, and a wrong one costs its sender.
func TestPullFinal(t *testing.T) {
	asked := Final{Tx: domain.Hash{1}, Round: 2, Link: domain.Hash{3}}
	honest, empty, liar := newStore(), newStore(), newStore()
	honest.finals[asked], liar.finals[asked] = []byte("good"), []byte("forged")
	n, keys, _ := pullers(t, nil, honest, empty, liar)
	errForged := errors.New("forged")
	check := func(raw []byte) error {
		if !bytes.Equal(raw, []byte("good")) {
			return errForged
		}
		return nil
	}
	if got, err := n.PullFinal(t.Context(), keys[0], asked, check); err != nil || string(got) != "good" {
		t.Errorf("%q, %v", got, err)
	}
	if got, err := n.PullFinal(t.Context(), keys[0], Final{Tx: domain.Hash{1}, Round: 3, Link: domain.Hash{3}}, check); err != nil || got != nil {
		t.Errorf("another round: %q, %v", got, err)
	}
	if got, err := n.PullFinal(t.Context(), keys[1], asked, check); err != nil || got != nil {
		t.Errorf("none: %q, %v", got, err)
	}
	if got, err := n.PullFinal(t.Context(), keys[2], asked, check); !errors.Is(err, errForged) || got != nil {
		t.Errorf("forged: %q, %v", got, err)
	}
	for i, want := range []bool{false, false, true} {
		if blamed := n.ledger.points(keys[i], time.Now()) > 0; blamed != want {
			t.Errorf("node %d blamed: %v", i, blamed)
		}
	}
	if _, err := n.PullFinal(t.Context(), testKey(77).Public(), asked, check); !errors.Is(err, ErrMissing) {
		t.Errorf("of nobody: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := n.PullFinal(ctx, keys[0], asked, check); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestFinalRequests(t *testing.T) {
	for _, f := range []Final{{}, {Tx: domain.Hash{255}, Round: math.MaxUint32, Link: domain.Hash{1}}} {
		if got, ok := decodeFinal(f.encode()); !ok || got != f {
			t.Errorf("%+v comes back as %+v, %v", f, got, ok)
		}
	}
	hash := make([]byte, domain.Size)
	for name, m := range map[string]*notaryv1.PullFinalRequest{
		"nothing": {}, "no transaction": {Link: hash}, "no link": {TransactionId: hash, Round: 1}, "half a link": {TransactionId: hash, Link: hash[:16]},
	} {
		raw, err := canonical.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := answer(t.Context(), pullFinal, domain.PublicKey{}, raw, newStore()); !errors.Is(err, errRequest) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
