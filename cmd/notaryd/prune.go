package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
)

func pruneCommand() *cobra.Command {
	var age time.Duration
	var keep []string
	var asJSON bool
	c := &cobra.Command{
		Use:   "prune DIR --older-than AGE [--keep ADDRESS...]",
		Short: "Drop old observations of a running node, to free disk",
		Long: `prune has the running node in DIR drop the observations that are older than AGE. They are most of what a node
stores. What is gone with them: the acceptance proofs of transactions that old, but for those that pay to or spend
from an ADDRESS named here or in store.keep_addresses. Transactions, balances, votes on what is undecided and
evidence stay. It works on a full disk.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			config, _, err := loadConfig(configPath(args[0]), nil)
			if err != nil {
				return err
			}
			if !runs(config) {
				return fmt.Errorf("no node answers on %s: prune asks the running node", config.API.Admin)
			}
			request := &notaryv1.PruneRequest{
				OlderThanMs: uint64(max(age, 0).Milliseconds()), KeepAddresses: append(keep, config.Store.KeepAddresses...),
			}
			return operate(cmd.Context(), config, func(ctx context.Context, admin notaryv1.AdminServiceClient) error {
				r, err := admin.Prune(ctx, request)
				if err != nil {
					return err
				}
				if asJSON {
					return printJSON(map[string]any{
						"bytes_freed": r.BytesFreed, "before_ms": r.BeforeMs, "proofs_kept": r.ProofsKept, "proofs_gone": r.ProofsGone,
					})
				}
				fmt.Fprintf(cmd.OutOrStdout(), "before        %s\nfreed         about %s, in the background\nproofs kept   %d\n",
					time.UnixMilli(int64(r.BeforeMs)).UTC().Format(time.DateTime), bytesText(r.BytesFreed), r.ProofsKept)
				if r.ProofsGone > 0 {
					fmt.Fprintf(cmd.OutOrStdout(), "proofs gone   %d: an earlier prune did not know these addresses\n", r.ProofsGone)
				}
				return nil
			})
		},
	}
	c.Flags().DurationVar(&age, "older-than", 0, "age of what goes, at least 1h (720h is a month)")
	c.Flags().StringArrayVar(&keep, "keep", nil, "keep the proofs of this address's transactions")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	if err := c.MarkFlagRequired("older-than"); err != nil {
		panic(err)
	}
	return c
}
