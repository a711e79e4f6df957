package main

import (
	"encoding/hex"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
)

func certifyCommand() *cobra.Command {
	var peer string
	var epoch uint32
	c := &cobra.Command{
		Use:   "certify DIR --peer ID",
		Short: "Have a node's key agree to belong to a peer whose master key is kept elsewhere",
		Long: `certify prints what notary trust publish takes: the node's public key, the signing epoch in which it votes, its
BLS key, and the signatures by which the node agrees to belong to the peer. None of it is secret.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := domain.ParseHash(peer)
			if err != nil {
				return usageError{fmt.Errorf("--peer: %w", err)}
			}
			config, _, err := loadConfig(configPath(args[0]), nil)
			if err != nil {
				return err
			}
			genesis, key, err := identity(config)
			if err != nil {
				return err
			}
			b, err := group.Certify(key, epoch, genesis.ID, id).WithBLS(key).Encode()
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), hex.EncodeToString(b))
			return nil
		},
	}
	c.Flags().StringVar(&peer, "peer", "", "peer id: H of the master key, as notary trust publish prints it")
	c.Flags().Uint32Var(&epoch, "signing-epoch", 0, "the signing epoch of the node's store (notaryd restore raises it)")
	if err := c.MarkFlagRequired("peer"); err != nil {
		panic(err)
	}
	return c
}
