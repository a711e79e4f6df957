package wallet

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/renameio/v2"
)

// EnvHome names the environment variable that overrides the default directory.
const EnvHome = "NOTARY_HOME"

// Errors of a Store.
var (
	// ErrNoWallet says that no wallet has the name, or that there is none at all.
	ErrNoWallet = errors.New("no such wallet")
	// ErrExists says that a wallet of the name exists. Wallets are never overwritten.
	ErrExists = errors.New("a wallet of this name exists")
	// ErrName says that a name is not 1 to 32 lower-case letters, digits, dashes and underscores.
	ErrName = errors.New("invalid wallet name")
	// ErrCorrupt says that a file of the store cannot be read as what it should be.
	ErrCorrupt = errors.New("damaged file")
)

// Store is a directory of wallets and trusted networks. Every file is 0600 and written atomically, so
// that several programs may use one store at the same time.
type Store struct {
	dir string
	// logN is the scrypt work factor of new wallets.
	logN int
}

// scryptLogN is age's own default: about a second and 256 MiB a guess.
const scryptLogN = 18

// maxLogN bounds the work factor of wallets: opening one of it takes 1 GiB.
const maxLogN = 20

// Dir is where wallets live, by the environment given (os.Getenv): $NOTARY_HOME, else
// $XDG_DATA_HOME/notary, else ~/.local/share/notary.
func Dir(env func(string) string) (string, error) {
	if dir := env(EnvHome); dir != "" {
		return filepath.Abs(dir)
	}
	if dir := env("XDG_DATA_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "notary"), nil
	}
	home := env("HOME")
	if home == "" {
		return "", fmt.Errorf("find the wallets: neither $%s nor $HOME is set", EnvHome)
	}
	return filepath.Join(home, ".local", "share", "notary"), nil
}

// NewStore uses a directory; it is made by the first write.
func NewStore(dir string) *Store { return &Store{dir: dir, logN: scryptLogN} }

// WithWorkFactor sets the scrypt work factor (log2 N) of new wallets, at most 20. Less than the default is
// for tests and throw-away wallets only.
func (s *Store) WithWorkFactor(logN int) *Store { return &Store{dir: s.dir, logN: logN} }

// Path is the directory of the store.
func (s *Store) Path() string { return s.dir }

func (s *Store) walletPath(name string) string { return filepath.Join(s.dir, "wallets", name+suffix) }

const suffix = ".json"

// Create makes a wallet of checked words under a passphrase. The first wallet of a store becomes its
// default. The errors are ErrName, ErrExists, ErrWords, ErrPassphrase, and those of the disk.
func (s *Store) Create(name, words string, account uint32, passphrase string, nowMS uint64) (*Wallet, error) {
	if !validName(name) {
		return nil, fmt.Errorf("%w: %q", ErrName, name)
	}
	w, err := seal(name, words, account, passphrase, nowMS, s.logN)
	if err != nil {
		return nil, err
	}
	b, err := json.MarshalIndent(w.file(), "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write the wallet: %w", err)
	}
	if err := createExclusive(s.walletPath(name), append(b, '\n')); err != nil {
		return nil, err
	}
	if _, err := s.Default(); errors.Is(err, ErrNoWallet) {
		return w, s.SetDefault(name)
	}
	return w, nil
}

// Get is the wallet of a name; the empty name is the default wallet.
func (s *Store) Get(name string) (*Wallet, error) {
	if name == "" {
		var err error
		if name, err = s.Default(); err != nil {
			return nil, err
		}
	}
	if !validName(name) {
		return nil, fmt.Errorf("%w: %q", ErrName, name)
	}
	path := s.walletPath(name)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s", ErrNoWallet, name)
	}
	if err != nil {
		return nil, fmt.Errorf("read the wallet: %w", err)
	}
	w, err := parse(name, b)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrCorrupt, path, err)
	}
	return w, nil
}

// List is every wallet by name.
func (s *Store) List() ([]*Wallet, error) {
	entries, err := os.ReadDir(filepath.Join(s.dir, "wallets"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list the wallets: %w", err)
	}
	var all []*Wallet
	for _, e := range entries {
		name, isWallet := strings.CutSuffix(e.Name(), suffix)
		if !isWallet || !validName(name) {
			continue
		}
		w, err := s.Get(name)
		if err != nil {
			return nil, err
		}
		all = append(all, w)
	}
	slices.SortFunc(all, func(a, b *Wallet) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

// Default is the name of the default wallet, or ErrNoWallet.
func (s *Store) Default() (string, error) {
	b, err := os.ReadFile(s.defaultPath())
	if errors.Is(err, fs.ErrNotExist) {
		return "", ErrNoWallet
	}
	if err != nil {
		return "", fmt.Errorf("read the default wallet: %w", err)
	}
	name := strings.TrimSpace(string(b))
	if !validName(name) {
		return "", fmt.Errorf("%w: %s", ErrCorrupt, s.defaultPath())
	}
	return name, nil
}

// SetDefault makes an existing wallet the default.
func (s *Store) SetDefault(name string) error {
	if _, err := s.Get(name); err != nil {
		return err
	}
	return replace(s.defaultPath(), []byte(name+"\n"))
}

func (s *Store) defaultPath() string { return filepath.Join(s.dir, "default-wallet") }

func validName(name string) bool {
	if len(name) == 0 || len(name) > 32 {
		return false
	}
	for i, c := range []byte(name) {
		letter := c >= 'a' && c <= 'z' || c >= '0' && c <= '9'
		if !letter && (i == 0 || c != '-' && c != '_') {
			return false
		}
	}
	return true
}

// createExclusive writes a new file that is whole or not there, and never replaces one: a hard link
// fails where the name is taken, which a rename would not.
func createExclusive(path string, b []byte) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	tmp, err := os.CreateTemp(dir, ".new-*") // 0600
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(b)
	if err == nil {
		err = tmp.Sync()
	}
	if err := errors.Join(err, tmp.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.Link(tmp.Name(), path); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("%w: %s", ErrExists, path)
		}
		return fmt.Errorf("write %s: %w", path, err)
	}
	return syncDir(dir)
}

// replace writes a file that is whole, old or new, at every moment.
func replace(path string, b []byte) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := renameio.WriteFile(path, b, 0o600, renameio.IgnoreUmask()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return syncDir(dir)
}

// syncDir makes a new name survive a power cut.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	return nil
}
