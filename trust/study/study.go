package study

import (
	"fmt"
	"io"

	"github.com/notarynet/notaryd/internal/plot"
)

// Run measures everything, prints the tables of docs/trust.md to w, and hands each plot to save under a
// file name. With only, it stops at the plot of that name.
func Run(w io.Writer, save func(name string, svg []byte) error, only string) error {
	fmt.Fprintf(w, "%d honest peers with up to %d labels each, %d members, %d attackers (400 in the Sybil region); means of %d worlds; weight captured in %%\n\n",
		honest, perHonest, members, attackers, worlds)
	for _, t := range threats() {
		if only != "" && only != t.name {
			continue
		}
		p, err := captured(t)
		if err != nil {
			return err
		}
		if err := publish(w, save, t.name, p); err != nil {
			return err
		}
	}
	if only != "" && only != "links" {
		return nil
	}
	p, err := overLinks(8, 32)
	if err != nil {
		return err
	}
	thin := p
	thin.Lines = nil
	for _, l := range p.Lines {
		few := plot.Line{Name: l.Name}
		for _, at := range []int{0, 1, 2, 4, 8, 16, 32} {
			few.Points = append(few.Points, l.Points[at])
		}
		thin.Lines = append(thin.Lines, few)
	}
	if err := publish(w, save, "links", thin); err != nil {
		return err
	}
	if only != "" {
		return nil
	}
	before, after, err := washed()
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "Whitewashing: %.2f %% under names found out, %.2f %% under new ones.\n", 100*before, 100*after)
	for _, labels := range []int{4, 16, 64} {
		lost, err := bombed(labels)
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "Bombing with %d labels obtained: the members lose %.2f %% more than to the same collective without bombs.\n", labels, 100*lost)
	}
	return nil
}

func publish(w io.Writer, save func(string, []byte) error, name string, p plot.Plot) error {
	fmt.Fprintf(w, "%s\n\n%s\n", p.Title, p.Table())
	return save(name+".svg", p.SVG())
}
