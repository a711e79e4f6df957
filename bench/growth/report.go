package growth

import (
	"errors"
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/notarynet/notaryd/internal/plot"
)

// Report prints tables, fits and the model, and hands each plot to save under a file name. The error says that costs
// grow with the live set faster than its logarithm, that a budget is exceeded, or that a plot could not be saved.
func (r *Results) Report(w io.Writer, perFlush int, save func(name string, svg []byte) error) error {
	grows := r.reportLive(w)
	groups := r.Batch(perFlush)
	if len(groups) > 1 {
		reportGroups(w, groups)
	}
	for name, p := range r.plots(perFlush, groups) {
		if err := save(name, p.SVG()); err != nil {
			return err
		}
	}
	if len(r.Groups) > len(groups) {
		r.reportBatches(w)
	}
	reportForms(w, groups)
	wrong := []error{grows}
	for _, g := range r.Groups {
		wrong = append(wrong, CheckBudget(g))
	}
	return errors.Join(wrong...)
}

// table prints rows over the same columns.
type table struct {
	w       io.Writer
	columns int
}

func newTable(w io.Writer, name string, columns []string) table {
	fmt.Fprintf(w, "\n| %s | %s |\n|---|%s\n", name, strings.Join(columns, " | "), strings.Repeat("---:|", len(columns)))
	return table{w, len(columns)}
}

func (t table) row(name, format string, of func(i int) float64) {
	fmt.Fprintf(t.w, "| %s |", name)
	for i := range t.columns {
		fmt.Fprintf(t.w, " "+format+" |", of(i))
	}
	fmt.Fprintln(t.w)
}

func (r *Results) reportLive(w io.Writer) error {
	if len(r.Live) == 0 {
		return nil
	}
	var names []string
	var sizes, logs []float64
	for _, l := range r.Live {
		names = append(names, fmt.Sprint(l.Outputs))
		sizes, logs = append(sizes, float64(l.Outputs)), append(logs, math.Log10(float64(l.Outputs)))
	}
	t := newTable(w, "live outputs", names)
	of := func(f func(*Live) float64) (y []float64) {
		for _, l := range r.Live {
			y = append(y, f(l))
		}
		return y
	}
	show := func(name, format string, f func(*Live) float64) {
		y := of(f)
		t.row(name, format, func(i int) float64 { return y[i] })
	}
	cpu, lookup := func(l *Live) float64 { return l.CPU }, func(l *Live) float64 { return l.Lookup }
	show("processor a payment, us", "%.1f", cpu)
	for _, part := range append(PartNames[Decode:], Background) {
		show("&nbsp; "+part, "%.1f", func(l *Live) float64 { return l.Parts[part] })
	}
	show("commit p50, ms", "%.2f", func(l *Live) float64 { return l.CommitP50 })
	show("commit p99, ms", "%.2f", func(l *Live) float64 { return l.CommitP99 })
	show("look-up of a live output, us", "%.1f", lookup)
	show("&nbsp; blocks", "%.2f", func(l *Live) float64 { return l.LookupBlocks })
	show("&nbsp; of them not cached", "%.2f", func(l *Live) float64 { return l.LookupMisses })
	show("look-up of one that never was, us", "%.1f", func(l *Live) float64 { return l.Unknown })
	show("&nbsp; blocks", "%.2f", func(l *Live) float64 { return l.UnknownBlocks })
	show("disk a live output, B", "%.0f", func(l *Live) float64 { return l.Disk })
	show("the directory, MB", "%.0f", func(l *Live) float64 { return float64(l.Total) / 1e6 })
	show("written a payment, B", "%.0f", func(l *Live) float64 { return l.Written })
	show("allocations a payment", "%.0f", func(l *Live) float64 { return l.Allocs })
	if len(r.Live) < 3 {
		return nil
	}
	for _, c := range []struct {
		name string
		y    []float64
	}{{"processor a payment", of(cpu)}, {"look-up", of(lookup)}} {
		f := FitLine(logs, c.y)
		fmt.Fprintf(w, "\n%s = %.1f + %.2f log10(n) us, largest residual %.0f %%", c.name, f.A, f.B, 100*f.Residual)
	}
	fmt.Fprintln(w)
	return CheckLog(sizes, of(cpu))
}

