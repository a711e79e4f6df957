package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/notarynet/notaryd/node/store"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/utxo"
)

func backupCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "backup DIR TO",
		Short: "Copy the store of a node, also while it works",
		Long: `backup copies the store of the node in DIR to the new directory TO, consistent, while the node works or
after it has stopped. On one file system the copy is made of links and takes next to no room: copy TO to
another machine, or it is lost with the disk. The node key is not part of it.

A backup is marked: started as it is, it follows the network and signs nothing. notaryd restore makes a
store of it.`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			config, _, err := loadConfig(configPath(args[0]), nil)
			if err != nil {
				return err
			}
			to, err := filepath.Abs(args[1])
			if err != nil {
				return err
			}
			bytes, err := backup(cmd.Context(), config, to)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(map[string]any{"directory": to, "bytes": bytes})
			}
			fmt.Fprintf(cmd.OutOrStdout(), "backup    %s, %s\n", to, bytesText(bytes))
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// backup has the running node make it, or makes it of the store of one that has stopped.
func backup(ctx context.Context, config Config, to string) (bytes uint64, err error) {
	if runs(config) {
		err = operate(ctx, config, func(ctx context.Context, admin notaryv1.AdminServiceClient) error {
			r, err := admin.Backup(ctx, &notaryv1.BackupRequest{Directory: to})
			bytes = r.GetBytes()
			return err
		})
		return bytes, err
	}
	g, key, err := identity(config)
	if err != nil {
		return 0, err
	}
	st, err := openStore(config, g, key, false, slog.New(slog.DiscardHandler))
	if err != nil {
		return 0, err
	}
	bytes, err = st.Backup(to)
	return bytes, errors.Join(err, st.Close())
}

