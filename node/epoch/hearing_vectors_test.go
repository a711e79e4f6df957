package epoch

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	"github.com/notarynet/notaryd/trust"
)

// hearingVector is who has weight, who is convicted, what peers say in canonical metadata, and what is heard of it: the room of each
// peer in the cut, of each member and of each seed, and its labels that count, by ascending ids. Weights are no whole group's.
type hearingVector struct {
	About     string         `json:"about"`
	Members   []weightVector `json:"members"`
	Seeds     []weightVector `json:"seeds,omitempty"`
	Convicted []string       `json:"convicted,omitempty"`
	Metadata  []string       `json:"metadata"`
	Heard     []heardVector  `json:"heard"`
}

type weightVector struct {
	Peer   string       `json:"peer"`
	Weight group.Weight `json:"weight"`
}

type heardVector struct {
	Peer   string        `json:"peer"`
	Room   int           `json:"room"`
	Labels []labelVector `json:"labels,omitempty"`
}

type labelVector struct {
	Peer  string `json:"peer"`
	Score int32  `json:"score"`
}

// scene is what is heard by: weights by number of the peer.
type scene struct {
	members, seeds map[int]group.Weight
	convicted      []int
	says           []*group.Peer
}

func shares(weights map[int]group.Weight) (out []trust.Share) {
	for _, i := range slices.Sorted(maps.Keys(weights)) {
		out = append(out, trust.Share{Peer: id(i), Weight: weights[i]})
	}
	return out
}

// heard is what the code hears.
func (s *scene) heard() (out []heardVector) {
	state := &State{seeds: shares(s.seeds), convicted: map[domain.Hash]bool{}}
	for _, i := range s.convicted {
		state.convicted[id(i)] = true
	}
	h := state.hear(cutOf(s.says...), shares(s.members))
	for i, peer := range h.ids {
		v := heardVector{Peer: peer.String(), Room: h.room[i]}
		for _, l := range h.heard(i) {
			if _, known := h.number[l.Peer]; known {
				v.Labels = append(v.Labels, labelVector{l.Peer.String(), l.Score})
			}
		}
		out = append(out, v)
	}
	return out
}

// byTheRules is what is to be heard by docs/spec/group.md, step by step.
func (s *scene) byTheRules() (out []heardVector) {
	says, convicted := cutOf(s.says...), map[domain.Hash]bool{}
	for _, i := range s.convicted {
		convicted[id(i)] = true
	}
	voice, begins := map[domain.Hash]bool{}, map[domain.Hash]int{}
	weight := map[domain.Hash]group.Weight{}
	for _, w := range append(shares(s.members), shares(s.seeds)...) {
		voice[w.Peer] = true
		weight[w.Peer] += w.Weight
	}
	peers := map[domain.Hash]bool{}
	for p := range says {
		peers[p] = true
	}
	for p := range voice {
		peers[p] = true
	}
	for p := range peers {
		if !convicted[p] {
			begins[p] = int(weight[p] / 1000)
		}
	}
	room, got := maps.Clone(begins), begins
	for range 7 {
		next := map[domain.Hash]int{}
		for p, it := range got {
			var liked []domain.Hash
			if says[p] != nil {
				for _, l := range says[p].Labels {
					if l.Score > 0 {
						liked = append(liked, l.Peer)
					}
				}
			}
			for _, to := range liked {
				if peers[to] && !convicted[to] {
					next[to] += it / len(liked)
				}
			}
		}
		for p, it := range next {
			room[p] += it
		}
		got = next
	}
	for _, p := range slices.SortedFunc(maps.Keys(peers), domain.Hash.Compare) {
		v := heardVector{Peer: p.String(), Room: room[p]}
		var labels []group.Label
		if says[p] != nil && !convicted[p] {
			labels = slices.Clone(says[p].Labels)
		}
		if !voice[p] {
			slices.SortFunc(labels, func(a, b group.Label) int {
				return cmp.Or(cmp.Compare(max(b.Score, -b.Score), max(a.Score, -a.Score)), a.Peer.Compare(b.Peer))
			})
			labels = labels[:max(0, min(len(labels), room[p]-8))]
			slices.SortFunc(labels, func(a, b group.Label) int { return a.Peer.Compare(b.Peer) })
		}
		for _, l := range labels {
			if peers[l.Peer] {
				v.Labels = append(v.Labels, labelVector{l.Peer.String(), l.Score})
			}
		}
		out = append(out, v)
	}
	return out
}

