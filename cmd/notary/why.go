package main

import (
	"cmp"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/notarynet/notaryd/client"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
)

// voteView is one counted vote in JSON.
type voteView struct {
	TransactionID string `json:"transaction_id"`
	NodeKey       string `json:"node_key"`
	PeerID        string `json:"peer_id"`
	State         string `json:"state"`
	Round         uint32 `json:"round"`
	Epoch         uint64 `json:"group_epoch"`
	Weight        uint64 `json:"weight"`
	TimeMS        uint64 `json:"time_ms"`
	Height        uint64 `json:"height"`
}

// missingView is a voter that has not voted, in JSON.
type missingView struct {
	NodeKey    string `json:"node_key"`
	PeerID     string `json:"peer_id"`
	Weight     uint64 `json:"weight"`
	Online     bool   `json:"online"`
	LastSeenMS uint64 `json:"last_seen_ms,omitempty"`
}

// whyView is why a transaction stands where it does.
type whyView struct {
	statusView
	Votes       []voteView    `json:"votes"`
	Missing     []missingView `json:"missing"`
	Rivals      []string      `json:"rivals"`
	Winner      string        `json:"winner,omitempty"`
	RoundEndsMS uint64        `json:"round_ends_ms,omitempty"`
	Facilitator string        `json:"facilitator,omitempty"`
	Account     []string      `json:"account"`
}

func (a *app) txWhy() *cobra.Command {
	return &cobra.Command{
		Use: "why TX", Short: "Explain where a transaction stands: who voted when, what weight is missing", Args: cobra.ExactArgs(1),
		Long: "Tells in plain sentences where a transaction stands at the node, and why: who voted when, what weight is\n" +
			"missing and whether those nodes are online, which rival won, what happens next.",
		RunE: func(c *cobra.Command, args []string) error {
			id, err := idArg(args[0])
			if err != nil {
				return err
			}
			return a.session(c.Context(), func(ctx context.Context, c *client.Client) error {
				answer, err := c.Explain(ctx, id)
				if err != nil {
					return err
				}
				view := viewWhy(answer)
				return a.print(view, func(w io.Writer) { view.explain(w, a.now(), a.nodeNames(c)) })
			})
		},
	}
}

func viewWhy(answer *notaryv1.ExplainTransactionResponse) whyView {
	v := whyView{
		statusView: viewStatus(answer.GetStatus()), Votes: viewVotes(answer.GetVotes()), Missing: []missingView{}, Rivals: hexes(answer.GetRivals()),
		Winner: hex.EncodeToString(answer.GetWinner()), RoundEndsMS: answer.GetRoundEndsMs(), Facilitator: hex.EncodeToString(answer.GetFacilitator()),
		Account: append([]string{}, answer.GetAccount()...),
	}
	for _, m := range answer.GetMissing() {
		v.Missing = append(v.Missing, missingView{
			NodeKey: hex.EncodeToString(m.GetNodeKey()), PeerID: hex.EncodeToString(m.GetPeerId()),
			Weight: m.GetWeight(), Online: m.GetOnline(), LastSeenMS: m.GetLastSeenMs(),
		})
	}
	return v
}

// explain writes the account, and who voted when in the round of the status.
func (v *whyView) explain(w io.Writer, now time.Time, names nodeNames) {
	fmt.Fprintf(w, "transaction %s is %s\n", v.ID, v.State)
	writeAccount(w, v.Account)
	writeVotes(w, v.Votes, v.Round, now, names)
}

func writeAccount(w io.Writer, account []string) {
	for _, line := range account {
		fmt.Fprintf(w, "  %s\n", printable(line))
	}
}

func viewVotes(list []*notaryv1.VoteRecord) []voteView {
	views := make([]voteView, len(list))
	for i, v := range list {
		views[i] = voteView{
			TransactionID: hex.EncodeToString(v.GetTransactionId()), NodeKey: hex.EncodeToString(v.GetNodeKey()), PeerID: hex.EncodeToString(v.GetPeerId()),
			State: voteName(v.GetState()), Round: v.GetRound(), Epoch: v.GetGroupEpoch(), Weight: v.GetWeight(), TimeMS: v.GetTimeMs(), Height: v.GetHeight(),
		}
	}
	return views
}

