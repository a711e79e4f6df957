package growth

import (
	"bytes"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestGroups goes the whole way with small groups: whatever is sent becomes final, and what more peers cost shows.
func TestGroups(t *testing.T) {
	r := &Results{}
	for _, peers := range []int{4, 10} {
		p := Plan{Peers: peers, Rate: 400, Flush: 50 * time.Millisecond, Transactions: 200, Proofs: 40, Dir: t.TempDir()}
		if peers == 10 {
			p.Compact = 2 // and with it the forms, once
		}
		g, err := MeasureGroup(p)
		if err != nil {
			t.Fatalf("%d peers: %v", peers, err)
		}
		if g.PerFlush != 20 || g.Measured != 200 {
			t.Errorf("%d peers: %d transactions measured, %d an observation", peers, g.Measured, g.PerFlush)
		}
		if quorum := float64(peers*2/3 + 1); g.Proofs.Edges != quorum {
			t.Errorf("%d peers: %v edges, want %v", peers, g.Proofs.Edges, quorum)
		}
		r.AddGroup(g)
	}
	groups := r.Batch(20)
	if len(groups) != 2 {
		t.Fatalf("%d groups", len(groups))
	}
	before, g := groups[0], groups[1]
	if g.WireObs <= before.WireObs || g.Disk["observations"] <= before.Disk["observations"] || g.Proofs.Bytes <= before.Proofs.Bytes {
		t.Errorf("%d peers take no more than %d: %+v", g.Peers, before.Peers, g)
	}
	if f := g.Forms; f.References >= f.Whole*3/4 || f.Roots >= f.References || f.Quorum >= f.Whole || f.Shared >= f.Proofs {
		t.Errorf("forms are not what they should be: %+v", *f)
	}
	var out bytes.Buffer
	var plots []string
	if err := r.Report(&out, 20, func(name string, svg []byte) error { plots = append(plots, name); return nil }); err != nil {
		t.Fatal(err)
	}
	slices.Sort(plots)
	if !slices.Equal(plots, []string{"group-bytes.svg", "group-cpu.svg"}) || !strings.Contains(out.String(), "| a compact proof each |") {
		t.Errorf("%v\n%s", plots, out.String())
	}
}

// TestProofsStaySmall: however many transactions a flush holds, an acceptance proof takes at most 1.2 kB at 4 peers and 5 kB at
// 20, and where these come in between it is in proportion.
func TestProofsStaySmall(t *testing.T) {
	for peers, most := range map[int]float64{4: 1200, 7: 1912, 10: 2625, 20: 5000} {
		g, err := MeasureGroup(Plan{Peers: peers, Rate: 8000, Flush: 50 * time.Millisecond, Transactions: 800, Proofs: 400, Dir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		if g.Proofs.Most > most || g.Proofs.Most < most*3/4 {
			t.Errorf("%d peers, %d transactions a flush: a proof of %.0f bytes, want at most %.0f", peers, g.PerFlush, g.Proofs.Most, most)
		}
		if b := BudgetOf(peers); b.Proof < most || b.Proof > most+1 {
			t.Errorf("%d peers: the budget is %.1f", peers, b.Proof)
		}
	}
}

// TestLive goes the whole way with small live sets, and takes up one that was loaded before.
func TestLive(t *testing.T) {
	dir := t.TempDir()
	for _, payments := range []int{0, 600} {
		l, err := MeasureLive(t.Context(), LivePlan{Outputs: 1000, Payments: payments, PerFlush: 20, Lookups: 100, Dir: dir, Keep: true})
		if err != nil {
			t.Fatal(err)
		}
		if loaded := l.LoadWritten > 0; loaded != (payments == 0) {
			t.Errorf("%d payments: loaded: %v", payments, loaded)
		}
		if payments > 0 && (l.CPU <= l.Parts["verify"] || l.Lookup <= 0 || l.Unknown <= 0 || l.CommitP99 < l.CommitP50) {
			t.Errorf("%+v", l)
		}
	}
}

func TestCheckLog(t *testing.T) {
	sizes := []float64{1e5, 1e6, 1e7}
	for name, c := range map[string]struct {
		costs []float64
		holds bool
	}{
		"constant":    {[]float64{50, 50, 50}, true},
		"logarithmic": {[]float64{50, 60, 70}, true},
		"noisy":       {[]float64{50, 50, 54}, true},
		"falling":     {[]float64{60, 50, 52}, true},
		"root":        {[]float64{50, 158, 500}, false},
		"linear":      {[]float64{50, 500, 5000}, false},
		"late":        {[]float64{50, 50, 60}, false},
	} {
		if err := CheckLog(sizes, c.costs); (err == nil) != c.holds {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCheckBudget(t *testing.T) {
	most := BudgetOf(4)
	for name, c := range map[string]struct {
		g    Group
		over bool
	}{
		"within":        {Group{Peers: 4, PerFlush: 100, WireObs: most.Wire / 2, WireTx: most.Wire / 2, Written: most.Written}, false},
		"wire":          {Group{Peers: 4, PerFlush: 100, WireObs: most.Wire, WireTx: 1}, true},
		"kept":          {Group{Peers: 4, PerFlush: 100, Total: most.Kept + 1}, true},
		"written":       {Group{Peers: 4, PerFlush: 100, Written: most.Written + 1}, true},
		"small batches": {Group{Peers: 4, PerFlush: 1, Written: 10 * most.Written}, false},
	} {
		if err := CheckBudget(&c.g); (err != nil) != c.over {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestFitLine(t *testing.T) {
	f := FitLine([]float64{1, 2, 4}, []float64{5, 7, 11})
	if math.Abs(f.A-3) > 1e-9 || math.Abs(f.B-2) > 1e-9 || f.Residual > 1e-9 {
		t.Errorf("%+v", f)
	}
}

// TestTogether: as in node's verifier, few signatures are not kept waiting for company, but for those that a node signed at once.
func TestTogether(t *testing.T) {
	for _, c := range []struct {
		peers, rate  int
		flush        time.Duration
		signatures   int
		observations int
	}{
		{4, 200, 50 * time.Millisecond, 1, 1},
		{4, 1000, 100 * time.Millisecond, 3, 3},
		{4, 2000, 50 * time.Millisecond, 7, 3},
		{100, 2000, 50 * time.Millisecond, 12, 6},
		{100, 2000, 10 * time.Millisecond, 36, 30},
		{1000, 100_000, 50 * time.Millisecond, 512, 240},
	} {
		p := Plan{Peers: c.peers, Rate: c.rate, Flush: c.flush}
		if got := p.together(); got.Signatures != c.signatures || got.Observations != c.observations {
			t.Errorf("%d peers, %d tx/s: %+v", c.peers, c.rate, got)
		}
	}
}

func TestResultsAreKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "growth.jsonl")
	r, err := Load(path)
	if err != nil || len(r.Live)+len(r.Groups) != 0 {
		t.Fatalf("no file: %v, %v", r, err)
	}
	r.AddLive(&Live{Kind: "live", Outputs: 10, CPU: 1})
	r.AddGroup(&Group{Kind: "group", Peers: 10, PerFlush: 100})
	r.AddGroup(&Group{Kind: "group", Peers: 4, PerFlush: 100, CPU: 1})
	r.AddGroup(&Group{Kind: "group", Peers: 4, PerFlush: 100, CPU: 2})
	if err := r.Save(path); err != nil {
		t.Fatal(err)
	}
	got, err := Load(path)
	if err != nil || len(got.Live) != 1 || got.Live[0].CPU != 1 {
		t.Fatal(got, err)
	}
	if g := got.Batch(100); len(g) != 2 || g[0].CPU != 2 || g[1].Peers != 10 {
		t.Errorf("%+v", g)
	}
}
