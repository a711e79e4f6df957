package store

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
)

// forks are n pieces of evidence, by hash.
func forks(t testing.TB, n int) []*observation.Evidence {
	t.Helper()
	var list []*observation.Evidence
	for i := range n {
		a := seal(peers[0], observation.Head{Height: uint64(i + 1), Hash: domain.Hash{1}}, now)
		b := seal(peers[0], observation.Head{Height: uint64(i + 1), Hash: domain.Hash{2}}, now)
		list = append(list, must(observation.ForkedChain(a.Signed(), b.Signed())))
	}
	slices.SortFunc(list, func(a, b *observation.Evidence) int { return a.Hash.Compare(b.Hash) })
	return list
}

func sameEvidence(a, b *observation.Evidence) bool {
	return a.Hash == b.Hash && a.Kind == b.Kind && bytes.Equal(a.Raw, b.Raw) && a.Key() == b.Key()
}

// Evidence is kept once, for ever, and listed by hash from any place on.
func TestEvidence(t *testing.T) {
	fs := vfs.NewMem()
	s := mustOpen(t, testOptions(fs))
	list := forks(t, 5)
	if _, found, err := s.Evidence(list[0].Hash); found || err != nil {
		t.Fatalf("before it was saved: %v, %v", found, err)
	}
	for _, i := range []int{3, 0, 4, 2, 1} {
		for again := range 2 {
			if added, err := s.SaveEvidence(list[i]); err != nil || added != (again == 0) {
				t.Fatalf("saved %d times: %v, %v", again+1, added, err)
			}
		}
	}
	before := dump(t, s)
	mustClose(t, s)
	s = mustOpen(t, testOptions(fs))
	defer mustClose(t, s)
	if dump(t, s) != before {
		t.Fatal("not what was saved")
	}
	for i, e := range list {
		got, found, err := s.Evidence(e.Hash)
		if err != nil || !found || !sameEvidence(got, e) {
			t.Fatalf("%v, %v, %v", got, found, err)
		}
		rest := collect(t, s.EvidenceAfter(e.Hash))
		if !slices.EqualFunc(rest, list[i+1:], sameEvidence) {
			t.Fatalf("%d pieces after the %dth of 5", len(rest), i+1)
		}
	}
	if all := collect(t, s.EvidenceAfter(domain.Hash{})); !slices.EqualFunc(all, list, sameEvidence) {
		t.Fatalf("%d pieces of 5", len(all))
	}
	if last := collect(t, s.EvidenceAfter(domain.Hash(bytes.Repeat([]byte{0xff}, 32)))); len(last) != 0 {
		t.Fatal("something is above everything")
	}
}

// What SaveEvidence has said is on disk survives a crash right after.
func TestEvidenceSurvivesACrash(t *testing.T) {
	fs := vfs.NewCrashableMem()
	s := mustOpen(t, testOptions(fs))
	e := forks(t, 1)[0]
	if added, err := s.SaveEvidence(e); !added || err != nil {
		t.Fatal(added, err)
	}
	after := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 0})
	mustClose(t, s)
	s = mustOpen(t, testOptions(after))
	defer mustClose(t, s)
	if got, found, err := s.Evidence(e.Hash); err != nil || !found || !sameEvidence(got, e) {
		t.Fatalf("%v, %v, %v", got, found, err)
	}
}

func TestEvidenceRefused(t *testing.T) {
	s := mustOpen(t, testOptions(vfs.NewMem()))
	list := forks(t, 2)
	bad := *list[0]
	bad.Hash = list[1].Hash
	if added, err := s.SaveEvidence(&bad); added || !errors.Is(err, ErrInconsistent) {
		t.Fatalf("under the hash of another: %v, %v", added, err)
	}
	// A record under the hash of another cannot have been written.
	if err := s.db.Set(appendHashKey(nil, ClassEvidence, list[1].Hash), appendBytes(nil, list[0].Raw), pebble.Sync); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Evidence(list[1].Hash); !errors.Is(err, ErrCorrupt) {
		t.Fatalf("read back as %v", err)
	}
	if err := s.Close(); !errors.Is(err, ErrCorrupt) {
		t.Errorf("closed with %v", err)
	}
	if _, err := s.SaveEvidence(list[0]); !errors.Is(err, ErrClosed) {
		t.Errorf("after closing: %v", err)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
