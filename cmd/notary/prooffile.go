package main

import (
	"bytes"
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

// readProof reads a proof file, binary or JSON. A file that cannot be read is an error of usage, one
// that is no proof makes the verdict invalid.
func readProof(path string) (*observation.Proof, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, usage("proof: %v", err)
	}
	// One byte more than allowed tells a file that is too large.
	b, err := io.ReadAll(io.LimitReader(f, int64(len(observation.FileMagic))+observation.MaxProofBytes+1))
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, usage("proof: %v", err)
	}
	if bytes.HasPrefix(bytes.TrimLeft(b, " \t\r\n"), []byte("{")) {
		return observation.DecodeProofJSON(b, observation.Limits{})
	}
	return observation.DecodeFile(b, observation.Limits{})
}
