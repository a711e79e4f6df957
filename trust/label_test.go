package trust

import (
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// FuzzStatementOf: whatever a payload holds, labels that are taken are ones that a graph takes, and what is
// refused is refused for a reason.
func FuzzStatementOf(f *testing.F) {
	key := make([]byte, 32)
	for _, m := range []*notaryv1.PeerMetadata{
		{MasterKey: key, Version: 1},
		{MasterKey: key, Version: 2, Labels: []*notaryv1.Label{{PeerId: key, Score: -1000}}},
		{MasterKey: key, Version: 2, Labels: []*notaryv1.Label{{PeerId: key, Score: 1}, {PeerId: key, Score: 1}}},
		{MasterKey: key[:31], Version: 1, Labels: []*notaryv1.Label{{PeerId: key, Score: 1001}}},
	} {
		payload, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(payload)
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		var m notaryv1.PeerMetadata
		if proto.Unmarshal(payload, &m) != nil {
			return
		}
		s, err := StatementOf(&m)
		if err != nil {
			if refusal.ReasonOf(err) == notaryv1.Reason_REASON_UNSPECIFIED {
				t.Fatalf("refused without a reason: %v", err)
			}
			return
		}
		if s.Version == 0 || len(s.Labels) > MaxLabels || len(s.Labels) != len(m.GetLabels()) {
			t.Fatalf("version %d, %d labels of %d", s.Version, len(s.Labels), len(m.GetLabels()))
		}
		for i, l := range s.Labels {
			if l.Rater != s.Peer || i > 0 && s.Labels[i-1].Ratee.Compare(l.Ratee) >= 0 {
				t.Fatalf("label %d of %s by %s", i, l.Ratee, l.Rater)
			}
		}
		if _, err := NewGraph(s.Labels, []domain.Hash{s.Peer}); err != nil {
			t.Fatalf("a statement that makes no graph: %v", err)
		}
	})
}

// Localise is another numbering of the same graph, also after changes.
func TestLocaliseIsANumbering(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		labels := drawLabels(t, 14)
		g := graphOfRapid(t, labels)
		local, err := g.Localise()
		if err != nil {
			t.Fatal(err)
		}
		if rapid.Bool().Draw(t, "change") {
			changes := drawChanges(t, 6)
			labels = applied(labels, changes)
			if local, err = local.With(changes); err != nil {
				t.Fatal(err)
			}
		}
		seen := map[domain.Hash]bool{}
		for i := range local.Len() {
			id := local.ID(i)
			if at, ok := local.Find(id); !ok || at != i || seen[id] {
				t.Fatalf("peer %d is found at %d (%v)", i, at, ok)
			}
			seen[id] = true
		}
		order := func(a, b Label) int {
			if c := a.Rater.Compare(b.Rater); c != 0 {
				return c
			}
			return a.Ratee.Compare(b.Ratee)
		}
		got := slices.Collect(local.All)
		want := slices.DeleteFunc(slices.Clone(labels), func(l Label) bool { return l.Rater == l.Ratee })
		slices.SortFunc(got, order)
		slices.SortFunc(want, order)
		if len(seen) != g.Len() || !slices.Equal(got, want) {
			t.Fatalf("%d peers of %d, labels %v, want %v", len(seen), g.Len(), got, want)
		}
		for i := range local.Len() { // raters by ratee are labels by rater
			r := local.positive.Row(i)
			for k, from := range r.Index {
				if score, ok := local.Score(int(from), i); !ok || score != int32(r.Weight[k]) {
					t.Fatalf("%d of %d: %d, and %d in the matrix", i, from, score, r.Weight[k])
				}
			}
		}
	})
}