func reportGroups(w io.Writer, groups []*Group) {
	var names []string
	var peers []float64
	for _, g := range groups {
		names, peers = append(names, fmt.Sprint(g.Peers)), append(peers, float64(g.Peers))
	}
	t := newTable(w, fmt.Sprintf("peers, %d transactions an observation", groups[0].PerFlush), append(names, "each further peer", "residual"))
	show := func(name, format string, f func(*Group) float64) {
		var y []float64
		for _, g := range groups {
			y = append(y, f(g))
		}
		line := FitLine(peers, y)
		t.row(name, format, func(i int) float64 {
			switch i - len(y) {
			case 0:
				return line.B
			case 1:
				return 100 * line.Residual
			}
			return y[i]
		})
	}
	show("processor, us", "%.1f", func(g *Group) float64 { return g.CPU })
	for _, part := range append(PartNames[Decode:], Background) {
		show("&nbsp; "+part, "%.2f", func(g *Group) float64 { return g.Parts[part] })
	}
	show("allocations", "%.1f", func(g *Group) float64 { return g.Allocs })
	show("wire in: observations, B", "%.0f", func(g *Group) float64 { return g.WireObs })
	show("wire in: transaction, B", "%.0f", func(g *Group) float64 { return g.WireTx })
	show("&nbsp; budget of both", "%.0f", func(g *Group) float64 { return BudgetOf(g.Peers).Wire })
	show("wire out: own observation, B", "%.0f", func(g *Group) float64 { return g.WireOwn })
	show("disk, B", "%.0f", func(g *Group) float64 { return g.Total })
	for _, class := range []string{"observations", "transactions", "finals", "address_log", "addresses", "live", "spent", "final_log"} {
		show("&nbsp; "+class, "%.0f", func(g *Group) float64 { return g.Disk[class] })
	}
	show("&nbsp; budget", "%.0f", func(g *Group) float64 { return BudgetOf(g.Peers).Kept })
	show("written, B", "%.0f", func(g *Group) float64 { return g.Written })
	show("&nbsp; budget", "%.0f", func(g *Group) float64 { return BudgetOf(g.Peers).Written })
	show("commit p50, ms", "%.2f", func(g *Group) float64 { return g.CommitP50 })
	show("commit p99, ms", "%.2f", func(g *Group) float64 { return g.CommitP99 })
	if groups[0].Proofs != nil && groups[len(groups)-1].Proofs != nil {
		proof := func(f func(*Proofs) float64) func(*Group) float64 {
			return func(g *Group) float64 { return f(g.Proofs) }
		}
		show("acceptance proof, B", "%.0f", proof(func(p *Proofs) float64 { return p.Bytes }))
		show("&nbsp; in one with all of its observations", "%.0f", proof(func(p *Proofs) float64 { return p.Shared }))
		show("&nbsp; making it, us", "%.0f", proof(func(p *Proofs) float64 { return p.MakeUS }))
		show("compact proof, B", "%.0f", proof(func(p *Proofs) float64 { return p.Compact }))
		show("&nbsp; each signer, us", "%.0f", proof(func(p *Proofs) float64 { return p.SignUS }))
		show("&nbsp; folding and checking, us", "%.0f", proof(func(p *Proofs) float64 { return p.FoldUS }))
		show("&nbsp; heard from the signers, B", "%.0f", proof(func(p *Proofs) float64 { return p.CompactWire }))
	}
	fmt.Fprintln(w)
	FitModel(groups).Write(w, groups)
}

// reportBatches prints every group by how many transactions its observations speak of.
func (r *Results) reportBatches(w io.Writer) {
	fmt.Fprintf(w, "\n| transactions an observation | tx/s | flush, ms | peers | signatures at once | us | allocations | wire in, B | disk, B | written, B |\n|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n")
	for _, g := range r.Groups {
		fmt.Fprintf(w, "| %d | %d | %g | %d | %d | %.0f | %.0f | %.0f | %.0f | %.0f |\n", g.PerFlush, g.Rate, g.FlushMS, g.Peers,
			g.Together.Signatures, g.CPU, g.Allocs, g.WireObs+g.WireTx, g.Total, g.Written)
	}
}

// formNames are the forms in which votes can be kept, in the order of docs/adr/0018.
var formNames = []struct {
	name string
	of   func(*Forms) float64
}{
	{"ledger alone: no votes", func(*Forms) float64 { return 0 }},
	{"everything", func(f *Forms) float64 { return f.Whole }},
	{"everything, leaves by reference", func(f *Forms) float64 { return f.References }},
	{"observations of the quorum", func(f *Forms) float64 { return f.Quorum }},
	{"of the quorum, leaves by reference", func(f *Forms) float64 { return f.QuorumReferences }},
	{"roots: headers and signatures", func(f *Forms) float64 { return f.Roots }},
	{"an acceptance proof each", func(f *Forms) float64 { return f.Proofs }},
	{"one for all of the same observations", func(f *Forms) float64 { return f.Shared }},
	{"a compact proof each", func(f *Forms) float64 { return f.Compact }},
}

