package main

import (
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/notarynet/notaryd/client/runtimefile"
	"github.com/notarynet/notaryd/node/gossip"
	"github.com/notarynet/notaryd/proto/group"
)

func joinCommand() *cobra.Command {
	var fromSnapshot bool
	c := &cobra.Command{
		Use:   "join DIR",
		Short: "Make one more node, of a peer of its own, for the devnet that runs",
		Long: `join makes the folder of a node that knows the nodes of the running devnet. It has no weight until members
label its peer (notary trust set PEER 1000 --node ...) and a link follows, at most 15 seconds later. With --snapshot it begins
from a snapshot, where more than two thirds of the weight vouch for one.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := runtimefile.Path()
			if err != nil {
				return err
			}
			network, err := runtimefile.Load(path)
			if err != nil {
				return err
			}
			genesis, err := readGenesis(network.Genesis)
			if err != nil {
				return err
			}
			bootstrap, err := addressesBeside(network)
			if err != nil {
				return err
			}
			n := &devnetNode{dir: args[0], name: filepath.Base(args[0])}
			if n.key, err = newKey(); err != nil {
				return err
			}
			if n.master, err = newKey(); err != nil {
				return err
			}
			if err := masterVacant(n.dir, n.master); err != nil {
				return err
			}
			settings := devnetSettings()
			if err := devnetPorts.choose(&n.p2p, &n.api, &n.metric); err != nil {
				return err
			}
			settings["p2p.bootstrap"], settings["snapshot.join"] = bootstrap, fromSnapshot
			settings["p2p.listen"] = []string{fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", n.p2p)}
			settings["api.public"], settings["metrics.listen"] = n.address(n.api), n.address(n.metric)
			if err := initNode(n.dir, genesis, n.key, settings); err != nil {
				return err
			}
			if err := runtimefile.SaveKey(filepath.Join(n.dir, masterName), n.master); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "peer      %s\nnode key  %s\nAPI       %s\n\nnext: notaryd run %s\n",
				group.PeerID(n.master.Public()), n.key.Public(), n.address(n.api), n.dir)
			return nil
		},
	}
	c.Flags().BoolVar(&fromSnapshot, "snapshot", false, "begin from a snapshot that a quorum vouches for")
	return c
}

// addressesBeside are the addresses of a devnet's nodes, from the configuration of each.
func addressesBeside(network *runtimefile.File) (list []string, err error) {
	for _, node := range network.Nodes {
		config, _, err := loadConfig(configPath(filepath.Join(filepath.Dir(network.Genesis), node.Name)), nil)
		if err != nil {
			return nil, err
		}
		_, key, err := identity(config)
		if err != nil {
			return nil, err
		}
		for _, listen := range config.P2P.Listen {
			list = append(list, fmt.Sprintf("%s/p2p/%s", listen, gossip.PeerID(key.Public())))
		}
	}
	return list, nil
}
