package trust

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// Explanation says how one peer's share in a relative vector came about, factor by factor.
type Explanation struct {
	Source, Peer domain.Hash

	// Rank and Score are the view's; Reached is false for the source and whom no label leads to.
	Rank    int
	Score   float64
	Reached bool
	// Decay is the factor of the rank; Mean the weighted mean of the voices: Score = Decay * Mean.
	Decay, Mean float64
	// Voices are the labels that counted, the heaviest first, and Ignored those that did not, by rater.
	Voices  []Voice
	Ignored []Voice
	// Path leads from the source to the peer, both included, over the heaviest voice of each.
	Path []domain.Hash

	// Verdict is the filter's.
	Verdict Verdict
	// Preference is the peer's part of p, and Seed what of it comes from being a seed.
	Preference, Seed float64
	// Flows are what the labels of others bring, the largest first; FromPreference is what p brings at
	// once and FromIdle what it brings for raters without labels. Together they are Share.
	Flows                    []Flow
	FromPreference, FromIdle float64
	// Share is the peer's part of the relative vector.
	Share float64
}

// Verdict is why a peer has a place in a relative vector, or has none.
type Verdict string

// Verdicts of the filter.
const (
	IsSource     Verdict = "source"
	IsTrusted    Verdict = "trusted"
	IsSeed       Verdict = "seed"
	IsNegative   Verdict = "negative"
	IsConvicted  Verdict = "convicted"
	IsUnreached  Verdict = "unreached"
	IsWorthless  Verdict = "zero" // in, with a score of exactly 0
	whyNotRank           = "equal or higher rank"
	whyNotScore          = "rater's score is not positive"
	whyConvicted         = "rater is convicted"
	whyUnreached         = "rater is not reached"
)

// Voice is one label in a view.
type Voice struct {
	Rater domain.Hash
	Rank  int
	// Score is the rater's, before decay.
	Score float64
	// Label is as given, Value what the rule makes of it.
	Label int32
	Value float64
	// Part of all weight in the mean, 0 to 1; SecondOpinion marks a rater of equal rank.
	Part          float64
	SecondOpinion bool
	// Why an ignored label was ignored.
	Why string
}

// Flow is what one rater's labels bring a peer.
type Flow struct {
	Rater domain.Hash
	// Share is the rater's, Part its label's part of all its labels in the filter, Brings (1-a) times both.
	Share, Part, Brings float64
}

// Explain says how the share of a peer in the relative vector of a source came about.
func (n *Network) Explain(source, peer domain.Hash) (*Explanation, error) {
	i, ok := n.graph.Find(source)
	j, found := n.graph.Find(peer)
	if !ok || !found {
		return nil, refusal.New(notaryv1.Reason_REASON_NOT_FOUND, "peer_id", "no label by or of it")
	}
	view := n.View(i)
	mask := n.Filter(view)
	p, err := n.preference(view, mask)
	if err != nil {
		return nil, err
	}
	w := n.walk(mask)
	t := w.solve(p, p)
	e := &Explanation{Source: source, Peer: peer, Rank: view.Rank(j), Preference: p[j], Share: t.share[j]}
	e.Score, e.Reached = view.Score(j)
	if e.Reached {
		e.Decay, e.Mean = view.decay[e.Rank], view.mean[j]
	}
	e.Verdict = n.verdict(view, j, mask)
	n.explainVoices(e, view, j)
	for _, k := range n.pathTo(view, j) {
		e.Path = append(e.Path, n.graph.ids[k])
	}
	n.explainSeed(e, j, mask, view)
	e.explainFlows(n.graph, w, t.share, p, j)
	return e, nil
}

func (n *Network) verdict(v *View, j int, mask []bool) Verdict {
	score, reached := v.Score(j)
	switch {
	case n.isConvicted(j):
		return IsConvicted
	case j == v.source:
		return IsSource
	case reached && score < 0:
		return IsNegative
	case reached && score > 0:
		return IsTrusted
	case slices.ContainsFunc(n.seeds, func(s seed) bool { return s.peer == j }):
		return IsSeed
	case mask[j]:
		return IsWorthless
	}
	return IsUnreached
}

// voicesFor are the labels of one peer, those that count in a view and those that do not.
func (n *Network) voicesFor(v *View, j int) (heard, ignored []Voice) {
	rank := v.rank[j]
	total := 0.0
	for r := range n.graph.ids {
		label, ok := n.graph.Score(r, j)
		if !ok {
			continue
		}
		mean, near := v.mean[r], v.rank[r]
		voice := Voice{Rater: n.graph.ids[r], Rank: int(near), Score: mean, Label: label, Value: v.rule.value(int16(label))}
		weight := 1.0
		if v.rule.ByRater {
			weight = mean
		}
		switch {
		case r == v.source:
			voice.Score, weight = 1, 1
		case near == 0:
			voice.Why = whyUnreached
		case n.isConvicted(r):
			voice.Why = whyConvicted
		case mean <= 0:
			voice.Why = whyNotScore
		case v.rule.Equal > 0 && rank > 1 && near == rank:
			voice.SecondOpinion = true
			voice.Score = n.firstScore(v, r)
			weight = voice.Score * v.rule.Decay * v.rule.Equal
			if voice.Score <= 0 {
				voice.Why = whyNotScore
			}
		case near != rank-1:
			voice.Why = whyNotRank
		}
		if voice.Why != "" {
			ignored = append(ignored, voice)
			continue
		}
		if label < 0 {
			weight *= v.rule.Negative
		}
		voice.Part = weight
		total += weight
		heard = append(heard, voice)
	}
	for k := range heard {
		heard[k].Part /= total
	}
	slices.SortStableFunc(heard, func(a, b Voice) int {
		return cmp.Or(cmp.Compare(b.Part, a.Part), a.Rater.Compare(b.Rater))
	})
	return heard, ignored
}

