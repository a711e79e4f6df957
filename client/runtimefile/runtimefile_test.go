package runtimefile

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/notarynet/notaryd/proto/domain"
)

func sample() *File {
	return &File{
		NetworkID:     strings.Repeat("ab", 32),
		Name:          "devnet",
		AddressPrefix: "ndev",
		Genesis:       "/tmp/devnet/genesis.bin",
		Nodes: []Node{
			{Name: "node-0", NodeKey: strings.Repeat("01", 32), API: "127.0.0.1:7000", Admin: "/tmp/devnet/0/admin.sock", Metrics: "127.0.0.1:7100"},
			{Name: "node-1", NodeKey: strings.Repeat("02", 32), API: "127.0.0.1:7001", Admin: "/tmp/devnet/1/admin.sock", Metrics: "127.0.0.1:7101"},
		},
		FaucetKey: "/tmp/devnet/faucet.key",
		StartedMS: 1_700_000_000_000,
		PID:       4242,
	}
}

func TestSaveLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "notary", "devnet.json")
	want := sample()
	if err := Save(path, want); err != nil {
		t.Fatal(err)
	}
	got, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, want 0600", info.Mode())
	}
	left, err := filepath.Glob(filepath.Join(filepath.Dir(path), "*"))
	if err != nil || len(left) != 1 {
		t.Errorf("files left behind: %v %v", left, err)
	}
}

// The field names are a contract with programs in other languages.
func TestFormat(t *testing.T) {
	path := filepath.Join(t.TempDir(), "devnet.json")
	f := sample()
	f.Nodes = f.Nodes[:1]
	if err := Save(path, f); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := `{
  "version": 1,
  "network_id": "` + strings.Repeat("ab", 32) + `",
  "name": "devnet",
  "address_prefix": "ndev",
  "genesis": "/tmp/devnet/genesis.bin",
  "nodes": [
    {
      "name": "node-0",
      "node_key": "` + strings.Repeat("01", 32) + `",
      "api": "127.0.0.1:7000",
      "admin": "/tmp/devnet/0/admin.sock",
      "metrics": "127.0.0.1:7100"
    }
  ],
  "faucet_key": "/tmp/devnet/faucet.key",
  "started_ms": 1700000000000,
  "pid": 4242
}
`
	if string(b) != want {
		t.Errorf("got %s\nwant %s", b, want)
	}
}

func TestLoadRefuses(t *testing.T) {
	broken := func(change func(*File)) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			f := sample()
			if err := Save(path, f); err != nil {
				t.Fatal(err)
			}
			change(f)
			if err := Save(path, f); !errors.Is(err, ErrInvalid) {
				t.Errorf("Save: %v, want ErrInvalid", err)
			}
		}
	}
	raw := func(s string) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			if err := os.WriteFile(path, []byte(s), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := Load(path); !errors.Is(err, ErrInvalid) {
				t.Errorf("Load: %v, want ErrInvalid", err)
			}
		}
	}
	for name, try := range map[string]func(*testing.T, string){
		"no nodes":         broken(func(f *File) { f.Nodes = nil }),
		"node without api": broken(func(f *File) { f.Nodes[1].API = "" }),
		"short node key":   broken(func(f *File) { f.Nodes[0].NodeKey = "01" }),
		"bad network id":   broken(func(f *File) { f.NetworkID = "zz" }),
		"no prefix":        broken(func(f *File) { f.AddressPrefix = "" }),
		"relative genesis": broken(func(f *File) { f.Genesis = "genesis.bin" }),
		"relative key":     broken(func(f *File) { f.FaucetKey = "faucet.key" }),
		"not json":         raw("nodes"),
		"empty":            raw(""),
		"newer":            raw(`{"version": 2}`),
		"huge":             raw(strings.Repeat(" ", maxBytes+1)),
	} {
		t.Run(name, func(t *testing.T) { try(t, filepath.Join(t.TempDir(), "devnet.json")) })
	}
}

func TestLoadNone(t *testing.T) {
	if _, err := Load(filepath.Join(t.TempDir(), "devnet.json")); !errors.Is(err, ErrNone) {
		t.Errorf("got %v, want ErrNone", err)
	}
}

func TestRemove(t *testing.T) {
	path := filepath.Join(t.TempDir(), "devnet.json")
	if err := Remove(path, 1); err != nil {
		t.Errorf("without a file: %v", err)
	}
	if err := Save(path, sample()); err != nil {
		t.Fatal(err)
	}
	if err := Remove(path, 1); err != nil {
		t.Error(err)
	}
	if _, err := Load(path); err != nil {
		t.Errorf("the file of another devnet was removed: %v", err)
	}
	if err := Remove(path, 4242); err != nil {
		t.Error(err)
	}
	if _, err := Load(path); !errors.Is(err, ErrNone) {
		t.Errorf("own file still there: %v", err)
	}
}

func TestPath(t *testing.T) {
	t.Setenv("HOME", "/home/ann")
	for _, tt := range []struct{ runtime, state, want string }{
		{"/run/d.json", "/var/state", "/run/d.json"},
		{"", "/var/state", "/var/state/notary/devnet.json"},
		{"", "relative/is/ignored", "/home/ann/.local/state/notary/devnet.json"},
		{"", "", "/home/ann/.local/state/notary/devnet.json"},
	} {
		t.Setenv(EnvPath, tt.runtime)
		t.Setenv("XDG_STATE_HOME", tt.state)
		got, err := Path()
		if err != nil || got != tt.want {
			t.Errorf("Path with %q, %q: %q %v, want %q", tt.runtime, tt.state, got, err, tt.want)
		}
	}
}

func TestKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "faucet.key")
	key := domain.NewPrivateKey([32]byte{1, 2, 3})
	if err := SaveKey(path, key); err != nil {
		t.Fatal(err)
	}
	got, err := LoadKey(path)
	if err != nil || got.Public() != key.Public() {
		t.Errorf("got %v %v, want %v", got.Public(), err, key.Public())
	}
	secret := strings.Repeat("5e", 31)
	if err := os.WriteFile(path, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = LoadKey(path)
	if !errors.Is(err, ErrInvalidKey) {
		t.Fatalf("short key: %v, want ErrInvalidKey", err)
	}
	if strings.Contains(err.Error(), secret) {
		t.Error("the error shows the key")
	}
}
