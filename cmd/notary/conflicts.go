package main

import (
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

// contestView is a contest in JSON.
type contestView struct {
	Outpoint     string   `json:"outpoint"`
	Transactions []string `json:"transactions"`
	Winners      []string `json:"winners"`
	Round        uint32   `json:"round"`
	Decided      bool     `json:"decided"`
	OpenedMS     uint64   `json:"opened_ms"`
	DecidedMS    uint64   `json:"decided_ms,omitempty"`
}

func viewContest(c *notaryv1.ContestSummary) contestView {
	return contestView{
		Outpoint:     fmt.Sprintf("%x:%d", c.GetOutpointTransaction(), c.GetOutpointIndex()),
		Transactions: hexes(c.GetTransactionIds()), Winners: hexes(c.GetWinners()), Round: c.GetRound(),
		Decided: c.GetDecided(), OpenedMS: c.GetOpenedMs(), DecidedMS: c.GetDecidedMs(),
	}
}

// outcome says how a contest stands.
func (v contestView) outcome(now time.Time) string {
	if !v.Decided {
		return fmt.Sprintf("open for %s, round %d", length(v.OpenedMS, uint64(now.UnixMilli())), v.Round)
	}
	text := fmt.Sprintf("decided in %s, round %d", length(v.OpenedMS, v.DecidedMS), v.Round)
	switch len(v.Winners) {
	case 0:
	case 1:
		text += ": " + short(v.Winners[0]) + " is final"
	default:
		text += fmt.Sprintf(": %d are final", len(v.Winners))
	}
	return text
}

// length is the time between two instants.
func length(fromMS, toMS uint64) string {
	d := time.Duration(toMS-min(toMS, fromMS)) * time.Millisecond
	if d < time.Minute {
		return fmt.Sprintf("%.2f s", d.Seconds())
	}
	return d.Round(time.Second).String()
}

func (a *app) conflictsCommand() *cobra.Command {
	limit := uint32(20)
	var token string
	c := &cobra.Command{
		Use: "conflicts", GroupID: "look", Short: "List double spends and how they ended", Args: cobra.NoArgs,
		Long: "Lists the contests that the node remembers since it started, the newest first: transactions that spend\n" +
			"one output, of which one can become final, and those that the nodes had to vote on in rounds.",
		RunE: func(c *cobra.Command, _ []string) error {
			return a.session(c.Context(), func(ctx context.Context, c *client.Client) error {
				list, next, err := c.Contests(ctx, token, limit)
				if err != nil {
					return err
				}
				view := struct {
					Contests []contestView `json:"contests"`
					Next     string        `json:"next_page_token,omitempty"`
				}{[]contestView{}, next}
				for _, k := range list {
					view.Contests = append(view.Contests, viewContest(k))
				}
				return a.print(view, func(w io.Writer) { writeContests(w, view.Contests, next, a.now()) })
			})
		},
	}
	c.Flags().Uint32Var(&limit, "limit", limit, "how many to list, up to 1000")
	c.Flags().StringVar(&token, "page", "", "go on from the `token` that the last page ended with")
	return c
}

func writeContests(w io.Writer, list []contestView, next string, now time.Time) {
	if len(list) == 0 {
		fmt.Fprintln(w, "no conflicts since the node started")
		return
	}
	table(w, func(w io.Writer) {
		fmt.Fprintln(w, "began\tsides\toutcome\tshow it with")
		for _, v := range list {
			sides := fmt.Sprintf("%d sides", len(v.Transactions))
			if len(v.Transactions) == 1 {
				sides = "no rival"
			}
			id := ""
			if ids := slices.Concat(v.Winners, v.Transactions); len(ids) > 0 {
				id = ids[0]
			}
			fmt.Fprintf(w, "%s\t%s\t%s\tnotary conflict show %s\n", ago(v.OpenedMS, now), sides, v.outcome(now), id)
		}
	})
	if next != "" {
		fmt.Fprintf(w, "older ones: --page %s\n", printable(next))
	}
}

func (a *app) conflictCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "conflict", GroupID: "look", Short: "Look at one double spend", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(&cobra.Command{
		Use: "show TX", Short: "Show the contest of a transaction: rounds, votes, weights, and why it ended so", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			id, err := idArg(args[0])
			if err != nil {
				return err
			}
			return a.session(c.Context(), func(ctx context.Context, c *client.Client) error {
				answer, err := c.Contest(ctx, id)
				if err != nil {
					return err
				}
				view := viewFight(answer)
				return a.print(view, func(w io.Writer) { view.write(w, a.now(), a.nodeNames(c)) })
			})
		},
	})
	return c
}

