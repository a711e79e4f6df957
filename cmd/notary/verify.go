package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/notarynet/notaryd/client"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
	"github.com/notarynet/notaryd/utxo"
)

// verifyView is the verification of a file in JSON.
type verifyView struct {
	File      string `json:"file"`
	ProofFile string `json:"proof_file"`
	SHA256    string `json:"sha256"`
	Size      uint64 `json:"size"`
	// Name and MediaType are what the stamp states.
	Name      string `json:"stated_name,omitempty"`
	MediaType string `json:"stated_media_type,omitempty"`
	*judgement
	// Transaction is the one that carries the stamp.
	Transaction *observation.TransactionVerdict `json:"transaction,omitempty"`
}

func (a *app) verifyCommand() *cobra.Command {
	var proofFile string
	var k checking
	c := &cobra.Command{
		Use: "verify FILE", GroupID: "proofs", Short: "Check offline that a file is the one that was stamped",
		Long: "Reads FILE and its proof FILE.notary and checks, without any node, that the network notarised exactly\n" +
			"this content, and when. Exit codes: 0 valid, 1 invalid, 2 not enough weight, 3 no trust root.",
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			v, err := a.verifyFile(args[0], proofFile, k)
			if err != nil {
				return err
			}
			if err := a.print(v, v.write); err != nil {
				return err
			}
			return v.exit()
		},
	}
	c.Flags().StringVar(&proofFile, "proof", "", "the proof, where it is not in FILE.notary")
	k.flags(c)
	return c
}

func (a *app) verifyFile(path, proofFile string, k checking) (*verifyView, error) {
	// Whoever names the proof means the file beside it.
	if document, isProof := strings.CutSuffix(path, proofSuffix); isProof && proofFile == "" {
		path, proofFile = document, path
	}
	if proofFile == "" {
		proofFile = path + proofSuffix
	}
	stamp, err := fingerprint(path)
	if err != nil {
		return nil, usage("verify: %v", err)
	}
	if _, err := os.Stat(proofFile); errors.Is(err, fs.ErrNotExist) {
		return nil, &failure{exitUsage, "NO_PROOF", "name it with --proof", fmt.Errorf("there is no proof %s beside the file", proofFile)}
	}
	v := &verifyView{File: path, ProofFile: proofFile, SHA256: stamp.SHA256.String(), Size: stamp.Size, judgement: &judgement{}}
	p, err := readProof(proofFile)
	if refusal.ReasonOf(err) != notaryv1.Reason_REASON_UNSPECIFIED {
		v.invalid(err)
		return v, nil
	}
	if err != nil {
		return nil, err
	}
	if v.judgement, err = a.judge(p, k); err != nil {
		return nil, err
	}
	if v.Verdict != nil {
		v.find(p.Proof, stamp)
	}
	return v, nil
}

// find looks for the file's stamp among what is proven. A proof without it is invalid for this file,
// whatever else it proves.
func (v *verifyView) find(p *observation.Proof, want client.Stamp) {
	verdict := v.Verdict
	v.Verdict = nil // the transaction says it all
	for i := range p.Transactions {
		data, err := stampIn(p, p.Transactions[i].ID, want)
		if err != nil {
			v.invalid(err)
			return
		}
		if data != nil {
			if v.Conclusion == observation.NoTrustRoot {
				return // nobody known here signed it: nothing can be said of what it states
			}
			v.Name, v.MediaType, v.Transaction = data.Location, data.MediaType, &verdict.Transactions[i]
			if v.Transaction.Conclusion != observation.Valid {
				v.Conclusion = v.Transaction.Conclusion
			}
			return
		}
	}
	v.invalid(refusal.New(notaryv1.Reason_REASON_NOT_FOUND, "", "the proof is of another file, or this file was changed: nothing in it states sha-256 %s", v.SHA256))
}

// stampIn is the data output of a proven transaction that states a file's hash and size, or nil.
func stampIn(p *observation.Proof, id domain.Hash, want client.Stamp) (*utxo.Data, error) {
	tx, err := client.Proven(p, id)
	if errors.Is(err, refusal.Because(notaryv1.Reason_REASON_NOT_FOUND)) {
		return nil, nil // a proof may leave transactions out
	}
	if err != nil {
		return nil, err
	}
	for i := range tx.Outputs {
		d := tx.Outputs[i].Data
		if d != nil && d.Kind == notaryv1.DataKind_DATA_KIND_REFERENCE && d.Hash == want.SHA256 && d.Size == want.Size {
			return d, nil
		}
	}
	return nil, nil
}

func (v *verifyView) write(w io.Writer) {
	v.judgement.write(w, v.File)
	if v.Transaction == nil {
		return
	}
	fmt.Fprintf(w, "  sha-256      %s, %d bytes\n", v.SHA256, v.Size)
	if v.Name != "" {
		fmt.Fprintf(w, "  stamped as   %s\n", printable(v.Name))
	}
	v.writeTransaction(w, v.Transaction)
}
