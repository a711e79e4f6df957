package wallet

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"filippo.io/age/armor"

	"github.com/notarynet/notaryd/proto/domain"
)

const testWords = "zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo vote"

// fastLogN makes a guess cheap: tests keep no secrets.
const fastLogN = 4

func newStore(t *testing.T) *Store {
	t.Helper()
	return NewStore(filepath.Join(t.TempDir(), "notary")).WithWorkFactor(fastLogN)
}

func TestCreateAndUnlock(t *testing.T) {
	s := newStore(t)
	made, err := s.Create("main", testWords, 7, "correct horse", 1234)
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.Get("")
	if err != nil {
		t.Fatal(err)
	}
	if *got != *made {
		t.Errorf("got %+v, want %+v", got, made)
	}
	open, err := got.Unlock("correct horse")
	if err != nil {
		t.Fatal(err)
	}
	if open.Words != testWords || open.Key.Public() != got.PublicKey {
		t.Error("another wallet came out than went in")
	}
	if want := DeriveKey(seed(testWords), 7).Public(); got.PublicKey != want || got.CreatedMS != 1234 {
		t.Errorf("public key %v, made at %d", got.PublicKey, got.CreatedMS)
	}
	for _, wrong := range []string{"", "correct  horse", "Correct horse"} {
		if _, err := got.Unlock(wrong); !errors.Is(err, ErrPassphrase) {
			t.Errorf("passphrase %q: %v, want ErrPassphrase", wrong, err)
		}
	}
}

// A wallet file that somebody else wrote may ask for any work: no more is done than 1 GiB of memory takes.
func TestUnlockRefusesEndlessWork(t *testing.T) {
	s := newStore(t)
	w, err := s.Create("main", testWords, 0, "pass", 0)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(armor.NewReader(strings.NewReader(w.secret)))
	if err != nil {
		t.Fatal(err)
	}
	var dear strings.Builder
	armored := armor.NewWriter(&dear)
	if _, err := armored.Write(bytes.Replace(plain, []byte(" 4\n"), []byte(" 21\n"), 1)); err != nil {
		t.Fatal(err)
	}
	if err := armored.Close(); err != nil {
		t.Fatal(err)
	}
	w.secret = dear.String()
	if _, err := w.Unlock("pass"); !errors.Is(err, ErrCorrupt) {
		t.Errorf("2^21 blocks of 1 KiB: %v", err)
	}
	if _, err := s.WithWorkFactor(maxLogN+1).Create("dear", testWords, 0, "pass", 0); err == nil {
		t.Error("a wallet was made that cannot be opened")
	}
}

