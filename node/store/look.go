package store

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Look says how the store in dir may sign, as Open and Signing would, and changes nothing there: no file is made,
// written or removed, also where the store was not closed. It reads the identity, the heads and the newest observations of
// the own chains, and the votes in force, but does not replay the ledger, which Open does. While it reads, the directory is
// locked, for others that look not; a store that somebody has open is ErrLocked and left alone. The other errors are those
// of Open. Options.FS and Options.Create are not used.
func Look(dir string, options Options) (Signing, error) {
	options.FS, options.Create = lookFS{vfs.Default}, false
	if err := options.Validate(); err != nil {
		return Signing{}, err
	}
	s := newStore(dir, options)
	s.log.exit = func(int) {} // whoever only looks goes on
	if err := s.look(); err != nil {
		return Signing{}, fmt.Errorf("%s: %w", dir, err)
	}
	return s.signing, nil
}

func (s *Store) look() (err error) {
	fs := s.options.FS
	if _, err := fs.Stat(s.dir); err != nil {
		if errors.Is(err, errNotExist) {
			return ErrNoVotes
		}
		return s.fail(err)
	}
	if s.lock, err = pebble.LockDirectory(s.dir, fs); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.lock.Close()) }()
	found, err := pebble.Peek(s.dir, fs)
	if err != nil {
		return s.fail(err)
	}
	if !found.Exists {
		return ErrNoVotes
	}
	cache := NewCache(s.options.CacheBytes)
	defer cache.Close()
	p := tuned(s.options, cache.cache, s.log)
	p.Lock, p.ReadOnly = s.lock, true
	if s.db, err = pebble.Open(s.dir, p); err != nil {
		return s.fail(err)
	}
	defer func() { err = errors.Join(err, s.db.Close()) }()
	if err := s.identify(); err != nil {
		return err
	}
	if err := s.loadSigning(); err != nil {
		return err
	}
	_, unfinished, err := s.get(s.db, appendMetaKey(nil, metaBeginning))
	if err != nil || unfinished { // Open drops what there is of it, and begins anew
		return err
	}
	for _, part := range []func() error{s.loadBegan, s.loadHeads, s.loadPending, s.loadVotes, s.checkOwnChain} {
		if err := part(); err != nil {
			return err
		}
	}
	return s.failed()
}

// lookFS locks a directory for a reader, through a lock file that is there already: pebble's own lock makes one, or
// truncates it.
type lookFS struct{ vfs.FS }

// Lock implements vfs.FS.
func (lookFS) Lock(name string) (io.Closer, error) {
	f, err := os.Open(name)
	if errors.Is(err, errNotExist) {
		return io.NopCloser(nil), nil // nobody ever opened it here
	}
	if err != nil {
		return nil, err
	}
	err = syscall.FcntlFlock(f.Fd(), syscall.F_SETLK, &syscall.Flock_t{Type: syscall.F_RDLCK, Whence: io.SeekStart})
	switch {
	case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.EACCES):
		err = fmt.Errorf("%w: %w", ErrLocked, err)
	case err == nil:
		return f, nil
	}
	return nil, errors.Join(err, f.Close())
}
