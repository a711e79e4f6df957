package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/notarynet/notaryd/client"
	"github.com/notarynet/notaryd/client/runtimefile"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
)

func (a *app) trustCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "trust", GroupID: "look", Short: "Whom peers trust, what that is worth, and what this peer says of others",
		Long: "Each peer labels others from -1000 to 1000. From all labels every node computes whom every peer trusts;\n" +
			"the average of the members' trust, by their weight, is where the group's weights go, at most 5 % a link.\n" +
			"Setting a label is for the operator: over the node's socket (--admin), or with the peer's master key (--master)\n" +
			"where that is kept away from nodes.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(a.trustList(), a.trustExplain(), a.trustMargin(), a.trustSimulate(), a.trustSet(), a.trustRemove(), a.trustPublish())
	return c
}

// trustView is one peer in somebody's trust, in JSON.
type trustView struct {
	PeerID   string `json:"peer_id"`
	Relative uint64 `json:"relative"`
	Group    uint64 `json:"group"`
	Label    int32  `json:"label"`
}

func viewTrust(scores []*notaryv1.TrustScore) []trustView {
	views := []trustView{}
	for _, s := range scores {
		views = append(views, trustView{hex.EncodeToString(s.GetPeerId()), s.GetRelative(), s.GetGroup(), s.GetLabel()})
	}
	return views
}

func writeTrust(w io.Writer, list []trustView) {
	table(w, func(w io.Writer) {
		fmt.Fprintln(w, "peer\ttrusted here\tin the group\tlabel")
		for _, v := range list {
			label := "-"
			if v.Label != 0 {
				label = strconv.Itoa(int(v.Label))
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", v.PeerID, percent(v.Relative), percent(v.Group), label)
		}
	})
}

func (a *app) trustList() *cobra.Command {
	var of string
	c := &cobra.Command{
		Use: "list", Short: "List whom a peer trusts, beside the group's weights and the peer's labels", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return a.session(c.Context(), func(ctx context.Context, c *client.Client) error {
				viewer, err := findPeer(ctx, c, of)
				if err != nil {
					return err
				}
				answer, err := c.Trust(ctx, viewer, domain.Hash{})
				if err != nil {
					return err
				}
				list := viewTrust(answer.GetScores())
				return a.print(list, func(w io.Writer) {
					writeTrust(w, list)
					fmt.Fprintf(w, "the group is %s what is trusted here\n", percent(uint64(group.Total)-min(answer.GetDistance(), uint64(group.Total))))
				})
			})
		},
	}
	c.Flags().StringVar(&of, "peer", "", "whose trust: a peer id or the beginning of one (default: the node's own)")
	return c
}

func (a *app) trustExplain() *cobra.Command {
	var of string
	c := &cobra.Command{
		Use: "explain PEER", Short: "Explain how a peer's share came about: paths, factors, flows", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return a.session(c.Context(), func(ctx context.Context, c *client.Client) error {
				viewer, err := findPeer(ctx, c, of)
				if err != nil {
					return err
				}
				peer, err := findPeer(ctx, c, args[0])
				if err != nil {
					return err
				}
				answer, err := c.Trust(ctx, viewer, peer)
				if err != nil {
					return err
				}
				view := struct {
					Scores  []trustView `json:"scores"`
					Account []string    `json:"account"`
				}{viewTrust(answer.GetScores()), answer.GetAccount()}
				return a.print(view, func(w io.Writer) {
					writeTrust(w, view.Scores)
					writeAccount(w, view.Account)
				})
			})
		},
	}
	c.Flags().StringVar(&of, "peer", "", "whose trust: a peer id or the beginning of one (default: the node's own)")
	return c
}

