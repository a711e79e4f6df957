// Command refverify checks a `.notary` file against a genesis document, sharing no code with notaryd:
//
//	refverify -genesis FILE PROOF
//
// It prints the verdict as JSON and exits with 0 valid, 1 invalid, 2 not enough weight, 3 no trust root
// (no genesis document was given, or it does not lead to the group that signed), 64 wrong usage or a file
// that cannot be read.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/notarynet/notaryd/internal/refverify"
)

const exitUsage = 64

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("refverify", flag.ContinueOnError)
	flags.SetOutput(stderr)
	path := flags.String("genesis", "", "canonical encoding of the genesis document")
	if err := flags.Parse(args); err != nil {
		return exitUsage
	}
	if flags.NArg() != 1 {
		fmt.Fprintln(stderr, "usage: refverify -genesis FILE PROOF")
		return exitUsage
	}
	verdict, err := verify(*path, flags.Arg(0))
	if err != nil {
		fmt.Fprintln(stderr, "refverify:", err)
		return exitUsage
	}
	out := json.NewEncoder(stdout)
	out.SetIndent("", "  ")
	if err := out.Encode(verdict); err != nil {
		fmt.Fprintln(stderr, "refverify:", err)
		return exitUsage
	}
	return verdict.ExitCode()
}

func verify(genesisPath, proofPath string) (refverify.Verdict, error) {
	var genesis []byte
	if genesisPath != "" {
		var err error
		if genesis, err = os.ReadFile(genesisPath); err != nil {
			return refverify.Verdict{}, err
		}
	}
	proof, err := os.ReadFile(proofPath)
	if err != nil {
		return refverify.Verdict{}, err
	}
	return refverify.Verify(genesis, proof)
}
