package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/notarynet/notaryd/client"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
)

// evidenceView is a piece of evidence in JSON, as checked here.
type evidenceView struct {
	Hash         string   `json:"hash"`
	Kind         string   `json:"kind"`
	NodeKey      string   `json:"node_key"`
	SigningEpoch uint32   `json:"signing_epoch"`
	PeerID       string   `json:"peer_id,omitempty"`
	Heights      []uint64 `json:"heights"`
	Rounds       []uint32 `json:"rounds,omitempty"`
	Transactions []string `json:"transactions,omitempty"`
	TimeMS       uint64   `json:"time_ms"`
	// Evidence is the canonical encoding in hex: anyone can check it.
	Evidence string `json:"evidence"`
}

func (a *app) evidenceCommand() *cobra.Command {
	limit := uint32(20)
	var token string
	var omissions bool
	c := &cobra.Command{
		Use: "evidence", GroupID: "look", Short: "List proofs that a node broke a rule of voting", Args: cobra.NoArgs,
		Long: "Lists the evidence that the node holds. Each piece shows by itself, by two signatures of one key, that this\n" +
			"key contradicted itself; it is checked here, whatever the node says. With --omissions, lists reports of nodes\n" +
			"that knew of a vote and kept silent; these are checked too, and convict nobody.",
		RunE: func(c *cobra.Command, _ []string) error {
			if omissions {
				if c.Flags().Changed("limit") || c.Flags().Changed("page") {
					return usage("--omissions has one short page: neither --limit nor --page goes with it")
				}
				return a.listOmissions(c.Context())
			}
			return a.session(c.Context(), func(ctx context.Context, c *client.Client) error {
				raws, next, err := c.Evidence(ctx, token, limit)
				if err != nil {
					return err
				}
				view := struct {
					Evidence []evidenceView `json:"evidence"`
					Next     string         `json:"next_page_token,omitempty"`
				}{[]evidenceView{}, next}
				for _, raw := range raws {
					e, err := viewEvidence(c.Genesis(), raw)
					if err != nil {
						return err
					}
					view.Evidence = append(view.Evidence, e)
				}
				names := a.nodeNames(c)
				return a.print(view, func(w io.Writer) {
					for _, e := range view.Evidence {
						e.write(w, a, names)
					}
					switch {
					case len(view.Evidence) == 0:
						fmt.Fprintln(w, "no evidence: nobody was caught breaking a rule of voting")
					case next != "":
						fmt.Fprintf(w, "more: --page %s\n", printable(next))
					}
				})
			})
		},
	}
	c.Flags().Uint32Var(&limit, "limit", limit, "how many to list, up to 100")
	c.Flags().StringVar(&token, "page", "", "go on from the `token` that the last page ended with")
	c.Flags().BoolVar(&omissions, "omissions", false, "list who kept silent about a vote, by this node's account since it started")
	return c
}

// viewEvidence decodes and checks a piece of evidence.
func viewEvidence(g *group.Genesis, raw []byte) (v evidenceView, err error) {
	e, err := observation.DecodeEvidence(raw)
	if err != nil {
		return v, fmt.Errorf("the node's evidence cannot be read: %w", err)
	}
	if err := e.Verify(g.ID); err != nil {
		return v, fmt.Errorf("the node's evidence %s convicts nobody: %w", e.Hash, err)
	}
	chain := e.Key()
	v = evidenceView{
		Hash: e.Hash.String(), Kind: strings.ToLower(strings.TrimPrefix(e.Kind.String(), "EVIDENCE_KIND_")),
		NodeKey: chain.Key.String(), SigningEpoch: chain.SigningEpoch, Evidence: hex.EncodeToString(raw),
	}
	if i, member := g.Group.Voter(chain.Key); member {
		v.PeerID = g.Group.Voters()[i].PeerID.String()
	}
	for i := range e.Edges {
		edge := &e.Edges[i]
		v.Heights = append(v.Heights, edge.Header.Height)
		v.TimeMS = max(v.TimeMS, edge.Header.TimeMS)
		if e.Kind != notaryv1.EvidenceKind_EVIDENCE_KIND_FORKED_CHAIN {
			v.Rounds = append(v.Rounds, edge.Leaf.Round)
			v.Transactions = append(v.Transactions, domain.Hash(edge.Leaf.Subject).String())
		}
	}
	return v, nil
}

func (v evidenceView) write(w io.Writer, a *app, names nodeNames) {
	fmt.Fprintf(w, "node %s %s (%s)\n", names.of(v.NodeKey), v.sentence(), ago(v.TimeMS, a.now()))
	for i, tx := range v.Transactions {
		fmt.Fprintf(w, "  %s  round %d, observation %d\n", tx, v.Rounds[i], v.Heights[i])
	}
	fmt.Fprintf(w, "  evidence %s, checked\n", v.Hash)
}

// sentence is what the key did.
func (v evidenceView) sentence() string {
	switch v.Kind {
	case "forked_chain":
		return fmt.Sprintf("signed two different observations at height %d", v.Heights[0])
	case "conflicting_pending":
		return "voted for both sides of a double spend in one round"
	case "conflicting_accepted":
		return "accepted both sides of a double spend in one round"
	case "accepted_after_pending":
		return "accepted one side of a double spend after it had voted for the other in a later round"
	}
	return "broke a rule of voting: " + v.Kind
}
