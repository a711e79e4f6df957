package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/notarynet/notaryd/client"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
)

// simulationView is where weights would end, in JSON.
type simulationView struct {
	Moved  uint64      `json:"moved"`
	Movers []moverView `json:"movers"`
	Before marginView  `json:"before"`
	After  marginView  `json:"after"`
}

// moverView is what becomes of one peer.
type moverView struct {
	PeerID string `json:"peer_id"`
	Before uint64 `json:"before"`
	After  uint64 `json:"after"`
}

// marginView are the smallest sets of peers that could do harm.
type marginView struct {
	SafetyWeight   uint64   `json:"safety_weight"`
	SafetyPeers    []string `json:"safety_peers"`
	ProgressWeight uint64   `json:"progress_weight"`
	ProgressPeers  []string `json:"progress_peers"`
}

func viewMargin(m *notaryv1.TrustMargin) marginView {
	return marginView{m.GetSafetyWeight(), hexes(m.GetSafetyPeers()), m.GetProgressWeight(), hexes(m.GetProgressPeers())}
}

func (a *app) trustSimulate() *cobra.Command {
	c := &cobra.Command{
		Use: "simulate CHANGE...", Short: "Tell what would become of the weights if labels changed", Args: cobra.MinimumNArgs(1),
		Long: "Each CHANGE is RATER:PEER=SCORE, RATER:PEER=none to take a label back, or without RATER: for a label of the\n" +
			"node's own peer. Peers are ids or beginnings of ids. Nothing is changed. The weights shown are those that links\n" +
			"would lead to, each moving at most 5 %.",
		Example: "  notary trust simulate 7a23=800 03f3:cf9b=none",
		RunE: func(c *cobra.Command, args []string) error {
			return a.session(c.Context(), func(ctx context.Context, c *client.Client) error {
				var changes []*notaryv1.LabelChange
				for _, text := range args {
					change, err := labelChange(ctx, c, text)
					if err != nil {
						return err
					}
					changes = append(changes, change)
				}
				answer, err := c.SimulateTrust(ctx, changes)
				if err != nil {
					return err
				}
				v := simulationView{Moved: answer.GetMoved(), Movers: []moverView{}, Before: viewMargin(answer.GetBefore()), After: viewMargin(answer.GetAfter())}
				for _, m := range answer.GetMovers() {
					v.Movers = append(v.Movers, moverView{hex.EncodeToString(m.GetPeerId()), m.GetBefore(), m.GetAfter()})
				}
				return a.print(v, v.write)
			})
		},
	}
	return c
}

// labelChange reads RATER:PEER=SCORE.
func labelChange(ctx context.Context, c *client.Client, text string) (*notaryv1.LabelChange, error) {
	peers, score, ok := strings.Cut(text, "=")
	if !ok {
		return nil, usage("%q is no change of a label: want RATER:PEER=SCORE", text)
	}
	change := &notaryv1.LabelChange{}
	rater, ratee, named := strings.Cut(peers, ":")
	if !named {
		rater, ratee = "", peers
	}
	for _, p := range []struct {
		text  string
		field *[]byte
		need  bool
	}{{rater, &change.Rater, named}, {ratee, &change.Ratee, true}} {
		if p.text == "" && p.need {
			return nil, usage("%q names no peer: want RATER:PEER=SCORE", text)
		}
		id, err := findPeer(ctx, c, p.text)
		if err != nil {
			return nil, err
		}
		if id != (domain.Hash{}) {
			*p.field = id[:]
		}
	}
	if score == "none" {
		change.Remove = true
		return change, nil
	}
	n, err := strconv.ParseInt(score, 10, 32)
	if err != nil || n < -group.MaxScore || n > group.MaxScore {
		return nil, usage("a score is a whole number from %d to %d, or none, not %q", -group.MaxScore, group.MaxScore, score)
	}
	change.Score = int32(n)
	return change, nil
}

// mostMovers is how many peers fit on a screen.
const mostMovers = 16

func (v simulationView) write(w io.Writer) {
	fmt.Fprintf(w, "%s of the weight would move\n", percent(v.Moved))
	table(w, func(w io.Writer) {
		if len(v.Movers) > 0 {
			fmt.Fprintln(w, "peer\tnow\tthen")
		}
		for i, m := range v.Movers {
			if i == mostMovers {
				fmt.Fprintf(w, "and %d more\n", len(v.Movers)-i)
				return
			}
			fmt.Fprintf(w, "%s\t%s\t%s\n", short(m.PeerID), percent(m.Before), percent(m.After))
		}
	})
	fmt.Fprintf(w, "to break safety: %s now, %s then\n", v.Before.safety(), v.After.safety())
	fmt.Fprintf(w, "to stop progress: %s now, %s then\n", v.Before.progress(), v.After.progress())
}

func (m marginView) safety() string { return coalition(len(m.SafetyPeers), m.SafetyWeight) }

func (m marginView) progress() string { return coalition(len(m.ProgressPeers), m.ProgressWeight) }

func coalition(peers int, weight uint64) string {
	if peers == 1 {
		return "one peer with " + percent(weight)
	}
	return fmt.Sprintf("%d peers with %s", peers, percent(weight))
}