func voteName(state uint32) string {
	switch notaryv1.VoteState(state) {
	case notaryv1.VoteState_VOTE_STATE_PENDING:
		return "pending"
	case notaryv1.VoteState_VOTE_STATE_ACCEPTED:
		return "accepted"
	case notaryv1.VoteState_VOTE_STATE_ABSTAIN:
		return "abstain"
	}
	return "unknown"
}

// mostVoters is how many voters fit on a screen.
const mostVoters = 16

// writeVotes writes a line for each node that voted in a round.
func writeVotes(w io.Writer, votes []voteView, round uint32, now time.Time, names nodeNames) {
	type line struct {
		voteView
		at map[string]uint64
	}
	var lines []*line
	for _, v := range votes {
		if v.Round != round {
			continue
		}
		i := slices.IndexFunc(lines, func(l *line) bool { return l.NodeKey == v.NodeKey })
		if i < 0 {
			i, lines = len(lines), append(lines, &line{v, map[string]uint64{}})
		}
		lines[i].at[v.State] = v.TimeMS
	}
	if len(lines) == 0 {
		return
	}
	slices.SortStableFunc(lines, func(a, b *line) int { return cmp.Compare(b.Weight, a.Weight) })
	fmt.Fprintln(w)
	table(w, func(w io.Writer) {
		fmt.Fprintf(w, "  round %d\tweight\tpending\taccepted\n", round)
		for i, l := range lines {
			if i == mostVoters {
				fmt.Fprintf(w, "  and %d more\n", len(lines)-i)
				return
			}
			pending := when(l.at, "pending", now)
			if _, abstained := l.at["abstain"]; abstained {
				pending = "none " + when(l.at, "abstain", now)
			}
			fmt.Fprintf(w, "  %s\t%s\t%s\t%s\n", names.of(l.NodeKey), percent(l.Weight), pending, when(l.at, "accepted", now))
		}
	})
}

// when is how long ago a vote of a state was, or a dash.
func when(at map[string]uint64, state string, now time.Time) string {
	ms, voted := at[state]
	switch {
	case !voted:
		return "-"
	case ms == 0:
		return "yes"
	}
	return ago(ms, now)
}

// ago is an instant as seen from now, for people.
func ago(ms uint64, now time.Time) string {
	d := now.Sub(time.UnixMilli(int64(ms)))
	switch {
	case d < 0 && d > -time.Minute:
		return "just now" // clocks differ a little
	case d < 0:
		return instant(ms)
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f s ago", d.Seconds())
	case d < 2*time.Minute:
		return fmt.Sprintf("%.0f s ago", d.Seconds())
	case d < 2*time.Hour:
		return fmt.Sprintf("%.0f min ago", d.Minutes())
	case d < 48*time.Hour:
		return fmt.Sprintf("%.0f h ago", d.Hours())
	}
	return fmt.Sprintf("%.0f days ago", d.Hours()/24)
}

// nodeNames are what the nodes of a local devnet are called, by key in hex.
type nodeNames map[string]string

// nodeNames reads them where the connection is to that devnet.
func (a *app) nodeNames(c *client.Client) nodeNames {
	local, err := a.runtime()
	if err != nil || local.NetworkID != c.Genesis().ID.String() {
		return nil
	}
	names := nodeNames{}
	for _, n := range local.Nodes {
		names[n.NodeKey] = n.Name
	}
	return names
}

// of is a node for people: its name where there is one, and enough of its key.
func (n nodeNames) of(key string) string {
	if name := n[key]; name != "" {
		return printable(name) + " " + short(key)
	}
	return short(key)
}

func hexes(list [][]byte) []string {
	out := make([]string, len(list))
	for i, b := range list {
		out[i] = hex.EncodeToString(b)
	}
	return out
}
