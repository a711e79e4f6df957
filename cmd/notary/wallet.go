package main

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/notarynet/notaryd/client/wallet"
)

// walletView is a wallet in JSON.
type walletView struct {
	Name      string `json:"name"`
	Default   bool   `json:"default"`
	Account   uint32 `json:"account"`
	PublicKey string `json:"public_key"`
	CreatedMS uint64 `json:"created_ms"`
	// Words is stated by new and export alone.
	Words string `json:"words,omitempty"`
}

func viewWallet(store *wallet.Store, w *wallet.Wallet) walletView {
	main, err := store.Default()
	return walletView{
		Name: w.Name, Default: err == nil && main == w.Name, Account: w.Account,
		PublicKey: w.PublicKey.String(), CreatedMS: w.CreatedMS,
	}
}

func (a *app) walletCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "wallet", GroupID: "setup", Short: "Make, list and restore wallets",
		Long: "A wallet is one key, made from 24 words (BIP-39; SLIP-10 ed25519 at m/44'/1852798049'/account').\n" +
			"It is kept in one file, encrypted with age under a passphrase. Addresses and balances need no passphrase.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(a.walletNew(), a.walletList(), a.walletUse(), a.walletExport(), a.walletRestore())
	return c
}

func (a *app) walletNew() *cobra.Command {
	var account uint32
	var hideWords bool
	c := &cobra.Command{
		Use: "new [NAME]", Short: "Make a wallet from new random words (NAME: main)",
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			words, err := wallet.NewWords()
			if err != nil {
				return err
			}
			store, w, err := a.create(nameArg(args), words, account)
			if err != nil {
				return err
			}
			view := viewWallet(store, w)
			if !hideWords {
				view.Words = words
			}
			return a.print(view, func(out io.Writer) {
				fmt.Fprintf(out, "wallet %s made\n", w.Name)
				if !hideWords {
					fmt.Fprintf(out, "\nWrite these 24 words down and keep them safe: whoever has them has the money,\nand without them a lost file or passphrase cannot be replaced.\n\n%s\n", grid(words))
				}
			})
		},
	}
	c.Flags().Uint32Var(&account, "account", 0, "account `number`, the last step of the derivation path")
	c.Flags().BoolVar(&hideWords, "hide-words", false, "do not print the words; wallet export shows them later")
	return c
}

func (a *app) walletRestore() *cobra.Command {
	var account uint32
	var file string
	c := &cobra.Command{
		Use: "restore [NAME]", Short: "Make a wallet from its 24 words, typed in or piped in",
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			typed, err := a.readWords(file)
			if err != nil {
				return err
			}
			words, err := wallet.ParseWords(typed)
			if err != nil {
				return err
			}
			store, w, err := a.create(nameArg(args), words, account)
			if err != nil {
				return err
			}
			return a.print(viewWallet(store, w), func(out io.Writer) { fmt.Fprintf(out, "wallet %s restored\n", w.Name) })
		},
	}
	c.Flags().Uint32Var(&account, "account", 0, "account `number`, the last step of the derivation path")
	c.Flags().StringVar(&file, "words-file", "", "read the words from a `file` instead")
	return c
}

// readWords takes the words from a file, from a person, or from standard input, up to the end or to 24 words.
func (a *app) readWords(file string) (string, error) {
	in := a.in
	if file != "" {
		f, err := os.Open(file)
		if err != nil {
			return "", usage("--words-file: %v", err)
		}
		defer f.Close()
		in = f
	} else if a.secret != nil {
		return a.askWords()
	}
	var words []string
	scan := bufio.NewScanner(io.LimitReader(in, 1<<16))
	for len(words) < wallet.WordCount && scan.Scan() {
		words = append(words, strings.Fields(scan.Text())...)
	}
	return strings.Join(words, " "), scan.Err()
}

