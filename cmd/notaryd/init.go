package main

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/notarynet/notaryd/client/runtimefile"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
)

// configName is the file that `notaryd run DIR` looks for.
const configName = "notaryd.toml"

// masterName is the file of the master key that init makes.
const masterName = "master.key"

// configPath is the configuration file of a folder, or the file itself.
func configPath(dirOrFile string) string {
	if info, err := os.Stat(dirOrFile); err == nil && info.IsDir() {
		return filepath.Join(dirOrFile, configName)
	}
	return dirOrFile
}

func initCommand() *cobra.Command {
	var genesis, master string
	var cold bool
	c := &cobra.Command{
		Use:   "init DIR --genesis FILE",
		Short: "Make a node: its key, its configuration and an empty store",
		Long: `init makes a folder with all that a node needs: a fresh node key (node.key, keep it secret and in
one place only), a configuration (notaryd.toml) and a store that holds the genesis outputs. Nothing
that is there is overwritten.

A node belongs to a peer, a set of nodes under one master key, and votes once a link lists its key among those of
a peer that members trust. Without flags init makes the master key of a new peer (master.key), with which the
node lists its own key and signs the labels that you set. --master FILE takes that of a peer of yours that has other nodes.
--cold makes none: the master key stays where you keep it, and signs there.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			g, err := readGenesis(genesis)
			if err != nil {
				return err
			}
			key, err := newKey()
			if err != nil {
				return err
			}
			var own domain.PrivateKey
			switch {
			case cold:
			case master != "":
				own, err = runtimefile.LoadKey(master)
			default:
				own, err = newKey()
			}
			if err != nil {
				return err
			}
			if !cold {
				if err := masterVacant(args[0], own); err != nil {
					return err
				}
			}
			settings := map[string]any{"log.level": "info"}
			if !cold {
				settings["trust.master_key"] = masterName
			}
			if err := initNode(args[0], g, key, settings); err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			fmt.Fprintf(out, "network   %s (%s)\nnode key  %s\n", g.ID, g.Doc.Name, key.Public())
			if !cold {
				if err := runtimefile.SaveKey(filepath.Join(args[0], masterName), own); err != nil {
					return err
				}
				fmt.Fprintf(out, "peer      %s\n", group.PeerID(own.Public()))
			}
			fmt.Fprintf(out, "\nnext: set p2p.bootstrap and p2p.announce in %s, then: notaryd run %s\n", filepath.Join(args[0], configName), args[0])
			return nil
		},
	}
	c.Flags().StringVar(&genesis, "genesis", "", "genesis document of the network (canonical binary)")
	c.Flags().StringVar(&master, "master", "", "file of the master key of an existing peer, to be copied")
	c.Flags().BoolVar(&cold, "cold", false, "keep the master key elsewhere")
	c.MarkFlagsMutuallyExclusive("master", "cold")
	if err := c.MarkFlagRequired("genesis"); err != nil {
		panic(err)
	}
	return c
}

// readGenesis reads a genesis document.
func readGenesis(path string) (*group.Genesis, error) {
	doc, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	g, err := group.DecodeGenesis(doc)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return g, nil
}

// newKey draws a key.
func newKey() (domain.PrivateKey, error) {
	var seed [32]byte
	if _, err := rand.Read(seed[:]); err != nil {
		return domain.PrivateKey{}, err
	}
	return domain.NewPrivateKey(seed), nil
}

// vacant refuses a folder in which something lies that a new node would write over: a key cannot be made again. The
// genesis document may be there.
func vacant(dir string, g *group.Genesis) error {
	for _, name := range []string{configName, "node.key"} {
		path := filepath.Join(dir, name)
		switch _, err := os.Stat(path); {
		case err == nil:
			return fmt.Errorf("%s is there already", path)
		case !errors.Is(err, fs.ErrNotExist):
			return err
		}
	}
	path := filepath.Join(dir, "genesis.bin")
	switch doc, err := os.ReadFile(path); {
	case err == nil && !bytes.Equal(doc, g.Bytes):
		return fmt.Errorf("%s is there already, and is another one", path)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	}
	return nil
}

// masterVacant refuses a folder in which another master key lies than the one that is to be there.
func masterVacant(dir string, own domain.PrivateKey) error {
	path := filepath.Join(dir, masterName)
	there, err := runtimefile.LoadKey(path)
	if err == nil && there.Public() == own.Public() || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return fmt.Errorf("%s is there already: --master %s takes it for this node, if it is a master key", path, path)
}

// initNode makes the folder of a node.
func initNode(dir string, g *group.Genesis, key domain.PrivateKey, settings map[string]any) error {
	path := filepath.Join(dir, configName)
	if err := vacant(dir, g); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "genesis.bin"), g.Bytes, 0o644); err != nil {
		return err
	}
	if err := runtimefile.SaveKey(filepath.Join(dir, "node.key"), key); err != nil {
		return err
	}
	if err := writeConfig(path, settings); err != nil {
		return err
	}
	config, _, err := loadConfig(path, nil)
	if err != nil {
		return err
	}
	st, err := openStore(config, g, key, true, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	return st.Close()
}
