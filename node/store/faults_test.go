package store

import (
	"bytes"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/utxo"
)

// breakLog fails every write and sync of the write-ahead log once it is switched on, from the n-th on.
type breakLog struct {
	on    atomic.Bool
	after atomic.Int64
	hits  atomic.Int64
}

func (b *breakLog) String() string { return "break the log" }

// MaybeError implements errorfs.Injector.
func (b *breakLog) MaybeError(op errorfs.Op) error {
	if !b.on.Load() || op.Kind.ReadOrWrite() != errorfs.OpIsWrite || filepath.Ext(op.Path) != ".log" ||
		op.Kind == errorfs.OpFileClose || b.after.Add(-1) >= 0 {
		return nil
	}
	b.hits.Add(1)
	return errorfs.ErrInjected
}

// writers are the calls that write, by name.
func writers(t *testing.T) map[string]func(*Store) error {
	tx := makeTx(t, 1, []utxo.Outpoint{genesisOutpoint(0)}, payment(owners[0], 10))
	return map[string]func(*Store) error{
		"CommitFinal": func(s *Store) error { return s.CommitFinal([]Final{finalOf(tx, now)}) },
		"SaveVotes": func(s *Store) error {
			return s.SaveVotes(VoteBatch{
				Records: recordsOf(tx, observation.Pending, 0), Transactions: []*utxo.Tx{tx},
				Observations: sealRow(own, s.Head(ownChain(0)), now, 2, voteLeaf(tx.ID, observation.Pending, 0)),
			})
		},
	}
}

// A log that cannot be written fails the call that needed it, ends the process, and leaves nothing
// half visible: not in this store, which says nothing any more, and not in the next one.
func TestWriteErrorFailsTheStore(t *testing.T) {
	for name, write := range writers(t) {
		for after := range int64(3) {
			mem := vfs.NewCrashableMem()
			broken := &breakLog{}
			var exits atomic.Int64
			var log bytes.Buffer
			o := testOptions(errorfs.Wrap(mem, broken))
			o.Exit = func(code int) { exits.Add(int64(code)) }
			o.Logger = slog.New(slog.NewTextHandler(&log, nil))
			s := mustOpen(t, o)
			before := dump(t, s)
			broken.after.Store(after)
			broken.on.Store(true)
			err := write(s)
			if broken.hits.Load() == 0 {
				t.Logf("%s: the %d-th write of the log is not reached", name, after)
				if err != nil {
					t.Errorf("%s: %v", name, err)
				}
				broken.on.Store(false)
				mustClose(t, s)
				continue
			}
			if !errors.Is(err, ErrStoreFailed) {
				t.Errorf("%s, failing after %d writes: %v", name, after, err)
			}
			checkSilent(t, s)
			crashed := mem.CrashClone(vfs.CrashCloneCfg{})
			if err := s.Close(); !errors.Is(err, ErrStoreFailed) {
				t.Errorf("%s: closed with %v", name, err)
			}
			next := mustOpen(t, testOptions(crashed))
			if d := dump(t, next); d != before && len(d) < len(before) {
				t.Errorf("%s, failing after %d writes: records are missing", name, after)
			}
			if next.Counts().Finals != 0 || next.Head(ownChain(0)).Height != 0 {
				t.Errorf("%s, failing after %d writes: it is there all the same", name, after)
			}
			mustClose(t, next)
		}
	}
}

