package store

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// partial ends the name of a backup that is being made.
const partial = ".part"

// Backup makes a copy of the store in a directory that does not exist yet, while the store goes on
// working: all that was on disk when Backup was called, and what came with it. On one file system the copy
// shares its tables with the store until either drops them, so it takes next to no room there, and is no
// safety against the loss of the disk until it is copied elsewhere.
//
// The copy is marked before it has its name: it signs in no epoch until Restore gives it one of its own.
// However it gets to where a node looks for its store, an old backup never signs. It returns the size of
// the copy in bytes.
func (s *Store) Backup(dir string) (bytes uint64, err error) {
	if err := s.enter(); err != nil {
		return 0, err
	}
	defer s.leave()
	if err := s.room(s.options.ReserveBytes); err != nil {
		return 0, err
	}
	fs := s.options.FS
	switch _, err := fs.Stat(dir); {
	case err == nil:
		return 0, fmt.Errorf("%s is there already", dir)
	case !errors.Is(err, errNotExist):
		return 0, fmt.Errorf("backup: %w", err)
	}
	part := dir + partial
	if err := fs.RemoveAll(part); err != nil {
		return 0, err
	}
	if err := makeDir(fs, fs.PathDir(dir)); err != nil {
		return 0, err
	}
	if err := s.db.Checkpoint(part, pebble.WithFlushedWAL()); err != nil {
		return 0, fmt.Errorf("backup: %w", err)
	}
	mark := Signing{Epoch: s.signing.Epoch, Backup: true, RestoredMS: s.signing.RestoredMS}
	if err := setSigning(part, s.options, mark); err != nil {
		return 0, fmt.Errorf("backup: %w", err)
	}
	if err := errors.Join(fs.Rename(part, dir), syncDir(fs, fs.PathDir(dir))); err != nil {
		return 0, fmt.Errorf("backup: %w", err)
	}
	return size(fs, dir)
}

// Restore makes the store in dir sign in an epoch of its own, from restoredMS on (Unix milliseconds): a
// backup, or, with Options.Create, a new store for a key that has lost its votes. The epoch must be one in
// which the key has never signed, on whatever machine. What can be checked is that it lies above all that
// are on record here; else the error is ErrMayNotSign. Until the epoch is written a new store is marked as a
// backup is: whatever ends this in between, it signs nothing, and may be restored in its place.
func Restore(dir string, options Options, epoch uint32, restoredMS uint64) error {
	options.unrestored = true
	s, err := Open(dir, options)
	if err != nil {
		return err
	}
	last, err := s.lastSigned()
	if err = errors.Join(err, s.Close()); err != nil {
		return err
	}
	if known := max(s.signing.Epoch, last.Epoch); epoch <= known {
		return fmt.Errorf("%s: %w: %d; epoch %d is on record", dir, ErrMayNotSign, epoch, known)
	}
	return setSigning(dir, s.options, Signing{Epoch: epoch, RestoredMS: restoredMS})
}

// setSigning writes the record of a store that is not open. Where that fails the process goes on: a node
// does not end because the disk of its backup is full.
func setSigning(dir string, o Options, signing Signing) error {
	s := &Store{dir: dir, options: o}
	s.log = &logger{log: o.Logger, exit: func(int) {}, fail: s.fail}
	cache := NewCache(1 << 20)
	defer cache.Close()
	db, err := pebble.Open(dir, tuned(o, cache.cache, s.log))
	if err != nil {
		return err
	}
	err = db.Set(appendMetaKey(nil, metaSigning), signing.append(nil), pebble.Sync)
	if err = errors.Join(err, s.failed()); err != nil {
		return errors.Join(err, db.Close())
	}
	return db.Close()
}

// size is that of the files of a directory, in bytes.
func size(fs vfs.FS, dir string) (total uint64, err error) {
	names, err := fs.List(dir)
	if err != nil {
		return 0, err
	}
	for _, name := range names {
		info, err := fs.Stat(fs.PathJoin(dir, name))
		if err != nil {
			return 0, err
		}
		total += uint64(info.Size())
	}
	return total, nil
}
