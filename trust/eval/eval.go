// Package eval holds methods of predicting trust against recorded trust: given nine tenths of a signed
// network of ratings, which sign has the last tenth?
package eval

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"

	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/trust"
)

// Options of an evaluation.
type Options struct {
	// Random is the number of random hold-outs; figures are their means.
	Random int
	// Raters bounds how many raters of a hold-out are evaluated.
	Raters int
	// Founders is the number of seeds: the first raters in time.
	Founders int
	// JSON prints a line for each method and hold-out instead of a table.
	JSON bool
	// Progress, if not nil, is called before each step.
	Progress func(step string)
}

// DefaultOptions are those of the figures in docs/adr/0006.
func DefaultOptions() Options { return Options{Random: 3, Raters: 5000, Founders: 10} }

// Result is how one method did on one hold-out.
type Result struct {
	Method string `json:"method"`
	Split  string `json:"split"`
	// Pairs is the number of hidden ratings, Coverage the part of them that the method knew something of.
	Pairs    int     `json:"pairs"`
	Coverage float64 `json:"coverage"`
	// AUC over covered pairs, over all pairs (others by the method's guess), and within one rater
	// (the mean over raters with both signs, by pairs of pairs).
	AUC    float64 `json:"auc"`
	All    float64 `json:"auc_all"`
	Within float64 `json:"auc_within_rater"`
	// Common is the AUC over the pairs that every method compared knows something of; set by Compare.
	Common float64 `json:"auc_common"`

	predicted outcomes
	known     []bool
}

// Evaluate runs one method on one hold-out.
func Evaluate(m Method, s Split, founders int) (Result, error) {
	var extra []domain.Hash // peers of whom nothing is known have a number too
	for _, r := range s.Hidden {
		extra = append(extra, r.Rater, r.Ratee)
	}
	g, err := trust.NewGraph(Labels(s.Known), extra)
	if err != nil {
		return Result{}, err
	}
	learned := m.Learn(g, s.founders(founders))
	var all, covered outcomes
	out := Result{Method: m.Name, Within: 0.5}
	var within, weight float64
	for _, ratings := range s.byRater() {
		var own outcomes
		rater, _ := g.Find(ratings[0].Rater)
		predict := learned(rater)
		for _, r := range ratings {
			ratee, _ := g.Find(r.Ratee)
			label, known := predict(ratee)
			own.add(label, r.Score > 0)
			out.known = append(out.known, known)
			if known {
				covered.add(label, r.Score > 0)
			}
		}
		all.join(own)
		pos, neg := own.counts()
		within += own.auc() * float64(pos*neg)
		weight += float64(pos * neg)
	}
	out.Pairs, out.AUC, out.All, out.predicted = len(all.label), covered.auc(), all.auc(), all
	out.Coverage = float64(len(covered.label)) / float64(max(1, len(all.label)))
	if weight > 0 {
		out.Within = within / weight
	}
	return out, nil
}

// Compare runs methods on one hold-out.
func Compare(methods []Method, s Split, founders int, progress func(step string)) ([]Result, error) {
	out := make([]Result, len(methods))
	var err error
	for i, m := range methods {
		progress(m.Name)
		if out[i], err = Evaluate(m, s, founders); err != nil {
			return nil, err
		}
	}
	for i := range out {
		var common outcomes
		for k, label := range out[i].predicted.label {
			if !slices.ContainsFunc(out, func(r Result) bool { return !r.known[k] }) {
				common.add(label, out[i].predicted.positive[k])
			}
		}
		out[i].Common = common.auc()
	}
	return out, nil
}

type outcomes struct {
	label    []float64
	positive []bool
}

func (o *outcomes) add(label float64, positive bool) {
	o.label = append(o.label, label)
	o.positive = append(o.positive, positive)
}

func (o *outcomes) join(p outcomes) {
	o.label = append(o.label, p.label...)
	o.positive = append(o.positive, p.positive...)
}

func (o *outcomes) auc() float64 { return AUC(o.label, o.positive) }

func (o *outcomes) counts() (pos, neg int) {
	for _, p := range o.positive {
		if p {
			pos++
		} else {
			neg++
		}
	}
	return pos, neg
}

// Run evaluates every method on a file and prints what it finds.
func Run(w io.Writer, r io.Reader, o Options) error {
	d, err := Load(r)
	if err != nil {
		return err
	}
	progress := o.Progress
	if progress == nil {
		progress = func(string) {}
	}
	if !o.JSON {
		fmt.Fprintf(w, "%d peers, %d ratings, %.1f %% negative; hold-outs of a tenth: mean of %d random, and the last in time\n\n",
			d.Peers, len(d.Ratings), 100*float64(d.Negative)/float64(len(d.Ratings)), o.Random)
	}
	var random []Result
	for seed := range o.Random {
		some, err := Compare(Methods(), AtRandom(d, uint64(seed+1)).sample(o.Raters), o.Founders,
			func(m string) { progress(fmt.Sprintf("random hold-out %d: %s", seed+1, m)) })
		if err != nil {
			return err
		}
		if random == nil {
			random = make([]Result, len(some))
		}
		for i := range some {
			random[i].plus(some[i], 1/float64(o.Random))
		}
	}
	late, err := Compare(Methods(), ByTime(d).sample(o.Raters), o.Founders, func(m string) { progress("hold-out by time: " + m) })
	if err != nil {
		return err
	}
	for i := range random {
		random[i].Method, random[i].Split, late[i].Split = late[i].Method, "random", "time"
	}
	return report(w, o.JSON, random, late)
}

func (r *Result) plus(o Result, f float64) {
	r.Pairs += o.Pairs
	r.Coverage += f * o.Coverage
	r.AUC += f * o.AUC
	r.All += f * o.All
	r.Within += f * o.Within
	r.Common += f * o.Common
}

func report(w io.Writer, asJSON bool, random, late []Result) error {
	if asJSON {
		e := json.NewEncoder(w)
		for _, r := range append(slices.Clone(random), late...) {
			if err := e.Encode(r); err != nil {
				return err
			}
		}
		return nil
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	if len(random) > 0 {
		fmt.Fprintln(table, "random\tcovered\tAUC\tall pairs\tcommon pairs\twithin rater\t")
		rows(table, random)
		fmt.Fprintln(table, "\t\t\t\t\t\t")
	}
	fmt.Fprintln(table, "by time\tcovered\tAUC\tall pairs\tcommon pairs\twithin rater\t")
	rows(table, late)
	return table.Flush()
}

func rows(table io.Writer, results []Result) {
	for _, r := range results {
		fmt.Fprintf(table, "%s\t%.3f\t%.3f\t%.3f\t%.3f\t%.3f\t\n", r.Method, r.Coverage, r.AUC, r.All, r.Common, r.Within)
	}
}
