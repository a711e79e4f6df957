// Package runtimefile is how a client finds a running devnet without flags: the devnet writes one
// small JSON file when it is ready and removes it when it stops, and every client looks there.
package runtimefile

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"

	"github.com/notarynet/notaryd/proto/domain"
)

// Version is the format that this package writes. A file of a higher version is refused.
const Version = 1

// EnvPath names the environment variable that overrides the default path.
const EnvPath = "NOTARY_RUNTIME"

// maxBytes bounds what is read: about 200 bytes a node.
const maxBytes = 1 << 20

// Errors of Load.
var (
	// ErrNone says that no runtime file exists: no devnet runs, or it runs for another user.
	ErrNone = errors.New("no runtime file")
	// ErrInvalid says that the file is not what a devnet writes.
	ErrInvalid = errors.New("invalid runtime file")
)

// File describes a running network on this machine.
type File struct {
	Version int `json:"version"`
	// NetworkID is the hash of the genesis document, 64 hexadecimal digits.
	NetworkID string `json:"network_id"`
	Name      string `json:"name"`
	// AddressPrefix is the human-readable part of addresses.
	AddressPrefix string `json:"address_prefix"`
	// Genesis is the absolute path of the canonical genesis document.
	Genesis string `json:"genesis"`
	// Nodes are the processes of the network; clients talk to the first that answers.
	Nodes []Node `json:"nodes"`
	// FaucetKey is the absolute path of a key file (see LoadKey) that owns funds to give away.
	FaucetKey string `json:"faucet_key"`
	// StartedMS is when the network was ready, Unix milliseconds.
	StartedMS uint64 `json:"started_ms"`
	// PID is the process that supervises the nodes.
	PID int `json:"pid"`
}

// Node is one process of the network.
type Node struct {
	Name string `json:"name"`
	// NodeKey is its Ed25519 public key, 64 hexadecimal digits.
	NodeKey string `json:"node_key"`
	// API is host:port of gRPC and REST.
	API string `json:"api"`
	// Admin is the path of the operator's Unix socket.
	Admin string `json:"admin"`
	// Metrics is host:port of the Prometheus endpoint.
	Metrics string `json:"metrics"`
}

// Path is where the runtime file is looked for and written: $NOTARY_RUNTIME, else
// $XDG_STATE_HOME/notary/devnet.json, else ~/.local/state/notary/devnet.json.
func Path() (string, error) { return PathIn(os.Getenv) }

// PathIn is Path in another environment.
func PathIn(env func(string) string) (string, error) {
	if p := env(EnvPath); p != "" {
		return filepath.Abs(p)
	}
	if dir := env("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "notary", "devnet.json"), nil
	}
	home := env("HOME")
	if home == "" {
		return "", fmt.Errorf("find the runtime file: neither $%s nor $HOME is set", EnvPath)
	}
	return filepath.Join(home, ".local", "state", "notary", "devnet.json"), nil
}

// Load reads and checks a runtime file. The error is ErrNone where there is none and ErrInvalid where
// it cannot be used.
func Load(path string) (*File, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w at %s", ErrNone, path)
	}
	if err != nil {
		return nil, fmt.Errorf("read the runtime file: %w", err)
	}
	if len(b) > maxBytes {
		return nil, fmt.Errorf("%w: %s has %d bytes", ErrInvalid, path, len(b))
	}
	var f File
	if err := json.Unmarshal(b, &f); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrInvalid, path, err)
	}
	if err := f.Validate(); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrInvalid, path, err)
	}
	return &f, nil
}

// Validate reports whether a client can use the file: its version, ids, and at least one node.
func (f *File) Validate() error {
	if f.Version != Version {
		return fmt.Errorf("version %d, this program reads %d", f.Version, Version)
	}
	if _, err := domain.ParseHash(f.NetworkID); err != nil {
		return fmt.Errorf("network_id: %w", err)
	}
	if f.AddressPrefix == "" {
		return errors.New("address_prefix: missing")
	}
	if len(f.Nodes) == 0 {
		return errors.New("nodes: none")
	}
	for i, n := range f.Nodes {
		if n.API == "" {
			return fmt.Errorf("nodes[%d].api: missing", i)
		}
		if _, err := domain.ParseHash(n.NodeKey); err != nil {
			return fmt.Errorf("nodes[%d].node_key: %w", i, err)
		}
	}
	for name, path := range map[string]string{"genesis": f.Genesis, "faucet_key": f.FaucetKey} {
		if path != "" && !filepath.IsAbs(path) {
			return fmt.Errorf("%s: %q is not an absolute path", name, path)
		}
	}
	return nil
}

// Save writes the file atomically with mode 0600, making its directory (0700) where needed. It sets
// Version.
func Save(path string, f *File) error {
	f.Version = Version
	if err := f.Validate(); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	b, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return fmt.Errorf("write the runtime file: %w", err)
	}
	return write(path, append(b, '\n'))
}

// Remove deletes the runtime file, but only while it still belongs to the process pid: a devnet that
// ends late must not take away the file of the one started after it. No file is no error.
func Remove(path string, pid int) error {
	f, err := Load(path)
	switch {
	case errors.Is(err, ErrNone):
		return nil
	case err != nil:
		return err
	case f.PID != pid:
		return nil
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the runtime file: %w", err)
	}
	return nil
}

func write(path string, b []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := renameio.WriteFile(path, b, 0o600, renameio.IgnoreUmask()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