func (a *app) trustMargin() *cobra.Command {
	return &cobra.Command{
		Use: "margin", Short: "Say how far the group is from harm, and what would mend it", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return a.session(c.Context(), func(ctx context.Context, c *client.Client) error {
				answer, err := c.TrustMargin(ctx)
				if err != nil {
					return err
				}
				view := struct {
					SafetyWeight   uint64   `json:"safety_weight"`
					SafetyPeers    []string `json:"safety_peers"`
					ProgressWeight uint64   `json:"progress_weight"`
					ProgressPeers  []string `json:"progress_peers"`
					Distance       uint64   `json:"distance"`
					// AttackRaters would hand a third of the weight to accomplices by changing AttackLabels.
					AttackRaters []string   `json:"attack_raters"`
					AttackLabels uint64     `json:"attack_labels"`
					Mends        []mendView `json:"mends"`
					Account      []string   `json:"account"`
				}{
					answer.GetSafetyWeight(), hexes(answer.GetSafetyPeers()), answer.GetProgressWeight(), hexes(answer.GetProgressPeers()),
					answer.GetDistance(), hexes(answer.GetAttackRaters()), answer.GetAttackLabels(), []mendView{}, answer.GetAccount(),
				}
				for _, m := range answer.GetMends() {
					view.Mends = append(view.Mends, mendView{hex.EncodeToString(m.GetRater()), hex.EncodeToString(m.GetRatee()), m.GetScore(), m.GetRelief()})
				}
				return a.print(view, func(w io.Writer) { writeAccount(w, view.Account) })
			})
		},
	}
}

// mendView is a label that would help, in JSON.
type mendView struct {
	Rater  string `json:"rater"`
	Ratee  string `json:"ratee"`
	Score  int32  `json:"score"`
	Relief uint64 `json:"relief"`
}

// speaking are the ways to make a peer say something.
type speaking struct{ admin, master string }

func (s *speaking) flags(c *cobra.Command) {
	c.Flags().StringVar(&s.admin, "admin", "", "the node's operator `socket` (default: that of the devnet's node)")
	c.Flags().StringVar(&s.master, "master", "", "`file` of the peer's master key, to sign here and not at the node")
	c.MarkFlagsMutuallyExclusive("admin", "master")
}

func (a *app) trustSet() *cobra.Command {
	var s speaking
	c := &cobra.Command{
		Use: "set PEER SCORE", Short: "Label a peer from -1000 to 1000; a link follows", Args: cobra.ExactArgs(2),
		Long: "Flags come before PEER, so that a negative SCORE is none.",
		RunE: func(c *cobra.Command, args []string) error {
			score, err := strconv.ParseInt(args[1], 10, 32)
			if err != nil || score < -group.MaxScore || score > group.MaxScore {
				return usage("a score is a whole number from %d to %d, not %q", -group.MaxScore, group.MaxScore, args[1])
			}
			return a.speak(c.Context(), s, args[0],
				func(p *group.Peer, peer domain.Hash) error { client.Label(p, peer, int32(score)); return nil },
				func(ctx context.Context, admin notaryv1.AdminServiceClient, peer domain.Hash) error {
					_, err := admin.SetTrustLabel(ctx, &notaryv1.SetTrustLabelRequest{PeerId: peer[:], Score: int32(score)})
					return err
				}, fmt.Sprintf("labelled %d", score))
		},
	}
	s.flags(c)
	c.Flags().SetInterspersed(false) // a negative score is no flag
	return c
}

func (a *app) trustRemove() *cobra.Command {
	var s speaking
	c := &cobra.Command{
		Use: "remove PEER", Short: "Take a label back", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return a.speak(c.Context(), s, args[0],
				func(p *group.Peer, peer domain.Hash) error {
					if !client.Unlabel(p, peer) {
						return usage("%s has no label by this peer", peer)
					}
					return nil
				},
				func(ctx context.Context, admin notaryv1.AdminServiceClient, peer domain.Hash) error {
					_, err := admin.RemoveTrustLabel(ctx, &notaryv1.RemoveTrustLabelRequest{PeerId: peer[:]})
					return err
				}, "has no label any more")
		},
	}
	s.flags(c)
	return c
}

// speak changes a label, here with the master key or at the node, and says so once it is final.
func (a *app) speak(ctx context.Context, s speaking, text string, edit func(*group.Peer, domain.Hash) error,
	order func(context.Context, notaryv1.AdminServiceClient, domain.Hash) error, done string,
) error {
	return a.session(ctx, func(ctx context.Context, c *client.Client) error {
		peer, err := findPeer(ctx, c, text)
		if err != nil {
			return err
		}
		if s.master != "" {
			key, err := runtimefile.LoadKey(s.master)
			if err != nil {
				return err
			}
			if _, err := c.Speak(ctx, key, func(p *group.Peer) error { return edit(p, peer) }); err != nil {
				return err
			}
		} else if err := a.order(ctx, s.admin, func(admin notaryv1.AdminServiceClient) error { return order(ctx, admin, peer) }); err != nil {
			return err
		}
		view := struct {
			PeerID string `json:"peer_id"`
		}{peer.String()}
		return a.print(view, func(w io.Writer) { fmt.Fprintf(w, "%s %s; the next link takes it into account\n", peer, done) })
	})
}

