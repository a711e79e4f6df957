package store

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"

	setsync "github.com/notarynet/notaryd/node/sync"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/utxo"
)

// Store is an open store. See the package documentation.
type Store struct {
	dir     string
	options Options
	db      *pebble.DB
	lock    *pebble.Lock
	log     *logger
	fault   atomic.Pointer[error] // the first failure, for ever
	users   *users

	// durable is the greatest sequence number of the final log that is known to be on disk.
	durable atomic.Uint64

	ballasted atomic.Bool // the ballast was looked for

	// mu orders writes. A batch is handed to pebble under mu, and only the wait for the disk is outside,
	// so that several batches share one sync.
	mu      sync.Mutex
	scratch writes
	lent    lent
	counts  countsValue
	pending pendingSet
	heads   map[observation.ChainID]headValue
	signed  map[observation.ChainID]headValue // heads of own chains, as far as they are on disk
	signing Signing                           // does not change while the store is open
	votes   voteIndex
	// sheaves are how many entries of each are in force, lastSheaf is the greatest number. taken are the places of the first
	// rejections that took a transaction out of those.
	sheaves   map[uint64]int
	taken     map[uint64]uint64
	lastSheaf uint64

	interned interned
	index    index
	indexed  writes                // scratch of the indexer
	tables   sstable.WriterOptions // of the tables that it makes
	recent   *recent
	began    *Began // nil where the store begins with the genesis document; changes only before the node runs

	// setMu guards set, which FinalSet answers from; nil until somebody asks. newFinals, under mu, are those not in set
	// yet, kept since setWanted.
	setMu     sync.Mutex
	set       *setsync.Table
	setWanted bool
	newFinals []domain.Hash
}

// Open opens the store in dir, or makes it where Options.Create allows. Errors name the directory;
// their kinds are ErrLocked, ErrNoVotes, ErrOtherNetwork, ErrOtherKey, ErrNewerSchema and ErrStoreFailed.
func Open(dir string, options Options) (*Store, error) {
	if err := options.Validate(); err != nil {
		return nil, err
	}
	s := newStore(dir, options)
	if err := s.open(); err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	return s, nil
}

// newStore is a store that is not open yet.
func newStore(dir string, options Options) *Store {
	s := &Store{
		dir:     dir,
		options: options.withDefaults(),
		heads:   map[observation.ChainID]headValue{},
		signed:  map[observation.ChainID]headValue{},
		votes:   newVoteIndex(),
		users:   newUsers(),
		sheaves: map[uint64]int{},
		taken:   map[uint64]uint64{},
	}
	s.index.news.L = &s.index.waiting
	s.index.limit = s.options.indexBytes
	s.index.reset(0)
	s.recent = newRecent(s.options.CacheBytes / recentShare)
	s.log = &logger{log: s.options.Logger, exit: s.options.Exit, fail: s.fail}
	return s
}

func (s *Store) open() error {
	fs := s.options.FS
	if _, err := fs.Stat(s.dir); err != nil {
		if !errors.Is(err, errNotExist) {
			return s.fail(err)
		}
		if !s.options.Create {
			return ErrNoVotes
		}
		if err := makeDir(fs, s.dir); err != nil {
			return s.fail(err)
		}
	}
	var err error
	if s.lock, err = pebble.LockDirectory(s.dir, fs); err != nil {
		return fmt.Errorf("%w: %w", ErrLocked, err)
	}
	if err = s.openLocked(); err == nil {
		return nil
	}
	if s.db != nil {
		err = errors.Join(err, s.db.Close())
	}
	return errors.Join(err, s.lock.Close())
}

func (s *Store) openLocked() error {
	found, err := pebble.Peek(s.dir, s.options.FS)
	if err != nil {
		return s.fail(err)
	}
	if !found.Exists && !s.options.Create {
		return ErrNoVotes
	}
	if err := s.dropBallast(); err != nil {
		return s.fail(err)
	}
	shared := s.options.Cache
	if shared == nil {
		shared = NewCache(s.options.CacheBytes)
		defer shared.Close() // pebble keeps it
	}
	p := tuned(s.options, shared.cache, s.log)
	p.Lock = s.lock
	p.EnsureDefaults()
	if s.db, err = pebble.Open(s.dir, p); err != nil {
		s.db = nil
		return s.fail(err)
	}
	s.tables = p.MakeWriterOptions(0, s.db.TableFormat())
	if err := s.identify(); err != nil {
		return err
	}
	if err := s.undoBegin(); err != nil {
		return err
	}
	if err := s.load(); err != nil {
		return err
	}
	s.makeBallast()
	s.index.done = make(chan struct{})
	go s.runIndexer()
	return nil
}

