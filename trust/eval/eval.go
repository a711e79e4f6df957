// Package eval holds methods of predicting trust against recorded trust: given nine tenths of a signed
// network of ratings, which sign has the last tenth?
package eval

import (
	"encoding/json"
	"fmt"
	"io"
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
	var within, weight float64
	for _, ratings := range s.byRater() {
		var own outcomes
		rater, _ := g.Find(ratings[0].Rater)
		predict := learned(rater)
		for _, r := range ratings {
			ratee, _ := g.Find(r.Ratee)
			label, known := predict(ratee)
			own.add(label, r.Score > 0)
			if known {
				covered.add(label, r.Score > 0)
			}
		}
		all.join(own)
		pos, neg := own.counts()
		within += own.auc() * float64(pos*neg)
		weight += float64(pos * neg)
	}
	r := Result{Method: m.Name, Pairs: len(all.label), AUC: covered.auc(), All: all.auc(), Within: 0.5}
	r.Coverage = float64(len(covered.label)) / float64(max(1, len(all.label)))
	if weight > 0 {
		r.Within = within / weight
	}
	return r, nil
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
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	if !o.JSON {
		fmt.Fprintln(table, "method\trandom: covered\tAUC\tall pairs\twithin rater\ttime: covered\tAUC\tall pairs\twithin rater\t")
	}
	for _, m := range Methods() {
		var random Result
		for seed := range o.Random {
			progress(fmt.Sprintf("%s, random hold-out %d", m.Name, seed+1))
			one, err := Evaluate(m, AtRandom(d, uint64(seed+1)).sample(o.Raters), o.Founders)
			if err != nil {
				return err
			}
			random.plus(one, 1/float64(o.Random))
		}
		progress(m.Name + ", by time")
		late, err := Evaluate(m, ByTime(d).sample(o.Raters), o.Founders)
		if err != nil {
			return err
		}
		random.Method, random.Split, late.Split = m.Name, "random", "time"
		if err := report(w, table, o.JSON, random, late); err != nil {
			return err
		}
	}
	return table.Flush()
}

func (r *Result) plus(o Result, f float64) {
	r.Pairs += o.Pairs
	r.Coverage += f * o.Coverage
	r.AUC += f * o.AUC
	r.All += f * o.All
	r.Within += f * o.Within
}

func report(w io.Writer, table io.Writer, asJSON bool, random, late Result) error {
	if !asJSON {
		_, err := fmt.Fprintf(table, "%s\t%.3f\t%.3f\t%.3f\t%.3f\t%.3f\t%.3f\t%.3f\t%.3f\t\n", random.Method,
			random.Coverage, random.AUC, random.All, random.Within, late.Coverage, late.AUC, late.All, late.Within)
		return err
	}
	e := json.NewEncoder(w)
	if err := e.Encode(random); err != nil {
		return err
	}
	return e.Encode(late)
}
