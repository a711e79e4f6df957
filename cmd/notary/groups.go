package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/notarynet/notaryd/client"
	"github.com/notarynet/notaryd/client/wallet"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// groupView is a trusted group in JSON.
type groupView struct {
	Network string `json:"network_id"`
	Epoch   uint64 `json:"epoch"`
	Link    string `json:"link"`
	Members int    `json:"members"`
	Pinned  bool   `json:"pinned"`
}

func viewGroup(g *group.Group, pinned bool) groupView {
	return groupView{g.Network().String(), g.Epoch(), g.Link().String(), len(g.Members()), pinned}
}

func (a *app) networkGroups() *cobra.Command {
	return &cobra.Command{
		Use: "groups", Short: "List the groups that are trusted: of genesis, those that proofs led to, checkpoints", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			store, err := a.store()
			if err != nil {
				return err
			}
			views := []groupView{}
			networks, err := store.Networks().List()
			if err != nil {
				return err
			}
			for _, g := range networks {
				groups, err := store.Networks().Groups(g.ID)
				if err != nil {
					return err
				}
				views = append(views, viewGroup(g.Group, false))
				for _, k := range groups {
					views = append(views, viewGroup(k.Group, k.Pinned))
				}
			}
			return a.print(views, func(out io.Writer) {
				for _, v := range views {
					note := ""
					switch {
					case v.Pinned:
						note = "  pinned"
					case v.Epoch == 0:
						note = "  genesis"
					}
					fmt.Fprintf(out, "%s  epoch %-6d  %s  %d members%s\n", v.Network[:8], v.Epoch, v.Link, v.Members, note)
				}
			})
		},
	}
}

func (a *app) networkPin() *cobra.Command {
	return &cobra.Command{
		Use: "pin LINK-HASH", Short: "Keep a group as checkpoint, by the link hash that a source you trust told you",
		Long: "A checkpoint holds against histories forged with stolen old keys: no proof is believed that leads past it or\n" +
			"through another group of its epoch. The group is looked for among those known here, else it must be the\n" +
			"node's present one. notary network groups shows link hashes to compare with others.",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			link, err := domain.ParseHash(args[0])
			if err != nil {
				return usage("%q is not a link hash of 64 hexadecimal digits", args[0])
			}
			store, err := a.store()
			if err != nil {
				return err
			}
			anchor, err := a.findGroup(c.Context(), store.Networks(), link)
			if err != nil {
				return err
			}
			if err := store.Networks().PinGroup(anchor.Group.Network(), anchor); err != nil {
				return err
			}
			v := viewGroup(anchor.Group, true)
			return a.print(v, func(out io.Writer) {
				fmt.Fprintf(out, "epoch %d is pinned to %s, a group of %d members\n", v.Epoch, v.Link, v.Members)
			})
		},
	}
}

// findGroup finds the group of a link hash among those known here, or asks the node for its present one.
func (a *app) findGroup(ctx context.Context, known *wallet.Networks, link domain.Hash) (found observation.Anchor, err error) {
	networks, err := known.List()
	if err != nil {
		return found, err
	}
	for _, g := range networks {
		groups, err := known.Groups(g.ID)
		if err != nil {
			return found, err
		}
		for _, k := range groups {
			if k.Group.Link() == link {
				return k.Anchor, nil
			}
		}
	}
	err = a.session(ctx, func(ctx context.Context, c *client.Client) error {
		answer, err := c.Network(ctx)
		if err != nil {
			return err
		}
		g, err := group.Decode(answer.GetGroup())
		if err != nil {
			return refusal.Under("group", err)
		}
		if g.Network() != c.Genesis().ID {
			return refusal.New(notaryv1.Reason_REASON_WRONG_NETWORK, "group.network", "the node shows a group of network %s", g.Network())
		}
		if g.Link() != link || g.Epoch() == 0 {
			return &failure{exitFailed, "UNKNOWN_LINK", "ask a node whose present group it is, or fetch a proof that leads to it",
				fmt.Errorf("no group known here has link hash %s, and the node's present one, of epoch %d, is %s", link, g.Epoch(), g.Link())}
		}
		found.Group = g
		return nil
	})
	if err == nil && found.Group == nil {
		err = errors.New("the node shows no group")
	}
	return found, err
}
