package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/notarynet/notaryd/client"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/utxo"
)

// contentsView is what a proven transaction does, in JSON.
type contentsView struct {
	TransactionID string       `json:"transaction_id"`
	Memo          string       `json:"memo,omitempty"`
	Outputs       []outputView `json:"outputs"`
	// Problem is why this program cannot read it; the proof is no worse for that.
	Problem string `json:"problem,omitempty"`

	tx *utxo.Tx
}

// outputView is a proven output in JSON.
type outputView struct {
	Index        int    `json:"index"`
	Kind         string `json:"kind"`
	To           string `json:"to,omitempty"`
	Product      string `json:"product,omitempty"`
	Units        units  `json:"units"`
	NotBeforeMS  uint64 `json:"not_before_ms,omitempty"`
	MinAgeMS     uint64 `json:"min_age_ms,omitempty"`
	Counterparty string `json:"counterparty,omitempty"`
}

// tellContents fills in what the proven transactions do: whom a payment pays is for the reader to look at, and no
// node is asked. A transaction that is not valid, or that the proof does not carry, is left out.
func (j *judgement) tellContents(p *proofFile) {
	if j.Verdict == nil {
		return
	}
	for _, t := range j.Verdict.Transactions {
		if t.Conclusion != observation.Valid || !t.Included {
			continue
		}
		v := contentsView{TransactionID: t.ID.String(), Outputs: []outputView{}}
		tx, err := client.Proven(p.Proof, t.ID)
		if err != nil {
			v.Problem = err.Error()
			j.Contents = append(j.Contents, v)
			continue
		}
		v.Memo, v.tx = string(tx.Memo), tx
		for i := range tx.Outputs {
			o := &tx.Outputs[i]
			out := outputView{
				Index: i, Kind: kindName(o.Kind), Product: productText(o.Product), Units: units(o.Amount), NotBeforeMS: o.NotBeforeMS, MinAgeMS: o.MinAgeMS,
			}
			if !o.Address.IsZero() {
				out.To = j.address(o.Address)
			}
			if !o.Counterparty.IsZero() {
				out.Counterparty = j.address(o.Counterparty)
			}
			v.Outputs = append(v.Outputs, out)
		}
		j.Contents = append(j.Contents, v)
	}
}

// writeContents tells what the proven transaction does.
func (j *judgement) writeContents(w io.Writer, t *observation.TransactionVerdict) {
	for _, v := range j.Contents {
		if v.TransactionID != t.ID.String() {
			continue
		}
		if v.tx == nil {
			fmt.Fprintf(w, "  what the transaction does cannot be read here: %s\n", printable(v.Problem))
			return
		}
		writeBody(w, j.address, v.tx)
		return
	}
	if t.Conclusion == observation.Valid {
		fmt.Fprintln(w, "  the proof does not carry the transaction: it does not show what was paid, nor to whom")
	}
}

// address is the text form of an address on the proof's network.
func (j *judgement) address(a utxo.Address) string { return utxo.FormatAddress(j.prefix, a) }

// kindName is the kind of an output as programs read it.
func kindName(k fmt.Stringer) string {
	return strings.ToLower(strings.TrimPrefix(k.String(), "OUTPUT_KIND_"))
}