// firstScore is a peer's score by lower ranks alone, before decay: what its second opinions count by.
func (n *Network) firstScore(v *View, r int) float64 {
	one := *v
	one.rule.Equal = 0
	heard, _ := n.voicesFor(&one, r)
	sum := 0.0
	for _, h := range heard {
		score := 1.0
		if !v.rule.ByRater {
			score = h.Score
		}
		sum += float64(h.Part * h.Value * score)
	}
	return sum
}

func (n *Network) explainVoices(e *Explanation, v *View, j int) {
	if j == v.source {
		return
	}
	e.Voices, e.Ignored = n.voicesFor(v, j)
}

// pathTo follows the heaviest voice back to the source.
func (n *Network) pathTo(v *View, j int) []int {
	if v.rank[j] == 0 {
		return nil
	}
	path := []int{j}
	for v.rank[path[0]] > 1 {
		heard, _ := n.voicesFor(v, path[0])
		at := slices.IndexFunc(heard, func(h Voice) bool { return !h.SecondOpinion })
		r, _ := n.graph.Find(heard[at].Rater)
		path = append([]int{r}, path...)
	}
	if v.source >= 0 {
		path = append([]int{v.source}, path...)
	}
	return path
}

// explainSeed sets the part of p that a peer has for being a seed: all that its voices do not explain.
func (n *Network) explainSeed(e *Explanation, j int, mask []bool, v *View) {
	if !mask[j] || !slices.ContainsFunc(n.seeds, func(s seed) bool { return s.peer == j }) {
		return
	}
	var seeded, own float64
	for _, s := range n.seeds {
		if mask[s.peer] {
			seeded += s.weight
		}
		if s.peer == j {
			own = s.weight
		}
	}
	b := n.setting.Bias
	if !slices.ContainsFunc(n.parts(v, mask), func(x float64) bool { return x > 0 }) {
		b = 1
	}
	e.Seed = b * own / seeded
}

func (e *Explanation) explainFlows(g *Graph, w *walk, t, p []float64, j int) {
	if !w.in[j] {
		return
	}
	idle := 0.0
	for i, in := range w.in {
		if in && w.scale[i] == 0 {
			idle += t[i]
		}
	}
	e.FromPreference, e.FromIdle = w.a*p[j], (1-w.a)*idle*p[j]
	r := w.labels.Row(j)
	for k, from := range r.Index {
		if part := float64(r.Weight[k]) * w.scale[from]; w.in[from] && part > 0 {
			e.Flows = append(e.Flows, Flow{Rater: g.ids[from], Share: t[from], Part: part, Brings: (1 - w.a) * t[from] * part})
		}
	}
	slices.SortStableFunc(e.Flows, func(a, b Flow) int {
		return cmp.Or(cmp.Compare(b.Brings, a.Brings), a.Rater.Compare(b.Rater))
	})
}

// Lines are the explanation for people, at most most voices and flows each; name shows a peer.
func (e *Explanation) Lines(name func(domain.Hash) string, most int) []string {
	var out []string
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	say("%s as %s sees it: share %.6f (%s)", name(e.Peer), name(e.Source), e.Share, e.Verdict)
	if e.Reached {
		say("score %.4f = decay %.4f (rank %d) * mean %.4f of %d labels", e.Score, e.Decay, e.Rank, e.Mean, len(e.Voices))
		for _, v := range e.Voices[:min(most, len(e.Voices))] {
			kind := "label"
			if v.SecondOpinion {
				kind = "second opinion"
			}
			say("  %s %+d by %s (rank %d, %.4f): counts as %+.4f, %.1f %% of the weight", kind, v.Label, name(v.Rater), v.Rank, v.Score, v.Value, 100*v.Part)
		}
		path := ""
		for i, id := range e.Path {
			if i > 0 {
				path += " > "
			}
			path += name(id)
		}
		say("  path %s", path)
	}
	for _, v := range e.Ignored[:min(most, len(e.Ignored))] {
		say("  not counted: %+d by %s: %s", v.Label, name(v.Rater), v.Why)
	}
	say("preference %.6f, of it %.6f as a seed", e.Preference, e.Seed)
	say("share = %.6f from the preference + %.6f for raters without labels + %d flows", e.FromPreference, e.FromIdle, len(e.Flows))
	for _, f := range e.Flows[:min(most, len(e.Flows))] {
		say("  %.6f from %s: its share %.6f, %.1f %% of its labels", f.Brings, name(f.Rater), f.Share, 100*f.Part)
	}
	return out
}
