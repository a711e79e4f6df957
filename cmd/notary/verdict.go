package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/notarynet/notaryd/client"
	"github.com/notarynet/notaryd/client/wallet"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// judgement is a verification in JSON: the verdict, and what is at fault.
type judgement struct {
	Conclusion observation.Conclusion `json:"conclusion"`
	// Reason, Field and Message say why it is not valid.
	Reason  string `json:"reason,omitempty"`
	Field   string `json:"field,omitempty"`
	Message string `json:"message,omitempty"`
	Network string `json:"network_id,omitempty"`
	// NetworkName is what the genesis document calls the network.
	NetworkName string `json:"network,omitempty"`
	// GroupEpoch is the epoch of the group that signed, where it is not that of genesis, and Links how it
	// came to be trusted.
	GroupEpoch uint64                    `json:"group_epoch,omitempty"`
	Links      []observation.LinkVerdict `json:"links,omitempty"`
	Verdict    *observation.Verdict      `json:"verdict,omitempty"`
	// Break is a history that has two groups in one epoch: no fault of this proof alone.
	Break *breakView `json:"break,omitempty"`
	// Contents is what the valid transactions do, where that is told.
	Contents []contentsView `json:"contents,omitempty"`

	prefix string
}

// breakView is a broken history in JSON.
type breakView struct {
	Epoch uint64 `json:"epoch"`
	// Known is the link hash of the group known here, Other that of the group the proof leads to.
	Known string `json:"known_link"`
	Other string `json:"other_link"`
}

// invalid condemns, with the refusal that names the part at fault.
func (j *judgement) invalid(err error) {
	j.Conclusion, j.Message, j.Reason = observation.Invalid, err.Error(), "INVALID"
	var r *refusal.Error
	if errors.As(err, &r) {
		j.Reason, j.Field, j.Message = refusal.Name(r.Reason), r.Field, r.Detail
	}
	var b *observation.Break
	if errors.As(err, &b) {
		j.Break = &breakView{b.Epoch, b.Known.Link().String(), b.Other.Link().String()}
	}
}

// judge verifies a proof without any node, against the genesis file given or the networks trusted here.
func (a *app) judge(p *proofFile, k checking) (*judgement, error) {
	j := &judgement{Network: p.Network.String()}
	root, g, remember, err := a.trustRoot(p, k)
	if errors.Is(err, wallet.ErrUnknownNetwork) {
		j.Conclusion, j.Reason = observation.NoTrustRoot, "NO_TRUST_ROOT"
		j.Message = "the genesis document of network " + j.Network + " is not known here"
		return j, nil
	}
	if err != nil {
		return nil, err
	}
	j.NetworkName, j.prefix = g.Doc.GetName(), g.Doc.GetAddressPrefix()
	if root.Own, err = k.ownTrust(); err != nil {
		return nil, err
	}
	verdict, err := p.verify(root)
	if err != nil {
		j.invalid(err)
		return j, nil
	}
	if err := remember(verdict.Anchors); err != nil {
		a.tell("notary: the groups that the proof led to are not kept: %v", err)
	}
	j.Conclusion, j.Verdict, j.GroupEpoch, j.Links = verdict.Conclusion, &verdict, verdict.GroupEpoch, verdict.Links
	switch j.Conclusion {
	case observation.NotEnoughWeight:
		j.Reason, j.Message = refusal.Name(notaryv1.Reason_REASON_NOT_ENOUGH_WEIGHT), "too little weight stands behind it"
	case observation.NoTrustRoot:
		j.Reason, j.Message = "NO_TRUST_ROOT", "no group known here leads to the one that signed"
	}
	return j, nil
}

// trustRoot is a genesis file, or a network trusted here with the groups known of it, and what keeps the
// groups that the proof leads to.
func (a *app) trustRoot(p *proofFile, k checking) (root observation.Root, g *group.Genesis, remember func([]observation.Anchor) error, err error) {
	if k.genesis != "" {
		if g, err = readGenesis(k.genesis); err != nil {
			return root, nil, nil, err
		}
		return client.Root(g), g, func([]observation.Anchor) error { return nil }, nil
	}
	store, err := a.store()
	if err != nil {
		return root, nil, nil, err
	}
	known := store.Networks()
	id, err := a.chosen(p, k, known)
	if err != nil {
		return root, nil, nil, err
	}
	if g, err = known.Get(id); err != nil {
		return root, nil, nil, err
	}
	anchors, err := known.Anchors(g.ID)
	if err != nil {
		return root, nil, nil, err
	}
	return client.Root(g).With(anchors...), g, func(more []observation.Anchor) error {
		if len(more) == 0 {
			return nil
		}
		return known.Remember(g.ID, more)
	}, nil
}

