package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"github.com/mdp/qrterminal/v3"
	"github.com/spf13/cobra"

	"github.com/notarynet/notaryd/client"
	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/utxo"
)

func (a *app) addressCommand() *cobra.Command {
	var qr bool
	var amount, memo string
	c := &cobra.Command{
		Use: "address", GroupID: "money", Short: "Show where to be paid, as text, payment URI or QR code",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			_, w, err := a.current()
			if err != nil {
				return err
			}
			prefix, err := a.addressPrefix(c.Context())
			if err != nil {
				return err
			}
			uri := client.URI{Address: utxo.FormatAddress(prefix, utxo.KeyLock(w.PublicKey).Address()), Memo: memo}
			if amount != "" {
				if uri.Amount, err = client.ParseAmount(amount, client.CoinDecimals); err != nil {
					return err
				}
			}
			if _, err := client.ParseURI(uri.String()); err != nil {
				return err
			}
			view := map[string]string{"wallet": w.Name, "address": uri.Address, "uri": uri.String()}
			return a.print(view, func(out io.Writer) {
				if amount != "" || memo != "" {
					fmt.Fprintln(out, uri)
				} else {
					fmt.Fprintln(out, uri.Address)
				}
				if qr {
					qrterminal.GenerateHalfBlock(uri.String(), qrterminal.M, out)
				}
			})
		},
	}
	c.Flags().BoolVar(&qr, "qr", false, "draw the payment URI as a QR code too")
	c.Flags().StringVar(&amount, "amount", "", "ask for an `amount` of coins: prints a payment URI")
	c.Flags().StringVar(&memo, "memo", "", "ask with a `text` for the receiver: prints a payment URI")
	return c
}

// balanceView is one product in JSON.
type balanceView struct {
	Product string `json:"product,omitempty"`
	Name    string `json:"name,omitempty"`
	Amount  string `json:"amount"`
	Units   units  `json:"units"`
	Outputs uint64 `json:"outputs"`
}

func viewBalance(b *notaryv1.ProductBalance) balanceView {
	v := balanceView{Units: units(b.GetAmount()), Outputs: b.GetOutputs(), Name: b.GetInfo().GetName()}
	if len(b.GetProduct()) != 0 {
		v.Product = fmt.Sprintf("%x", b.GetProduct())
	}
	v.Amount = client.FormatAmount(b.GetAmount(), decimalsOf(b))
	return v
}

// decimalsOf is how many digits a product's amounts have after the point.
func decimalsOf(b *notaryv1.ProductBalance) uint32 {
	if len(b.GetProduct()) == 0 {
		return client.CoinDecimals
	}
	return min(b.GetInfo().GetDecimals(), client.MaxDecimals)
}

func (a *app) balanceCommand() *cobra.Command {
	return &cobra.Command{
		Use: "balance [ADDRESS]", GroupID: "money", Short: "Show what the wallet, or an address, holds",
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return a.session(c.Context(), func(ctx context.Context, c *client.Client) error {
				address, err := a.addressArg(c, args)
				if err != nil {
					return err
				}
				list, err := c.Balance(ctx, address)
				if err != nil {
					return err
				}
				views := make([]balanceView, len(list))
				for i, b := range list {
					views[i] = viewBalance(b)
				}
				text := c.FormatAddress(address)
				return a.print(map[string]any{"address": text, "balances": views}, func(out io.Writer) {
					if len(views) == 0 {
						fmt.Fprintln(out, "0 coins")
					}
					for _, v := range views {
						fmt.Fprintln(out, v)
					}
				})
			})
		},
	}
}

// String is one line for people.
func (v balanceView) String() string {
	if v.Product == "" {
		return coins(uint64(v.Units))
	}
	return strings.Join(strings.Fields(fmt.Sprintf("%s %s (product %s)", v.Amount, printable(v.Name), v.Product)), " ")
}

// printable keeps what others chose from steering the terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == 0x2028 || r == 0x2029 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return '?'
		}
		return r
	}, s)
}

// addressArg is the address given, or the wallet's own.
func (a *app) addressArg(c *client.Client, args []string) (utxo.Address, error) {
	if len(args) == 1 {
		return c.ParseAddress(args[0])
	}
	_, w, err := a.current()
	if err != nil {
		return utxo.Address{}, err
	}
	return utxo.KeyLock(w.PublicKey).Address(), nil
}

