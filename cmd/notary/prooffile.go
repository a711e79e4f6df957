package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/google/renameio/v2"

	"github.com/notarynet/notaryd/observation"
)

// proofSuffix ends the names of proof files.
const proofSuffix = ".notary"

// keepProof writes the proof of a final transaction under its short name, or another one.
func (a *app) keepProof(out *outcome, path string) error {
	if out.proof == nil {
		return nil
	}
	if path == "" {
		path = out.ID[:16] + proofSuffix
	}
	if err := writeProof(path, out.proof); err != nil {
		return &failure{exitFailed, "PROOF_NOT_WRITTEN", "fetch it again with notary proof get " + out.ID + " --output FILE",
			fmt.Errorf("transaction %s is final, but its proof could not be kept: %w", out.ID, err)}
	}
	out.ProofFile = path
	return nil
}

func writeProof(path string, p *observation.Proof) error {
	return renameio.WriteFile(path, p.EncodeFile(), 0o644)
}

// proofFile is what a proof file holds.
type proofFile struct {
	// Proof is an ordinary one. Of a compact proof it is the transaction alone, without edges.
	*observation.Proof
	compact *observation.Compact
}

// verify checks the proof, of whichever form.
func (p *proofFile) verify(root observation.Root) (observation.Verdict, error) {
	if p.compact != nil {
		return p.compact.Verify(root)
	}
	return p.Proof.Verify(root)
}

func compactFile(c *observation.Compact) *proofFile {
	carried := &observation.Proof{
		State: observation.Accepted, Network: c.Network, GroupEpoch: c.GroupEpoch, Link: c.Link,
		Transactions: []observation.ProvenTransaction{{ID: c.Tx, Raw: c.Raw, Round: c.Round}},
	}
	return &proofFile{carried, c}
}

// readProof reads a proof file, ordinary or compact, binary or JSON. A file that cannot be read is an error
// of usage, one that is no proof makes the verdict invalid.
func readProof(path string) (*proofFile, error) {
	b, err := readProofBytes(path)
	if err != nil {
		return nil, err
	}
	text := bytes.HasPrefix(bytes.TrimLeft(b, " \t\r\n"), []byte("{"))
	var p *observation.Proof
	var c *observation.Compact
	switch {
	case observation.IsCompactFile(b):
		c, err = observation.DecodeCompactFile(b, observation.Limits{})
	case text && isCompactJSON(b):
		c, err = observation.DecodeCompactJSON(b, observation.Limits{})
	case text:
		p, err = observation.DecodeProofJSON(b, observation.Limits{})
	default:
		p, err = observation.DecodeFile(b, observation.Limits{})
	}
	switch {
	case err != nil:
		return nil, err
	case c != nil:
		return compactFile(c), nil
	}
	return &proofFile{p, nil}, nil
}

// isCompactJSON reports whether a JSON form is that of a compact proof, which alone has signers.
func isCompactJSON(b []byte) bool {
	var fields map[string]json.RawMessage
	return json.Unmarshal(b, &fields) == nil && fields["signers"] != nil
}

func readProofBytes(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, usage("proof: %v", err)
	}
	// One byte more than allowed tells a file that is too large.
	b, err := io.ReadAll(io.LimitReader(f, int64(len(observation.FileMagic))+observation.MaxProofBytes+1))
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, usage("proof: %v", err)
	}
	return b, nil
}