// TestHearing: what is heard is what the rules say.
func TestHearing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const n = 12
		s := scene{members: map[int]group.Weight{}, seeds: map[int]group.Weight{}}
		for i := range n {
			weights := rapid.SampledFrom([]map[int]group.Weight{nil, nil, s.members, s.seeds}).Draw(t, "voice")
			if weights != nil {
				weights[i] = group.Weight(rapid.IntRange(0, 90_000).Draw(t, "weight"))
			}
			if rapid.IntRange(0, 9).Draw(t, "convicted") == 0 {
				s.convicted = append(s.convicted, i)
			}
			if rapid.IntRange(0, 9).Draw(t, "speaks") > 0 {
				scores := map[int]int32{}
				for range rapid.IntRange(0, n).Draw(t, "labels") {
					scores[rapid.IntRange(0, n+4).Draw(t, "ratee")] = rapid.SampledFrom([]int32{-1000, -5, 5, 5, 700, 1000}).Draw(t, "score")
				}
				delete(scores, i)
				s.says = append(s.says, peer(i, 1, scores))
			}
		}
		if got, want := fmt.Sprint(s.heard()), fmt.Sprint(s.byTheRules()); got != want {
			t.Fatalf("heard %s\nwant  %s", got, want)
		}
	})
}

// scenes are those of the vectors.
func scenes() (about []string, list []scene) {
	add := func(what string, s scene) { about, list = append(about, what), append(list, s) }
	row := func(from, to int, score int32) map[int]int32 {
		scores := map[int]int32{}
		for i := from; i < to; i++ {
			scores[i] = score
		}
		return scores
	}
	many := func(score int32) map[int]int32 {
		scores := row(0, 12, score)
		scores[0], scores[1], scores[2] = -2*score, 2*score, score
		return scores
	}
	add("members and seeds are heard out; room is handed on in whole numbers, and what a division leaves is lost",
		scene{members: map[int]group.Weight{0: 40_999, 1: 7_000}, seeds: map[int]group.Weight{1: 3_000, 2: 20_000}, says: []*group.Peer{
			peer(0, 1, map[int]int32{3: 900, 4: 1, 5: 500, 1: -700}), peer(1, 3, row(2, 20, 10)), peer(2, 1, map[int]int32{6: 1000}),
			peer(3, 1, many(100)), peer(4, 1, many(50)), peer(5, 1, nil), peer(6, 1, many(300)),
		}})
	add("room comes back along a circle of labels, seven times in all",
		scene{members: map[int]group.Weight{0: 30_000}, says: []*group.Peer{
			peer(0, 1, map[int]int32{3: 1}), peer(3, 1, map[int]int32{4: 1}), peer(4, 1, map[int]int32{3: 1, 5: -1}), peer(5, 1, row(0, 5, 1)),
		}})
	add("of a name that says nothing the part is lost, and its label takes a place among the largest",
		scene{members: map[int]group.Weight{0: 40_000}, says: []*group.Peer{
			peer(0, 1, map[int]int32{3: 5, 90: 5, 91: 5, 92: -5}), peer(3, 1, map[int]int32{90: 1000, 91: -1000, 0: 999, 4: -998, 5: 998, 6: 3}),
			peer(4, 1, nil), peer(5, 1, nil), peer(6, 1, nil),
		}})
	add("the convicted have no room, hand on none and are given none, and what they say is not heard, members or not",
		scene{members: map[int]group.Weight{0: 50_000, 1: 50_000}, convicted: []int{1, 4}, says: []*group.Peer{
			peer(0, 1, map[int]int32{3: 10, 4: 10}), peer(1, 1, map[int]int32{3: 10, 5: 10}), peer(3, 1, many(7)), peer(4, 1, row(5, 9, 9)), peer(5, 1, row(0, 3, 1)),
		}})
	return about, list
}

// TestHearingVectors holds testdata/hearing.json against the code and the rules.
func TestHearingVectors(t *testing.T) {
	var file []hearingVector
	about, list := scenes()
	for i, s := range list {
		v := hearingVector{About: about[i], Heard: s.heard()}
		if got, want := fmt.Sprint(v.Heard), fmt.Sprint(s.byTheRules()); got != want {
			t.Errorf("%s: heard %s\nwant %s", about[i], got, want)
		}
		for _, m := range shares(s.members) {
			v.Members = append(v.Members, weightVector{m.Peer.String(), m.Weight})
		}
		for _, m := range shares(s.seeds) {
			v.Seeds = append(v.Seeds, weightVector{m.Peer.String(), m.Weight})
		}
		for _, c := range s.convicted {
			v.Convicted = append(v.Convicted, id(c).String())
		}
		for _, p := range s.says {
			b, err := p.Encode()
			if err != nil {
				t.Fatal(err)
			}
			v.Metadata = append(v.Metadata, hex.EncodeToString(b))
		}
		file = append(file, v)
	}
	got, err := json.MarshalIndent(file, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	const path = "testdata/hearing.json"
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("%s is no longer what the code makes (-update writes it): %v", path, err)
	}
}
