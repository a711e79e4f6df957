package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/notarynet/notaryd/client"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
)

// peerView is a member of the group in JSON.
type peerView struct {
	PeerID     string   `json:"peer_id"`
	Name       string   `json:"name,omitempty"`
	Weight     uint64   `json:"weight"`
	NodeKeys   []string `json:"node_keys"`
	Heights    []uint64 `json:"heights"`
	Online     bool     `json:"online"`
	LastSeenMS uint64   `json:"last_seen_ms,omitempty"`
	Convicted  bool     `json:"convicted"`
}

func viewPeer(p *notaryv1.PeerSummary) peerView {
	return peerView{
		PeerID: hex.EncodeToString(p.GetPeerId()), Name: p.GetName(), Weight: p.GetWeight(), NodeKeys: hexes(p.GetNodeKeys()),
		Heights: append([]uint64{}, p.GetHeights()...), Online: p.GetOnline(), LastSeenMS: p.GetLastSeenMs(), Convicted: p.GetConvicted(),
	}
}

func (a *app) peersCommand() *cobra.Command {
	return &cobra.Command{
		Use: "peers", GroupID: "look", Short: "List who decides: weights, who is online, who broke a rule", Args: cobra.NoArgs,
		Long: "Lists the members of the group that decides, heaviest first, with the share of each, whether the node\n" +
			"has heard of it within three heartbeats, and whether there is evidence against it.",
		RunE: func(c *cobra.Command, _ []string) error {
			return a.session(c.Context(), func(ctx context.Context, c *client.Client) error {
				list, err := c.Peers(ctx)
				if err != nil {
					return err
				}
				network, err := c.Network(ctx)
				if err != nil {
					return err
				}
				view := struct {
					Peers  []peerView `json:"peers"`
					Online uint64     `json:"online_weight"`
					Quorum uint64     `json:"quorum_weight"`
					Epoch  uint64     `json:"group_epoch"`
				}{[]peerView{}, network.GetOnlineWeight(), uint64(group.QuorumWeight), network.GetGroupEpoch()}
				for _, p := range list {
					view.Peers = append(view.Peers, viewPeer(p))
				}
				return a.print(view, func(w io.Writer) {
					writePeers(w, view.Peers, a.now(), a.nodeNames(c))
					writeOnline(w, network.GetOnlineWeight())
				})
			})
		},
	}
}

func writePeers(w io.Writer, list []peerView, now time.Time, names nodeNames) {
	table(w, func(w io.Writer) {
		fmt.Fprintln(w, "peer\tweight\tstate\tlast heard\tnodes\tobservations")
		for _, p := range list {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", p.label(names), percent(p.Weight), p.state(), p.heard(now), p.nodes(names), p.heights())
		}
	})
}

func (p peerView) label(names nodeNames) string {
	if p.Name != "" {
		return printable(p.Name) + " " + short(p.PeerID)
	}
	return short(p.PeerID)
}

func (p peerView) state() string {
	state := "offline"
	if p.Online {
		state = "online"
	}
	if p.Convicted {
		state += ", CONVICTED"
	}
	return state
}

func (p peerView) heard(now time.Time) string {
	if p.LastSeenMS == 0 {
		return "never" // since the node started
	}
	return ago(p.LastSeenMS, now)
}

func (p peerView) nodes(names nodeNames) string {
	var list []string
	for _, key := range p.NodeKeys {
		list = append(list, names.of(key))
	}
	return strings.Join(list, ", ")
}

func (p peerView) heights() string {
	var list []string
	for _, h := range p.Heights {
		list = append(list, fmt.Sprint(h))
	}
	return strings.Join(list, ", ")
}

func writeOnline(w io.Writer, online uint64) {
	verdict := "payments can become final"
	if !group.Quorum(group.Weight(online)) {
		verdict = "nothing can become final until more is"
	}
	fmt.Fprintf(w, "%s of the weight is online, more than %s is needed: %s\n", percent(online), percent(uint64(group.QuorumWeight)), verdict)
}
