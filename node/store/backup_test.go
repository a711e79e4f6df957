package store

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/utxo"
)

// Each store signs in one epoch: other ones are refused, whatever the chain looks like.
func TestSignsInOneEpoch(t *testing.T) {
	fs := vfs.NewMem()
	o := testOptions(fs)
	o.SigningEpoch = 3
	s := mustOpen(t, o)
	for epoch := range uint32(6) {
		err := s.SaveVotes(VoteBatch{Observations: []*observation.Observation{seal(own, observation.Head{SigningEpoch: epoch}, now)}})
		if want := epoch == 3; (err == nil) != want || err != nil && !errors.Is(err, ErrMayNotSign) {
			t.Errorf("signing in epoch %d of a store that signs in 3: %v", epoch, err)
		}
	}
	mustClose(t, s)
	o.SigningEpoch = 5 // counts for a new store alone
	s = mustOpen(t, o)
	defer mustClose(t, s)
	if got := s.Signing(); got != (Signing{Epoch: 3}) || s.Head(ownChain(3)).Height != 1 {
		t.Errorf("opened again: %+v, head %+v", got, s.Head(ownChain(3)))
	}
}

// A store that was made before the epoch was on record goes on in the one in which it has signed.
func TestSigningNotOnRecord(t *testing.T) {
	o := testOptions(vfs.NewMem())
	o.SigningEpoch = 2
	s := mustOpen(t, o)
	if err := s.SaveVotes(VoteBatch{Observations: []*observation.Observation{seal(own, observation.Head{SigningEpoch: 2}, now)}}); err != nil {
		t.Fatal(err)
	}
	if err := s.db.Delete(appendMetaKey(nil, metaSigning), pebble.Sync); err != nil {
		t.Fatal(err)
	}
	mustClose(t, s)
	s = mustOpen(t, o)
	defer mustClose(t, s)
	if got := s.Signing(); got != (Signing{Epoch: 2}) || s.Head(ownChain(2)).Height != 1 {
		t.Errorf("%+v, head %+v", got, s.Head(ownChain(2)))
	}
}

func TestSigningValue(t *testing.T) {
	for _, want := range []Signing{{}, {Epoch: 1<<32 - 1, RestoredMS: now}, {Epoch: 7, Backup: true}} {
		got, err := decodeSigning(want.append(nil))
		if err != nil || got != want {
			t.Errorf("%+v became %+v, %v", want, got, err)
		}
	}
	for _, bad := range [][]byte{nil, {1}, {1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, append(Signing{}.append(nil), 0)} {
		if _, err := decodeSigning(bad); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%x: %v", bad, err)
		}
	}
}

