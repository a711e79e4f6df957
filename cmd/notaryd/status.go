package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/notarynet/notaryd/client/runtimefile"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
)

func statusCommand() *cobra.Command {
	var node string
	var asJSON bool
	c := &cobra.Command{
		Use:   "status",
		Short: "What a running node says of itself",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			targets := []string{node}
			if node == "" {
				var err error
				if targets, err = devnetNodes(); err != nil {
					return err
				}
			}
			for _, t := range targets {
				info, err := networkOf(cmd.Context(), t)
				if err != nil {
					return fmt.Errorf("node at %s: %w", t, err)
				}
				problems, err := readiness(cmd.Context(), t)
				if err != nil {
					return fmt.Errorf("node at %s: %w", t, err)
				}
				if asJSON {
					fmt.Fprintln(cmd.OutOrStdout(), protojson.Format(info))
					continue
				}
				printStatus(cmd.OutOrStdout(), t, info, problems)
			}
			return nil
		},
	}
	c.Flags().StringVar(&node, "node", "", "host:port of the node (default: all nodes of the running devnet)")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// devnetNodes are the nodes of the devnet that runs on this machine.
func devnetNodes() ([]string, error) {
	path, err := runtimefile.Path()
	if err != nil {
		return nil, err
	}
	file, err := runtimefile.Load(path)
	if err != nil {
		return nil, fmt.Errorf("%w (name a node with --node)", err)
	}
	var out []string
	for _, n := range file.Nodes {
		out = append(out, n.API)
	}
	return out, nil
}

// networkOf asks a node for GetNetwork.
func networkOf(ctx context.Context, target string) (*notaryv1.GetNetworkResponse, error) {
	conn, err := grpc.NewClient(target, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return notaryv1.NewNotaryServiceClient(conn).GetNetwork(ctx, &notaryv1.GetNetworkRequest{})
}

func printStatus(w io.Writer, target string, n *notaryv1.GetNetworkResponse, problems []string) {
	id, _ := domain.HashFrom(n.NetworkId)
	key, _ := domain.HashFrom(n.NodeKey)
	percent := func(w uint64) string {
		tenths := (w*1000 + uint64(group.Total)/2) / uint64(group.Total)
		return fmt.Sprintf("%d.%d %%", tenths/10, tenths%10)
	}
	fmt.Fprintf(w, "node       %s, version %s\n", target, n.Version)
	state := "ready"
	if len(problems) > 0 {
		state = "not ready: " + sentence(problems)
	}
	fmt.Fprintf(w, "state      %s\n", state)
	fmt.Fprintf(w, "network    %s (%s), epoch %d\n", n.Name, id, n.GroupEpoch)
	fmt.Fprintf(w, "node key   %s, %s of the weight\n", key, percent(n.NodeWeight))
	fmt.Fprintf(w, "online     %s of the weight heard from, more than 66.7 %% needed; %d peers\n", percent(n.OnlineWeight), n.ConnectedPeers)
	fmt.Fprintf(w, "ledger     %d final transactions, %d live outputs\n", n.FinalTransactions, n.LiveOutputs)
	for _, line := range snapshots(n.Snapshots, percent) {
		fmt.Fprintf(w, "snapshots  %s\n", line)
	}
	fmt.Fprintf(w, "behind     %s\n\n", behind(n.CatchUp))
}

// snapshots says what the node began from, and what it offers.
func snapshots(s *notaryv1.SnapshotStatus, percent func(uint64) string) (lines []string) {
	at := func(ms uint64) string { return time.UnixMilli(int64(ms)).UTC().Format(time.DateTime) }
	if s.GetBeganMs() > 0 {
		lines = append(lines, fmt.Sprintf("begins at %s: %d final transactions and %d outputs from a snapshot that %s of the weight vouched for", at(s.BeganMs), s.BeganFinals, s.BeganOutputs, percent(s.BeganWeight)))
	}
	if s.GetOfferedMs() > 0 {
		lines = append(lines, fmt.Sprintf("offers that of %s, %d MB, %.8x", at(s.OfferedMs), s.OfferedBytes/1_000_000, s.OfferedManifest))
	}
	return lines
}

// behind says how far a node is behind the network, and what it can do meanwhile.
func behind(c *notaryv1.CatchUp) string {
	var text string
	switch {
	case c.GetFinalElsewhere() == 0:
		text = "not known yet: too few members have said how much is final with them"
	case c.Missing == 0:
		text = "nothing"
	default:
		text = fmt.Sprintf("%d of %d final transactions are missing", c.Missing, c.FinalElsewhere)
		if c.PerSecond > 0 {
			text += fmt.Sprintf(", %d a second come, about %v left", c.PerSecond, (time.Duration(c.EtaMs) * time.Millisecond).Round(time.Second))
		}
	}
	if c.GetStalled() != "" {
		text += "; " + c.Stalled
	}
	can := func(what string, yes bool) string {
		if yes {
			return "can " + what + " now"
		}
		return "cannot " + what + " yet"
	}
	return text + "; " + can("verify", c.GetCanVerify()) + ", " + can("vote", c.GetCanVote())
}