// Close waits for calls in progress, iterators included, and closes the directory. It must not be
// called from within an iterator of this store.
func (s *Store) Close() error {
	if !s.users.close() {
		return ErrClosed
	}
	s.index.want(s.index.last())
	s.index.stop()
	err := s.db.Close()
	err = errors.Join(err, s.lock.Close())
	if err != nil {
		return s.fail(err)
	}
	return s.failed()
}

// Dir is the directory.
func (s *Store) Dir() string { return s.dir }

// fail remembers the first failure and returns err as an ErrStoreFailed.
func (s *Store) fail(err error) error {
	if !errors.Is(err, ErrStoreFailed) {
		err = fmt.Errorf("%w: %w", ErrStoreFailed, err)
	}
	s.fault.CompareAndSwap(nil, &err)
	s.index.wake()
	return err
}

// failed is the failure that ended this store, or nil.
func (s *Store) failed() error {
	if err := s.fault.Load(); err != nil {
		return *err
	}
	return nil
}

// enter starts a call; leave ends it.
func (s *Store) enter() error {
	if !s.users.enter() {
		return ErrClosed
	}
	if err := s.failed(); err != nil {
		s.users.leave()
		return err
	}
	return nil
}

func (s *Store) leave() { s.users.leave() }

// commit hands a batch to pebble. Where it is synced, the batch is on disk only once the function
// that is returned has said so. s.mu must be held, unless w is the caller's own, but not while waiting.
func (s *Store) commit(w *writes, synced bool) (wait func() error, err error) {
	b := s.db.NewBatchWithSize(len(w.arena)+16*len(w.list)+64, pebble.WithMaxRetainedSizeBytes(maxScratch))
	if err := w.fill(b); err != nil {
		return nil, s.fail(err)
	}
	if !synced || s.options.neverSync {
		if err := s.db.Apply(b, pebble.NoSync); err != nil {
			return nil, s.fail(err)
		}
		if err := s.failed(); err != nil {
			return nil, err
		}
		return func() error { return nil }, s.closeBatch(b)
	}
	if err := s.db.ApplyNoSyncWait(b, pebble.Sync); err != nil {
		return nil, s.fail(err)
	}
	// Pebble reports a log that cannot be written to the logger only.
	if err := s.failed(); err != nil {
		return nil, err
	}
	return func() error {
		if err := b.SyncWait(); err != nil {
			return s.fail(err)
		}
		if err := s.failed(); err != nil {
			return err
		}
		return s.closeBatch(b)
	}, nil
}

func (s *Store) closeBatch(b *pebble.Batch) error {
	if err := b.Close(); err != nil {
		return s.fail(err)
	}
	return nil
}

// Room reports ErrFull where votes and observations would be refused for want of space. Where there is some again
// it takes the ballast out of it.
func (s *Store) Room() error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	if err := s.room(s.options.ReserveBytes); err != nil {
		return err
	}
	s.makeBallast()
	return nil
}

// room reports ErrFull where fewer than want bytes are free. A file system that cannot say has room.
func (s *Store) room(want uint64) error {
	usage, err := s.options.FS.GetDiskUsage(s.dir)
	switch {
	case errors.Is(err, vfs.ErrUnsupported):
		return nil
	case err != nil:
		return s.fail(err)
	case usage.AvailBytes < want:
		return fmt.Errorf("%w: %d bytes free in %s, want %d", ErrFull, usage.AvailBytes, s.dir, want)
	}
	return nil
}

// get copies a value. ok is false where there is none.
func (s *Store) get(r pebble.Reader, key []byte) (value []byte, ok bool, err error) {
	b, closer, err := r.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, s.fail(err)
	}
	value = append([]byte(nil), b...)
	if err := closer.Close(); err != nil {
		return nil, false, s.fail(err)
	}
	return value, true, nil
}

// rules decode what was checked before it was stored.
func (s *Store) rules() utxo.Rules { return utxo.Rules{Network: s.options.Network} }
