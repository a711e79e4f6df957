package observation_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/notarynet/notaryd/observation"
	kit "github.com/notarynet/notaryd/observation/observationtest"
	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// row has a signer sign so many observations with so many leaves each.
func row(net *kit.Network, signer, n, leaves int) (list []*observation.Observation) {
	for i := range n {
		votes := make([]observation.Leaf, leaves)
		for k := range votes {
			votes[k] = kit.Vote(domain.Hash{byte(i), byte(k), byte(k >> 8)}, observation.Pending, 0, kit.StartMS)
		}
		list = append(list, net.Signers[signer].Observe(net.Group, kit.StartMS, votes...))
	}
	return list
}

// TestRuns: what a node signed at once arrives as it was, in as few messages as hold it.
func TestRuns(t *testing.T) {
	for _, c := range []struct{ observations, leaves, runs int }{{1, 0, 1}, {3, 2, 1}, {64, 1, 1}, {65, 1, 2}, {3, 12_000, 3}} {
		net := kit.New("runs", kit.Equal(4)...)
		list := row(net, 0, c.observations, c.leaves)
		runs := observation.EncodeRuns(list)
		if len(runs) != c.runs {
			t.Errorf("%d observations of %d leaves in %d messages", c.observations, c.leaves, len(runs))
		}
		var got []*observation.Observation
		for _, raw := range runs {
			run, err := observation.DecodeRun(raw, observation.Rules{Network: net.Genesis.ID})
			if err != nil {
				t.Fatal(err)
			}
			if len(raw) > observation.MaxRunBytes {
				t.Errorf("a message of %d bytes", len(raw))
			}
			got = append(got, run...)
		}
		if !slices.EqualFunc(got, list, func(a, b *observation.Observation) bool {
			return a.Hash == b.Hash && bytes.Equal(a.Raw, b.Raw)
		}) {
			t.Errorf("%d observations of %d leaves come back as %d, or as others", c.observations, c.leaves, len(got))
		}
	}
	if runs := observation.EncodeRuns(nil); len(runs) != 0 {
		t.Errorf("%d messages of nothing", len(runs))
	}
}

// TestDecodeRunRefuses: a run that no honest node sends is refused as a whole, and why is said.
func TestDecodeRunRefuses(t *testing.T) {
	net := kit.New("runs", kit.Equal(4)...)
	list, other := row(net, 0, 3, 1), row(net, 1, 1, 1)[0]
	join := func(list ...*observation.Observation) (raw []byte) {
		for _, o := range list {
			raw = append(raw, observation.EncodeRuns([]*observation.Observation{o})[0]...)
		}
		return raw
	}
	good := join(list...)
	for name, c := range map[string]struct {
		raw    []byte
		reason notaryv1.Reason
	}{
		"nothing":            {nil, notaryv1.Reason_REASON_MISSING_FIELD},
		"an observation":     {list[0].Raw, notaryv1.Reason_REASON_NON_CANONICAL},
		"cut":                {good[:len(good)-1], notaryv1.Reason_REASON_MALFORMED},
		"a gap":              {join(list[0], list[2]), notaryv1.Reason_REASON_INVALID_ARGUMENT},
		"twice":              {join(list[0], list[0]), notaryv1.Reason_REASON_INVALID_ARGUMENT},
		"backwards":          {join(list[1], list[0]), notaryv1.Reason_REASON_INVALID_ARGUMENT},
		"of two chains":      {join(list[0], other), notaryv1.Reason_REASON_INVALID_ARGUMENT},
		"too many":           {join(row(net, 2, 65, 1)...), notaryv1.Reason_REASON_LIMIT_EXCEEDED},
		"of another network": {join(row(kit.New("elsewhere", kit.Equal(4)...), 0, 1, 1)...), notaryv1.Reason_REASON_WRONG_NETWORK},
	} {
		if run, err := observation.DecodeRun(c.raw, observation.Rules{Network: net.Genesis.ID}); refusal.ReasonOf(err) != c.reason || run != nil {
			t.Errorf("%s: %d observations, %v, want %v", name, len(run), err, c.reason)
		}
	}
}

func FuzzRun(f *testing.F) {
	net := kit.New("runs", kit.Equal(4)...)
	f.Add(observation.EncodeRuns(row(net, 0, 3, 2))[0])
	f.Fuzz(func(t *testing.T, raw []byte) {
		list, err := observation.DecodeRun(raw, observation.Rules{Network: net.Genesis.ID})
		if err != nil {
			return
		}
		if runs := observation.EncodeRuns(list); len(runs) != 1 || !bytes.Equal(runs[0], raw) {
			t.Fatalf("%x is read, and written as another", raw)
		}
	})
}
