package trust

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// clusteredNetwork has peers in clusters that keep most labels to themselves, as people do; one in idle
// labels nobody (0: everybody labels somebody).
func clusteredNetwork(t testing.TB, peers, cluster, idle int, seed uint64) *Network {
	c := chance(seed)
	var labels []Label
	for i := range peers {
		seen := map[int]bool{i: true}
		for k := range 5 {
			j := i/cluster*cluster + c.below(cluster)
			if k == 4 {
				j = c.below(peers)
			}
			if j >= peers || seen[j] || idle > 0 && i%idle == idle-1 {
				continue
			}
			seen[j] = true
			labels = append(labels, Label{peer(i), peer(j), int32(1 + c.below(MaxScore))})
		}
	}
	g := graphOf(t, labels, allPeers(peers)...)
	s := DefaultSetting()
	s.Epsilon = 1e-12
	s.Seeds = []Share{{peer(0), 1}, {peer(1), 2}}
	return netOf(t, g, s)
}

// runOf is a run over everybody from a p that is not the same for any two.
func runOf(t testing.TB, n *Network) *Run {
	t.Helper()
	r, err := n.Run(everybody(n.graph), slopingP(n.graph.Len(), 1))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func slopingP(n int, from float64) []float64 {
	p := make([]float64, n)
	for i := range p {
		p[i] = from + float64(i%13)
	}
	return p
}

// residualTwin is k p + (1-a) C0' x - x, label by label, for shares x.
func residualTwin(n *Network, mask []bool, p, x []float64, k float64) []float64 {
	a := n.setting.Teleport
	out := make([]float64, len(x))
	for i := range out {
		out[i] = k*p[i] - x[i]
	}
	for i := range x {
		ratees, scores := n.graph.Said(i)
		sum := 0.0
		for e, to := range ratees {
			if mask[to] {
				sum += math.Max(0, float64(scores[e]))
			}
		}
		for e, to := range ratees {
			if mask[i] && mask[to] && scores[e] > 0 {
				out[to] += (1 - a) * x[i] * float64(scores[e]) / sum
			}
		}
	}
	return out
}

// iterationTwin is one more iteration of t = (1-a) (C0' t + d p) + a p.
func iterationTwin(n *Network, mask []bool, p, x []float64) []float64 {
	idle := 0.0
	for i, share := range x {
		ratees, scores := n.graph.Said(i)
		labels := false
		for e, to := range ratees {
			labels = labels || mask[to] && scores[e] > 0
		}
		if !labels {
			idle += share
		}
	}
	a := n.setting.Teleport
	out := residualTwin(n, mask, p, x, (1-a)*idle+a)
	for i := range out {
		out[i] += x[i]
	}
	return out
}

// checkRepair holds what a repair says of itself against the twins.
func checkRepair(t *testing.T, r *Run, name string) {
	t.Helper()
	s := r.class.result
	sum := 0.0
	for _, x := range s.share {
		sum += x
	}
	if math.Abs(sum-1) > 1e-12 {
		t.Fatalf("%s: shares sum to %v", name, sum)
	}
	mask := r.class.walk.in
	want := residualTwin(r.network, mask, r.class.p, s.share, s.feed)
	if d := l1(s.residual, want); d > s.unknown+1e-14 {
		t.Fatalf("%s: the residual that was kept is %v off, at most %v said", name, d, s.unknown)
	}
	moved := l1(iterationTwin(r.network, mask, r.class.p, s.share), s.share)
	if moved > s.change+1e-14 || s.change > 2.1*moved+3*s.unknown {
		t.Fatalf("%s: one more iteration changes %v, said %v", name, moved, s.change)
	}
}

// A repair knows what it leaves: the residual that it keeps is that of its result, and what one more
// iteration would change is what it says, on graphs of both kinds, with idle raters and without, for a few
// changes (label by label) and for many (in sweeps).
func TestRepairKnowsWhatItLeaves(t *testing.T) {
	const peers = 3000
	for _, idle := range []int{0, 7} {
		for _, cluster := range []int{20, peers} {
			for _, count := range []int{1, 3, 100} {
				c := chance(idle + cluster + count)
				r := runOf(t, clusteredNetwork(t, peers, cluster, idle, 3))
				for range 3 {
					next, err := r.Update(largeChanges(&c, peers, count), nil, 1e-7)
					if err != nil {
						t.Fatal(err)
					}
					if next.Change > 1e-7 || next.class.result.residual == nil {
						t.Fatalf("%d changes: left %v, repaired %v", count, next.Change, next.class.result.residual != nil)
					}
					checkRepair(t, next, "changed labels")
					r = next
				}
			}
		}
	}
}

// Repairs do not add up: after many, the result is as near to a full run as after one.
func TestRepairsDoNotAddUp(t *testing.T) {
	const peers, within = 1500, 1e-8
	c := chance(77)
	r := runOf(t, clusteredNetwork(t, peers, 30, 9, 8))
	p := r.class.p
	for round := range 60 {
		var changes []Change
		for _, ch := range largeChanges(&c, peers, 2) {
			if len(r.network.graph.rows) < peers/16 || round%2 == 0 { // so that the graph is not built anew
				changes = append(changes, ch)
			}
		}
		next, err := r.Update(changes, nil, within)
		if err != nil {
			break // as many changed rows as one graph takes
		}
		if next.Change > within || next.class.result.residual == nil {
			t.Fatalf("round %d: %v left, repaired %v", round, next.Change, next.class.result.residual != nil)
		}
		full, err := next.network.Run(everybody(next.network.graph), p)
		if err != nil {
			t.Fatal(err)
		}
		if d := l1(next.share, full.share); d > (next.Change+full.Change)/next.network.setting.Teleport {
			t.Fatalf("round %d: %v away, %v left", round, d, next.Change)
		}
		r = next
		if round > 20 && len(r.network.graph.rows) >= peers/16 {
			return
		}
	}
	checkRepair(t, r, "at the end")
}

// A p that moves is followed as labels are.
func TestRepairFollowsPreference(t *testing.T) {
	n := clusteredNetwork(t, 2000, 25, 6, 4)
	r := runOf(t, n)
	c := chance(12)
	for name, p := range map[string][]float64{
		"everywhere": slopingP(n.graph.Len(), 3),
		"one peer":   func() []float64 { p := slices.Clone(r.class.p); p[7] *= 3; return p }(),
	} {
		next, err := r.Update(largeChanges(&c, 2000, 2), p, 1e-8)
		if err != nil {
			t.Fatal(err)
		}
		checkRepair(t, next, name)
		full, err := next.network.Run(everybody(n.graph), p)
		if err != nil {
			t.Fatal(err)
		}
		if d := l1(next.share, full.share); d > (next.Change+full.Change)/n.setting.Teleport || next.class.result.residual == nil {
			t.Errorf("%s: %v away, %v left", name, d, next.Change)
		}
	}
}

// Where raters fall silent the residual has a sum, which fades by no more than a each round; taken out, a
// repair needs no more rounds than a full run.
func TestRepairTakesTheSumOut(t *testing.T) {
	const peers = 1000
	n := clusteredNetwork(t, peers, peers, 0, 5)
	n.setting.Teleport = 0.05
	r := runOf(t, n)
	var silence []Change
	for i := range 25 {
		ratees, _ := n.graph.Said(i)
		for _, to := range ratees {
			silence = append(silence, Change{Label: Label{n.graph.ID(i), n.graph.ID(int(to)), 0}, Remove: true})
		}
	}
	next, err := r.Update(silence, nil, 1e-10)
	if err != nil {
		t.Fatal(err)
	}
	checkRepair(t, next, "silenced")
	if most := r.Iterations; next.Iterations > most {
		t.Errorf("%d rounds, a full run to a hundredth of that took %d", next.Iterations, most)
	}
}

// A solution too coarse to repair is run again, and one whose start was as good as the end stays.
func TestRepairNeedsAFineRun(t *testing.T) {
	n := clusteredNetwork(t, 500, 25, 0, 6)
	n.setting.Epsilon = 1e-4
	r := runOf(t, n)
	change := []Change{{Label: Label{peer(3), peer(9), 700}}}
	next, err := r.Update(change, nil, 1e-7)
	if err != nil {
		t.Fatal(err)
	}
	if next.class.result.residual != nil || next.Change >= 1e-4 {
		t.Errorf("repaired what is known to %v, to %v", r.Change, next.Change)
	}
	fine := runOf(t, clusteredNetwork(t, 500, 25, 0, 6))
	same, err := fine.Update(nil, nil, 1e-7)
	if err != nil {
		t.Fatal(err)
	}
	if d := l1(same.share, fine.share); d > 1e-15 || same.Iterations != 0 {
		t.Errorf("nothing changed, and it moved %v in %d rounds", d, same.Iterations)
	}
}

// What changes in one cluster is repaired there: of peers far away nothing is touched but the scale.
func TestRepairStaysLocal(t *testing.T) {
	const peers, cluster = 20_000, 20
	c := chance(1)
	var labels []Label
	for i := range peers { // clusters that know nothing of each other
		for _, step := range []int{1, 3, 7} {
			labels = append(labels, Label{peer(i), peer(i/cluster*cluster + (i+step)%cluster), int32(1 + c.below(MaxScore))})
		}
	}
	s := DefaultSetting()
	s.Epsilon = 1e-12
	n := netOf(t, graphOf(t, labels, allPeers(peers)...), s)
	r := runOf(t, n)
	for k := range 12 { // each in another cluster, and none may use up what is left for all
		from := 41 + 1700*k
		next, err := r.Update([]Change{{Label: Label{peer(from), peer(from + 6), 1000}}, {Label: Label{peer(from), peer(from + 1), 3}}}, nil, 1e-9)
		if err != nil {
			t.Fatal(err)
		}
		if next.Change > 1e-9 {
			t.Fatalf("cluster %d: %v left", k, next.Change)
		}
		checkRepair(t, next, "one cluster")
		moved := 0
		for i := range r.share {
			if math.Abs(next.share[i]/r.share[i]-1) > 1e-6 {
				moved++
			}
		}
		if moved == 0 || moved > 2*cluster { // beside it, what another cluster had left
			t.Errorf("%d peers moved, of a cluster of %d", moved, cluster)
		}
		r = next
	}
}

// Repairs of small random graphs, however they are patched, against a full run.
func TestRepairAgainstFullRun(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		labels := drawLabels(t, 14)
		g, err := NewGraph(labels, allPeers(maxDense+60))
		if err != nil {
			t.Fatal(err)
		}
		s := DefaultSetting()
		s.Teleport, s.Epsilon = rapid.Float64Range(0.05, 1).Draw(t, "a"), 1e-12
		n, err := New(g, s)
		if err != nil {
			t.Fatal(err)
		}
		mask := everybody(g)
		for i := range 5 {
			mask[i] = rapid.Bool().Draw(t, "in")
		}
		p := drawShares(t, "p", g.Len())
		for i := range p {
			if !mask[i] {
				p[i] = 0
			}
		}
		if slices.Max(p) == 0 {
			t.Skip("no p within the filter")
		}
		r, err := n.Run(mask, p)
		if err != nil {
			t.Fatal(err)
		}
		for range rapid.IntRange(1, 3).Draw(t, "rounds") {
			if r, err = r.Update(drawChanges(t, 5), nil, 1e-8); err != nil {
				t.Fatal(err)
			}
			full, err := r.network.Run(mask, p)
			if err != nil {
				t.Fatal(err)
			}
			if d := l1(r.share, full.share); d > (r.Change+full.Change)/s.Teleport+1e-13 || r.Change > 1e-8 {
				t.Fatalf("%v away, %v left", d, r.Change)
			}
			for i, in := range mask {
				if !in && r.share[i] != 0 {
					t.Fatalf("peer %d is out, with %v", i, r.share[i])
				}
			}
		}
	})
}
