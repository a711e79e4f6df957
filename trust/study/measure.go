package study

import (
	"fmt"

	"github.com/notarynet/notaryd/internal/plot"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/trust"
)

// method computes the weights of everybody.
type method struct {
	name    string
	weights func(w *world) ([]trust.Share, error)
}

func methods() []method {
	plain := func(a float64) trust.Setting {
		s := trust.DefaultSetting()
		s.Bias, s.Teleport = 1, a
		return s
	}
	aggregate := func(s trust.Setting) func(*world) ([]trust.Share, error) {
		return func(w *world) ([]trust.Share, error) {
			n, err := w.network(s)
			if err != nil {
				return nil, err
			}
			a, err := n.Aggregate(group())
			if err != nil {
				return nil, err
			}
			return a.Weights(), nil
		}
	}
	// EigenTrust from pre-trusted peers and personalised PageRank from the members are one formula
	// without views and filter.
	open := func(a float64) func(*world) ([]trust.Share, error) {
		return func(w *world) ([]trust.Share, error) {
			n, err := w.network(plain(a))
			if err != nil {
				return nil, err
			}
			mask, p := make([]bool, n.Graph().Len()), make([]float64, n.Graph().Len())
			for i := range mask {
				mask[i] = true
			}
			for _, m := range group() {
				i, _ := n.Graph().Find(m.Peer)
				p[i] = 1
			}
			r, err := n.Run(mask, p)
			if err != nil {
				return nil, err
			}
			return r.Weights(), nil
		}
	}
	ours := func(a float64, byScore bool) trust.Setting {
		s := trust.DefaultSetting()
		s.Teleport, s.ByScore = a, byScore
		return s
	}
	return []method{
		{"EigenTrust, a = 0.1", open(0.1)},
		{"PageRank, a = 0.15", open(0.15)},
		{"DATT+bias+EigenTrust, p by score, a = 0.1", aggregate(ours(0.1, true))},
		{"the same, p as vouched, a = 0.1", aggregate(ours(0.1, false))},
		{"the same, a = 0.3 (default)", aggregate(ours(0.3, false))},
		{"the same, a = 0.5", aggregate(ours(0.5, false))},
	}
}

// held is the part of all weight that attackers, peers from first on, hold.
func held(w *world, weights []trust.Share, first int) float64 {
	bad := make(map[domain.Hash]bool)
	for i := first; i < w.peers; i++ {
		bad[id(i)] = true
	}
	var sum float64
	for _, s := range weights {
		if bad[s.Peer] {
			sum += float64(s.Weight)
		}
	}
	return sum / 1e9
}

// worlds is how many worlds every point is the mean of.
const worlds = 5

// third is the share from which attackers can stop the network.
var third = plot.Guide{At: 100.0 / 3, Name: "a third"}

// obtained are the numbers of honest labels on the horizontal axis, of honest*perHonest given in all.
var obtained = []int{0, 1, 2, 4, 8, 16, 32, 64, 128}

// captured is one plot: weight by labels obtained, for every method.
func captured(t threat) (plot.Plot, error) {
	p := plot.Plot{Title: t.title, X: "labels by honest peers that attackers obtained", Y: "weight captured, %", Guide: third}
	for _, m := range methods() {
		l := plot.Line{Name: m.name}
		for _, labels := range obtained {
			sum := 0.0
			for seed := range worlds {
				w := newWorld(uint64(seed + 1))
				first := t.mount(w, labels)
				weights, err := m.weights(w)
				if err != nil {
					return plot.Plot{}, fmt.Errorf("%s: %w", t.name, err)
				}
				sum += held(w, weights, first)
			}
			l.Points = append(l.Points, plot.Point{X: float64(labels), Y: 100 * sum / worlds})
		}
		p.Lines = append(p.Lines, l)
	}
	return p, nil
}

// seats is how many peers a group has at most, link by link.
const seats = 1024

// overLinks is the weight of a Sybil region behind a few labels as links go by, when those who gained
// weight have a voice in the next link.
func overLinks(labels, links int) (plot.Plot, error) {
	p := plot.Plot{Title: fmt.Sprintf("Sybil region behind %d labels, link by link", labels), X: "links, at most 5 % each", Y: "weight captured, %", Guide: third}
	for _, v := range []struct {
		name    string
		a, b    float64
		byScore bool
	}{{"p by score, a = 0.1, b = 0.1", 0.1, 0.1, true}, {"p by score, a = 0.3, b = 0.2", 0.3, 0.2, true},
		{"p as vouched, a = 0.1, b = 0.1", 0.1, 0.1, false}, {"a = 0.3, b = 0.1", 0.3, 0.1, false},
		{"a = 0.3, b = 0.2 (default)", 0.3, 0.2, false}, {"a = 0.3, b = 0.4", 0.3, 0.4, false}} {
		s := trust.DefaultSetting()
		s.Teleport, s.Bias, s.ByScore = v.a, v.b, v.byScore
		l := plot.Line{Name: v.name}
		w := newWorld(1)
		threats := threats()
		first := threats[4].mount(w, labels)
		n, err := w.network(s)
		if err != nil {
			return plot.Plot{}, err
		}
		now := group()
		for k := range links + 1 {
			l.Points = append(l.Points, plot.Point{X: float64(k), Y: 100 * held(w, now, first)})
			sum, err := n.Aggregate(now)
			if err != nil {
				return plot.Plot{}, err
			}
			target := trust.Elect(sum.Weights(), func(domain.Hash) bool { return true }, seats)
			now = trust.Step(now, target, trust.DefaultStep, seats)
		}
		p.Lines = append(p.Lines, l)
	}
	return p, nil
}

// washed compares attackers that honest peers have found out with the same under new names.
func washed() (before, after float64, err error) {
	s := trust.DefaultSetting()
	for seed := range worlds {
		for _, renamed := range []bool{false, true} {
			w := newWorld(uint64(seed + 1))
			first := w.join(attackers)
			w.fool(16, first, attackers)
			w.suffer(2, first, attackers)
			w.collude(8, first, attackers)
			if renamed {
				first = w.join(attackers) // nobody but the old names speaks for the new
				w.collude(8, first, attackers)
				for i := range attackers {
					w.say(first-attackers+i, first+i, 1000)
				}
			}
			n, err := w.network(s)
			if err != nil {
				return 0, 0, err
			}
			a, err := n.Aggregate(group())
			if err != nil {
				return 0, 0, err
			}
			if part := held(w, a.Weights(), first) / worlds; renamed {
				after += part
			} else {
				before += part
			}
		}
	}
	return before, after, nil
}

// bombed is the weight that the group's members lose to attackers that label all of them badly.
func bombed(labels int) (float64, error) {
	lost := 0.0
	for seed := range worlds {
		var have [2]float64
		for k, t := range []int{1, 5} { // the collective without its bombs, and with them
			w := newWorld(uint64(seed + 1))
			threats()[t].mount(w, labels)
			n, err := w.network(trust.DefaultSetting())
			if err != nil {
				return 0, err
			}
			a, err := n.Aggregate(group())
			if err != nil {
				return 0, err
			}
			for i := range members {
				j, _ := n.Graph().Find(id(i))
				have[k] += a.Share(j)
			}
		}
		lost += (have[0] - have[1]) / worlds
	}
	return lost, nil
}
