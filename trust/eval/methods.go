package eval

import (
	"math"

	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/trust"
)

// Predictor says what label to expect; known is false where the method has nothing to go by, and label
// then is its guess without evidence.
type Predictor func(ratee int) (label float64, known bool)

// Method predicts labels.
type Method struct {
	Name, Source string
	// Learn prepares for a graph; what it returns prepares for one rater.
	Learn func(g *trust.Graph, founders []domain.Hash) func(rater int) Predictor
}

// Methods are all that are compared, the default last.
func Methods() []Method {
	return []Method{
		{Name: "datt", Source: "DATT with plain means", Learn: rule(trust.Plain)},
		{Name: "datt-rater", Source: "DATT, means weighted by the rater's score", Learn: rule(trust.RaterWeighted)},
		{Name: "datt-bias-eigentrust", Source: "the relative vector; who is filtered out, by score", Learn: relative},
		{Name: "eigentrust", Source: "Kamvar et al. 2003, p uniform, a = 0.1", Learn: plainEigenTrust},
		{Name: "pagerank", Source: "personalised PageRank, Haveliwala 2002, restart 0.15", Learn: pageRank},
		{Name: "fairness-goodness", Source: "Kumar et al. 2016", Learn: fairnessGoodness},
		{Name: "signed-walk", Source: "signed random walk with restart, Jung et al. 2016, by size of label", Learn: signedWalk(true)},
		{Name: "signed-walk-signs", Source: "the same by sign alone", Learn: signedWalk(false)},
		{Name: "corroborated", Source: "the default rule, own labels only", Learn: rule(trust.Corroborated)},
		{Name: "corroborated-seeds", Source: "the default: where own labels do not reach, the seeds'", Learn: expectation},
	}
}

func rule(r trust.Rule) func(*trust.Graph, []domain.Hash) func(int) Predictor {
	return func(g *trust.Graph, _ []domain.Hash) func(int) Predictor {
		return func(rater int) Predictor {
			view := g.ViewFrom(rater, r)
			if r.Prior > 0 {
				return view.Expect
			}
			return view.Score
		}
	}
}

func network(g *trust.Graph, founders []domain.Hash) *trust.Network {
	s := trust.DefaultSetting()
	s.Epsilon = 1e-6
	for _, id := range founders {
		s.Seeds = append(s.Seeds, trust.Share{Peer: id, Weight: 1})
	}
	n, err := trust.New(g, s)
	if err != nil {
		panic(err) // founders are raters of the graph
	}
	return n
}

func expectation(g *trust.Graph, founders []domain.Hash) func(int) Predictor {
	n := network(g, founders)
	seeds := n.SeedView()
	return func(rater int) Predictor {
		return n.ExpectBeside(rater, seeds).Of
	}
}

func relative(g *trust.Graph, founders []domain.Hash) func(int) Predictor {
	n := network(g, founders)
	return func(rater int) Predictor {
		view := n.View(rater)
		t, err := n.Relative(g.ID(rater))
		return func(ratee int) (float64, bool) {
			score, reached := view.Score(ratee)
			if reached && score < 0 || err != nil {
				return score, reached
			}
			return t.Share(ratee), reached || t.Share(ratee) > 0
		}
	}
}

// adjacency is what one peer says, in labels -1 to 1.
type adjacency struct {
	to    []uint32
	label []float64
}

func adjacent(g *trust.Graph) []adjacency {
	out := make([]adjacency, g.Len())
	for i := range out {
		ratees, scores := g.Said(i)
		out[i] = adjacency{to: ratees, label: make([]float64, len(scores))}
		for k, s := range scores {
			out[i].label[k] = float64(s) / trust.MaxScore
		}
	}
	return out
}

// labelled marks who has any label.
func labelled(out []adjacency) []bool {
	has := make([]bool, len(out))
	for _, a := range out {
		for _, to := range a.to {
			has[to] = true
		}
	}
	return has
}

// walkFrom is t = (1-a) (C't + d p) + a p over positive labels, in as many steps as matter.
func walkFrom(out []adjacency, p []float64, a float64) []float64 {
	t := append([]float64(nil), p...)
	for range int(math.Ceil(math.Log(1e-4) / math.Log(1-a))) {
		next := make([]float64, len(t))
		idle := 0.0
		for i, share := range t {
			sum := 0.0
			for _, l := range out[i].label {
				sum += max(l, 0)
			}
			if sum == 0 {
				idle += share
			}
			if share == 0 || sum == 0 {
				continue
			}
			for k, to := range out[i].to {
				next[to] += share * max(out[i].label[k], 0) / sum
			}
		}
		for i := range next {
			next[i] = (1-a)*(next[i]+idle*p[i]) + a*p[i]
		}
		t = next
	}
	return t
}

