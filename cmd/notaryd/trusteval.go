package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/notarynet/notaryd/trust/eval"
)

func trustEvalCommand() *cobra.Command {
	o := eval.DefaultOptions()
	c := &cobra.Command{
		Use:   "trust-eval FILE",
		Short: "How well trust predicts ratings that were held out of a signed network",
		Long: `trust-eval reads a signed trust network, one rating a line (rater,ratee,score,time), holds out a tenth
at random and by time, and reports for each method how well the sign of the ratings held out is
predicted: the area under the ROC curve (AUC), and coverage, the share that is predicted at all.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			f, err := os.Open(args[0])
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, f.Close()) }()
			o.Progress = func(step string) { fmt.Fprintln(cmd.ErrOrStderr(), step) }
			return eval.Run(cmd.OutOrStdout(), f, o)
		},
	}
	c.Flags().IntVar(&o.Random, "random", o.Random, "random hold-outs")
	c.Flags().IntVar(&o.Raters, "raters", o.Raters, "raters evaluated per hold-out, at most")
	c.Flags().IntVar(&o.Founders, "founders", o.Founders, "first raters taken as seeds")
	c.Flags().BoolVar(&o.JSON, "json", false, "a JSON line per figure")
	return c
}