// coinView is a live output in JSON.
type coinView struct {
	Outpoint    string `json:"outpoint"`
	Kind        string `json:"kind"`
	Product     string `json:"product,omitempty"`
	Units       units  `json:"units"`
	FinalMS     uint64 `json:"final_ms"`
	NotBeforeMS uint64 `json:"not_before_ms,omitempty"`
	MinAgeMS    uint64 `json:"min_age_ms,omitempty"`
	// Counterparty has to sign too.
	Counterparty string `json:"counterparty,omitempty"`
	Spendable    bool   `json:"spendable"`

	terms string
}

func (a *app) utxosCommand() *cobra.Command {
	return &cobra.Command{
		Use: "utxos [ADDRESS]", GroupID: "money", Short: "List live outputs", Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return a.session(c.Context(), func(ctx context.Context, c *client.Client) error {
				address, err := a.addressArg(c, args)
				if err != nil {
					return err
				}
				list, err := c.Coins(ctx, address)
				if err != nil {
					return err
				}
				now := uint64(a.now().UnixMilli())
				views := make([]coinView, len(list))
				for i, coin := range list {
					o := &coin.Output
					views[i] = coinView{
						Outpoint: coin.Outpoint.String(), Kind: kindName(o.Kind),
						Product: productText(o.Product), Units: units(o.Amount), FinalMS: coin.FinalMS,
						NotBeforeMS: o.NotBeforeMS, MinAgeMS: o.MinAgeMS, Spendable: coin.Spendable(now), terms: terms(o, c.FormatAddress),
					}
					if !o.Counterparty.IsZero() {
						views[i].Counterparty = c.FormatAddress(o.Counterparty)
					}
				}
				return a.print(views, func(out io.Writer) {
					table(out, func(out io.Writer) {
						for _, v := range views {
							fmt.Fprintf(out, "%s\t%s\t%s\n", v.Outpoint, v.Kind, v.worth())
						}
					})
					if len(views) == 0 {
						fmt.Fprintln(out, "no live outputs")
					}
				})
			})
		},
	}
}

func (v coinView) worth() string {
	text := coins(uint64(v.Units))
	if v.Product != "" {
		text = fmt.Sprintf("%d units of %s", v.Units, short(v.Product))
	}
	return text + v.terms
}

// terms tells what keeps the owner of an output from spending it at once and alone, for people.
func terms(o *utxo.Output, address func(utxo.Address) string) (text string) {
	if o.NotBeforeMS != 0 {
		text += ", not before " + instant(o.NotBeforeMS)
	}
	if o.MinAgeMS != 0 {
		age := time.Duration(min(o.MinAgeMS, uint64(math.MaxInt64/time.Millisecond))) * time.Millisecond
		text += fmt.Sprintf(", not within %s of its becoming final", age)
	}
	if !o.Counterparty.IsZero() {
		text += ", not without the counterparty " + address(o.Counterparty)
	}
	return text
}

// productArg finds a product by id or by the name that its issuer gave it, among what the address
// holds, and how many decimals it has. The native coin is the empty text.
func productArg(ctx context.Context, c *client.Client, owner utxo.Address, text string) (utxo.Product, uint32, error) {
	if text == "" {
		return utxo.Product{}, client.CoinDecimals, nil
	}
	list, err := c.Balance(ctx, owner)
	if err != nil {
		return utxo.Product{}, 0, err
	}
	id, notID := domain.ParseHash(text)
	var found []*notaryv1.ProductBalance
	for _, b := range list {
		if notID == nil && string(b.GetProduct()) == string(id[:]) || notID != nil && len(b.GetProduct()) != 0 && b.GetInfo().GetName() == text {
			found = append(found, b)
		}
	}
	switch {
	case len(found) == 1:
		return utxo.Product(found[0].GetProduct()), decimalsOf(found[0]), nil
	case len(found) > 1:
		return utxo.Product{}, 0, usage("%d products call themselves %q: name one by its id, see notary balance", len(found), text)
	case notID == nil:
		return id, 0, nil // none of it here, which is for the choice of coins to say
	}
	return utxo.Product{}, 0, &failure{exitFunds, "INSUFFICIENT_FUNDS", "see notary balance", fmt.Errorf("the wallet holds no product called %q", text)}
}