// chosen is the network that a proof has to be of: the one that is named; else the only one trusted here, or, of several,
// that of the node that is talked to. Which of several a proof is of is not for whoever made it to choose: a network comes
// to be trusted here by one look at one of its nodes.
func (a *app) chosen(p *proofFile, k checking, known *wallet.Networks) (domain.Hash, error) {
	if k.network != "" {
		id, err := domain.ParseHash(k.network)
		if err != nil {
			return id, usage("--network: %q is not a network id of 64 hexadecimal digits", k.network)
		}
		return id, nil
	}
	all, err := known.List()
	if err != nil || len(all) < 2 {
		return p.Network, err
	}
	if _, nodes, err := a.targets(known); err == nil && nodes == p.Network {
		return nodes, nil
	}
	name := "one that is not"
	for _, g := range all {
		if g.ID == p.Network {
			name = printable(g.Doc.GetName())
		}
	}
	return domain.Hash{}, &failure{exitUsage, "NETWORK_NOT_CHOSEN", "say with --network ID or --genesis FILE of which one it has to be",
		fmt.Errorf("%d networks are trusted here, and the proof is of %s (%s)", len(all), name, p.Network)}
}

// exit is nil for a valid proof, else an error that only carries the code.
func (j *judgement) exit() error {
	if j.Conclusion == observation.Valid {
		return nil
	}
	return &verdictFailed{j.Conclusion.ExitCode()}
}

// write tells people what came out.
func (j *judgement) write(w io.Writer, what string) {
	switch j.Conclusion {
	case observation.Valid:
		fmt.Fprintf(w, "valid on network %s (%s): %s\n", printable(j.NetworkName), j.Network, what)
	case observation.NoTrustRoot:
		hint := "get its genesis file from a source you trust and run notary network trust FILE"
		if j.NetworkName != "" {
			hint = "ask for one with the links from genesis, as notary proof get fetches it"
		}
		fmt.Fprintf(w, "cannot tell: %s: %s; %s [%s]\n", what, j.Message, hint, j.Reason)
	case observation.NotEnoughWeight:
		fmt.Fprintf(w, "NOT ENOUGH WEIGHT: %s: %s [%s]\n", what, j.Message, j.Reason)
	default:
		if j.Break != nil {
			fmt.Fprintf(w, "THE NETWORK'S HISTORY IS BROKEN: %s\n", what)
			fmt.Fprintf(w, "  epoch %d has two groups, and links that hold lead to both:\n", j.Break.Epoch)
			fmt.Fprintf(w, "    %s  known here\n    %s  in this proof\n", j.Break.Known, j.Break.Other)
			fmt.Fprintln(w, "  More than a third of some group's weight signed against itself, or somebody has its old keys. Believe neither")
			fmt.Fprintln(w, "  before you have asked others which link hash they know, and keep the file: it is what proves it.")
		}
		at := ""
		if j.Field != "" {
			at = j.Field + ": "
		}
		fmt.Fprintf(w, "INVALID: %s: %s%s [%s]\n", what, at, j.Message, j.Reason)
	}
}

// writeTransaction tells what a proof shows of one transaction.
func (j *judgement) writeTransaction(w io.Writer, t *observation.TransactionVerdict) {
	table(w, func(w io.Writer) {
		fmt.Fprintf(w, "  transaction\t%s\n", t.ID)
		if t.LatestMS > 0 {
			fmt.Fprintf(w, "  notarised\t%s, median of %d peers, %d ms apart\n", instant(t.TimeMS), len(t.Peers), t.SpreadMS)
		} else {
			fmt.Fprintf(w, "  notarised\tby %d peers, who state no time: the proof is a compact one\n", len(t.Peers))
		}
		fmt.Fprintf(w, "  weight\t%s signed, more than %s needed", percent(uint64(t.Weight)), percent(uint64(t.Quorum)))
		if t.Missing > 0 {
			fmt.Fprintf(w, ", %s missing", percent(uint64(t.Missing)))
		}
		fmt.Fprintf(w, "\n  network\t%s (%s)\n", j.NetworkName, j.Network)
		if t.Own != nil {
			fmt.Fprintf(w, "  own trust\t%s\n", tellOwn(t.Own))
		}
		if j.GroupEpoch > 0 {
			fmt.Fprintf(w, "  group\tepoch %d, %s\n", j.GroupEpoch, wayTo(j.Links))
		}
	})
}

// wayTo tells how the group that signed came to be trusted.
func wayTo(links []observation.LinkVerdict) string {
	steps := 0
	for _, l := range links {
		if l.Footing == observation.Proven || l.Footing == observation.VouchedFor {
			steps++
		}
	}
	switch steps {
	case 0:
		return "known here"
	case 1:
		return "one link from what was known here"
	}
	return fmt.Sprintf("%d links from what was known here", steps)
}
