package wallet

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// Whatever a wallet file holds, it is read or refused; what is read has a public key.
func FuzzParseWallet(f *testing.F) {
	f.Add([]byte(`{"version":1,"account":0,"public_key":"b89f341165eeca5fa1d44b12064b0dc1b5f38118129b672bf4d5f90a43e19010","created_ms":1,"secret":"x"}`))
	f.Add([]byte(`{}`))
	f.Add([]byte(`[`))
	f.Fuzz(func(t *testing.T, b []byte) {
		w, err := parse("main", b)
		if err != nil {
			return
		}
		if w.Account > MaxAccount || w.Name != "main" {
			t.Errorf("%+v", w)
		}
		if _, err := w.Unlock("p"); err == nil {
			t.Error("a wallet without a key was opened")
		}
	})
}

// Whatever the list of transactions under way holds, it is read or said to be damaged.
func FuzzPending(f *testing.F) {
	f.Add([]byte(`[{"network_id":"aa","transaction_id":"bb","transaction":"0a00","until_ms":1}]`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, b []byte) {
		s := NewStore(t.TempDir())
		if err := os.MkdirAll(filepath.Dir(s.pendingPath("main")), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(s.pendingPath("main"), b, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Pending("main"); err != nil && !errors.Is(err, ErrCorrupt) {
			t.Errorf("%v is not ErrCorrupt", err)
		}
	})
}

// Whatever is typed, words are 24 known ones with a checksum that fits, or refused.
func FuzzParseWords(f *testing.F) {
	f.Add(testWords)
	f.Add("zoo zoo")
	f.Fuzz(func(t *testing.T, typed string) {
		words, err := ParseWords(typed)
		if err != nil {
			if !errors.Is(err, ErrWords) {
				t.Errorf("%v is not ErrWords", err)
			}
			return
		}
		if again, err := ParseWords(words); err != nil || again != words {
			t.Errorf("%q, again %q %v", words, again, err)
		}
	})
}