// order makes a call at the operator's socket of a node: the one named, or that of the devnet's node in use.
func (a *app) order(ctx context.Context, socket string, call func(notaryv1.AdminServiceClient) error) error {
	if socket == "" {
		local, err := a.runtime()
		if err != nil {
			return usage("--admin: which node's socket? (%v)", err)
		}
		for _, n := range local.Nodes {
			if socket == "" && (a.node == "" || a.node == n.API) {
				socket = n.Admin
			}
		}
		if socket == "" {
			return usage("--admin: node %s is none of the local devnet", a.node)
		}
	}
	conn, err := grpc.NewClient("unix:"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer conn.Close()
	return client.FromStatus(ctx, call(notaryv1.NewAdminServiceClient(conn)))
}

func (a *app) trustPublish() *cobra.Command {
	var master, name string
	var keys []string
	c := &cobra.Command{
		Use: "publish", Short: "List the node keys of a peer, signed with its master key", Args: cobra.NoArgs,
		Long: "Makes the next version of the peer's metadata with exactly the node keys that are given, each as notaryd certify\n" +
			"prints it on the node; keys that are left out are revoked. Labels stay as they are.",
		RunE: func(c *cobra.Command, _ []string) error {
			certified, err := readCertified(keys)
			if err != nil {
				return err
			}
			key, err := runtimefile.LoadKey(master)
			if err != nil {
				return err
			}
			return a.session(c.Context(), func(ctx context.Context, c *client.Client) error {
				p, err := c.Speak(ctx, key, func(p *group.Peer) error {
					p.Keys = certified
					if name != "" {
						p.Name = name
					}
					return nil
				})
				if err != nil {
					return err
				}
				view := struct {
					PeerID  string `json:"peer_id"`
					Version uint64 `json:"version"`
				}{p.ID.String(), p.Version}
				return a.print(view, func(w io.Writer) {
					fmt.Fprintf(w, "version %d of peer %s lists %d node keys\n", p.Version, p.ID, len(p.Keys))
				})
			})
		},
	}
	c.Flags().StringVar(&master, "master", "", "`file` of the peer's master key")
	c.Flags().StringArrayVar(&keys, "key", nil, "a node key as notaryd certify prints it; may be repeated")
	c.Flags().StringVar(&name, "name", "", "what people call the peer")
	if err := c.MarkFlagRequired("master"); err != nil {
		panic(err)
	}
	return c
}

func readCertified(texts []string) ([]group.CertifiedKey, error) {
	var out []group.CertifiedKey
	for _, text := range texts {
		b, err := hex.DecodeString(text)
		if err != nil {
			return nil, usage("--key: %v", err)
		}
		k, err := group.DecodeCertifiedKey(b)
		if err != nil {
			return nil, usage("--key: %v", err)
		}
		out = append(out, k)
	}
	group.SortKeys(out)
	return out, nil
}

// findPeer reads a peer id, or finds the only peer whose id begins so. Nothing is nobody.
func findPeer(ctx context.Context, c *client.Client, text string) (domain.Hash, error) {
	if text == "" {
		return domain.Hash{}, nil
	}
	if id, err := domain.ParseHash(text); err == nil {
		return id, nil
	}
	answer, err := c.Trust(ctx, domain.Hash{}, domain.Hash{})
	if err != nil {
		return domain.Hash{}, err
	}
	var found []domain.Hash
	for _, s := range answer.GetScores() {
		if id, err := domain.HashFrom(s.GetPeerId()); err == nil && strings.HasPrefix(id.String(), strings.ToLower(text)) {
			found = append(found, id)
		}
	}
	if len(found) != 1 {
		return domain.Hash{}, usage("%q is the beginning of %d peer ids that the node knows; a whole one has 64 hexadecimal digits", text, len(found))
	}
	return found[0], nil
}
