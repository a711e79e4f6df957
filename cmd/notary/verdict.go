package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/notarynet/notaryd/client"
	"github.com/notarynet/notaryd/client/wallet"
	"github.com/notarynet/notaryd/observation"
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
	NetworkName string               `json:"network,omitempty"`
	Verdict     *observation.Verdict `json:"verdict,omitempty"`
}

// invalid condemns, with the refusal that names the part at fault.
func (j *judgement) invalid(err error) {
	j.Conclusion, j.Message, j.Reason = observation.Invalid, err.Error(), "INVALID"
	var r *refusal.Error
	if errors.As(err, &r) {
		j.Reason, j.Field, j.Message = refusal.Name(r.Reason), r.Field, r.Detail
	}
}

// judge verifies a proof without any node, against the genesis file given or the networks trusted here.
func (a *app) judge(p *proofFile, genesisFile string) (*judgement, error) {
	j := &judgement{Network: p.Network.String()}
	g, err := a.trustRoot(p, genesisFile)
	if errors.Is(err, wallet.ErrUnknownNetwork) {
		j.Conclusion, j.Reason = observation.NoTrustRoot, "NO_TRUST_ROOT"
		j.Message = "the genesis document of network " + j.Network + " is not known here"
		return j, nil
	}
	if err != nil {
		return nil, err
	}
	j.NetworkName = g.Doc.GetName()
	verdict, err := p.verify(client.Root(g))
	if err != nil {
		j.invalid(err)
		return j, nil
	}
	j.Conclusion, j.Verdict = verdict.Conclusion, &verdict
	switch j.Conclusion {
	case observation.NotEnoughWeight:
		j.Reason, j.Message = refusal.Name(notaryv1.Reason_REASON_NOT_ENOUGH_WEIGHT), "too little weight stands behind it"
	case observation.NoTrustRoot:
		j.Reason, j.Message = "NO_TRUST_ROOT", "no group known here leads to the one that signed"
	}
	return j, nil
}

func (a *app) trustRoot(p *proofFile, genesisFile string) (*group.Genesis, error) {
	if genesisFile != "" {
		return readGenesis(genesisFile)
	}
	store, err := a.store()
	if err != nil {
		return nil, err
	}
	return store.Networks().Get(p.Network)
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
		fmt.Fprintf(w, "valid: %s\n", what)
	case observation.NoTrustRoot:
		fmt.Fprintf(w, "cannot tell: %s: %s; get its genesis file from a source you trust and run notary network trust FILE [%s]\n", what, j.Message, j.Reason)
	case observation.NotEnoughWeight:
		fmt.Fprintf(w, "NOT ENOUGH WEIGHT: %s: %s [%s]\n", what, j.Message, j.Reason)
	default:
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
	})
}
