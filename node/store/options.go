package store

import (
	"errors"
	"log/slog"
	"os"
	"runtime"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/utxo"
)

// Defaults of Options.
const (
	DefaultMemBytes     = 256 << 20
	DefaultCacheBytes   = 256 << 20
	DefaultReserveBytes = 512 << 20
	DefaultMaxRejected  = 100_000
)

// defaultMaxSheaves bounds how many sheaves are stored. Beyond it what is left of the oldest gets records of its own: a start
// reads all of them.
const defaultMaxSheaves = 64

// memTables and the generations of the index share MemBytes, all being of one size: one is filled while another is written, and a generation is
// kept for look-ups. With smaller ones a node under full load stalls while they are flushed.
const (
	memTables   = 2
	generations = 3
	memShares   = memTables + generations
)

// defaultTablesFrom is from how many transactions on their changes of the index are written as a table. Fewer, which a reader asks for, are a
// batch: a small table would be one more to look into.
const defaultTablesFrom = 4096

// gathered is how many flushed memtables a compaction takes at once (pebble counts each twice). Keys are hashes, so it rewrites all
// that the next level holds however few they are; a look-up asks the filter of each that waits.
const gathered = 8

// recentShare is the part of CacheBytes that goes to decoded outputs, on top of it.
const recentShare = 4

// Options say whose store it is and what it may use.
type Options struct {
	// Network id and the node key whose votes are kept here. Both are bound to the directory when it
	// is made; opening it with others is refused.
	Network domain.Hash
	Key     domain.PublicKey
	// Create allows an empty or absent directory to become a new store. Set it only for a key that has
	// never signed: without its vote records a node may contradict itself, so everything else is
	// ErrNoVotes.
	Create bool
	// SigningEpoch is the one in which a key signs whose store is made now (Signing).
	SigningEpoch uint32
	// Genesis are the outputs that exist from the start, final at GenesisMS (Unix milliseconds). They
	// are applied when the store is made, and never again.
	Genesis   utxo.Delta
	GenesisMS uint64

	// MemBytes bounds the memtables and the generations of the index together, CacheBytes the block cache; 0 is the default of each.
	MemBytes, CacheBytes int64
	// Cache is shared by the stores of one process; where it is set, CacheBytes is ignored.
	Cache *Cache
	// ReserveBytes is the free space below which votes and observations are refused with ErrFull, and
	// finals below half of it, so that a full disk can still be opened, read and pruned. 0 is the default.
	ReserveBytes uint64
	// MaxRejected bounds how many rejections are remembered, the newest; 0 is the default.
	MaxRejected int

	// InMemory keeps everything in memory and forgets it on Close.
	InMemory bool
	// Logger takes what pebble reports; nil is slog.Default.
	Logger *slog.Logger
	// Exit ends the process when pebble cannot go on; nil is os.Exit.
	Exit func(code int)

	// FS is what lies under the store; nil is the operating system's. Tests crash, break and fill it.
	FS vfs.FS

	unrestored bool   // a store that is made now signs in no epoch yet (Restore)
	neverSync  bool   // tests see what a crash takes that was not synced
	maxSheaves int    // 0 is the default
	indexBytes int64  // of each generation of the index; 0 is the default
	tablesFrom uint64 // transactions; 0 is the default
}

// Validate reports what no store can be opened with.
func (o *Options) Validate() error {
	switch {
	case o.Network.IsZero():
		return errors.New("store: no network id")
	case o.Key == domain.PublicKey{}:
		return errors.New("store: no node key")
	case o.MemBytes < 0 || o.CacheBytes < 0 || o.MaxRejected < 0:
		return errors.New("store: a size below zero")
	case o.MemBytes > 0 && o.MemBytes < 1<<20:
		return errors.New("store: memtables below 1 MiB")
	case o.MemBytes > 4<<30*memShares:
		return errors.New("store: memtables above 4 GiB each")
	case len(o.Genesis.Created) > 0 && o.Genesis.Tx != o.Network:
		return errors.New("store: genesis of another network")
	}
	return nil
}

func (o Options) withDefaults() Options {
	if o.MemBytes == 0 {
		o.MemBytes = DefaultMemBytes
	}
	if o.CacheBytes == 0 {
		o.CacheBytes = DefaultCacheBytes
	}
	if o.ReserveBytes == 0 {
		o.ReserveBytes = DefaultReserveBytes
	}
	if o.MaxRejected == 0 {
		o.MaxRejected = DefaultMaxRejected
	}
	if o.indexBytes == 0 {
		o.indexBytes = o.MemBytes / memShares
	}
	if o.tablesFrom == 0 {
		o.tablesFrom = defaultTablesFrom
	}
	if o.maxSheaves == 0 {
		o.maxSheaves = defaultMaxSheaves
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Exit == nil {
		o.Exit = os.Exit
	}
	if o.FS == nil {
		o.FS = vfs.Default
		if o.InMemory {
			o.FS = vfs.NewMem()
		}
	}
	return o
}

// Cache keeps blocks read from disk, for one store or several.
type Cache struct{ cache *pebble.Cache }

// NewCache makes a cache of a size in bytes.
func NewCache(bytes int64) *Cache { return &Cache{pebble.NewCache(bytes)} }

// Close gives up the cache; stores that are still open keep it.
func (c *Cache) Close() { c.cache.Unref() }

// tuned are the settings of docs/spec/store.md, section 8.
func tuned(o Options, cache *pebble.Cache, log *logger) *pebble.Options {
	p := &pebble.Options{
		FS:                          bulkFS{o.FS},
		Cache:                       cache,
		Logger:                      log,
		FormatMajorVersion:          pebble.FormatNewest,
		MemTableSize:                uint64(o.MemBytes / memShares),
		MemTableStopWritesThreshold: memTables,
		L0CompactionThreshold:       2 * gathered,
		L0StopWritesThreshold:       6 * gathered,
		LBaseMaxBytes:               256 << 20,
		CompactionConcurrencyRange:  func() (int, int) { return 1, max(1, runtime.GOMAXPROCS(0)/2) },
		EventListener: &pebble.EventListener{
			BackgroundError: log.background,
			WriteStallBegin: log.stallBegin,
			WriteStallEnd:   log.stallEnd,
		},
	}
	// Coins that go round leave as many marks of deletion as outputs. Pebble would carry each table of the index down to the last level
	// for it, though the next compaction of L0, which takes eight of them, is not far.
	p.Experimental.TombstoneDenseCompactionThreshold = -1
	for i := range p.Levels {
		p.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
		p.Levels[i].BlockSize = 8 << 10
		p.Levels[i].Compression = func() *sstable.CompressionProfile { return sstable.SnappyCompression }
	}
	p.Levels[0].Compression = func() *sstable.CompressionProfile { return sstable.NoCompression }
	return p
}