// checkSilent: a failed store answers every call with its failure.
func checkSilent(t *testing.T, s *Store) {
	t.Helper()
	o := genesisOutpoint(0)
	calls := map[string]func() error{
		"Lookup":           func() error { _, _, err := s.Lookup(o); return err },
		"Transaction":      func() error { _, _, err := s.Transaction(o.Tx); return err },
		"IsFinal":          func() error { _, err := s.IsFinal(o.Tx); return err },
		"Unspent":          func() error { _, _, err := s.Unspent(owners[0], nil, 1); return err },
		"Balance":          func() error { _, err := s.Balance(owners[0], unread); return err },
		"AddressLog":       func() error { _, _, err := s.AddressLog(owners[0], 0, 1); return err },
		"ProductInfo":      func() error { _, _, err := s.ProductInfo(gold); return err },
		"Observation":      func() error { _, _, err := s.Observation(ownChain(0), 1); return err },
		"Usage":            func() error { _, err := s.Usage(); return err },
		"Reject":           func() error { return s.Reject([]Rejected{{}}) },
		"SaveObservations": func() error { return s.SaveObservations([]*observation.Observation{nil}) },
		"SaveVotes":        func() error { return s.SaveVotes(VoteBatch{}) },
		"CommitFinal":      func() error { return s.CommitFinal([]Final{{}}) },
		"GuardRecords": func() error {
			for _, err := range s.GuardRecords() {
				return err
			}
			return nil
		},
	}
	for name, call := range calls {
		if err := call(); !errors.Is(err, ErrStoreFailed) {
			t.Errorf("%s of a failed store: %v", name, err)
		}
	}
}

// Pebble reports a broken log only by Fatalf: that ends the process with 1, and says why.
func TestFatalfEndsTheProcess(t *testing.T) {
	var log bytes.Buffer
	code := -1
	s := &Store{}
	l := &logger{log: slog.New(slog.NewTextHandler(&log, nil)), exit: func(c int) { code = c }, fail: s.fail}
	l.Fatalf("disk %d is gone", 7)
	if code != 1 || !strings.Contains(log.String(), "disk 7 is gone") {
		t.Errorf("exit %d, log %q", code, log.String())
	}
	if err := s.failed(); !errors.Is(err, ErrStoreFailed) || !strings.Contains(err.Error(), "disk 7 is gone") {
		t.Errorf("the store failed with %v", err)
	}
}

// failReads fails every read of a table once it is switched on.
type failReads struct{ on atomic.Bool }

func (f *failReads) String() string { return "fail reads" }

// MaybeError implements errorfs.Injector.
func (f *failReads) MaybeError(op errorfs.Op) error {
	if f.on.Load() && (op.Kind == errorfs.OpFileReadAt || op.Kind == errorfs.OpFileRead) && filepath.Ext(op.Path) == ".sst" {
		return errorfs.ErrInjected
	}
	return nil
}

// A table that cannot be read is an error, never "not there".
func TestReadErrorIsNoAbsence(t *testing.T) {
	mem := vfs.NewMem()
	o := testOptions(mem)
	o.Genesis = genesis(400) // more than one block
	s := mustOpen(t, o)
	if err := s.db.Flush(); err != nil {
		t.Fatal(err)
	}
	mustClose(t, s)
	fails := &failReads{}
	o.FS, o.CacheBytes, o.Exit = errorfs.Wrap(mem, fails), 1, func(int) {}
	s = mustOpen(t, o)
	fails.on.Store(true)
	var failed error
	for i := range 400 {
		_, ok, err := s.Lookup(genesisOutpoint(i))
		if err == nil && !ok {
			t.Fatalf("output %d is said not to be there", i)
		}
		if err != nil {
			failed = err
			break
		}
	}
	if !errors.Is(failed, ErrStoreFailed) {
		t.Fatalf("no read failed: %v", failed)
	}
	fails.on.Store(false)
	if _, _, err := s.Lookup(genesisOutpoint(0)); !errors.Is(err, ErrStoreFailed) {
		t.Errorf("a failed store answers again: %v", err)
	}
	if err := s.Close(); !errors.Is(err, ErrStoreFailed) {
		t.Errorf("closed with %v", err)
	}
}

