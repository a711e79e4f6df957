package growth

import (
	"fmt"
	"io"
	"math"
	"strings"
)

// term is one part of the cost of a transaction: so much however large the group is, and so much for each unit.
type term struct {
	part, unit string
	units      func(*Group) float64
}

// terms explain the processor time of a transaction by what is done how often.
var terms = []term{
	{"decode", "", nil},
	{"verify", "", nil},
	{"judge", "", nil},
	{"vote", "peer", func(g *Group) float64 { return float64(g.Peers) }},
	{"hear", "leaf heard", func(g *Group) float64 { return g.Leaves }},
	{"check", "signature of an observation", func(g *Group) float64 { return g.Signatures - 1 }},
	{"save", "kB heard", func(g *Group) float64 { return g.WireObs / 1000 }},
	{"count", "vote counted", func(g *Group) float64 { return g.Votes }},
	{"commit", "peer", func(g *Group) float64 { return float64(g.Peers) }},
	{Background, "kB heard", func(g *Group) float64 { return g.WireObs / 1000 }},
}

// Model is the fit of each term over some groups.
type Model struct{ fits []Fit }

// FitModel fits every term to what was measured.
func FitModel(groups []*Group) *Model {
	m := &Model{}
	for _, t := range terms {
		var x, y []float64
		for _, g := range groups {
			y = append(y, g.Parts[t.part])
			if t.units != nil {
				x = append(x, t.units(g))
			}
		}
		if t.units == nil {
			sum := 0.0
			for _, v := range y {
				sum += v
			}
			f := Fit{A: sum / float64(len(y))}
			for _, v := range y {
				f.Residual = max(f.Residual, math.Abs(v-f.A)/v)
			}
			m.fits = append(m.fits, f)
			continue
		}
		m.fits = append(m.fits, FitLine(x, y))
	}
	return m
}

// CPU is what the model says of a group, microseconds for each transaction.
func (m *Model) CPU(g *Group) (us float64) {
	for i, t := range terms {
		us += m.fits[i].A
		if t.units != nil {
			us += m.fits[i].B * t.units(g)
		}
	}
	return us
}

// Write prints the terms, and the model beside what was measured.
func (m *Model) Write(w io.Writer, groups []*Group) {
	fmt.Fprintf(w, "| part | fixed, us | and for each | us | largest residual |\n|---|---:|---|---:|---:|\n")
	for i, t := range terms {
		f := m.fits[i]
		each, slope := t.unit, fmt.Sprintf("%.3f", f.B)
		if t.units == nil {
			each, slope = "", ""
		}
		fmt.Fprintf(w, "| %s | %.1f | %s | %s | %.0f %% |\n", t.part, f.A, each, slope, 100*f.Residual)
	}
	row := func(name, format string, of func(*Group) float64) {
		fmt.Fprintf(w, "| %s |", name)
		for _, g := range groups {
			fmt.Fprintf(w, " "+format+" |", of(g))
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintln(w)
	row("peers", "%.0f", func(g *Group) float64 { return float64(g.Peers) })
	fmt.Fprintln(w, "|---|"+strings.Repeat("---:|", len(groups)))
	row("measured, us", "%.1f", func(g *Group) float64 { return g.CPU })
	row("model, us", "%.1f", m.CPU)
	row("off by, %", "%+.0f", func(g *Group) float64 { return 100 * (m.CPU(g)/g.CPU - 1) })
}