func reportForms(w io.Writer, groups []*Group) {
	var names []string
	var with []*Group
	for _, g := range groups {
		if g.Forms != nil {
			names, with = append(names, fmt.Sprintf("%d peers", g.Peers)), append(with, g)
		}
	}
	if len(with) == 0 {
		return
	}
	t := newTable(w, "kept, with the ledger, B of disk a transaction", names)
	for _, form := range formNames {
		t.row(form.name, "%.0f", func(i int) float64 { return with[i].Forms.Ledger + form.of(with[i].Forms) })
	}
}

// plots are those that the results suffice for.
func (r *Results) plots(perFlush int, groups []*Group) map[string]plot.Plot {
	all := make(map[string]plot.Plot)
	if len(r.Live) > 1 {
		p := plot.Plot{Title: "Processor time beside the live set", X: "live outputs", Y: "us", From: float64(r.Live[0].Outputs), Every: true}
		p.Lines = []plot.Line{
			line("a payment, whole", r.Live, func(l *Live) (float64, float64) { return float64(l.Outputs), l.CPU }),
			line("a payment, without signatures", r.Live, func(l *Live) (float64, float64) { return float64(l.Outputs), l.CPU - l.Parts["verify"] }),
			line("look-up of a live output", r.Live, func(l *Live) (float64, float64) { return float64(l.Outputs), l.Lookup }),
			line("look-up of one that never was", r.Live, func(l *Live) (float64, float64) { return float64(l.Outputs), l.Unknown }),
		}
		all["live.svg"] = p
	}
	if len(groups) > 1 {
		of := func(name string, f func(*Group) float64) plot.Line {
			return line(name, groups, func(g *Group) (float64, float64) { return float64(g.Peers), f(g) })
		}
		x := fmt.Sprintf("peers in the group, %d transactions an observation", perFlush)
		model := FitModel(groups)
		all["group-cpu.svg"] = plot.Plot{Title: "Processor time of one node", X: x, Y: "us a transaction", Linear: true, Every: true, Lines: []plot.Line{
			of("measured", func(g *Group) float64 { return g.CPU }), of("the model", model.CPU),
			of("decoding observations", func(g *Group) float64 { return g.Parts["hear"] }),
			of("counting votes", func(g *Group) float64 { return g.Parts["count"] }),
			of("storing", func(g *Group) float64 {
				return g.Parts["save"] + g.Parts["vote"] + g.Parts["commit"] + g.Parts[Background]
			}),
			of("signatures", func(g *Group) float64 { return g.Parts["verify"] + g.Parts["check"] }),
		}}
		all["group-bytes.svg"] = plot.Plot{Title: "Bytes of one node", X: x, Y: "B a transaction", Linear: true, Every: true, Lines: []plot.Line{
			of("wire in, each message once", func(g *Group) float64 { return g.WireObs + g.WireTx }),
			of("written to disk on the way", func(g *Group) float64 { return g.Written }),
			of("on disk in the end", func(g *Group) float64 { return g.Total }),
		}}
	}
	if p, some := r.batches(); some {
		all["batches.svg"] = p
	}
	return all
}

// batches is processor time by how many transactions a flush speaks of, beside that of the most, a line for each
// group that was measured with several.
func (r *Results) batches() (p plot.Plot, some bool) {
	p = plot.Plot{Title: "What batches save", X: "transactions an observation", Y: "times the processor time at the right", Every: true}
	by := make(map[int][]*Group)
	var sizes []int
	for _, g := range r.Groups {
		if by[g.Peers] == nil {
			sizes = append(sizes, g.Peers)
		}
		by[g.Peers] = append(by[g.Peers], g)
	}
	for _, n := range sizes {
		if most := len(by[n]) - 1; most > 0 {
			p.Lines = append(p.Lines, line(fmt.Sprintf("%d peers", n), by[n], func(g *Group) (float64, float64) {
				return float64(g.PerFlush), g.CPU / by[n][most].CPU
			}))
		}
	}
	return p, len(p.Lines) > 0
}

func line[T any](name string, points []T, of func(T) (x, y float64)) plot.Line {
	l := plot.Line{Name: name}
	for _, p := range points {
		x, y := of(p)
		l.Points = append(l.Points, plot.Point{X: x, Y: y})
	}
	return l
}
