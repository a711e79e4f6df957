package observation_test

import (
	"errors"
	"testing"

	"pgregory.net/rapid"

	"github.com/notarynet/notaryd/observation"
	kit "github.com/notarynet/notaryd/observation/observationtest"
	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// fataler is what *testing.T and *rapid.T have in common here.
type fataler interface {
	Helper()
	Fatalf(string, ...any)
}

// wantRefusal fails unless err is a refusal for this reason at this field.
func wantRefusal(t fataler, err error, reason notaryv1.Reason, field string) {
	t.Helper()
	var e *refusal.Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v, want a refusal for %s at %q", err, refusal.Name(reason), field)
	}
	if e.Reason != reason || e.Field != field {
		t.Fatalf("got %v, want %s at %q", e, refusal.Name(reason), field)
	}
}

// must unwraps what a test cannot go on without.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// drawTx draws a transaction id.
func drawTx(t *rapid.T) domain.Hash {
	return domain.Sum(domain.TagTx, []byte{rapid.Byte().Draw(t, "tx")})
}

// proofOf is a proof of one transaction by the first signers of a network of n equal peers.
func proofOf(t testing.TB, n, signers, batch int) (*kit.Network, *observation.Proof) {
	t.Helper()
	net := kit.New("test", kit.Equal(n)...)
	tx := net.Spend("paid", 0)
	p, err := observation.BuildProof(net.Group, nil, []observation.Item{{
		ID: tx.ID, Raw: tx.Raw, Edges: net.Accept(tx.ID, observation.Accepted, 0, signers, batch),
	}})
	if err != nil {
		t.Fatal(err)
	}
	return net, p
}
