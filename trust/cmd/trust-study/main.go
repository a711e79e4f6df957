// Command trust-study measures attacks on trust, prints the tables of docs/trust.md and draws its
// plots: trust-study [-out docs/trust].
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/notarynet/notaryd/trust/study"
)

func main() {
	out := flag.String("out", "docs/trust", "directory of the plots")
	only := flag.String("only", "", "one plot, by name: sybil, links, ...")
	flag.Parse()
	err := os.MkdirAll(*out, 0o755)
	if err == nil {
		err = study.Run(os.Stdout, func(name string, svg []byte) error {
			return os.WriteFile(filepath.Join(*out, name), svg, 0o644)
		}, *only)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