func plainEigenTrust(g *trust.Graph, _ []domain.Hash) func(int) Predictor {
	out := adjacent(g)
	p := make([]float64, g.Len())
	for i := range p {
		p[i] = 1 / float64(len(p))
	}
	t, has := walkFrom(out, p, 0.1), labelled(out)
	return func(int) Predictor {
		return func(ratee int) (float64, bool) { return t[ratee], has[ratee] }
	}
}

func pageRank(g *trust.Graph, _ []domain.Hash) func(int) Predictor {
	out := adjacent(g)
	return func(rater int) Predictor {
		p := make([]float64, g.Len())
		p[rater] = 1
		t := walkFrom(out, p, 0.15)
		return func(ratee int) (float64, bool) { return t[ratee], t[ratee] > 0 }
	}
}

// fairnessGoodness is the fixed point of: a peer's goodness is the mean of the labels it got, each times
// its rater's fairness; a rater's fairness is 1 minus half its mean distance from the goodness of those it rated.
func fairnessGoodness(g *trust.Graph, _ []domain.Hash) func(int) Predictor {
	out := adjacent(g)
	has := labelled(out)
	fair, good := make([]float64, len(out)), make([]float64, len(out))
	for i := range fair {
		fair[i], good[i] = 1, 1
	}
	for change := 1.0; change > 1e-6; {
		change = 0
		sum, count := make([]float64, len(out)), make([]float64, len(out))
		for i, a := range out {
			for k, to := range a.to {
				sum[to] += fair[i] * a.label[k]
				count[to]++
			}
		}
		for i := range good {
			if count[i] > 0 {
				change = max(change, math.Abs(good[i]-sum[i]/count[i]))
				good[i] = sum[i] / count[i]
			}
		}
		for i, a := range out {
			off := 0.0
			for k, to := range a.to {
				off += math.Abs(a.label[k]-good[to]) / 2
			}
			if len(a.to) > 0 {
				f := 1 - off/float64(len(a.to))
				change = max(change, math.Abs(fair[i]-f))
				fair[i] = f
			}
		}
	}
	return func(rater int) Predictor {
		return func(ratee int) (float64, bool) {
			if !has[ratee] {
				return 0, false
			}
			return fair[rater] * good[ratee], true
		}
	}
}

// signedWalk is a walker with a sign that negative labels flip, and that is forgotten at a rate: beta,
// that the enemy of an enemy is a friend; gamma, that the friend of an enemy is an enemy. Peers are
// ranked by the balance of its visits.
func signedWalk(bySize bool) func(*trust.Graph, []domain.Hash) func(int) Predictor {
	const restart, beta, gamma, steps = 0.15, 0.5, 0.9, 25
	return func(g *trust.Graph, _ []domain.Hash) func(int) Predictor {
		out := adjacent(g)
		for _, a := range out {
			total := 0.0
			for k, l := range a.label {
				if !bySize {
					a.label[k] = math.Copysign(1, l)
				}
				total += math.Abs(a.label[k])
			}
			for k := range a.label {
				a.label[k] /= total
			}
		}
		return func(rater int) Predictor {
			plus, minus := make([]float64, len(out)), make([]float64, len(out))
			plus[rater] = 1
			for range steps {
				p, m := make([]float64, len(out)), make([]float64, len(out))
				for i, a := range out {
					friend, foe := plus[i]*(1-restart), minus[i]*(1-restart)
					if friend+foe == 0 {
						continue
					}
					for k, to := range a.to {
						if w := a.label[k]; w > 0 {
							p[to] += w * (friend + (1-gamma)*foe)
							m[to] += w * gamma * foe
						} else {
							p[to] -= w * beta * foe
							m[to] -= w * (friend + (1-beta)*foe)
						}
					}
				}
				p[rater] += restart
				plus, minus = p, m
			}
			return func(ratee int) (float64, bool) {
				if plus[ratee]+minus[ratee] == 0 {
					return 0, false
				}
				return (plus[ratee] - minus[ratee]) / (plus[ratee] + minus[ratee]), true
			}
		}
	}
}