// A backup is what was on disk, made while the store works, and signs nowhere: not in the old epoch, which
// went on without it, until it is restored, and then in the new one alone. What the old epoch signed since
// comes from peers, like observations of anybody.
func TestOldBackupNeverSigns(t *testing.T) {
	fs := vfs.NewMem()
	o := testOptions(fs)
	s := mustOpen(t, o)
	first := vote(t, s, observation.Pending, 0, makeTx(t, 1, []utxo.Outpoint{genesisOutpoint(0)}, payment(owners[0], 1)))
	bytes, err := s.Backup("backups/one")
	if err != nil || bytes == 0 {
		t.Fatalf("%d bytes, %v", bytes, err)
	}
	if _, err := s.Backup("backups/one"); err == nil || !strings.Contains(err.Error(), "is there already") {
		t.Errorf("a second backup to one place: %v", err)
	}
	// The store runs on.
	second := vote(t, s, observation.Pending, 0, makeTx(t, 2, []utxo.Outpoint{genesisOutpoint(1)}, payment(owners[0], 1)))
	mustClose(t, s)

	open := func() *Store {
		t.Helper()
		o := o
		o.Create = false
		s, err := Open("backups/one", o)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	old := open()
	if old.Head(ownChain(0)) != first.Head() || !old.Signing().Backup {
		t.Errorf("the backup holds head %+v, %+v", old.Head(ownChain(0)), old.Signing())
	}
	rival := seal(own, first.Head(), now+9, voteLeaf(gold, observation.Pending, 0))
	for _, o := range []*observation.Observation{rival, second, seal(own, observation.Head{SigningEpoch: 1}, now)} {
		if err := old.SaveVotes(VoteBatch{Observations: []*observation.Observation{o}}); !errors.Is(err, ErrMayNotSign) {
			t.Errorf("a backup signs in epoch %d: %v", o.Header.SigningEpoch, err)
		}
	}
	mustClose(t, old)

	if err := Restore("backups/one", o, 0, now); !errors.Is(err, ErrMayNotSign) {
		t.Errorf("restored to the epoch in which it signed: %v", err)
	}
	if err := Restore("backups/one", o, 1000, now); err != nil {
		t.Fatal(err)
	}
	old = open()
	defer func() { mustClose(t, old) }()
	if got := old.Signing(); got != (Signing{Epoch: 1000, RestoredMS: now}) {
		t.Errorf("restored: %+v", got)
	}
	if err := old.SaveVotes(VoteBatch{Observations: []*observation.Observation{rival}}); !errors.Is(err, ErrMayNotSign) {
		t.Errorf("a restored store signs in the old epoch: %v", err)
	}
	if err := old.SaveObservations([]*observation.Observation{second}); err != nil {
		t.Errorf("what the old epoch signed: %v", err)
	}
	if got, ok, err := old.Observation(ownChain(0), 2); err != nil || !ok || got.Hash != second.Hash || old.Head(ownChain(0)) != second.Head() {
		t.Errorf("the old epoch is not followed: %v, %v, head %+v", ok, err, old.Head(ownChain(0)))
	}
	fresh := seal(own, observation.Head{SigningEpoch: 1000}, now)
	if err := old.SaveObservations([]*observation.Observation{fresh}); !errors.Is(err, ErrInconsistent) {
		t.Errorf("an observation of the new epoch among those of others: %v", err)
	}
	if err := old.SaveVotes(VoteBatch{Observations: []*observation.Observation{fresh}}); err != nil {
		t.Errorf("the new epoch: %v", err)
	}
	mustClose(t, old)
	if err := Restore("backups/one", o, 1000, now); !errors.Is(err, ErrMayNotSign) {
		t.Errorf("restored to its own epoch again: %v", err)
	}
	old = open()
	if old.Head(ownChain(1000)) != fresh.Head() {
		t.Errorf("head %+v", old.Head(ownChain(1000)))
	}
}

// A node that lost its store takes a new one, and a new epoch.
func TestLostVotes(t *testing.T) {
	o := testOptions(vfs.NewMem())
	if err := Restore("node/store", o, 77, now); err != nil {
		t.Fatal(err)
	}
	s := mustOpen(t, o)
	defer mustClose(t, s)
	if got := s.Signing(); got != (Signing{Epoch: 77, RestoredMS: now}) || s.Counts().LiveOutputs != 32 {
		t.Errorf("%+v, %+v", got, s.Counts())
	}
}

// Until a new store for a key that has lost its votes has its own epoch it signs nowhere: not in the epoch in which the
// key has signed before, whatever ends the restoration in between. It is restored in its place then. What is not synced is
// lost as a whole: pebble makes a new database's manifest, and then the file that names it, and syncs their directory
// once for both, which is enough where a file that is synced is in its directory (ext4, XFS).
func TestCrashLostVotes(t *testing.T) {
	mem := vfs.NewCrashableMem()
	c := &crashes{fs: mem, every: 1, whole: true, rng: newRand(7)}
	o := testOptions(c.over(mem))
	o.SigningEpoch = 3
	c.start()
	if err := Restore("node/store", o, 77, now); err != nil {
		t.Fatal(err)
	}
	c.done(true)
	rival := seal(own, observation.Head{SigningEpoch: 3}, now)
	half := 0
	for _, crash := range c.taken {
		after := testOptions(crash.fs)
		after.Create = false
		s, err := Open("node/store", after)
		if errors.Is(err, ErrNoVotes) {
			continue
		}
		if err != nil {
			t.Fatalf("crash at %s: %v", crash.op, err)
		}
		if err := s.SaveVotes(VoteBatch{Observations: []*observation.Observation{rival}}); !errors.Is(err, ErrMayNotSign) {
			t.Fatalf("crash at %s: a store that is not restored signs in the old epoch: %v, %+v", crash.op, err, s.Signing())
		}
		backup := s.Signing().Backup
		mustClose(t, s)
		if !backup {
			continue
		}
		half++
		if err := Restore("node/store", after, 78, now); err != nil {
			t.Errorf("crash at %s: restored once more: %v", crash.op, err)
		}
	}
	if half == 0 {
		t.Errorf("none of %d crashes came in between", len(c.taken))
	}

	early := testOptions(vfs.NewMem()) // a clock that is far behind
	early.SigningEpoch = 3
	if err := Restore("node/store", early, 3, now); !errors.Is(err, ErrMayNotSign) {
		t.Errorf("restored to the epoch of the genesis document: %v", err)
	}
	s := mustOpen(t, early)
	defer mustClose(t, s)
	if err := s.SaveVotes(VoteBatch{Observations: []*observation.Observation{rival}}); !errors.Is(err, ErrMayNotSign) {
		t.Errorf("after a refusal it signs in the old epoch: %v", err)
	}
}

// A crash while a backup is made leaves no backup that is not marked.
func TestCrashWhileBackingUp(t *testing.T) {
	mem := vfs.NewCrashableMem()
	c := &crashes{fs: mem, every: 1, rng: newRand(7)}
	s := mustOpen(t, testOptions(c.over(mem)))
	vote(t, s, observation.Pending, 0, makeTx(t, 1, []utxo.Outpoint{genesisOutpoint(0)}, payment(owners[0], 1)))
	c.start()
	if _, err := s.Backup("node/backup"); err != nil {
		t.Fatal(err)
	}
	c.done(true)
	taken := c.taken
	mustClose(t, s)
	whole := 0
	for _, crash := range taken {
		o := testOptions(crash.fs)
		o.Create = false
		b, err := Open("node/backup", o)
		if errors.Is(err, ErrNoVotes) {
			continue
		}
		if err != nil {
			t.Fatalf("crash at %s: %v", crash.op, err)
		}
		whole++
		if !b.Signing().Backup || b.Head(ownChain(0)).Height != 1 {
			t.Errorf("crash at %s: %+v, head %+v", crash.op, b.Signing(), b.Head(ownChain(0)))
		}
		mustClose(t, b)
	}
	after := testOptions(mem.CrashClone(vfs.CrashCloneCfg{}))
	after.Create = false
	b, err := Open("node/backup", after)
	if err != nil {
		t.Fatalf("a backup that was reported is not there after a crash: %v", err)
	}
	mustClose(t, b)
	t.Logf("%d crashes, %d with a backup in place", len(taken), whole)
	if len(taken) < 20 {
		t.Errorf("%d crashes show nothing", len(taken))
	}
}

// On real files, beside the store and elsewhere.
func TestBackupOnDisk(t *testing.T) {
	dir := t.TempDir()
	o := testOptions(nil)
	s, err := Open(filepath.Join(dir, "store"), o)
	if err != nil {
		t.Fatal(err)
	}
	defer mustClose(t, s)
	vote(t, s, observation.Pending, 0, makeTx(t, 1, []utxo.Outpoint{genesisOutpoint(0)}, payment(owners[0], 1)))
	if err := s.db.Flush(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Backup(filepath.Join(dir, "deep", "backup")); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Backup(filepath.Join(file, "backup")); !errors.Is(err, syscall.ENOTDIR) {
		t.Errorf("a backup where none can be: %v", err)
	}
	o.Create = false
	b, err := Open(filepath.Join(dir, "deep", "backup"), o)
	if err != nil {
		t.Fatal(err)
	}
	defer mustClose(t, b)
	if b.Head(ownChain(0)).Height != 1 || b.Counts() != s.Counts() {
		t.Errorf("head %+v, %+v", b.Head(ownChain(0)), b.Counts())
	}
}
