package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/notarynet/notaryd/client"
	"github.com/notarynet/notaryd/client/wallet"
	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
	"github.com/notarynet/notaryd/utxo"
)

func (a *app) txCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "tx", GroupID: "money", Short: "Look at transactions and follow them", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(a.txGet(), a.txWatch(), a.txWhy(), a.txPending(), a.txResubmit(), a.txCancel(), a.txForget())
	return c
}

// statusView is a transaction's status in JSON.
type statusView struct {
	ID             string `json:"transaction_id"`
	State          string `json:"state"`
	Round          uint32 `json:"round"`
	GroupEpoch     uint64 `json:"group_epoch"`
	PendingWeight  uint64 `json:"pending_weight"`
	AcceptedWeight uint64 `json:"accepted_weight"`
	QuorumWeight   uint64 `json:"quorum_weight"`
	ReceivedMS     uint64 `json:"received_ms,omitempty"`
	FinalMS        uint64 `json:"final_ms,omitempty"`
	Reason         string `json:"reason,omitempty"`
	Field          string `json:"field,omitempty"`
	Detail         string `json:"detail,omitempty"`
	heldView
}

// heldView says, of a final transaction, what part of the node's own trust stands behind it, in JSON. A node
// that trusts nobody of its own says nothing.
type heldView struct {
	OwnWeight    uint64 `json:"own_weight,omitempty"`
	OwnThreshold uint64 `json:"own_threshold,omitempty"`
	Held         bool   `json:"held,omitempty"`
}

func viewHeld(s *notaryv1.TransactionStatus) heldView {
	return heldView{s.GetOwnWeight(), s.GetOwnThreshold(), s.GetHeld()}
}

// warning is what a person should know before relying on a transaction that is held; empty otherwise.
func (v heldView) warning() string {
	if !v.Held {
		return ""
	}
	return fmt.Sprintf("HELD: %s of what the node itself trusts stands behind it, less than %s. It is final; think twice before you rely on this group.",
		percent(v.OwnWeight), percent(v.OwnThreshold))
}

func viewStatus(s *notaryv1.TransactionStatus) statusView {
	v := statusView{
		ID: hex.EncodeToString(s.GetTransactionId()), State: stateName(s.GetState()), Round: s.GetRound(), GroupEpoch: s.GetGroupEpoch(),
		PendingWeight: s.GetPendingWeight(), AcceptedWeight: s.GetAcceptedWeight(), QuorumWeight: s.GetQuorumWeight(),
		ReceivedMS: s.GetReceivedMs(), FinalMS: s.GetFinalMs(),
	}
	if r := s.GetRejection(); r != nil {
		v.Reason, v.Field, v.Detail = refusal.Name(r.GetReason()), r.GetField(), r.GetDetail()
	}
	v.heldView = viewHeld(s)
	return v
}

func (v statusView) write(w io.Writer) {
	fmt.Fprintf(w, "transaction %s is %s\n", v.ID, v.State)
	if v.Held {
		fmt.Fprintf(w, "  %s\n", v.warning())
	}
	table(w, func(w io.Writer) {
		votes := "pending " + percent(v.PendingWeight) + ", accepted " + percent(v.AcceptedWeight)
		if v.PendingWeight == 0 && v.AcceptedWeight > 0 {
			votes = "accepted " + percent(v.AcceptedWeight) // a node may keep nothing else once it is final
		}
		fmt.Fprintf(w, "  weight\t%s, more than %s needed (round %d)\n", votes, percent(v.QuorumWeight), v.Round)
		if v.ReceivedMS != 0 {
			fmt.Fprintf(w, "  received\t%s\n", instant(v.ReceivedMS))
		}
		if v.FinalMS != 0 {
			fmt.Fprintf(w, "  final\t%s\n", instant(v.FinalMS))
		}
		if v.Reason != "" {
			fmt.Fprintf(w, "  reason\t%s [%s]\n", printable(v.Detail), v.Reason)
		}
	})
}