func restoreCommand() *cobra.Command {
	var o restoreOptions
	var asJSON bool
	c := &cobra.Command{
		Use:   "restore DIR (--from BACKUP | --lost | --renew)",
		Short: "Give a node a store from a backup, or a new one",
		Long: `restore makes the store of the node in DIR (which holds its configuration, genesis document and node key)
from a backup, or, with --lost, a new one for a node that has lost its store. The node must not run, and its
data directory must not be there, or be the backup itself.

The node may have signed since the backup was made what the backup does not know. So the restored store signs in
a new signing epoch alone, the Unix time in seconds of the restoration. The node follows the network, and votes
again once a link names that signing epoch of its key: have the master key certify it. Until then it counts as
a node that is down.

--renew gives a store that is no backup a new signing epoch: for a key that may have been copied.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			config, _, err := loadConfig(configPath(args[0]), nil)
			if err != nil {
				return err
			}
			now := time.Now()
			if err := restore(config, o, uint32(now.Unix()), uint64(now.UnixMilli())); err != nil {
				return err
			}
			_, key, err := identity(config)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(map[string]any{"node_key": key.Public().String(), "signing_epoch": now.Unix(), "data": config.Data})
			}
			fmt.Fprintf(cmd.OutOrStdout(), "store          %s\nnode key       %s\nsigning epoch  %d\n\n"+
				"The node follows and does not vote until a link names this signing epoch of its key:\n"+
				"have the master key certify it (notaryd certify %s --peer ID --signing-epoch %d), then: notaryd run %s\n",
				config.Data, key.Public(), now.Unix(), args[0], now.Unix(), args[0])
			return nil
		},
	}
	c.Flags().StringVar(&o.from, "from", "", "the backup")
	c.Flags().BoolVar(&o.lost, "lost", false, "there is no backup: begin with an empty store")
	c.Flags().BoolVar(&o.renew, "renew", false, "keep the store that is there, in a new signing epoch")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// restoreOptions say what a store is made of.
type restoreOptions struct {
	from        string
	lost, renew bool
}

// restore makes the store of a node, to sign in an epoch, Unix seconds, from now on, Unix milliseconds.
func restore(config Config, o restoreOptions, epoch uint32, now uint64) error {
	if given := count(o.from != "", o.lost, o.renew); given > 1 {
		return usageError{errors.New("one of --from, --lost and --renew")}
	}
	if runs(config) {
		return fmt.Errorf("the node runs: it answers on %s", config.API.Admin)
	}
	_, err := os.Stat(config.Data)
	there := err == nil
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	switch {
	case there && (o.from != "" || o.lost):
		return fmt.Errorf("%s is there already: move it away first, and keep it; if only its key was copied, --renew", config.Data)
	case !there && o.from == "" && !o.lost:
		return usageError{fmt.Errorf("%s is not there: name a backup with --from, or --lost", config.Data)}
	case o.from != "":
		return restoreFrom(config, o.from, epoch, now)
	}
	options, err := storeOptions(config, o.lost)
	if err != nil {
		return err
	}
	if there && !o.renew {
		if err := wantBackup(config.Data, options); err != nil {
			return err
		}
	}
	return store.Restore(config.Data, options, epoch, now)
}

// restoreFrom copies a backup to where the node looks for its store. It has that name only once it may be started.
func restoreFrom(config Config, from string, epoch uint32, now uint64) error {
	part := config.Data + ".restore"
	inside, err := within(part, from)
	if err != nil {
		return fmt.Errorf("the backup: %w", err)
	}
	around, err := within(from, filepath.Dir(part))
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist): // the copy makes what is missing
		return err
	case inside:
		return fmt.Errorf("%s is where the backup is copied to: give it another name first", part)
	case around:
		return fmt.Errorf("%s is no backup: it holds the node itself", from)
	}
	if err := os.RemoveAll(part); err != nil {
		return err
	}
	if err := os.CopyFS(part, os.DirFS(from)); err != nil {
		return errors.Join(fmt.Errorf("copying the backup: %w", err), os.RemoveAll(part))
	}
	options, err := storeOptions(config, false)
	if err != nil {
		return err
	}
	if err := wantBackup(part, options); err != nil {
		return errors.Join(err, os.RemoveAll(part))
	}
	if err := store.Restore(part, options, epoch, now); err != nil {
		return errors.Join(err, os.RemoveAll(part))
	}
	if err := syncTree(part); err != nil {
		return err
	}
	if err := os.Rename(part, config.Data); err != nil {
		return err
	}
	return syncFile(filepath.Dir(config.Data))
}

// within reports whether a path that exists is a directory, which need not exist, or lies in it.
func within(dir, path string) (bool, error) {
	there, err := filepath.EvalSymlinks(path)
	if err == nil {
		there, err = filepath.Abs(there)
	}
	if err != nil {
		return false, err
	}
	home, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	for err == nil {
		var info fs.FileInfo
		if info, err = os.Stat(there); err == nil && os.SameFile(home, info) {
			return true, nil
		}
		if filepath.Dir(there) == there {
			break
		}
		there = filepath.Dir(there)
	}
	return false, err
}

// wantBackup refuses a store that is no backup.
func wantBackup(dir string, options store.Options) error {
	st, err := store.Open(dir, options)
	if err != nil {
		return err
	}
	signing := st.Signing()
	if err := st.Close(); err != nil {
		return err
	}
	if !signing.Backup {
		return fmt.Errorf("%s is a store and no backup (notaryd backup makes one); a copy of a store may still be signed for elsewhere; --renew takes it all the same", dir)
	}
	return nil
}

// storeOptions are those of a node's store.
func storeOptions(config Config, create bool) (store.Options, error) {
	g, key, err := identity(config)
	if err != nil {
		return store.Options{}, err
	}
	delta, err := utxo.GenesisDelta(g)
	if err != nil {
		return store.Options{}, err
	}
	return optionsOf(config, g, key, delta, create, slog.New(slog.DiscardHandler)), nil
}

// syncTree puts a directory on disk with all that is in it.
func syncTree(dir string) error {
	return filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return syncFile(path)
	})
}

func syncFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func count(set ...bool) (n int) {
	for _, s := range set {
		if s {
			n++
		}
	}
	return n
}
