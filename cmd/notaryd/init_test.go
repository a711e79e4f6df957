package main

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/notarynet/notaryd/client/runtimefile"
	"github.com/notarynet/notaryd/node/store"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
)

func testNetwork(t *testing.T) (*group.Genesis, domain.PrivateKey) {
	t.Helper()
	key, err := newKey()
	if err != nil {
		t.Fatal(err)
	}
	g, err := devnetGenesis([]*devnetNode{{key: key, master: key}}, key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return g, key
}

// newNode is what notaryd init leaves in a new folder, in a network of that node alone.
func newNode(t *testing.T) (Config, *group.Genesis, domain.PrivateKey) {
	t.Helper()
	g, key := testNetwork(t)
	dir := filepath.Join(t.TempDir(), "node")
	if err := initNode(dir, g, key, nil); err != nil {
		t.Fatal(err)
	}
	config, _, err := loadConfig(configPath(dir), nil)
	if err != nil {
		t.Fatal(err)
	}
	return config, g, key
}

// open opens the store of a folder as `notaryd run` does.
func open(t *testing.T, dir string) error {
	t.Helper()
	config, _, err := loadConfig(configPath(dir), nil)
	if err != nil {
		t.Fatal(err)
	}
	g, key, err := identity(config)
	if err != nil {
		return err
	}
	st, err := openStore(config, g, key, false, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	return st.Close()
}

func TestInitMakesANodeOnce(t *testing.T) {
	g, key := testNetwork(t)
	dir := filepath.Join(t.TempDir(), "node")
	if err := initNode(dir, g, key, nil); err != nil {
		t.Fatal(err)
	}
	if err := open(t, dir); err != nil {
		t.Fatalf("the new node does not open: %v", err)
	}
	info, err := os.Stat(filepath.Join(dir, "node.key"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key file has mode %v, %v", info.Mode(), err)
	}
	if err := initNode(dir, g, key, nil); err == nil || !strings.Contains(err.Error(), "is there already") {
		t.Errorf("a second init: %v", err)
	}
}

// Whatever lies in the folder stays as it is: a key that was written over could not be made again.
func TestInitOverwritesNothing(t *testing.T) {
	g, key := testNetwork(t)
	other, _ := testNetwork(t)
	genesis := filepath.Join(t.TempDir(), "genesis.bin")
	if err := os.WriteFile(genesis, g.Bytes, 0o644); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		there map[string][]byte
		fine  bool
	}{
		"a node key":                    {map[string][]byte{"node.key": []byte("the only one")}, false},
		"a node key and its genesis":    {map[string][]byte{"node.key": []byte("the only one"), "genesis.bin": g.Bytes}, false},
		"a master key":                  {map[string][]byte{masterName: []byte("the only one")}, false},
		"another network":               {map[string][]byte{"genesis.bin": other.Bytes}, false},
		"a configuration":               {map[string][]byte{configName: nil}, false},
		"the genesis document":          {map[string][]byte{"genesis.bin": g.Bytes}, true},
		"a file that is none of init's": {map[string][]byte{"README": []byte("mine")}, true},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for file, b := range c.there {
				if err := os.WriteFile(filepath.Join(dir, file), b, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			init := initCommand()
			init.SetArgs([]string{dir, "--genesis", genesis})
			init.SetOut(io.Discard)
			if err := init.Execute(); (err == nil) != c.fine || err != nil && !strings.Contains(err.Error(), "is there already") {
				t.Errorf("init: %v", err)
			}
			for file, want := range c.there {
				if got, err := os.ReadFile(filepath.Join(dir, file)); err != nil || !bytes.Equal(got, want) {
					t.Errorf("%s became %q, %v", file, got, err)
				}
			}
			if files, err := os.ReadDir(dir); err != nil || !c.fine && len(files) != len(c.there) {
				t.Errorf("a refusal left %v, %v", files, err)
			}
		})
	}
	if err := initNode(filepath.Join(genesis, "node"), g, key, nil); !errors.Is(err, syscall.ENOTDIR) {
		t.Errorf("a node where none can be: %v", err)
	}
	shared := filepath.Join(t.TempDir(), masterName) // of a peer that has other nodes: it may be copied before
	if err := runtimefile.SaveKey(shared, key); err != nil {
		t.Fatal(err)
	}
	init := initCommand()
	init.SetArgs([]string{filepath.Dir(shared), "--genesis", genesis, "--master", shared})
	init.SetOut(io.Discard)
	if err := init.Execute(); err != nil {
		t.Errorf("the master key lies where it is to be: %v", err)
	}
	if got, err := runtimefile.LoadKey(shared); err != nil || got.Public() != key.Public() {
		t.Errorf("the master key became another: %v", err)
	}
}

// A key without its vote records, and a store that belongs to another key or network, refuse to start.
func TestKeyAndStoreBelongTogether(t *testing.T) {
	g, key := testNetwork(t)
	for name, c := range map[string]struct {
		change func(t *testing.T, dir string)
		want   error
	}{
		"votes are gone": {func(t *testing.T, dir string) {
			if err := os.RemoveAll(filepath.Join(dir, "data")); err != nil {
				t.Fatal(err)
			}
		}, store.ErrNoVotes},
		"another key": {func(t *testing.T, dir string) {
			other, err := newKey()
			if err != nil {
				t.Fatal(err)
			}
			if err := runtimefile.SaveKey(filepath.Join(dir, "node.key"), other); err != nil {
				t.Fatal(err)
			}
		}, store.ErrOtherKey},
		"another network": {func(t *testing.T, dir string) {
			other, _ := testNetwork(t)
			if err := os.WriteFile(filepath.Join(dir, "genesis.bin"), other.Bytes, 0o644); err != nil {
				t.Fatal(err)
			}
		}, store.ErrOtherNetwork},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "node")
			if err := initNode(dir, g, key, nil); err != nil {
				t.Fatal(err)
			}
			c.change(t, dir)
			if err := open(t, dir); !errors.Is(err, c.want) {
				t.Errorf("error is %v, want %v", err, c.want)
			}
		})
	}
}

func TestDevnetGenesis(t *testing.T) {
	var nodes []*devnetNode
	for range 7 {
		key, err := newKey()
		if err != nil {
			t.Fatal(err)
		}
		nodes = append(nodes, &devnetNode{key: key, master: key})
	}
	g, err := devnetGenesis(nodes, nodes[0].key.Public())
	if err != nil {
		t.Fatal(err)
	}
	var sum group.Weight
	for _, n := range nodes {
		share := g.Group.Share(n.key.Public())
		if share < group.Total/7 || share > group.Total/7+1 {
			t.Errorf("a share of %d", share)
		}
		sum += share
	}
	if sum != group.Total || len(g.Doc.Allocations) != faucetOutputs {
		t.Errorf("shares sum to %d, %d allocations", sum, len(g.Doc.Allocations))
	}
}
