package main

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
)

// networkView is a trusted network in JSON.
type networkView struct {
	ID            string `json:"network_id"`
	Name          string `json:"name"`
	AddressPrefix string `json:"address_prefix"`
	Seeds         int    `json:"seeds"`
	TimeMS        uint64 `json:"time_ms"`
	Genesis       string `json:"genesis"`
}

func viewNetwork(g *group.Genesis, path string) networkView {
	return networkView{
		ID: g.ID.String(), Name: g.Doc.GetName(), AddressPrefix: g.Doc.GetAddressPrefix(),
		Seeds: len(g.Group.Members()), TimeMS: g.Doc.GetTimeMs(), Genesis: path,
	}
}

func (a *app) networkCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "network", GroupID: "setup", Short: "Show and choose the networks that are trusted",
		Long: "A network is trusted by its genesis document, whose hash is the network id. The first contact with a\n" +
			"node keeps the document and says so; from then on that node is refused if it claims another network.\n" +
			"Proofs are verified against these documents, without any node. Links lead from there to later groups; those\n" +
			"that proofs led to are kept, see notary network groups, and notary network pin makes one a checkpoint.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(a.networkList(), a.networkTrust(), a.networkForget(), a.networkStatus(), a.networkGroups(), a.networkPin())
	return c
}

func (a *app) networkList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List trusted networks", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			store, err := a.store()
			if err != nil {
				return err
			}
			known := store.Networks()
			all, err := known.List()
			if err != nil {
				return err
			}
			views := make([]networkView, len(all))
			for i, g := range all {
				views[i] = viewNetwork(g, known.Path(g.ID))
			}
			return a.print(views, func(out io.Writer) {
				for _, v := range views {
					fmt.Fprintf(out, "%s  %s  %d seeds, since %s\n", v.ID, v.Name, v.Seeds, instant(v.TimeMS))
				}
				if len(views) == 0 {
					fmt.Fprintln(out, "no networks; the first contact with a node adds one, and so does notary network trust FILE")
				}
			})
		},
	}
}

func (a *app) networkTrust() *cobra.Command {
	return &cobra.Command{
		Use: "trust FILE", Short: "Trust the network of a genesis document", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			g, err := readGenesis(args[0])
			if err != nil {
				return err
			}
			store, err := a.store()
			if err != nil {
				return err
			}
			if _, err := store.Networks().Add(g); err != nil {
				return err
			}
			return a.print(viewNetwork(g, store.Networks().Path(g.ID)), func(out io.Writer) {
				fmt.Fprintf(out, "network %s (%s) is trusted\n", g.Doc.GetName(), g.ID)
			})
		},
	}
}

func (a *app) networkForget() *cobra.Command {
	return &cobra.Command{
		Use: "forget NETWORK-ID", Short: "No longer trust a network", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			id, err := domain.ParseHash(args[0])
			if err != nil {
				return usage("%q is not a network id of 64 hexadecimal digits", args[0])
			}
			store, err := a.store()
			if err != nil {
				return err
			}
			if err := store.Networks().Remove(id); err != nil {
				return err
			}
			return a.print(map[string]string{"network_id": id.String()}, func(out io.Writer) { fmt.Fprintf(out, "network %s is forgotten\n", id) })
		},
	}
}

func (a *app) networkStatus() *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Ask the node about itself and its network", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, cancel := a.deadline(c.Context())
			defer cancel()
			conn, err := a.connect(ctx)
			if err != nil {
				return err
			}
			defer conn.Close()
			s, err := conn.Network(ctx)
			if err != nil {
				return err
			}
			view := map[string]any{
				"network_id": conn.Genesis().ID.String(), "name": s.GetName(), "node_key": fmt.Sprintf("%x", s.GetNodeKey()),
				"node_weight": s.GetNodeWeight(), "online_weight": s.GetOnlineWeight(), "group_epoch": s.GetGroupEpoch(),
				"version": s.GetVersion(), "time_ms": s.GetTimeMs(), "connected_peers": s.GetConnectedPeers(),
				"final_transactions": units(s.GetFinalTransactions()), "live_outputs": units(s.GetLiveOutputs()),
			}
			return a.print(view, func(out io.Writer) {
				table(out, func(out io.Writer) {
					fmt.Fprintf(out, "network\t%s (%s)\n", s.GetName(), conn.Genesis().ID)
					fmt.Fprintf(out, "node\t%x, version %s\n", s.GetNodeKey(), s.GetVersion())
					fmt.Fprintf(out, "weight\tthis node %s, online %s\n", percent(s.GetNodeWeight()), percent(s.GetOnlineWeight()))
					fmt.Fprintf(out, "peers\t%d connected\n", s.GetConnectedPeers())
					fmt.Fprintf(out, "ledger\t%d final transactions, %d live outputs, group epoch %d\n", s.GetFinalTransactions(), s.GetLiveOutputs(), s.GetGroupEpoch())
					fmt.Fprintf(out, "clock\t%s\n", instant(s.GetTimeMs()))
				})
			})
		},
	}
}

// readGenesis reads a canonical genesis document from a file.
func readGenesis(path string) (*group.Genesis, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, usage("genesis: %v", err)
	}
	g, err := group.DecodeGenesis(b)
	if err != nil {
		return nil, &failure{exitUsage, "INVALID_GENESIS", "get the file from a source you trust", fmt.Errorf("%s is not a genesis document: %w", path, err)}
	}
	return g, nil
}