func (a *app) txGet() *cobra.Command {
	return &cobra.Command{
		Use: "get TX", Short: "Show what the node knows of a transaction", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			id, err := idArg(args[0])
			if err != nil {
				return err
			}
			return a.session(c.Context(), func(ctx context.Context, c *client.Client) error {
				answer, err := c.Transaction(ctx, id)
				if err != nil {
					return err
				}
				view := struct {
					statusView
					Transaction string          `json:"transaction,omitempty"`
					Body        json.RawMessage `json:"body,omitempty"`
				}{statusView: viewStatus(answer.GetStatus()), Transaction: hex.EncodeToString(answer.GetTransaction())}
				if answer.GetBody() != nil {
					if view.Body, err = protojson.Marshal(answer.GetBody()); err != nil {
						return fmt.Errorf("print: %w", err)
					}
				}
				var tx *utxo.Tx
				if raw := answer.GetTransaction(); len(raw) != 0 {
					if tx, err = ofID(id, raw, c.Genesis().ID); err != nil {
						return err
					}
				}
				return a.print(view, func(w io.Writer) {
					view.write(w)
					if tx != nil {
						writeBody(w, c.FormatAddress, tx)
					}
				})
			})
		},
	}
}

// ofID decodes a node's bytes of a transaction, which must be that transaction's.
func ofID(id domain.Hash, raw []byte, network domain.Hash) (*utxo.Tx, error) {
	tx, err := utxo.Decode(raw, utxo.Rules{Network: network})
	if err != nil {
		return nil, fmt.Errorf("the node's bytes of %s: %w", id, err)
	}
	if tx.ID != id {
		return nil, fmt.Errorf("the node sent transaction %s for %s", tx.ID, id)
	}
	return tx, nil
}

// writeBody tells what a transaction does.
func writeBody(w io.Writer, address func(utxo.Address) string, tx *utxo.Tx) {
	table(w, func(w io.Writer) {
		for _, o := range tx.Spends() {
			fmt.Fprintf(w, "  spends\t%s\n", o)
		}
		for _, o := range tx.Reads() {
			fmt.Fprintf(w, "  reads\t%s\n", o)
		}
		for i := range tx.Outputs {
			writeOutput(w, address, &tx.Outputs[i])
		}
		if len(tx.Memo) != 0 {
			fmt.Fprintf(w, "  memo\t%s\n", printable(string(tx.Memo)))
		}
	})
}

func writeOutput(w io.Writer, address func(utxo.Address) string, o *utxo.Output) {
	to := "the common pool"
	if !o.Address.IsZero() {
		to = address(o.Address)
	}
	switch {
	case o.Data != nil && o.Data.Kind == notaryv1.DataKind_DATA_KIND_REFERENCE:
		fmt.Fprintf(w, "  stamps\tsha-256 %s, %d bytes, %s\n", o.Data.Hash, o.Data.Size, printable(o.Data.Location))
	case o.Kind == notaryv1.OutputKind_OUTPUT_KIND_FEE:
		fmt.Fprintf(w, "  fee\t%s to %s\n", coins(o.Amount), to)
	case o.Product.IsZero():
		fmt.Fprintf(w, "  pays\t%s to %s%s\n", coins(o.Amount), to, terms(o, address))
	default:
		fmt.Fprintf(w, "  pays\t%d units of product %s to %s%s\n", o.Amount, o.Product, to, terms(o, address))
	}
}

func (a *app) txWatch() *cobra.Command {
	return &cobra.Command{
		Use: "watch TX", Short: "Follow a transaction until it is final or rejected", Args: cobra.ExactArgs(1),
		Long: "Follows a transaction until it is final or rejected; final is what the proof shows, not what the node says. The exit\n" +
			"code is 2 where it is final and HELD: the group accepted it, and too little of what the node itself trusts did.",
		RunE: func(c *cobra.Command, args []string) error {
			id, err := idArg(args[0])
			if err != nil {
				return err
			}
			return a.session(c.Context(), func(ctx context.Context, c *client.Client) error {
				s, err := a.watch(ctx, c, id)
				if err != nil {
					return a.undecidedWatch(ctx, id, a.refutedAt(ctx, c, id, err))
				}
				if _, _, err := c.ShortProof(ctx, id); err != nil {
					return unproven(id, err)
				}
				v := viewStatus(s)
				if err := a.print(v, v.write); err != nil {
					return err
				}
				if v.Held {
					return &verdictFailed{exitWeight}
				}
				return nil
			})
		},
	}
}

