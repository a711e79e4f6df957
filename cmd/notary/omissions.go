package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"

	"github.com/notarynet/notaryd/client"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
)

// omissionView is an omission report in JSON, as checked here.
type omissionView struct {
	NodeKey      string `json:"node_key"`
	SigningEpoch uint32 `json:"signing_epoch"`
	Transaction  string `json:"transaction"`
	// Voter is whose vote the silent node referred to.
	Voter string `json:"voter"`
	// From and To are the heights of the silent part of the chain, FromMS and ToMS the times of its ends.
	From   uint64 `json:"from"`
	To     uint64 `json:"to"`
	FromMS uint64 `json:"from_ms"`
	ToMS   uint64 `json:"to_ms"`
	// Report is the canonical encoding in hex: anyone can check it.
	Report string `json:"report"`
}

// listOmissions prints the node's omission reports.
func (a *app) listOmissions(ctx context.Context) error {
	return a.session(ctx, func(ctx context.Context, c *client.Client) error {
		raws, err := c.Omissions(ctx)
		if err != nil {
			return err
		}
		view := struct {
			Omissions []omissionView `json:"omissions"`
		}{[]omissionView{}}
		for _, raw := range raws {
			o, err := viewOmission(c.Genesis().ID, raw)
			if err != nil {
				return err
			}
			view.Omissions = append(view.Omissions, o)
		}
		names := a.nodeNames(c)
		return a.print(view, func(w io.Writer) {
			for _, o := range view.Omissions {
				o.write(w, a, names)
			}
			if len(view.Omissions) == 0 {
				fmt.Fprintln(w, "no reports: nobody was found silent about a vote that it knew of")
			}
		})
	})
}

// viewOmission decodes and checks a report.
func viewOmission(network domain.Hash, raw []byte) (v omissionView, err error) {
	o, err := observation.DecodeOmission(raw, network)
	if err != nil {
		return v, fmt.Errorf("the node's omission report cannot be read: %w", err)
	}
	if err := o.Verify(); err != nil {
		return v, fmt.Errorf("the node's omission report shows nothing: %w", err)
	}
	first, last := &o.Chain[0].Header, &o.Chain[len(o.Chain)-1].Header
	return omissionView{
		NodeKey: o.Key().Key.String(), SigningEpoch: o.Key().SigningEpoch, Transaction: o.Tx().String(), Voter: o.Vote.Header.Key.String(),
		From: first.Height, To: last.Height, FromMS: first.TimeMS, ToMS: last.TimeMS, Report: hex.EncodeToString(raw),
	}, nil
}

func (v omissionView) write(w io.Writer, a *app, names nodeNames) {
	fmt.Fprintf(w, "node %s knew of the vote of %s and said nothing for %.1f s (%s)\n", names.of(v.NodeKey), names.of(v.Voter),
		float64(v.ToMS-v.FromMS)/1000, ago(v.ToMS, a.now()))
	fmt.Fprintf(w, "  %s  observations %d to %d, checked; it may have lacked the transaction\n", v.Transaction, v.From, v.To)
}
