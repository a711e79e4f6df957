// Command trust-eval compares trust methods on a signed trust network: trust-eval [-json] FILE.
package main

import (
	"flag"
	"fmt"
	"os"

	"github.com/notarynet/notaryd/trust/eval"
)

func main() {
	o := eval.DefaultOptions()
	flag.IntVar(&o.Random, "random", o.Random, "random hold-outs")
	flag.IntVar(&o.Raters, "raters", o.Raters, "raters evaluated per hold-out, at most")
	flag.IntVar(&o.Founders, "founders", o.Founders, "first raters taken as seeds")
	flag.BoolVar(&o.JSON, "json", false, "a JSON line per figure")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: trust-eval [flags] FILE (rater,ratee,score,time)")
		os.Exit(2)
	}
	o.Progress = func(step string) { fmt.Fprintln(os.Stderr, step) }
	f, err := os.Open(flag.Arg(0))
	if err == nil {
		defer f.Close()
		err = eval.Run(os.Stdout, f, o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