// fightView is a contest with all that happened in it, in JSON.
type fightView struct {
	contestView
	Statuses    []statusView `json:"statuses"`
	Rounds      []roundView  `json:"rounds"`
	RoundEndsMS uint64       `json:"round_ends_ms,omitempty"`
	Votes       []voteView   `json:"votes"`
	Account     []string     `json:"account"`
}

type roundView struct {
	Round       uint32     `json:"round"`
	Epoch       uint64     `json:"group_epoch"`
	Facilitator string     `json:"facilitator,omitempty"`
	Sides       []sideView `json:"sides"`
	Abstain     uint64     `json:"abstain_weight"`
}

type sideView struct {
	TransactionID string `json:"transaction_id"`
	Pending       uint64 `json:"pending_weight"`
	Accepted      uint64 `json:"accepted_weight"`
}

func viewFight(answer *notaryv1.GetContestResponse) fightView {
	v := fightView{
		contestView: viewContest(answer.GetContest()), Statuses: []statusView{}, Rounds: []roundView{},
		RoundEndsMS: answer.GetRoundEndsMs(), Votes: viewVotes(answer.GetVotes()), Account: append([]string{}, answer.GetAccount()...),
	}
	for _, s := range answer.GetTransactions() {
		v.Statuses = append(v.Statuses, viewStatus(s))
	}
	for _, r := range answer.GetRounds() {
		round := roundView{r.GetRound(), r.GetGroupEpoch(), hex.EncodeToString(r.GetFacilitator()), []sideView{}, r.GetAbstainWeight()}
		for _, s := range r.GetSides() {
			round.Sides = append(round.Sides, sideView{hex.EncodeToString(s.GetTransactionId()), s.GetPendingWeight(), s.GetAcceptedWeight()})
		}
		v.Rounds = append(v.Rounds, round)
	}
	return v
}

// mostSides is how many transactions of a contest fit on a screen.
const mostSides = 8

// write shows the sides with a letter each, what stood behind them round by round, and the votes of the
// last round.
func (v *fightView) write(w io.Writer, now time.Time, names nodeNames) {
	letters := map[string]string{}
	fmt.Fprintf(w, "contest over %s: %s\n", v.Outpoint, v.outcome(now))
	for i, s := range v.Statuses {
		if i == mostSides {
			fmt.Fprintf(w, "  and %d more\n", len(v.Statuses)-i)
			break
		}
		letters[s.ID] = string(rune('A' + i))
		fmt.Fprintf(w, "  %s  %s  %s\n", letters[s.ID], s.ID, s.State)
	}
	fmt.Fprintln(w)
	table(w, func(w io.Writer) {
		fmt.Fprintln(w, "  round\tside\tpending\taccepted\tfacilitator")
		for _, r := range v.Rounds {
			v.writeRound(w, r, letters, names)
		}
	})
	fmt.Fprintln(w)
	writeAccount(w, v.Account)
	if n := len(v.Rounds); n > 0 {
		v.writeBallots(w, v.Rounds[n-1].Round, letters, now, names)
	}
}

func (v *fightView) writeRound(w io.Writer, r roundView, letters map[string]string, names nodeNames) {
	facilitator := "-"
	if r.Facilitator != "" {
		facilitator = names.of(r.Facilitator)
	}
	for _, s := range r.Sides {
		if letter := letters[s.TransactionID]; letter != "" {
			fmt.Fprintf(w, "  %d\t%s\t%s\t%s\t%s\n", r.Round, letter, percent(s.Pending), percent(s.Accepted), facilitator)
		}
	}
	if r.Abstain > 0 {
		fmt.Fprintf(w, "  %d\tneither\t%s\t\t%s\n", r.Round, percent(r.Abstain), facilitator)
	}
}

// writeBallots says who voted what when in a round.
func (v *fightView) writeBallots(w io.Writer, round uint32, letters map[string]string, now time.Time, names nodeNames) {
	fmt.Fprintln(w)
	table(w, func(w io.Writer) {
		fmt.Fprintf(w, "  round %d\tweight\tvote\tcast\n", round)
		n := 0
		for _, b := range v.Votes {
			if b.Round != round {
				continue
			}
			if n++; n > 2*mostVoters {
				fmt.Fprintln(w, "  and more: see --json")
				return
			}
			side := b.State + " " + letters[b.TransactionID]
			if b.State == "abstain" {
				side = "neither"
			}
			fmt.Fprintf(w, "  %s\t%s\t%s\t%s\n", names.of(b.NodeKey), percent(b.Weight), side, ago(b.TimeMS, now))
		}
	})
}