func TestFilesArePrivateAndSecretsSealed(t *testing.T) {
	s := newStore(t)
	if _, err := s.Create("main", testWords, 0, "pass", 0); err != nil {
		t.Fatal(err)
	}
	key := DeriveKey(seed(testWords), 0).Seed()
	err := filepath.WalkDir(s.Path(), func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		if d.IsDir() {
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, secret := range []string{"zoo", "vote", domain.Hash(key).String(), "pass\""} {
			if strings.Contains(string(b), secret) {
				t.Errorf("%s shows %q", path, secret)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestCreateRefuses(t *testing.T) {
	s := newStore(t)
	if _, err := s.Create("taken", testWords, 0, "p", 0); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, words, pass string
		want              error
	}{
		{"taken", testWords, "p", ErrExists},
		{"", testWords, "p", ErrName},
		{"../evil", testWords, "p", ErrName},
		{"Main", testWords, "p", ErrName},
		{"-flag", testWords, "p", ErrName},
		{strings.Repeat("a", 33), testWords, "p", ErrName},
		{"ok", "zoo zoo", "p", ErrWords},
		{"ok", testWords, "", ErrPassphrase},
	} {
		if _, err := s.Create(tt.name, tt.words, 0, tt.pass, 0); !errors.Is(err, tt.want) {
			t.Errorf("%q: %v, want %v", tt.name, err, tt.want)
		}
	}
	if _, err := s.Create("ok", testWords, MaxAccount+1, "p", 0); err == nil {
		t.Error("account above the greatest was taken")
	}
	if all, err := s.List(); err != nil || len(all) != 1 {
		t.Errorf("a refused wallet left something: %v %v", all, err)
	}
}

// Two programs that make a wallet of one name at once: one wins, and its wallet stays.
func TestCreateRace(t *testing.T) {
	s := newStore(t)
	var wg sync.WaitGroup
	made := make([]*Wallet, 8)
	for i := range made {
		wg.Go(func() {
			w, err := s.Create("main", testWords, uint32(i), "p", 0)
			if err == nil {
				made[i] = w
			} else if !errors.Is(err, ErrExists) {
				t.Errorf("loser %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	kept, err := s.Get("main")
	if err != nil {
		t.Fatal(err)
	}
	winners := 0
	for _, w := range made {
		if w != nil {
			winners++
			if w.PublicKey != kept.PublicKey {
				t.Error("the winner's wallet was replaced")
			}
		}
	}
	if winners != 1 {
		t.Errorf("%d winners", winners)
	}
}

func TestDefaultAndList(t *testing.T) {
	s := newStore(t)
	if _, err := s.Get(""); !errors.Is(err, ErrNoWallet) {
		t.Errorf("empty store: %v", err)
	}
	if all, err := s.List(); err != nil || len(all) != 0 {
		t.Errorf("empty store: %v %v", all, err)
	}
	for _, name := range []string{"shop", "ann"} {
		if _, err := s.Create(name, testWords, 0, "p", 0); err != nil {
			t.Fatal(err)
		}
	}
	if name, err := s.Default(); err != nil || name != "shop" {
		t.Errorf("default %q %v, want the first", name, err)
	}
	if err := s.SetDefault("bob"); !errors.Is(err, ErrNoWallet) {
		t.Errorf("default to a missing wallet: %v", err)
	}
	if err := s.SetDefault("ann"); err != nil {
		t.Fatal(err)
	}
	w, err := s.Get("")
	if err != nil || w.Name != "ann" {
		t.Errorf("default %v %v", w, err)
	}
	all, err := s.List()
	if err != nil || len(all) != 2 || all[0].Name != "ann" || all[1].Name != "shop" {
		t.Errorf("list %v %v", all, err)
	}
}

func TestDamagedFiles(t *testing.T) {
	s := newStore(t)
	if _, err := s.Create("main", testWords, 0, "p", 0); err != nil {
		t.Fatal(err)
	}
	path := s.walletPath("main")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	rewrite := func(t *testing.T, change func(*file)) {
		var f file
		if err := json.Unmarshal(whole, &f); err != nil {
			t.Fatal(err)
		}
		change(&f)
		b, err := json.Marshal(f)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, change := range map[string]func(*file){
		"version":      func(f *file) { f.Version = 2 },
		"public key":   func(f *file) { f.PublicKey = "00" },
		"account":      func(f *file) { f.Account = MaxAccount + 1 },
		"wrong key":    func(f *file) { f.PublicKey = strings.Repeat("00", 32) },
		"wrong number": func(f *file) { f.Account = 1 },
		"secret":       func(f *file) { f.Secret = strings.Replace(f.Secret, "-----END", "----END", 1) },
		"no secret":    func(f *file) { f.Secret = "" },
		"flipped":      func(f *file) { f.Secret = flipLast(f.Secret) },
	} {
		t.Run(name, func(t *testing.T) {
			rewrite(t, change)
			w, err := s.Get("main")
			if err == nil {
				_, err = w.Unlock("p")
			}
			if !errors.Is(err, ErrCorrupt) {
				t.Errorf("%v, want ErrCorrupt", err)
			}
		})
	}
	if err := os.WriteFile(path, whole[:len(whole)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.List(); !errors.Is(err, ErrCorrupt) {
		t.Errorf("truncated file: %v", err)
	}
	if err := os.WriteFile(s.defaultPath(), []byte("../x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(""); !errors.Is(err, ErrCorrupt) {
		t.Errorf("damaged default: %v", err)
	}
}

// flipLast changes a letter of the last full line of an armored file: part of the encrypted words.
func flipLast(armored string) string {
	lines := strings.Split(strings.TrimSpace(armored), "\n")
	i := len(lines) - 2
	b := []byte(lines[i])
	if b[0] == 'A' {
		b[0] = 'B'
	} else {
		b[0] = 'A'
	}
	lines[i] = string(b)
	return strings.Join(lines, "\n") + "\n"
}

func TestDir(t *testing.T) {
	t.Setenv("HOME", "/home/ann")
	for _, tt := range []struct{ home, data, want string }{
		{"/keys", "/var/data", "/keys"},
		{"", "/var/data", "/var/data/notary"},
		{"", "relative/is/ignored", "/home/ann/.local/share/notary"},
		{"", "", "/home/ann/.local/share/notary"},
	} {
		t.Setenv(EnvHome, tt.home)
		t.Setenv("XDG_DATA_HOME", tt.data)
		if got, err := Dir(os.Getenv); err != nil || got != tt.want {
			t.Errorf("Dir with %q, %q: %q %v, want %q", tt.home, tt.data, got, err, tt.want)
		}
	}
}
