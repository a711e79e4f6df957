package main

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/notarynet/notaryd/node/store"
)

// signing is in which epoch the store of a folder signs.
func signing(t *testing.T, config Config) store.Signing {
	t.Helper()
	g, key, err := identity(config)
	if err != nil {
		t.Fatal(err)
	}
	st, err := openStore(config, g, key, false, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	return st.Signing()
}

// A store is backed up, lost, and restored to a signing epoch of its own; what would forget votes is refused.
func TestBackupAndRestore(t *testing.T) {
	config, _, _ := newNode(t)
	old := filepath.Join(t.TempDir(), "old")
	to := filepath.Join(t.TempDir(), "backup")
	if n, err := backup(t.Context(), config, to); err != nil || n == 0 {
		t.Fatal(n, err)
	}
	refused := func(name string, o restoreOptions, want string) {
		t.Helper()
		if err := restore(config, o, 1000, 1); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
	refused("over a store", restoreOptions{from: to}, "is there already")
	refused("a new store over a store", restoreOptions{lost: true}, "is there already")
	refused("two things", restoreOptions{lost: true, renew: true}, "one of")
	refused("a store that is no backup", restoreOptions{}, "is a store and no backup")
	if got := signing(t, config); got != (store.Signing{}) {
		t.Errorf("a refusal left %+v", got)
	}
	if err := restore(config, restoreOptions{renew: true}, 900, 1); err != nil {
		t.Error(err)
	}
	if got := signing(t, config); got != (store.Signing{Epoch: 900, RestoredMS: 1}) {
		t.Errorf("renewed: %+v", got)
	}
	if err := os.Rename(config.Data, old); err != nil {
		t.Fatal(err)
	}
	refused("nothing to restore from", restoreOptions{}, "name a backup")
	refused("a copy of a store", restoreOptions{from: old}, "is a store and no backup")
	if _, err := os.Stat(config.Data); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a refusal left a store: %v", err)
	}
	if err := restore(config, restoreOptions{from: to}, 1000, 2); err != nil {
		t.Fatal(err)
	}
	if got := signing(t, config); got != (store.Signing{Epoch: 1000, RestoredMS: 2}) {
		t.Errorf("restored: %+v", got)
	}
	if err := os.RemoveAll(config.Data); err != nil {
		t.Fatal(err)
	}
	if err := restore(config, restoreOptions{lost: true}, 1001, 3); err != nil {
		t.Fatal(err)
	}
	if got := signing(t, config); got != (store.Signing{Epoch: 1001, RestoredMS: 3}) {
		t.Errorf("begun anew: %+v", got)
	}
	// A backup that somebody moves to where the store was is restored in its place.
	if err := errors.Join(os.RemoveAll(config.Data), os.Rename(to, config.Data)); err != nil {
		t.Fatal(err)
	}
	if err := restore(config, restoreOptions{}, 1002, 4); err != nil {
		t.Fatal(err)
	}
	if got := signing(t, config); got.Epoch != 1002 || got.Backup {
		t.Errorf("in place: %+v", got)
	}
}

// A backup is not lost by being restored, wherever it lies and whatever else is in the way; nor is what is no backup.
func TestRestoreLosesNoBackup(t *testing.T) {
	config, _, _ := newNode(t)
	to := filepath.Join(t.TempDir(), "backup")
	if _, err := backup(t.Context(), config, to); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(config.Data); err != nil {
		t.Fatal(err)
	}
	part := config.Data + ".restore" // where a backup is copied to before it has its name
	for _, from := range []string{part, filepath.Join(part, "inner")} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(from), 0o700), os.Rename(to, from)); err != nil {
			t.Fatal(err)
		}
		if err := restore(config, restoreOptions{from: from}, 1000, 1); err == nil || !strings.Contains(err.Error(), "another name") {
			t.Errorf("restored from %s: %v", from, err)
		}
		if err := os.Rename(from, to); err != nil {
			t.Fatalf("the backup in %s is gone: %v", from, err)
		}
		if err := os.RemoveAll(part); err != nil {
			t.Fatal(err)
		}
	}
	if err := restore(config, restoreOptions{from: filepath.Dir(config.Data)}, 1000, 1); err == nil || !strings.Contains(err.Error(), "holds the node itself") {
		t.Errorf("the node restored from itself: %v", err)
	}
	half := filepath.Join(t.TempDir(), "half") // whose copying ends in the middle
	if err := errors.Join(os.MkdirAll(half, 0o700), os.WriteFile(filepath.Join(half, "a"), nil, 0o600), os.Symlink("nowhere", filepath.Join(half, "b"))); err != nil {
		t.Fatal(err)
	}
	if err := restore(config, restoreOptions{from: half}, 1000, 1); err == nil {
		t.Error("half a backup is taken")
	}
	if _, err := os.Stat(part); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a refusal left the copy, and the room that it takes: %v", err)
	}
	config.Data = filepath.Join(t.TempDir(), "deep", "data")
	if err := restore(config, restoreOptions{from: to}, 1000, 1); err != nil {
		t.Error(err)
	}
}
