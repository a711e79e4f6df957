package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/notarynet/notaryd/client"
	"github.com/notarynet/notaryd/client/runtimefile"
	"github.com/notarynet/notaryd/client/wallet"
)

// faucetAmount is given where no amount is asked for, in coins.
const faucetAmount = "100"

func (a *app) faucetCommand() *cobra.Command {
	var amount string
	c := &cobra.Command{
		Use: "faucet [ADDRESS]", GroupID: "dev", Short: "Get play money on a devnet, for the wallet or an address",
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			give, err := client.ParseAmount(amount, client.CoinDecimals)
			if err != nil {
				return err
			}
			if give == 0 {
				return usage("the amount is zero")
			}
			return a.session(c.Context(), func(ctx context.Context, c *client.Client) error {
				to, err := a.addressArg(c, args)
				if err != nil {
					return err
				}
				out, err := a.give(ctx, c, client.Payment{To: to, Amount: give})
				if err != nil {
					return err
				}
				view := payView{outcome: out, To: c.FormatAddress(to), Amount: client.FormatAmount(give, client.CoinDecimals), Units: units(give)}
				return a.print(view, func(w io.Writer) { fmt.Fprintf(w, "%s for %s\n%s\n", coins(give), view.To, out) })
			})
		},
	}
	c.Flags().StringVar(&amount, "amount", faucetAmount, "`amount` of coins")
	return c
}

// faucet is the account that the devnet gives from. It is taken only where the node belongs to the
// devnet of the runtime file.
func (a *app) faucet(c *client.Client) (*client.Account, string, error) {
	local, err := a.runtime()
	if err != nil {
		return nil, "", fmt.Errorf("the faucet belongs to a devnet on this machine: %w", err)
	}
	if local.NetworkID != c.Genesis().ID.String() {
		return nil, "", &failure{exitNetwork, "WRONG_NETWORK", "leave --node out", errors.New("the node is not of the devnet on this machine, which has the faucet")}
	}
	if local.FaucetKey == "" {
		return nil, "", &failure{exitFailed, "NO_FAUCET", "start the devnet with a faucet", errors.New("the devnet has no faucet")}
	}
	key, err := runtimefile.LoadKey(local.FaucetKey)
	if err != nil {
		return nil, "", err
	}
	return client.NewAccount(key), local.FaucetKey, nil
}

// give pays from the faucet. Programs take turns, each until its payment is final, for all use one key.
func (a *app) give(ctx context.Context, c *client.Client, p client.Payment) (out *outcome, err error) {
	from, path, err := a.faucet(c)
	if err != nil {
		return nil, err
	}
	unlock, err := wallet.LockFile(ctx, path+".lock")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	tx, err := c.BuildPayments(ctx, from, client.Terms{}, p)
	if err != nil {
		return nil, err
	}
	return a.follow(ctx, c, tx.ID, tx.Raw, client.WaitFinal)
}
