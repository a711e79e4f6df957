package store

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/utxo"
)

// Whose store it is decides whether it opens. Each refusal has its kind and names the directory.
func TestOpenRefuses(t *testing.T) {
	set := func(key, value []byte) func(*testing.T, *Store) {
		return func(t *testing.T, s *Store) {
			if err := s.db.Set(key, value, pebble.Sync); err != nil {
				t.Fatal(err)
			}
		}
	}
	remove := func(key []byte) func(*testing.T, *Store) {
		return func(t *testing.T, s *Store) {
			if err := s.db.Delete(key, pebble.Sync); err != nil {
				t.Fatal(err)
			}
		}
	}
	voted := func(then func(*testing.T, *Store)) func(*testing.T, *Store) {
		return func(t *testing.T, s *Store) {
			vote(t, s, observation.Pending, 0, makeTx(t, 1, []utxo.Outpoint{genesisOutpoint(0)}, payment(owners[0], 1)))
			then(t, s)
		}
	}
	other := seal(own, observation.Head{}, now+77)
	for name, c := range map[string]struct {
		before func(*testing.T, *Store) // what happens to the store before it is opened again
		with   func(*Options)
		want   error
	}{
		"another network": {with: func(o *Options) { o.Network, o.Genesis = gold, utxo.Delta{} }, want: ErrOtherNetwork},
		"another key":     {with: func(o *Options) { o.Key = peers[0].Public() }, want: ErrOtherKey},
		"a newer schema": {
			before: set(appendMetaKey(nil, metaSchema), binary.BigEndian.AppendUint32(nil, Schema+1)), want: ErrNewerSchema,
		},
		"an older schema": {
			before: set(appendMetaKey(nil, metaSchema), binary.BigEndian.AppendUint32(nil, Schema-1)), want: ErrOlderSchema,
		},
		"a schema of five bytes": {before: set(appendMetaKey(nil, metaSchema), make([]byte, 5)), want: ErrCorrupt},
		"a schema before the first": {
			before: set(appendMetaKey(nil, metaSchema), make([]byte, 4)), want: ErrCorrupt,
		},
		"records without an identity": {before: remove(appendMetaKey(nil, metaSchema)), want: ErrCorrupt},
		"no counters":                 {before: remove(appendMetaKey(nil, metaCounts)), want: ErrCorrupt},
		"the head's observation gone": {
			before: voted(remove(appendObservationKey(nil, ownChain(0), 1))), want: ErrNoVotes,
		},
		"another observation at the head": {
			before: voted(set(appendObservationKey(nil, ownChain(0), 1), appendObservation(nil, other.Hash, other.Raw))), want: ErrNoVotes,
		},
		"a vote record that cannot be read": {
			before: voted(set(append([]byte{byte(ClassVote)}, make([]byte, 41)...), []byte{9})), want: ErrCorrupt,
		},
		"a sheaf that cannot be read": {before: set(appendSequenceKey(nil, ClassSheaf, 1), []byte{9}), want: ErrCorrupt},
		"an interned value missing": {
			before: set(appendNumberKey(nil, ClassIntern, 5), appendBytes(nil, make([]byte, 32))), want: ErrCorrupt,
		},
		"a head that cannot be read": {before: set(appendChain(nil, ClassHead, ownChain(3)), []byte{9}), want: ErrCorrupt},
		"nothing wrong":              {},
	} {
		t.Run(name, func(t *testing.T) {
			o := testOptions(vfs.NewMem())
			s := mustOpen(t, o)
			if c.before != nil {
				c.before(t, s)
			}
			mustClose(t, s)
			if c.with != nil {
				c.with(&o)
			}
			s, err := Open("node/store", o)
			if !errors.Is(err, c.want) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
			if err == nil {
				mustClose(t, s)
			} else if !strings.Contains(err.Error(), "node/store") {
				t.Errorf("%q does not name the directory", err)
			}
			// What was refused is closed: it can be opened by whom it belongs to.
			if lock, err := pebble.LockDirectory("node/store", o.FS); err != nil {
				t.Errorf("still locked: %v", err)
			} else if err := lock.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// A key without its store does not start, whether the directory is gone or empty; a new key makes one.
func TestKeyWithoutVotes(t *testing.T) {
	fs := vfs.NewMem()
	o := testOptions(fs)
	o.Create = false
	if _, err := Open("node/store", o); !errors.Is(err, ErrNoVotes) {
		t.Errorf("no directory: %v", err)
	}
	if _, err := fs.Stat("node"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a refused key left a directory behind: %v", err)
	}
	if err := fs.MkdirAll("node/store", 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Open("node/store", o); !errors.Is(err, ErrNoVotes) {
		t.Errorf("empty directory: %v", err)
	}
	o.Create = true
	mustClose(t, mustOpen(t, o))
	o.Create = false
	mustClose(t, mustOpen(t, o))
}

// A store is on disk once Open has returned, its directory included.
func TestCrashAfterMaking(t *testing.T) {
	mem := vfs.NewCrashableMem()
	whole := mustOpen(t, testOptions(mem))
	want := dump(t, whole)
	crashed := mem.CrashClone(vfs.CrashCloneCfg{})
	mustClose(t, whole)
	o := testOptions(crashed)
	o.Create = false
	after := mustOpen(t, o)
	defer mustClose(t, after)
	if dump(t, after) != want {
		t.Error("the store lost something of its making")
	}
}

// Genesis is applied once, with all that an output brings along, and not again.
func TestGenesis(t *testing.T) {
	fs := vfs.NewMem()
	o := testOptions(fs)
	s := mustOpen(t, o)
	if c := s.Counts(); c.LiveOutputs != 32 || c.Finals != 0 {
		t.Errorf("counts %+v", c)
	}
	e, ok, err := s.Lookup(genesisOutpoint(30))
	want := document(owners[0], 2000)
	if err != nil || !ok || !e.Output.Equal(&want) || e.FinalMS != now-1000 {
		t.Errorf("long output: %+v, %v, %v", e, ok, err)
	}
	info, ok, err := s.ProductInfo(gold)
	if err != nil || !ok || info.GetName() != "gold" || info.GetDecimals() != 2 {
		t.Errorf("product: %v, %v, %v", info, ok, err)
	}
	tx := makeTx(t, 1, []utxo.Outpoint{genesisOutpoint(0), genesisOutpoint(30)}, payment(owners[1], 10))
	if err := s.CommitFinal([]Final{finalOf(tx, now)}); err != nil {
		t.Fatal(err)
	}
	mustClose(t, s)
	s = mustOpen(t, o)
	defer mustClose(t, s)
	e, ok, err = s.Lookup(genesisOutpoint(30))
	if err != nil || !ok || e.SpentBy != tx.ID || !e.Output.Equal(&want) || e.FinalMS != now-1000 {
		t.Errorf("a spent output came back, or is gone: %+v, %v, %v", e, ok, err)
	}
	if c := s.Counts(); c.LiveOutputs != 31 || c.Finals != 1 {
		t.Errorf("counts %+v", c)
	}
}

func TestOptionsValidate(t *testing.T) {
	for name, change := range map[string]func(*Options){
		"no network":         func(o *Options) { o.Network = domain.Hash{} },
		"no key":             func(o *Options) { o.Key = domain.PublicKey{} },
		"memory below zero":  func(o *Options) { o.MemBytes = -1 },
		"cache below zero":   func(o *Options) { o.CacheBytes = -1 },
		"bound below zero":   func(o *Options) { o.MaxRejected = -1 },
		"tiny memtables":     func(o *Options) { o.MemBytes = 1 << 19 },
		"huge memtables":     func(o *Options) { o.MemBytes = (memShares*4 + 1) << 30 },
		"a stranger's coins": func(o *Options) { o.Genesis.Tx = gold },
	} {
		o := testOptions(vfs.NewMem())
		change(&o)
		if _, err := Open("node/store", o); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
	o := Options{Network: network, Key: own.Public()}.withDefaults()
	if err := o.Validate(); err != nil {
		t.Errorf("the defaults are refused: %v", err)
	}
}

// Real files: the directory is made with its parents, held by one at a time, and everything is there
// when it is opened again.
func TestOnDisk(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b", "store")
	o := testOptions(nil)
	s, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, o); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), dir) {
		t.Errorf("opened twice: %v", err)
	}
	tx := makeTx(t, 1, []utxo.Outpoint{genesisOutpoint(0)}, payment(owners[1], 10))
	if err := s.CommitFinal([]Final{finalOf(tx, now)}); err != nil {
		t.Fatal(err)
	}
	want := dump(t, s)
	mustClose(t, s)
	if err := s.Close(); !errors.Is(err, ErrClosed) {
		t.Errorf("closed twice: %v", err)
	}
	o.Create = false
	if s, err = Open(dir, o); err != nil {
		t.Fatal(err)
	}
	defer mustClose(t, s)
	if dump(t, s) != want || s.Dir() != dir {
		t.Error("another store came back")
	}
	u, err := s.Usage()
	if err != nil || u.Free == 0 || u.Total == 0 || len(u.Classes) != len(Classes) {
		t.Errorf("usage %+v, %v", u, err)
	}
	if u.Classes["live"] == 0 || u.Classes["genesis"] == 0 || u.Classes["votes"] != 0 {
		t.Errorf("usage by class %v", u.Classes)
	}
}

func TestInMemory(t *testing.T) {
	o := testOptions(nil)
	o.InMemory = true
	s, err := Open("nowhere/at/all", o)
	if err != nil {
		t.Fatal(err)
	}
	mustClose(t, s)
	if _, err := os.Stat("nowhere"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a store in memory left a directory: %v", err)
	}
}

// Stores of one process can share a cache, which may be given up before they close.
func TestSharedCache(t *testing.T) {
	cache := NewCache(1 << 20)
	a := openTest(t, func(o *Options) { o.Cache = cache })
	b := openTest(t, func(o *Options) { o.Cache = cache })
	cache.Close()
	for _, s := range []*Store{a, b} {
		if err := s.db.Flush(); err != nil {
			t.Fatal(err)
		}
		if _, ok, err := s.Lookup(genesisOutpoint(1)); !ok || err != nil {
			t.Errorf("%v, %v", ok, err)
		}
	}
}
