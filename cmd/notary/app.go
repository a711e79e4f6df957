package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/notarynet/notaryd/client"
	"github.com/notarynet/notaryd/client/wallet"
)

// surroundings are what a command touches besides files: tests replace them.
type surroundings struct {
	in       io.Reader
	out, err io.Writer
	env      func(string) string
	now      func() time.Time
	// terminal says that progress may be drawn, width of its columns; secret asks for a passphrase
	// without showing it, and is nil where nobody can be asked.
	terminal bool
	secret   func(prompt string) (string, error)
	// dial is added to every connection.
	dial []client.Option
	// workFactor of new wallets; 0 is the library's own.
	workFactor int
}

// system is the real thing, until ctx ends.
func system(ctx context.Context) surroundings {
	s := surroundings{in: os.Stdin, out: os.Stdout, err: os.Stderr, env: os.Getenv, now: time.Now}
	s.terminal = term.IsTerminal(int(os.Stderr.Fd()))
	if in := int(os.Stdin.Fd()); term.IsTerminal(in) {
		s.secret = func(prompt string) (string, error) {
			shown, err := term.GetState(in)
			if err != nil {
				return "", err
			}
			fmt.Fprint(os.Stderr, prompt)
			defer fmt.Fprintln(os.Stderr)
			return ask(ctx, func() ([]byte, error) { return term.ReadPassword(in) }, func() error { return term.Restore(in, shown) })
		}
	}
	return s
}

// ask waits for an answer, but no longer than ctx: a terminal that is read from does not hear of it, and has to be
// restored, for it shows nothing meanwhile. The reader is left behind to the end of the program.
func ask(ctx context.Context, read func() ([]byte, error), restore func() error) (string, error) {
	type answer struct {
		text []byte
		err  error
	}
	answers := make(chan answer, 1)
	go func() {
		text, err := read()
		answers <- answer{text, err}
	}()
	select {
	case a := <-answers:
		return string(a.text), a.err
	case <-ctx.Done():
		return "", errors.Join(context.Cause(ctx), restore())
	}
}

// app is one run of the program: the surroundings and the flags that all commands share.
type app struct {
	surroundings

	json           bool
	node           string
	home           string
	walletName     string
	passphraseFile string
	timeout        time.Duration
	tls            bool
	tlsCA          string

	typed string // the passphrase, where a person was asked ahead
}

// run executes one command line and returns the exit code.
func run(ctx context.Context, s surroundings, args []string) int {
	a := &app{surroundings: s}
	root := a.root()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	return a.fail(err)
}

// root is the command tree.
func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "notary",
		Short: "Wallet and verifier of a notary network",
		Long: "notary pays, stamps files, and keeps proofs that verify without a node.\n\n" +
			"Against a devnet on this machine it needs no flags: the devnet writes a runtime file that is found.\n" +
			"Amounts are in coins with up to nine decimals; one coin has 1,000,000,000 base units.",
		Version:       version,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usage("%v", err) })
	f := root.PersistentFlags()
	f.BoolVar(&a.json, "json", false, "print one JSON value, for programs")
	f.StringVar(&a.node, "node", a.env("NOTARY_NODE"), "node to talk to, `host:port` (default: the first of the local devnet that answers; $NOTARY_NODE)")
	f.StringVar(&a.home, "home", "", "`directory` of wallets and trusted networks (default $NOTARY_HOME, else ~/.local/share/notary)")
	f.StringVar(&a.walletName, "wallet", a.env("NOTARY_WALLET"), "`name` of the wallet (default: the one set by wallet use; $NOTARY_WALLET)")
	f.StringVar(&a.passphraseFile, "passphrase-file", "", "read the passphrase from the first line of a `file` (default: $NOTARY_PASSPHRASE, else ask)")
	f.DurationVar(&a.timeout, "timeout", 30*time.Second, "how long to wait for the node and the network")
	f.BoolVar(&a.tls, "tls", false, "talk TLS to the node, with the system's authorities")
	f.StringVar(&a.tlsCA, "tls-ca", "", "talk TLS to the node and trust the authorities in a PEM `file`")
	root.AddGroup(
		&cobra.Group{ID: "money", Title: "Money:"},
		&cobra.Group{ID: "proofs", Title: "Proofs:"},
		&cobra.Group{ID: "look", Title: "The network as the node sees it:"},
		&cobra.Group{ID: "setup", Title: "Keys and networks:"},
		&cobra.Group{ID: "dev", Title: "Development:"},
	)
	root.AddCommand(
		a.addressCommand(), a.balanceCommand(), a.utxosCommand(), a.sendCommand(), a.issueCommand(),
		a.stampCommand(), a.verifyCommand(), a.proofCommand(), a.txCommand(),
		a.peersCommand(), a.conflictsCommand(), a.conflictCommand(), a.evidenceCommand(), a.trustCommand(),
		a.walletCommand(), a.networkCommand(),
		a.faucetCommand(), a.benchCommand(), a.demoCommand(),
		a.docsCommand(), exitCodesTopic(),
	)
	classifyArgs(root)
	return root
}

// classifyArgs makes wrong arguments usage errors, everywhere.
func classifyArgs(c *cobra.Command) {
	if check := c.Args; check != nil {
		c.Args = func(c *cobra.Command, args []string) error {
			if err := check(c, args); err != nil {
				return usage("%v", err)
			}
			return nil
		}
	}
	for _, sub := range c.Commands() {
		classifyArgs(sub)
	}
}

// store is the user's wallets and networks.
func (a *app) store() (*wallet.Store, error) {
	dir := a.home
	if dir == "" {
		var err error
		if dir, err = wallet.Dir(a.env); err != nil {
			return nil, err
		}
	}
	s := wallet.NewStore(dir)
	if a.workFactor != 0 {
		s = s.WithWorkFactor(a.workFactor)
	}
	return s, nil
}

// deadline bounds a command that talks to the network.
func (a *app) deadline(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, a.timeout, errTimeout)
}

var errTimeout = errors.New("the time given by --timeout is over")

// tell says something beside the result, on standard error.
func (a *app) tell(format string, args ...any) { fmt.Fprintf(a.err, format+"\n", args...) }
