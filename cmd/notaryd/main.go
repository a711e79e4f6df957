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
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	err := root.ExecuteContext(ctx)
	if err == nil {
		return
	}
	if code := exitCode(0); errors.As(err, &code) {
		os.Exit(int(code))
	}
	fmt.Fprintln(os.Stderr, "notaryd:", err)
	if errors.As(err, new(usageError)) {
		os.Exit(2)
	}
	os.Exit(1)
}

// usageError is a command that was called wrongly.
type usageError struct{ error }

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		Run: func(cmd *cobra.Command, _ []string) { fmt.Fprintln(cmd.OutOrStdout(), version) },
	}
}
