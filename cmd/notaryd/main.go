// Command notaryd is one notary of a network.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// version is set when the program is built.
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := execute(ctx, rootCommand())
	if code := exitCode(0); err != nil && !errors.As(err, &code) {
		fmt.Fprintln(os.Stderr, "notaryd:", err)
	}
	os.Exit(exitOf(err))
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "notaryd",
		Short: "A notary: validates transactions, signs what it saw, and settles double spends",
		Long: `notaryd runs one node of a notary network.

  notaryd devnet          a whole network on this machine, to try things out
  notaryd init DIR        make a node key and a configuration
  notaryd run DIR         run the node
  notaryd status          what a running node says of itself
  notaryd doctor DIR      what is wrong, and how to mend it
  notaryd backup DIR TO   a copy of the store, while the node works
  notaryd restore DIR     a store from a backup, which never signs as before
  notaryd prune DIR       drop old observations

Exit codes: 0 done, 1 failed, 2 wrong usage; of doctor also 3 and 4, see its help.`,
		SilenceUsage: true, SilenceErrors: true,
	}
	root.AddCommand(initCommand(), certifyCommand(), runCommand(), devnetCommand(), statusCommand(), configCommand(),
		backupCommand(), doctorCommand(), restoreCommand(), pruneCommand(), trustEvalCommand(), versionCommand())
	return root
}

// execute runs the command that a command line names. What is wrong before that begins is the command line: unknown
// commands and flags, arguments and flags that are missing or do not go together.
func execute(ctx context.Context, root *cobra.Command) error {
	began := false
	beginning(root, func() { began = true })
	err := root.ExecuteContext(ctx)
	if err != nil && !began {
		return usageError{err}
	}
	return err
}

// beginning has each command tell when it begins.
func beginning(c *cobra.Command, tell func()) {
	if run := c.RunE; run != nil {
		c.RunE = func(c *cobra.Command, args []string) error {
			tell()
			return run(c, args)
		}
	}
	for _, sub := range c.Commands() {
		beginning(sub, tell)
	}
}

// exitOf is the exit code of a command that ended with an error, or without.
func exitOf(err error) int {
	code := exitCode(0)
	switch {
	case err == nil:
		return 0
	case errors.As(err, &code):
		return int(code)
	case errors.As(err, new(usageError)):
		return 2
	}
	return 1
}

// usageError is a command that was called wrongly.
type usageError struct{ error }

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		Run: func(cmd *cobra.Command, _ []string) { fmt.Fprintln(cmd.OutOrStdout(), version) },
	}
}
