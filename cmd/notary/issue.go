package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/notarynet/notaryd/client"
)

// issueView is a new product in JSON.
type issueView struct {
	*outcome
	Product  string `json:"product"`
	Name     string `json:"name"`
	Decimals uint32 `json:"decimals"`
	Supply   string `json:"supply"`
	Units    units  `json:"units"`
}

func (a *app) issueCommand() *cobra.Command {
	var issue client.Issue
	var proof string
	c := &cobra.Command{
		Use: "issue SUPPLY --name NAME", GroupID: "money", Short: "Make a product of one's own",
		Long: "Issues a new product: its whole supply, which can never grow, goes to the wallet. The product id is\n" +
			"unique; the name is not, and decides nothing.",
		Example: "  notary issue 1000000 --name Tea\n  notary issue 21000.50 --name Cents --decimals 2",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if issue.Name == "" {
				return usage("a product needs a --name")
			}
			if issue.Decimals > client.MaxDecimals {
				return usage("--decimals is at most %d", client.MaxDecimals)
			}
			var err error
			if issue.Supply, err = client.ParseAmount(args[0], issue.Decimals); err != nil {
				return err
			}
			if issue.Supply == 0 {
				return usage("the supply is zero")
			}
			return a.spend(c.Context(), func(ctx context.Context, c *client.Client) error {
				tx, err := a.build(ctx, c, func(ctx context.Context, from *client.Account) (*client.Transaction, error) {
					return c.BuildIssue(ctx, from, client.Terms{}, issue)
				})
				if err != nil {
					return err
				}
				out, err := a.finish(ctx, c, tx.ID, tx.Raw, client.WaitFinal)
				if err != nil {
					return err
				}
				if err := a.keepProof(out, proof); err != nil {
					return err
				}
				view := issueView{out, tx.Issues().String(), issue.Name, issue.Decimals, client.FormatAmount(issue.Supply, issue.Decimals), units(issue.Supply)}
				return a.print(view, func(w io.Writer) {
					fmt.Fprintf(w, "issued %s %s: product %s\n%s\nproof: %s\n", view.Supply, printable(view.Name), view.Product, out, out.ProofFile)
				})
			})
		},
	}
	c.Flags().StringVar(&issue.Name, "name", "", "what to call the product, at most 64 bytes")
	c.Flags().Uint32Var(&issue.Decimals, "decimals", 0, "digits after the point when amounts are shown")
	c.Flags().StringVarP(&proof, "output", "o", "", "write the proof to this `file` (default: the id's first 16 digits with .notary)")
	return c
}
