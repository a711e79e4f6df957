package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/notarynet/notaryd/client"
	"github.com/notarynet/notaryd/proto/domain"
)

// stampsPerTransaction keeps proofs small: each file's proof carries the fingerprints of the files that
// were stamped together with it.
const stampsPerTransaction = 64

// maxLocation is the greatest length in bytes of a file name in a stamp.
const maxLocation = 512

// stampView is one stamped file in JSON.
type stampView struct {
	File      string `json:"file"`
	SHA256    string `json:"sha256"`
	Size      uint64 `json:"size"`
	MediaType string `json:"media_type,omitempty"`
	*outcome
}

func (a *app) stampCommand() *cobra.Command {
	var force, noName bool
	c := &cobra.Command{
		Use: "stamp FILE...", GroupID: "proofs", Short: "Prove that files exist now: writes FILE.notary beside each",
		Long: "Puts the SHA-256 of each file, with its size, type and base name, into a transaction, waits until it is\n" +
			"final, and writes the proof beside each file. The content stays here; the rest is public. Each proof\n" +
			"verifies alone, offline, for ever: notary verify FILE. Files that are stamped together share a\n" +
			"transaction, so their proofs show each other's names; stamp them one by one to avoid that.",
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			stamps, err := fingerprints(args, force, noName)
			if err != nil {
				return err
			}
			return a.spend(c.Context(), func(ctx context.Context, c *client.Client) error { return a.stamp(ctx, c, args, stamps) })
		},
	}
	c.Flags().BoolVar(&force, "force", false, "replace proofs that exist")
	c.Flags().BoolVar(&noName, "no-name", false, "leave the names of the files out")
	return c
}

// fingerprints reads all files before anything is submitted.
func fingerprints(paths []string, force, noName bool) ([]client.Stamp, error) {
	stamps := make([]client.Stamp, len(paths))
	for i, path := range paths {
		if slices.Contains(paths[:i], path) {
			return nil, usage("%s is named twice", path)
		}
		var err error
		if stamps[i], err = fingerprint(path); err != nil {
			return nil, usage("stamp: %v", err)
		}
		if noName {
			stamps[i].Name = ""
		}
		if _, err := os.Lstat(path + proofSuffix); err == nil && !force {
			return nil, usage("%s exists already: move it away, or replace it with --force", path+proofSuffix)
		} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, usage("stamp: %v", err)
		}
	}
	return stamps, nil
}

// fingerprint reads one file to its end.
func fingerprint(path string) (client.Stamp, error) {
	f, err := os.Open(path)
	if err != nil {
		return client.Stamp{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return client.Stamp{}, err
	}
	if !info.Mode().IsRegular() {
		return client.Stamp{}, fmt.Errorf("%s is no regular file", path)
	}
	head := make([]byte, 512)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return client.Stamp{}, err
	}
	hash := sha256.New()
	hash.Write(head[:n])
	rest, err := io.Copy(hash, f)
	if err != nil {
		return client.Stamp{}, err
	}
	s := client.Stamp{SHA256: domain.Hash(hash.Sum(nil)), Size: uint64(n) + uint64(rest), MediaType: http.DetectContentType(head[:n])}
	if base := filepath.Base(path); utf8.ValidString(base) && len(base) <= maxLocation {
		s.Name = base
	}
	return s, nil
}

func (a *app) stamp(ctx context.Context, c *client.Client, paths []string, stamps []client.Stamp) error {
	var views []stampView
	for at := 0; at < len(stamps); at += stampsPerTransaction {
		end := min(at+stampsPerTransaction, len(stamps))
		tx, err := a.build(ctx, c, func(ctx context.Context, from *client.Account) (*client.Transaction, error) {
			return c.BuildStamps(ctx, from, client.Terms{}, stamps[at:end]...)
		})
		if err != nil {
			return err
		}
		out, err := a.finish(ctx, c, tx.ID, tx.Raw, client.WaitFinal)
		if err != nil {
			return err
		}
		for i := at; i < end; i++ {
			one := *out
			if err := a.keepProof(&one, paths[i]+proofSuffix); err != nil {
				return err
			}
			views = append(views, stampView{paths[i], stamps[i].SHA256.String(), stamps[i].Size, stamps[i].MediaType, &one})
		}
	}
	return a.print(views, func(w io.Writer) {
		for _, v := range views {
			fmt.Fprintf(w, "stamped %s: %s\n", v.File, v.ProofFile)
		}
		fmt.Fprintf(w, "%s\n", views[len(views)-1].outcome)
	})
}