// refutedAt is refuted for a transaction that is known by its id: the wallet has its bytes, or the node.
func (a *app) refutedAt(ctx context.Context, c *client.Client, id domain.Hash, said error) error {
	if !client.Refused(said) {
		return said
	}
	if p, err := a.pending(id); err == nil {
		return a.refuted(ctx, c, p.Raw, said)
	}
	answer, err := c.Transaction(ctx, id)
	if err == nil && len(answer.GetTransaction()) == 0 {
		err = errors.New("its bytes are not there")
	}
	if err != nil {
		return &client.UnprovenError{ID: id, Said: said, Why: err}
	}
	return a.refuted(ctx, c, answer.GetTransaction(), said)
}

// undecidedWatch is undecided for a transaction that may never have been submitted.
func (a *app) undecidedWatch(ctx context.Context, id domain.Hash, err error) error {
	if ctx.Err() != nil {
		return a.undecided(ctx, id, err)
	}
	return err
}

// pending is a transaction of the wallet that is under way.
func (a *app) pending(id domain.Hash) (*wallet.Pending, error) {
	store, w, err := a.current()
	if err != nil {
		return nil, err
	}
	list, err := store.Pending(w.Name)
	if err != nil {
		return nil, err
	}
	for i := range list {
		if list[i].ID == id {
			return &list[i], nil
		}
	}
	return nil, &failure{exitFailed, "NOT_FOUND", "see notary tx pending", errors.New("the wallet has no such transaction under way")}
}

// pendingArg is the transaction under way that an argument names.
func (a *app) pendingArg(text string) (*wallet.Pending, error) {
	id, err := idArg(text)
	if err != nil {
		return nil, err
	}
	return a.pending(id)
}

// pendingView is a transaction of the wallet that is under way, in JSON.
type pendingView struct {
	ID      string `json:"transaction_id"`
	Network string `json:"network_id"`
	UntilMS uint64 `json:"until_ms"`
}

func (a *app) txPending() *cobra.Command {
	return &cobra.Command{
		Use: "pending", Short: "List the wallet's transactions under way", Args: cobra.NoArgs,
		Long: "Lists what the wallet has built and not yet seen decided. Their coins are left alone until a proof shows that\n" +
			"they are final, or that another transaction has spent one of their coins. tx resubmit asks for such a proof,\n" +
			"at any node; tx cancel makes one.",
		RunE: func(*cobra.Command, []string) error {
			store, w, err := a.current()
			if err != nil {
				return err
			}
			list, err := store.Pending(w.Name)
			if err != nil {
				return err
			}
			views := make([]pendingView, len(list))
			for i, p := range list {
				views[i] = pendingView{p.ID.String(), p.Network.String(), p.UntilMS}
			}
			return a.print(views, func(w io.Writer) {
				for _, v := range views {
					fmt.Fprintf(w, "%s  window until %s", v.ID, instant(v.UntilMS))
					if uint64(a.now().UnixMilli()) > v.UntilMS {
						fmt.Fprintf(w, ", closed: notary tx resubmit, or notary tx cancel to have its coins back")
					}
					fmt.Fprintln(w)
				}
				if len(views) == 0 {
					fmt.Fprintln(w, "nothing under way")
				}
			})
		},
	}
}

func (a *app) txResubmit() *cobra.Command {
	var path string
	c := &cobra.Command{
		Use: "resubmit TX", Short: "Submit a transaction of the wallet again, the very same, and wait until it is final",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			p, err := a.pendingArg(args[0])
			if err != nil {
				return err
			}
			return a.session(c.Context(), func(ctx context.Context, c *client.Client) error {
				out, err := a.finish(ctx, c, p.ID, p.Raw, client.WaitFinal)
				if err != nil {
					return err
				}
				if err := a.keepProof(out, path); err != nil {
					return err
				}
				return a.print(out, func(w io.Writer) { fmt.Fprintf(w, "%s\nproof: %s\n", out, out.ProofFile) })
			})
		},
	}
	c.Flags().StringVarP(&path, "output", "o", "", "write the proof to this `file` (default: the id's first 16 digits with .notary)")
	return c
}