// A record that nobody can have written is ErrCorrupt, and ends the store.
func TestCorruptRecords(t *testing.T) {
	o := genesisOutpoint(0)
	of := observation.ChainID{Key: peers[0].Public()}
	for name, c := range map[string]struct {
		key  []byte
		call func(*Store) error
	}{
		"live":    {appendOutpointKey(nil, ClassLive, o), func(s *Store) error { _, _, err := s.Lookup(o); return err }},
		"address": {addressKey{owners[0], utxo.Product{}, o}.append(nil), func(s *Store) error { _, err := s.Balance(owners[0], unread); return err }},
		"event":   {appendAddressLogKey(nil, owners[0], cursor(0, 0)), func(s *Store) error { _, _, err := s.AddressLog(owners[0], 0, 9); return err }},
		"product": {appendHashKey(nil, ClassProduct, gold), func(s *Store) error { _, _, err := s.ProductInfo(gold); return err }},
		"final":   {appendHashKey(nil, ClassFinal, gold), func(s *Store) error { _, _, err := s.Transaction(gold); return err }},
		"vote": {append([]byte{byte(ClassVote)}, make([]byte, 41)...), func(s *Store) error {
			for _, err := range s.GuardRecords() {
				return err
			}
			return nil
		}},
		"sheaf": {appendSequenceKey(nil, ClassSheaf, 1), func(s *Store) error {
			s.sheaves[1] = 1
			for _, err := range s.GuardRecords() {
				return err
			}
			return nil
		}},
		"observation": {appendObservationKey(nil, of, 1), func(s *Store) error { _, _, err := s.Observation(of, 1); return err }},
	} {
		t.Run(name, func(t *testing.T) {
			s := mustOpen(t, testOptions(vfs.NewMem()))
			if err := s.db.Set(c.key, []byte{version1, 0xff, 0xff}, pebble.Sync); err != nil {
				t.Fatal(err)
			}
			if err := c.call(s); !errors.Is(err, ErrCorrupt) {
				t.Errorf("got %v", err)
			}
			if err := s.Close(); !errors.Is(err, ErrCorrupt) {
				t.Errorf("closed with %v", err)
			}
		})
	}
}

// fullDisk says how much is free.
type fullDisk struct {
	vfs.FS
	free atomic.Uint64
}

// GetDiskUsage implements vfs.FS.
func (f *fullDisk) GetDiskUsage(string) (vfs.DiskUsage, error) {
	return vfs.DiskUsage{AvailBytes: f.free.Load(), TotalBytes: 1 << 40}, nil
}

// Below the reserve votes are refused, below half of it finals too; the store goes on reading, and
// writes again when there is room. A full disk can be opened.
func TestReserve(t *testing.T) {
	disk := &fullDisk{FS: vfs.NewMem()}
	disk.free.Store(1 << 40)
	o := testOptions(disk)
	o.ReserveBytes = 1000
	s := mustOpen(t, o)
	writes := writers(t)
	disk.free.Store(999)
	before := dump(t, s)
	if err := writes["SaveVotes"](s); !errors.Is(err, ErrFull) || errors.Is(err, ErrStoreFailed) {
		t.Errorf("votes with 999 bytes: %v", err)
	}
	if err := s.SaveObservations([]*observation.Observation{seal(peers[0], observation.Head{}, now)}); !errors.Is(err, ErrFull) {
		t.Errorf("observations with 999 bytes: %v", err)
	}
	disk.free.Store(499)
	if err := writes["CommitFinal"](s); !errors.Is(err, ErrFull) {
		t.Errorf("finals with 499 bytes: %v", err)
	}
	if err := s.Reject([]Rejected{{}}); !errors.Is(err, ErrFull) {
		t.Errorf("rejections with 499 bytes: %v", err)
	}
	if dump(t, s) != before {
		t.Error("something was written to a full store")
	}
	mustClose(t, s)
	s = mustOpen(t, o)
	defer func() { mustClose(t, s) }()
	if _, ok, err := s.Lookup(genesisOutpoint(0)); !ok || err != nil {
		t.Errorf("a full store does not read: %v, %v", ok, err)
	}
	disk.free.Store(500)
	if err := writes["CommitFinal"](s); err != nil {
		t.Errorf("finals with 500 bytes: %v", err)
	}
	disk.free.Store(1000)
	if err := s.SaveObservations([]*observation.Observation{seal(peers[0], observation.Head{}, now)}); err != nil {
		t.Errorf("observations with 1000 bytes: %v", err)
	}
	if u, err := s.Usage(); err != nil || u.Free != 1000 {
		t.Errorf("usage %+v, %v", u, err)
	}
}
