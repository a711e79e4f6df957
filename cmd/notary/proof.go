package main

import (
	"context"
	"fmt"
	"io"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"

	"github.com/notarynet/notaryd/client"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

func (a *app) proofCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "proof", GroupID: "proofs", Short: "Fetch and check acceptance proofs", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(a.proofGet(), a.proofVerify())
	return c
}

// idArg reads a transaction id.
func idArg(text string) (domain.Hash, error) {
	id, err := domain.ParseHash(text)
	if err != nil {
		return id, usage("%q is not a transaction id of 64 hexadecimal digits", text)
	}
	return id, nil
}

// encoded is a proof to be written, ordinary or compact.
type encoded interface {
	EncodeFile() []byte
	JSON() ([]byte, error)
}

func (a *app) proofGet() *cobra.Command {
	var path, format string
	var compact, short bool
	c := &cobra.Command{
		Use: "get TX", Short: "Fetch the proof of a final transaction, verify it, and keep it in a file",
		Long: "Fetches the proof of a final transaction, verifies it, and keeps it in a file. With --compact the node asks\n" +
			"its peers for signatures and folds them into one: some 200 bytes beside the transaction, however large\n" +
			"the network. Such a proof states no time.",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			id, err := idArg(args[0])
			if err != nil {
				return err
			}
			if format != "binary" && format != "json" {
				return usage("--format %q is none of binary, json", format)
			}
			return a.session(c.Context(), func(ctx context.Context, c *client.Client) error {
				var proof encoded
				var verdict observation.Verdict
				var err error
				switch {
				case compact:
					proof, verdict, err = c.CompactProof(ctx, id)
				case short:
					proof, verdict, err = c.ShortProof(ctx, id)
				default:
					proof, verdict, err = c.Proof(ctx, id)
				}
				if err != nil {
					return err
				}
				if path == "" {
					path = id.String()[:16] + proofSuffix
					if format == "json" {
						path += ".json"
					}
				}
				if err := writeAs(path, format, proof); err != nil {
					return err
				}
				return a.print(map[string]any{"proof_file": path, "verdict": verdict}, func(w io.Writer) { fmt.Fprintf(w, "proof: %s\n", path) })
			})
		},
	}
	c.Flags().StringVarP(&path, "output", "o", "", "write to this `file` (default: the id's first 16 digits with .notary)")
	c.Flags().BoolVar(&short, "short", false, "only the links from the latest group known here: others may not be able to check it")
	c.Flags().StringVar(&format, "format", "binary", "`form` of the proof: binary or json")
	c.Flags().BoolVar(&compact, "compact", false, "one signature of all peers together in place of one each")
	fixedValues(c, "format", "binary", "json")
	return c
}

func writeAs(path, format string, p encoded) error {
	if format == "binary" {
		return renameio.WriteFile(path, p.EncodeFile(), 0o644)
	}
	b, err := p.JSON()
	if err != nil {
		return fmt.Errorf("proof: %w", err)
	}
	return renameio.WriteFile(path, append(b, '\n'), 0o644)
}

func (a *app) proofVerify() *cobra.Command {
	var k checking
	c := &cobra.Command{
		Use: "verify FILE", Short: "Check a proof file offline",
		Long: "Checks every signature and path of a proof, binary or JSON, without any node, and shows what the proven\n" +
			"transactions do. Valid says that they are final: whom they pay, and how much, is for you to look at. Exit\n" +
			"codes: 0 valid, 1 invalid, 2 not enough weight, 3 no trust root.",
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			j := &judgement{}
			p, err := readProof(args[0])
			switch {
			case refusal.ReasonOf(err) != notaryv1.Reason_REASON_UNSPECIFIED:
				j.invalid(err)
			case err != nil:
				return err
			default:
				if j, err = a.judge(p, k); err != nil {
					return err
				}
				j.tellContents(p)
			}
			err = a.print(j, func(w io.Writer) {
				j.write(w, args[0])
				if j.Verdict != nil {
					for i := range j.Verdict.Transactions {
						j.writeTransaction(w, &j.Verdict.Transactions[i])
						j.writeContents(w, &j.Verdict.Transactions[i])
					}
				}
			})
			if err != nil {
				return err
			}
			return j.exit()
		},
	}
	k.flags(c)
	return c
}