// askWords takes the words from a person, on one or several lines, which the terminal does not show: it may keep what it
// shows, and others may see it. An empty line ends them.
func (a *app) askWords() (string, error) {
	var words []string
	prompt := "The 24 words, which are not shown: "
	for len(words) < wallet.WordCount {
		line, err := a.secret(prompt)
		if err != nil {
			return "", fmt.Errorf("ask for the words: %w", err)
		}
		more := strings.Fields(line)
		if len(more) == 0 {
			break
		}
		words = append(words, more...)
		prompt = fmt.Sprintf("%d of 24 words, go on: ", len(words))
	}
	return strings.Join(words, " "), nil
}

// create makes a wallet under a passphrase that is asked for twice.
func (a *app) create(name, words string, account uint32) (*wallet.Store, *wallet.Wallet, error) {
	store, err := a.store()
	if err != nil {
		return nil, nil, err
	}
	if account > wallet.MaxAccount {
		return nil, nil, usage("--account is at most %d", wallet.MaxAccount)
	}
	if _, err := store.Get(name); !errors.Is(err, wallet.ErrNoWallet) {
		// Before anybody is asked for anything.
		return nil, nil, cmp.Or(err, fmt.Errorf("%w: %s", wallet.ErrExists, name))
	}
	pass, err := a.passphrase("Passphrase for the new wallet: ", true)
	if err != nil {
		return nil, nil, err
	}
	w, err := store.Create(name, words, account, pass, uint64(a.now().UnixMilli()))
	return store, w, err
}

func nameArg(args []string) string {
	if len(args) == 0 {
		return "main"
	}
	return args[0]
}

// grid writes 24 words as people copy them: numbered, four a line.
func grid(words string) string {
	var b strings.Builder
	for i, word := range strings.Fields(words) {
		fmt.Fprintf(&b, "%4d. %-8s", i+1, word)
		if i%4 == 3 {
			b.WriteString("\n")
		}
	}
	lines := strings.Split(b.String(), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.Join(lines, "\n")
}

func (a *app) walletList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List wallets; a star marks the default", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			store, err := a.store()
			if err != nil {
				return err
			}
			all, err := store.List()
			if err != nil {
				return err
			}
			views := make([]walletView, len(all))
			for i, w := range all {
				views[i] = viewWallet(store, w)
			}
			return a.print(views, func(out io.Writer) {
				if len(views) == 0 {
					fmt.Fprintln(out, "no wallets; make one with notary wallet new")
					return
				}
				table(out, func(out io.Writer) {
					for _, v := range views {
						mark := " "
						if v.Default {
							mark = "*"
						}
						fmt.Fprintf(out, "%s %s\taccount %d\tkey %s\tmade %s\n", mark, v.Name, v.Account, short(v.PublicKey), instant(v.CreatedMS))
					}
				})
			})
		},
	}
}

func (a *app) walletUse() *cobra.Command {
	return &cobra.Command{
		Use: "use NAME", Short: "Make a wallet the default", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			store, err := a.store()
			if err != nil {
				return err
			}
			if err := store.SetDefault(args[0]); err != nil {
				return err
			}
			w, err := store.Get(args[0])
			if err != nil {
				return err
			}
			return a.print(viewWallet(store, w), func(out io.Writer) { fmt.Fprintf(out, "wallet %s is the default\n", w.Name) })
		},
	}
}

func (a *app) walletExport() *cobra.Command {
	return &cobra.Command{
		Use: "export [NAME]", Short: "Show the 24 words of a wallet", Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 1 {
				a.walletName = args[0]
			}
			store, w, err := a.current()
			if err != nil {
				return err
			}
			open, err := a.unlock(w)
			if err != nil {
				return err
			}
			view := viewWallet(store, w)
			view.Words = open.Words
			return a.print(view, func(out io.Writer) { fmt.Fprintf(out, "%s\naccount %d\n", grid(open.Words), w.Account) })
		},
	}
}
