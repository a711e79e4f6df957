package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/notarynet/notaryd/client"
	"github.com/notarynet/notaryd/client/wallet"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/utxo"
)

// cancelView is a cancelled transaction in JSON; the rest is of the one that took its coins back.
type cancelView struct {
	Cancelled string `json:"cancelled"`
	*outcome
}

func (a *app) txCancel() *cobra.Command {
	var path, fee string
	c := &cobra.Command{
		Use: "cancel TX", Short: "Spend the coins of a transaction under way back to the wallet, so that it can never be final",
		Long: "Pays the coins of a transaction under way back to the wallet. Of two transactions that spend one coin at most one\n" +
			"becomes final: when it is this one, its proof shows that the other never will be, whatever any node says. When\n" +
			"the other one wins, or has won already, that is told and proven too, and nothing is paid twice.",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			id, err := idArg(args[0])
			if err != nil {
				return err
			}
			offered, err := client.ParseAmount(fee, client.CoinDecimals)
			if err != nil {
				return err
			}
			if _, err := a.pending(id); err != nil {
				return err
			}
			return a.spend(c.Context(), func(ctx context.Context, c *client.Client) error {
				return a.cancel(ctx, c, id, client.Terms{Fee: offered}, path)
			})
		},
	}
	c.Flags().StringVar(&fee, "fee", "0", "`amount` of coins offered to the notaries")
	c.Flags().StringVarP(&path, "output", "o", "", "write the proof to this `file` (default: the id's first 16 digits with .notary)")
	return c
}

func (a *app) cancel(ctx context.Context, c *client.Client, id domain.Hash, terms client.Terms, path string) error {
	tx, err := a.build(ctx, c, func(ctx context.Context, from *client.Account) (*client.Transaction, error) {
		coins, err := a.coinsOf(ctx, c, from.Address, id)
		if err != nil {
			return nil, err
		}
		return c.Spend(from, terms, coins, nil)
	})
	if err != nil {
		return err
	}
	out, err := a.finish(ctx, c, tx.ID, tx.Raw, client.WaitFinal)
	var dead *client.DeadError
	if errors.As(err, &dead) && dead.Rival == id {
		return tooLate(id)
	}
	if err != nil {
		return err
	}
	if err := a.keepProof(out, path); err != nil {
		return err
	}
	return a.print(cancelView{id.String(), out}, func(w io.Writer) {
		fmt.Fprintf(w, "cancelled: transaction %s will never be final, for %s has spent its coins\n%s\nproof: %s\n", id, out.ID, out, out.ProofFile)
	})
}

// tooLate is the error of a cancellation that has lost.
func tooLate(id domain.Hash) error {
	return &failure{exitFailed, "ALREADY_FINAL", "keep its proof with notary proof get " + id.String(),
		fmt.Errorf("too late: transaction %s is proven to be final, so it was paid", id)}
}

// coinsOf are the coins of a transaction under way that are there to be spent once more. One of them is enough to
// keep it from becoming final; those that are not live may never have been.
func (a *app) coinsOf(ctx context.Context, c *client.Client, owner utxo.Address, id domain.Hash) ([]client.Coin, error) {
	p, err := a.pending(id)
	if err != nil { // decided since
		if _, _, final := c.ShortProof(ctx, id); final == nil {
			return nil, tooLate(id)
		}
		return nil, err
	}
	if p.Network != c.Genesis().ID {
		return nil, &failure{exitNetwork, "WRONG_NETWORK", "name one of its nodes with --node", fmt.Errorf("transaction %s belongs to network %s", id, p.Network)}
	}
	if err := a.notCancelled(p); err != nil {
		return nil, err
	}
	all, err := c.Coins(ctx, owner)
	if err != nil {
		return nil, err
	}
	now := uint64(a.now().UnixMilli())
	coins := slices.DeleteFunc(all, func(coin client.Coin) bool {
		return !slices.Contains(p.Spends, coin.Outpoint) || !coin.Spendable(now)
	})
	if len(coins) == 0 {
		return nil, &failure{exitOpen, "OUTPOINT_SPENT", "notary tx resubmit " + id.String() + " tells by what, here or at another node with --node",
			fmt.Errorf("the node lists no coin of transaction %s that could be spent: what became of it is open", id)}
	}
	return coins, nil
}

// notCancelled refuses to cancel a transaction a second time while it is being cancelled.
func (a *app) notCancelled(p *wallet.Pending) error {
	store, w, err := a.current()
	if err != nil {
		return err
	}
	list, err := store.Pending(w.Name)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(list, func(q wallet.Pending) bool { return q.ID == p.ID })
	for _, later := range list[at+1:] {
		if slices.ContainsFunc(later.Spends, func(o utxo.Outpoint) bool { return slices.Contains(p.Spends, o) }) {
			return &failure{exitOpen, "ALREADY_CANCELLING", "submit that one again with notary tx resubmit " + later.ID.String() + ", or cancel it in its turn",
				fmt.Errorf("transaction %s is under way, which cancels %s", later.ID, p.ID)}
		}
	}
	return nil
}

// forgotView is a transaction that is no longer kept, in JSON.
type forgotView struct {
	ID string `json:"transaction_id"`
	// Transaction is its bytes, which are kept nowhere else.
	Transaction string `json:"transaction"`
}

func (a *app) txForget() *cobra.Command {
	var force bool
	c := &cobra.Command{
		Use: "forget TX", Short: "Stop keeping a transaction under way, whatever may become of it",
		Long: "Takes a transaction off the list of those under way and prints its bytes. It may still become final: what is then\n" +
			"paid in its place is paid twice. notary tx cancel is the safe way; this one is for what cannot be\n" +
			"cancelled, since its coins never were or its network is no more.",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			p, err := a.pendingArg(args[0])
			if err != nil {
				return err
			}
			if !force {
				return &failure{exitUsage, "MAY_BECOME_FINAL", "have its coins back with notary tx cancel " + p.ID.String() + ", or forget it all the same with --force",
					fmt.Errorf("transaction %s may still become final, and what is paid in its place would then be paid twice", p.ID)}
			}
			err = a.pendingChange(c.Context(), func(store *wallet.Store, name string) error { return store.RemovePending(name, p.ID) })
			if err != nil {
				return err
			}
			v := forgotView{p.ID.String(), hex.EncodeToString(p.Raw)}
			return a.print(v, func(w io.Writer) {
				fmt.Fprintf(w, "forgotten: transaction %s, which may still become final\nits bytes: %s\n", v.ID, v.Transaction)
			})
		},
	}
	c.Flags().BoolVar(&force, "force", false, "forget it although it may still become final")
	return c
}
