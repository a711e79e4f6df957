package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/notarynet/notaryd/client"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/utxo"
)

// sendFlags are what send leaves to choice.
type sendFlags struct {
	product, wait, memo, fee, proof string
}

// payView is a payment in JSON.
type payView struct {
	*outcome
	To       string `json:"to"`
	Amount   string `json:"amount"`
	Units    units  `json:"units"`
	Product  string `json:"product,omitempty"`
	FeeUnits units  `json:"fee_units"`
}

func (a *app) sendCommand() *cobra.Command {
	var f sendFlags
	c := &cobra.Command{
		Use: "send ADDRESS AMOUNT | send URI [AMOUNT]", GroupID: "money", Short: "Pay, and keep the proof",
		Long: "Pays an address or a notary: URI, waits until the payment is final, verifies the proof and writes it\n" +
			"to a file. Sending is safe to interrupt: notary tx pending lists what is under way.",
		Example: "  notary send dnota1... 12.5\n  notary send 'notary:dnota1...?amount=12500000000&memo=tea' --wait accepted",
		Args:    cobra.RangeArgs(1, 2),
		RunE: func(c *cobra.Command, args []string) error {
			level, err := parseLevel(f.wait)
			if err != nil {
				return err
			}
			return a.spend(c.Context(), func(ctx context.Context, c *client.Client) error { return a.send(ctx, c, args, f, level) })
		},
	}
	c.Flags().StringVar(&f.product, "product", "", "pay in a `product`, by id or name, instead of coins")
	c.Flags().StringVar(&f.wait, "wait", "final", "how long to wait: `level` none, pending, accepted or final")
	c.Flags().StringVar(&f.memo, "memo", "", "`text` for the receiver; everyone can read it")
	c.Flags().StringVar(&f.fee, "fee", "0", "`amount` of coins offered to the notaries")
	c.Flags().StringVarP(&f.proof, "output", "o", "", "write the proof to this `file` (default: the id's first 16 digits with .notary)")
	fixedValues(c, "wait", "none", "pending", "accepted", "final")
	return c
}

// fixedValues completes a flag.
func fixedValues(c *cobra.Command, flag string, values ...string) {
	// It fails for flags that do not exist, which tests would show at once.
	if err := c.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err)
	}
}

func parseLevel(text string) (notaryv1.WaitLevel, error) {
	switch text {
	case "none":
		return client.WaitNone, nil
	case "pending":
		return client.WaitPending, nil
	case "accepted":
		return client.WaitAccepted, nil
	case "final":
		return client.WaitFinal, nil
	}
	return 0, usage("--wait %q is none of none, pending, accepted, final", text)
}

func (a *app) send(ctx context.Context, c *client.Client, args []string, f sendFlags, level notaryv1.WaitLevel) error {
	_, w, err := a.current()
	if err != nil {
		return err
	}
	owner := utxo.KeyLock(w.PublicKey).Address()
	payment, memo, decimals, err := a.parsePayment(ctx, c, owner, args, f)
	if err != nil {
		return err
	}
	fee, err := client.ParseAmount(f.fee, client.CoinDecimals)
	if err != nil {
		return err
	}
	if f.proof != "" && level != client.WaitFinal {
		return usage("--output needs --wait final: before that there is no proof")
	}
	terms := client.Terms{Memo: []byte(memo), Fee: fee}
	tx, err := a.build(ctx, c, func(ctx context.Context, from *client.Account) (*client.Transaction, error) {
		return c.BuildPayments(ctx, from, terms, payment)
	})
	if err != nil {
		return err
	}
	out, err := a.finish(ctx, c, tx.ID, tx.Raw, level)
	if err != nil {
		return err
	}
	if err := a.keepProof(out, f.proof); err != nil {
		return err
	}
	view := payView{
		outcome: out, To: c.FormatAddress(payment.To), Amount: client.FormatAmount(payment.Amount, decimals),
		Units: units(payment.Amount), Product: productText(payment.Product), FeeUnits: units(fee),
	}
	return a.print(view, func(w io.Writer) {
		what := coins(payment.Amount)
		if view.Product != "" {
			what = view.Amount + " of product " + view.Product
		}
		fmt.Fprintf(w, "sent %s to %s\n%s\n", what, view.To, out)
		if out.ProofFile != "" {
			fmt.Fprintf(w, "proof: %s\n", out.ProofFile)
		}
	})
}

// parsePayment understands ADDRESS AMOUNT and URI [AMOUNT].
func (a *app) parsePayment(ctx context.Context, c *client.Client, owner utxo.Address, args []string, f sendFlags) (p client.Payment, memo string, decimals uint32, err error) {
	uri, memo := client.URI{Address: args[0]}, f.memo
	if client.IsURI(args[0]) {
		if uri, err = client.ParseURI(args[0]); err != nil {
			return p, "", 0, err
		}
		if memo == "" {
			memo = uri.Memo
		}
	}
	if p.To, err = c.ParseAddress(uri.Address); err != nil {
		return p, "", 0, err
	}
	product := f.product
	if !uri.Product.IsZero() {
		if product != "" && !strings.EqualFold(product, uri.Product.String()) {
			return p, "", 0, usage("--product names another product than the URI")
		}
		product = uri.Product.String()
	} else if product != "" && uri.Amount != 0 {
		return p, "", 0, usage("the URI states an amount of coins, and --product names something else") // in other units
	}
	if p.Product, decimals, err = productArg(ctx, c, owner, product); err != nil {
		return p, "", 0, err
	}
	switch {
	case len(args) == 2 && uri.Amount != 0:
		return p, "", 0, usage("the URI states the amount already")
	case len(args) == 2:
		p.Amount, err = client.ParseAmount(args[1], decimals)
	case uri.Amount == 0:
		return p, "", 0, usage("no amount given")
	default:
		p.Amount = uri.Amount
	}
	if err == nil && p.Amount == 0 {
		err = usage("the amount is zero")
	}
	return p, memo, decimals, err
}
