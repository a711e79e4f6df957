package trust

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"testing"

	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
)

var update = flag.Bool("update", false, "write testdata/vectors.json anew")

// vector is one case of testdata/vectors.json, for other implementations: ids in hexadecimal, shares of
// 1e9.
type vector struct {
	Name      string         `json:"name"`
	Labels    []vectorLabel  `json:"labels"`
	Seeds     []vectorShare  `json:"seeds"`
	Convicted []string       `json:"convicted,omitempty"`
	Members   []vectorShare  `json:"members"`
	Source    string         `json:"source"`
	Scores    []vectorScore  `json:"scores"`
	Relative  []vectorShare  `json:"relative"`
	Aggregate []vectorShare  `json:"aggregate"`
	Step      []vectorShare  `json:"step_from_members"`
	Fewest    map[string]int `json:"fewest_peers"`
}

type vectorLabel struct {
	Rater string `json:"rater"`
	Ratee string `json:"ratee"`
	Score int32  `json:"score"`
}

type vectorShare struct {
	Peer   string `json:"peer"`
	Weight uint64 `json:"weight"`
}

// vectorScore is a score in units of 1e-9, rounded towards zero.
type vectorScore struct {
	Peer  string `json:"peer"`
	Rank  int    `json:"rank"`
	Score int64  `json:"score_e9"`
}

func sharesOut(in []Share) []vectorShare {
	out := []vectorShare{}
	for _, s := range in {
		out = append(out, vectorShare{s.Peer.String(), uint64(s.Weight)})
	}
	return out
}

func sharesIn(t *testing.T, in []vectorShare) []Share {
	var out []Share
	for _, s := range in {
		out = append(out, Share{idOf(t, s.Peer), group.Weight(s.Weight)})
	}
	return out
}

func idOf(t *testing.T, s string) domain.Hash {
	t.Helper()
	id, err := domain.ParseHash(s)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// solve fills in what a case expects from what it states.
func (v *vector) solve(t *testing.T) {
	var labels []Label
	var extra []domain.Hash
	for _, l := range v.Labels {
		labels = append(labels, Label{idOf(t, l.Rater), idOf(t, l.Ratee), l.Score})
	}
	s := DefaultSetting()
	s.Seeds = sharesIn(t, v.Seeds)
	for _, p := range s.Seeds {
		extra = append(extra, p.Peer)
	}
	for _, c := range v.Convicted {
		s.Convicted = append(s.Convicted, idOf(t, c))
	}
	g := graphOf(t, labels, extra...)
	n := netOf(t, g, s)
	view := n.View(mustFind(t, g, idOf(t, v.Source)))
	for i := range g.Len() {
		if score, reached := view.Score(i); reached {
			v.Scores = append(v.Scores, vectorScore{g.ID(i).String(), view.Rank(i), int64(score * 1e9)})
		}
	}
	r, err := n.Relative(idOf(t, v.Source))
	if err != nil {
		t.Fatal(err)
	}
	members := sharesIn(t, v.Members)
	a, err := n.Aggregate(members)
	if err != nil {
		t.Fatal(err)
	}
	m := MarginOf(a.Weights())
	v.Relative, v.Aggregate = sharesOut(r.Weights()), sharesOut(a.Weights())
	v.Step = sharesOut(Step(members, a.Weights(), DefaultStep, group.MaxMembers))
	v.Fewest = map[string]int{"safety": len(m.Safety.Peers), "progress": len(m.Progress.Peers)}
}

// stated are the cases without what they expect.
func stated() []vector {
	name := func(i any) string { return peer(i).String() }
	full := func(peers ...any) []vectorShare {
		var out []Share
		for _, p := range peers {
			out = append(out, Share{peer(p), 1})
		}
		return sharesOut(scaled(out))
	}
	small := vector{Name: "the example of docs/trust.md", Source: name("I"), Seeds: full("A"), Members: full("I", "A")}
	for _, l := range worked() {
		small.Labels = append(small.Labels, vectorLabel{l.Rater.String(), l.Ratee.String(), l.Score})
	}
	out := []vector{small}
	for k, peers := range []int{12, 70} {
		c := chance(k + 1)
		v := vector{Name: fmt.Sprintf("%d peers at random", peers), Source: name(0), Seeds: full(0, 1), Members: full(0, 1, 2, 3), Convicted: []string{name(5)}}
		seen := map[[2]int]bool{}
		for range 4 * peers {
			a, b := c.below(peers), c.below(peers)
			if a == b || seen[[2]int{a, b}] || a%6 == 5 && a > 5 {
				continue
			}
			seen[[2]int{a, b}] = true
			score := int32(1 + c.below(MaxScore))
			if c.below(12) == 0 {
				score = -score
			}
			v.Labels = append(v.Labels, vectorLabel{name(a), name(b), score})
		}
		out = append(out, v)
	}
	return out
}

// Results keep to the vectors: scores to 2e-9, weights within the tolerance that links have.
func TestVectors(t *testing.T) {
	const file = "testdata/vectors.json"
	if *update {
		cases := stated()
		for i := range cases {
			cases[i].solve(t)
		}
		text, err := json.MarshalIndent(cases, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, append(text, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var cases []vector
	if err := json.Unmarshal(text, &cases); err != nil || len(cases) != len(stated()) {
		t.Fatal(len(cases), err)
	}
	for _, want := range cases {
		got := vector{Labels: want.Labels, Seeds: want.Seeds, Convicted: want.Convicted, Members: want.Members, Source: want.Source}
		got.solve(t)
		if len(got.Scores) != len(want.Scores) {
			t.Fatalf("%s: %d scores, want %d", want.Name, len(got.Scores), len(want.Scores))
		}
		for i, s := range got.Scores {
			w := want.Scores[i]
			if s.Peer != w.Peer || s.Rank != w.Rank || max(s.Score-w.Score, w.Score-s.Score) > 2 {
				t.Errorf("%s: %+v, want %+v", want.Name, s, w)
			}
		}
		for name, pair := range map[string][2][]vectorShare{"relative": {got.Relative, want.Relative}, "aggregate": {got.Aggregate, want.Aggregate}, "step": {got.Step, want.Step}} {
			a, b := sharesIn(t, pair[0]), sharesIn(t, pair[1])
			if sumOf(b) != group.Total || !Agree(a, b) {
				t.Errorf("%s: %s differs by %d", want.Name, name, Distance(a, b))
			}
		}
		if fmt.Sprint(got.Fewest) != fmt.Sprint(want.Fewest) {
			t.Errorf("%s: %v, want %v", want.Name, got.Fewest, want.Fewest)
		}
	}
}
