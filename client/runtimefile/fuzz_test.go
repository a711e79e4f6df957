package runtimefile

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// Whatever the file holds, it is usable or refused with ErrInvalid.
func FuzzLoad(f *testing.F) {
	f.Add([]byte(`{"version":1,"network_id":"","nodes":[{"api":"x"}]}`))
	f.Add([]byte(`{"version":1e9}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(t.TempDir(), "devnet.json")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := Load(path)
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Errorf("%v is not ErrInvalid", err)
			}
			return
		}
		if err := Save(path, got); err != nil {
			t.Errorf("what was loaded cannot be saved: %v", err)
		}
	})
}
